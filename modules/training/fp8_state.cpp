#include "training/fp8_state.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "core/error.hpp"
#include "io/fp8_weights.hpp"
#include "kernels/quantize/quantize.hpp"

namespace moray {
namespace {

constexpr std::int64_t kStripElements = std::int64_t{1} << 20;

/// Rows that are quantised at a time: whole blocks.
std::int64_t strip_rows(std::int64_t rows, std::int64_t cols) {
  const std::int64_t most = std::max<std::int64_t>(1, kStripElements / (kScaleBlock * cols));
  return std::min(rows, most * kScaleBlock);
}

std::int64_t grid_size(std::int64_t rows, std::int64_t cols) {
  return scale_blocks(rows) * scale_blocks(cols);
}

/// Quantises the strips of w that hold rows [first, end), and shows each with its first row.
template <class Use>
void quantize_strips(const Fp8Saving& fp8, ScaleRule rule, Matrix<const float> w,
                     std::int64_t first, std::int64_t end, const Use& use) {
  const ExecSpace exec;
  const std::int64_t step = strip_rows(w.rows, w.cols);
  for (std::int64_t begin = first / kScaleBlock * kScaleBlock; begin < end; begin += step) {
    const std::int64_t blocks_end = std::min(scale_blocks(end) * kScaleBlock, w.rows);
    const std::int64_t rows = std::min(step, blocks_end - begin);
    const Quantized strip{CodeType::e4m3, matrix(fp8.codes.data, rows, w.cols),
                          matrix(fp8.scales.data, scale_blocks(rows), scale_blocks(w.cols))};
    quantize_weights(exec, w.row_range(begin, rows), rule, strip);
    fence(exec, "moray::checkpoint: a weight's codes are copied to the host");
    use(begin, strip);
  }
}

/// Codes of elements [begin, begin + count).
void make_codes(const Fp8Saving& fp8, ScaleRule rule, Matrix<const float> w, std::int64_t begin,
                std::int64_t count, std::uint8_t* host) {
  const std::int64_t end = begin + count;
  quantize_strips(fp8, rule, w, begin / w.cols, (end + w.cols - 1) / w.cols,
                  [&](std::int64_t row, const Quantized& strip) {
                    const std::int64_t at = row * w.cols;
                    const std::int64_t from = std::max(at, begin);
                    const std::int64_t until = std::min(at + strip.codes.rows * w.cols, end);
                    copy_to_host(strip.codes.data + (from - at),
                                 static_cast<std::size_t>(until - from), host + (from - begin));
                  });
}

void make_scales(const Fp8Saving& fp8, ScaleRule rule, Matrix<const float> w, float* host) {
  quantize_strips(fp8, rule, w, 0, w.rows, [&](std::int64_t row, const Quantized& strip) {
    copy_to_host(strip.scales.data, static_cast<std::size_t>(strip.scales.rows * strip.scales.cols),
                 host + row / kScaleBlock * strip.scales.cols);
  });
}

/// `parts` are the tensors of the dataset: experts, or one.
void add_one(const Parameters<float>& parameters, const Fp8Saving& fp8,
             const std::vector<std::size_t>& parts, const StateTensor& weight,
             std::vector<StateTensor>& out) {
  const ScaleRule rule = parameters.precision().scale_rule();
  const std::vector<std::int64_t>& shape = weight.spec.shape;
  const std::int64_t rows = shape[shape.size() - 2];
  const std::int64_t cols = shape.back();
  StateTensor codes{fp8_codes_spec(weight.spec), {}, false, {}};
  StateTensor scales{fp8_scales_spec(weight.spec), {}, false, {}};
  for (const StatePiece& piece : weight.pieces) {
    const std::int64_t part = piece.offset / (rows * cols);
    const std::int64_t begin = piece.offset - part * rows * cols;
    codes.pieces.push_back(piece);
    if (begin == 0) {
      const std::int64_t grid = grid_size(rows, cols);
      scales.pieces.push_back({part * grid, grid, piece.data});
    }
  }
  codes.make = [=](const StatePiece& piece, void* host) {
    const std::int64_t begin = piece.offset % (rows * cols);
    const float* const first = static_cast<const float*>(piece.data) - begin;
    make_codes(fp8, rule, matrix(first, rows, cols), begin, piece.count,
               static_cast<std::uint8_t*>(host));
  };
  scales.make = [=, &parameters](const StatePiece& piece, void* host) {
    const auto part = static_cast<std::size_t>(piece.offset / grid_size(rows, cols));
    const Parameter& parameter = parameters.list()[parts[part]];
    if (parameters.is_split(parameter)) {
      const Matrix<const float> all = parameters.copy_scales(parameter);
      copy_to_host(all.data, static_cast<std::size_t>(piece.count), static_cast<float*>(host));
      return;
    }
    make_scales(fp8, rule, matrix(static_cast<const float*>(piece.data), rows, cols),
                static_cast<float*>(host));
  };
  out.push_back(std::move(codes));
  out.push_back(std::move(scales));
}

}  // namespace

bool is_linear(std::string_view weight) {
  PrecisionConfig all;
  all.compute = "fp8";
  return all.of(weight) == Compute::fp8;
}

bool Fp8Saving::needs_whole(const Parameters<float>& parameters, const Parameter& parameter) const {
  if (!holds(parameters.precision(), parameter)) return false;
  return parameters.precision().of(parameter.name) != Compute::fp8 ||
         !parameters.has_own_scales(parameter);
}

bool Fp8Saving::holds(const PrecisionConfig& precision, const Parameter& parameter) const {
  if (which == "none" || parameter.is_vector || !is_linear(parameter.name)) return false;
  return which == "all_linears" || precision.of(parameter.name) == Compute::fp8;
}

Fp8Saving allocate_fp8_saving(Arena& arena, const std::string& which,
                              const Parameters<float>& parameters) {
  Fp8Saving fp8;
  fp8.which = which;
  std::int64_t codes = 0;
  std::int64_t scales = 0;
  for (const Parameter& p : parameters.list()) {
    if (!p.held || !fp8.holds(parameters.precision(), p)) continue;
    const std::int64_t rows = strip_rows(p.rows, p.cols);
    codes = std::max(codes, rows * p.cols);
    scales = std::max(scales, grid_size(rows, p.cols));
  }
  fp8.codes = arena.vector<std::uint8_t>(Memory::workspace, codes);
  fp8.scales = arena.vector<float>(Memory::workspace, scales);
  return fp8;
}

void add_fp8_state(const Parameters<float>& parameters, const Fp8Saving& fp8,
                   std::vector<StateTensor>& tensors) {
  std::unordered_map<std::string, std::vector<std::size_t>> chosen;
  for (std::size_t i = 0; i < parameters.list().size(); ++i) {
    const Parameter& p = parameters.list()[i];
    if (fp8.holds(parameters.precision(), p)) chosen[dataset_name(p.name)].push_back(i);
  }
  std::vector<StateTensor> added;
  for (const StateTensor& tensor : tensors) {
    const auto found = chosen.find(tensor.spec.name);
    if (found != chosen.end()) add_one(parameters, fp8, found->second, tensor, added);
  }
  tensors.insert(tensors.end(), added.begin(), added.end());
}

std::int64_t fp8_bytes(const Parameter& parameter, std::int64_t begin, std::int64_t count) {
  const std::int64_t grid = begin == 0 ? grid_size(parameter.rows, parameter.cols) : 0;
  return count * bytes_of(Dtype::uint8) + grid * bytes_of(Dtype::float32);
}

}  // namespace moray
