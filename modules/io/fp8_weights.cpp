#include "io/fp8_weights.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "core/fp8.hpp"
#include "kernels/quantize/quantize_rule.hpp"

namespace moray {
namespace {

constexpr const char* kGroup = "fp8/";
constexpr const char* kScales = "_scale_inv";

std::string codes_name(const std::string& weight) {
  return kGroup + weight;
}
std::string scales_name(const std::string& weight) {
  return kGroup + weight + kScales;
}

std::int64_t blocks_along(std::int64_t extent) {
  return (extent + kScaleBlock - 1) / kScaleBlock;
}

void require_spec(const Checkpoint& checkpoint, const DatasetSpec& weight,
                  const DatasetSpec& expected, const char* what) {
  if (!checkpoint.contains(expected.name)) {
    fail(ExitCode::io, "{}: {} is missing: the {} of {} ({})", checkpoint.path(), expected.name,
         what, weight.name, fmt::join(weight.shape, ", "));
  }
  const DatasetSpec& found = checkpoint.find(expected.name).spec;
  if (found.dtype != expected.dtype || found.shape != expected.shape) {
    fail(ExitCode::io, "{}: {} is {} ({}); {} ({}) has {} {} ({})", checkpoint.path(),
         expected.name, name_of(found.dtype), fmt::join(found.shape, ", "), weight.name,
         fmt::join(weight.shape, ", "), what, name_of(expected.dtype),
         fmt::join(expected.shape, ", "));
  }
}

}  // namespace

DatasetSpec fp8_codes_spec(const DatasetSpec& weight) {
  DatasetSpec spec = weight;
  spec.name = codes_name(weight.name);
  spec.dtype = Dtype::uint8;
  spec.attributes = {{"dtype", std::string("float8_e4m3fn")},
                     {"scales", "/" + scales_name(weight.name)}};
  return spec;
}

DatasetSpec fp8_scales_spec(const DatasetSpec& weight) {
  MORAY_REQUIRE(is_matrix(weight));
  DatasetSpec spec = weight;
  spec.name = scales_name(weight.name);
  spec.dtype = Dtype::float32;
  for (std::size_t i = spec.shape.size() - 2; i < spec.shape.size(); ++i)
    spec.shape[i] = blocks_along(spec.shape[i]);
  spec.axes = spec.shape.size() == 3 ? "expert,out_block,in_block" : "out_block,in_block";
  spec.attributes = {{"comment", std::string("of blocks of 128 x 128: weight = code * scale")}};
  return spec;
}

bool of_fp8_weights(const std::string& dataset) {
  return dataset.starts_with(kGroup);
}

std::string weight_of_fp8_codes(const std::string& codes) {
  MORAY_REQUIRE(of_fp8_weights(codes));
  return codes.substr(std::string_view(kGroup).size());
}

bool is_matrix(const DatasetSpec& spec) {
  return spec.dtype == Dtype::float32 && (spec.axes == "out,in" || spec.axes == "expert,out,in") &&
         spec.shape.size() == (spec.axes == "out,in" ? 2 : 3);
}

bool has_fp8_weights(const Checkpoint& checkpoint, const std::string& weight) {
  return checkpoint.contains(codes_name(weight)) || checkpoint.contains(scales_name(weight));
}

void require_fp8_weights(const Checkpoint& checkpoint, const DatasetSpec& weight) {
  require_spec(checkpoint, weight, fp8_codes_spec(weight), "codes");
  require_spec(checkpoint, weight, fp8_scales_spec(weight), "scales");
}

void read_fp8_weights(const Checkpoint& checkpoint, const DatasetSpec& weight, std::int64_t offset,
                      std::int64_t count, float* out) {
  const std::string codes = codes_name(weight.name);
  const std::string scales = scales_name(weight.name);
  const std::int64_t cols = weight.shape.back();
  const std::int64_t rows = weight.shape[weight.shape.size() - 2];
  const std::int64_t across = blocks_along(cols);
  const std::int64_t grid = blocks_along(rows) * across;
  std::vector<std::uint8_t> code(static_cast<std::size_t>(count));
  std::vector<float> scale(static_cast<std::size_t>(across));
  checkpoint.read(codes, offset, count, code.data());
  std::int64_t loaded = -1;  // first of the scales at hand
  for (std::int64_t done = 0; done < count;) {
    const std::int64_t row = (offset + done) / cols;  // counted over all experts
    const std::int64_t first =
        row / rows * grid + row % rows / kScaleBlock * across;  // of this row's scales
    if (first != loaded) checkpoint.read(scales, first, across, scale.data());
    loaded = first;
    const std::int64_t end = std::min(count, (row + 1) * cols - offset);
    for (; done < end; ++done) {
      const std::int64_t j = offset + done - row * cols;
      out[done] = e4m3_decode(code[static_cast<std::size_t>(done)]) *
                  scale[static_cast<std::size_t>(j / kScaleBlock)];
    }
  }
}

}  // namespace moray
