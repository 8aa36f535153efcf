#pragma once

#include <string>
#include <vector>

#include "io/hdf5.hpp"
#include "io/metrics.hpp"

namespace moray::metrics_files {

/// A new HDF5 file of the format `moray-metrics`: one dataset (rows, shape...) a column.
class Hdf5Writer {
 public:
  Hdf5Writer(const std::string& path, const MetricSchema& schema, std::int64_t rows);
  /// The next rows; columns that the table lacks are filled as missing.
  void add(const MetricTable& table);
  /// All rows must have been added.
  void close();

 private:
  std::string path_;
  MetricSchema schema_;
  std::int64_t rows_;
  std::int64_t done_ = 0;
  hdf5::Handle file_;
  std::vector<hdf5::Handle> datasets_;
};

/// The columns named, or all; `step` is always among them. The bytes must be verified already.
MetricTable read_hdf5(const std::string& path, const std::vector<std::string>& columns);

}  // namespace moray::metrics_files
