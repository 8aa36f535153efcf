#include "io/metrics_hdf5.hpp"

#include <algorithm>

#include "core/build_info.hpp"
#include "core/error.hpp"

namespace moray::metrics_files {
namespace {

constexpr const char* kFormat = "moray-metrics";

/// Words lie in memory as the file has them: both are 8 bytes, little-endian.
hid_t memory_type(Dtype dtype) {
  return dtype == Dtype::int64 ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE;
}

MetricColumn read_column(hid_t dataset, const std::string& name, std::int64_t& rows,
                         const std::string& place) {
  const auto text = [&](const char* attribute) {
    const auto value = hdf5::read_attribute(dataset, attribute, place);
    const auto* string = std::get_if<std::string>(&value);
    return string == nullptr ? std::string() : *string;
  };
  MetricColumn column{name, text("unit")};
  column.dtype = dtype_named(text("dtype")).value_or(Dtype::uint8);
  column.shape = hdf5::shape_of(dataset, place);
  if (column.shape.empty()) fail(ExitCode::io, "{}: is a scalar", place);
  rows = column.shape[0];
  column.shape.erase(column.shape.begin());
  const std::string axes = text("axes");  // "row" or "row,layer,expert"
  column.axes = axes.size() > 4 ? axes.substr(4) : "";
  const hdf5::Handle type(MORAY_HDF5(H5Dget_type, place, dataset), H5Tclose);
  if (H5Tequal(type, hdf5::file_type(column.dtype)) <= 0)
    fail(ExitCode::io, "{}: is not of its declared dtype", place);
  return column;
}

}  // namespace

Hdf5Writer::Hdf5Writer(const std::string& path, const MetricSchema& schema, std::int64_t rows)
    : path_(path), schema_(schema), rows_(rows), file_(hdf5::create_file(path)) {
  const BuildInfo build = build_info();
  hdf5::write_attribute(file_, {"format", std::string(kFormat)}, path);
  hdf5::write_attribute(file_, {"formatVersion", std::string("1.0")}, path);
  hdf5::write_attribute(file_, {"software", std::string("moray")}, path);
  hdf5::write_attribute(
      file_, {"softwareVersion", fmt::format("{} ({})", build.version, build.git_hash)}, path);
  std::string order;
  for (const MetricColumn& column : schema_.columns())
    order += (order.empty() ? "" : ",") + column.name;
  hdf5::write_attribute(file_, {"columns", order}, path);
  for (const MetricColumn& column : schema_.columns()) {
    std::vector<std::int64_t> shape = {rows};
    shape.insert(shape.end(), column.shape.begin(), column.shape.end());
    const std::string axes = column.axes.empty() ? "row" : "row," + column.axes;
    datasets_.push_back(hdf5::create_dataset(file_, column.name, hdf5::file_type(column.dtype),
                                             hdf5::space(shape), path));
    const std::string place = fmt::format("{}:{}", path, column.name);
    hdf5::write_attribute(datasets_.back(), {"dtype", std::string(name_of(column.dtype))}, place);
    hdf5::write_attribute(datasets_.back(), {"axes", axes}, place);
    hdf5::write_attribute(datasets_.back(), {"unit", column.unit}, place);
  }
}

void Hdf5Writer::add(const MetricTable& table) {
  if (table.rows == 0) return;
  MORAY_REQUIRE(done_ + table.rows <= rows_);
  MetricTable filled(schema_);  // brings the columns into this file's order
  filled.append(table);
  for (std::size_t i = 0; i < datasets_.size(); ++i) {
    const MetricColumn& column = schema_.columns()[i];
    const std::string place = fmt::format("{}:{}", path_, column.name);
    std::vector<std::int64_t> extent = {table.rows};
    extent.insert(extent.end(), column.shape.begin(), column.shape.end());
    std::vector<hsize_t> begin(extent.size(), 0);
    begin[0] = static_cast<hsize_t>(done_);
    const std::vector<hsize_t> count(extent.begin(), extent.end());
    const hdf5::Handle memory = hdf5::space(extent);
    const hdf5::Handle target(MORAY_HDF5(H5Dget_space, place, datasets_[i]), H5Sclose);
    MORAY_HDF5(H5Sselect_hyperslab, place, target, H5S_SELECT_SET, begin.data(), nullptr,
               count.data(), nullptr);
    MORAY_HDF5(H5Dwrite, place, datasets_[i], memory_type(column.dtype), memory, target,
               H5P_DEFAULT, filled.columns[i].data());
  }
  done_ += table.rows;
}

void Hdf5Writer::close() {
  MORAY_REQUIRE(done_ == rows_);
  datasets_.clear();
  if (!file_.close()) hdf5::throw_error("H5Fclose", path_);
}

MetricTable read_hdf5(const std::string& path, const std::vector<std::string>& columns) {
  const hdf5::Handle file = hdf5::open_file(path);
  const auto order = hdf5::read_attribute(file, "columns", path);
  if (!std::holds_alternative<std::string>(order))
    fail(ExitCode::io, "{}: has no list of columns", path);
  std::string names = std::get<std::string>(order) + ",";
  std::vector<MetricColumn> found;
  std::vector<std::vector<std::int64_t>> values;
  std::int64_t rows = -1;
  for (std::size_t comma = names.find(','); comma != std::string::npos; comma = names.find(',')) {
    const std::string name = names.substr(0, comma);
    names.erase(0, comma + 1);
    const bool wanted = columns.empty() || name == "step" ||
                        std::find(columns.begin(), columns.end(), name) != columns.end();
    if (!wanted) continue;
    const std::string place = fmt::format("{}:{}", path, name);
    const hdf5::Handle dataset(MORAY_HDF5(H5Dopen2, place, file, name.c_str(), H5P_DEFAULT),
                               H5Dclose);
    std::int64_t its_rows = 0;
    found.push_back(read_column(dataset, name, its_rows, place));
    if (rows >= 0 && its_rows != rows) fail(ExitCode::io, "{}: has another number of rows", place);
    rows = its_rows;
    values.emplace_back(static_cast<std::size_t>(rows * found.back().values()));
    MORAY_HDF5(H5Dread, place, dataset, memory_type(found.back().dtype), H5S_ALL, H5S_ALL,
               H5P_DEFAULT, values.back().data());
  }
  MetricTable table{MetricSchema(std::move(found))};
  table.rows = std::max<std::int64_t>(rows, 0);
  table.columns = std::move(values);
  return table;
}

}  // namespace moray::metrics_files
