#include "training/fp8_metrics.hpp"

#include <bit>
#include <limits>
#include <sstream>

#include "core/error.hpp"
#include "kernels/quantize/quantize_statistics.hpp"
#include "model/fp8_statistics.hpp"

namespace moray::fp8_metrics {
namespace {

constexpr std::int64_t kLargestNames = 16 << 20;

/// Counts that are columns as they are.
struct Count {
  const char* name;
  const char* unit;
  std::int64_t word;
};
constexpr Count kCounts[] = {{"values", "value", QuantizationWord::values},
                             {"blocks", "block", QuantizationWord::blocks},
                             {"underflow", "value", QuantizationWord::underflow},
                             {"saturated", "value", QuantizationWord::saturated},
                             {"clamped", "block", QuantizationWord::clamped}};

std::string names_path(const std::string& run) {
  return folder(run) + "/tensors.txt";
}

/// An amax as a number; of no blocks NaN, which is what is missing.
double amax(std::int64_t bits, std::int64_t blocks) {
  if (blocks == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(std::bit_cast<float>(static_cast<std::int32_t>(bits)));
}

}  // namespace

std::string folder(const std::string& run) {
  return run + "/fp8";
}

bool present(const std::string& run) {
  return path_exists(names_path(run));
}

MetricSchema schema(std::size_t tensors) {
  const std::vector<std::int64_t> shape = {static_cast<std::int64_t>(tensors), kFp8Roles};
  const char* axes = "tensor,role";
  std::vector<MetricColumn> columns = {{"step", "1", Dtype::int64},
                                       {"tokens", "token", Dtype::int64}};
  for (const Count& count : kCounts)
    columns.push_back({count.name, count.unit, Dtype::int64, shape, axes});
  columns.push_back({"least_amax", "1", Dtype::float64, shape, axes});
  columns.push_back({"largest_amax", "1", Dtype::float64, shape, axes});
  columns.push_back({"scales",
                     "block",
                     Dtype::int64,
                     {shape[0], shape[1], kScaleExponents},
                     "tensor,role,exponent"});
  return MetricSchema(std::move(columns));
}

std::unique_ptr<MetricsWriter> open(const std::string& run, const std::vector<std::string>& tensors,
                                    std::int64_t resumed) {
  if (!path_exists(folder(run))) make_folder(folder(run));
  std::string names;
  for (const std::string& name : tensors) names += name + "\n";
  replace_text(names_path(run), names);
  return std::make_unique<MetricsWriter>(folder(run), schema(tensors.size()), resumed);
}

void fill(MetricRow& row, std::int64_t step, std::int64_t tokens,
          std::span<const std::int64_t> words) {
  const auto stride = static_cast<std::size_t>(kStatisticWords);
  const std::size_t rows = words.size() / stride;
  MORAY_REQUIRE(rows * stride == words.size());
  const auto word = [&](std::size_t i, std::int64_t which) {
    return words[i * stride + static_cast<std::size_t>(which)];
  };
  std::vector<std::int64_t> counts(rows);
  row.set("step", step).set("tokens", tokens);
  for (const Count& count : kCounts) {
    for (std::size_t i = 0; i < rows; ++i) counts[i] = word(i, count.word);
    row.set(count.name, std::span<const std::int64_t>(counts));
  }
  std::vector<double> least(rows), largest(rows);
  std::vector<std::int64_t> scales;
  for (std::size_t i = 0; i < rows; ++i) {
    const std::int64_t blocks = word(i, QuantizationWord::blocks);
    least[i] = amax(word(i, QuantizationWord::least_amax), blocks);
    largest[i] = amax(word(i, QuantizationWord::largest_amax), blocks);
    const auto first = words.subspan(i * stride + std::size_t{QuantizationWord::scales});
    scales.insert(scales.end(), first.begin(), first.begin() + kScaleExponents);
  }
  row.set("least_amax", std::span<const double>(least))
      .set("largest_amax", std::span<const double>(largest))
      .set("scales", std::span<const std::int64_t>(scales));
}

std::vector<std::string> tensors(const std::string& run) {
  std::istringstream lines(read_text(names_path(run), kLargestNames));
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) names.push_back(line);
  return names;
}

}  // namespace moray::fp8_metrics
