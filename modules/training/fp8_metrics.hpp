#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/metrics.hpp"

namespace moray {

/// Statistics of FP8 of a run (docs/fp8.md section 4), in `<run>/fp8`: metrics of their own, with a row for
/// each step that counted, since a row is large and few steps have one; and `tensors.txt`, a name a line.
namespace fp8_metrics {

std::string folder(const std::string& run);
bool present(const std::string& run);

/// `step`, `tokens` since the start of the run, then for each tensor and role (x, dy, w) the counts of QuantizationWord.
MetricSchema schema(std::size_t tensors);
/// Makes the folder if it is not there. `resumed` as in MetricsWriter. Throws Error(io).
std::unique_ptr<MetricsWriter> open(const std::string& run, const std::vector<std::string>& tensors,
                                    std::int64_t resumed);
/// `words` (tensors, roles, kStatisticWords). An amax of no blocks is missing.
void fill(MetricRow& row, std::int64_t step, std::int64_t tokens,
          std::span<const std::int64_t> words);

std::vector<std::string> tensors(const std::string& run);

}  // namespace fp8_metrics
}  // namespace moray
