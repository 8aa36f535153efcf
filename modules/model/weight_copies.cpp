// What products in low precision read of weights, and which ranks hold and make it.
#include <algorithm>

#include "core/bf16.hpp"
#include "core/error.hpp"
#include "core/fp8.hpp"
#include "kernels/quantize/bf16.hpp"
#include "kernels/quantize/coarse_scales.hpp"
#include "model/parameters.hpp"

namespace moray {
namespace {
constexpr auto kFloat = static_cast<std::int64_t>(sizeof(float));

/// Bytes of a code.
constexpr std::int64_t code_size(Compute compute) {
  return compute == Compute::bf16 ? 2 : 1;
}
}  // namespace

template <class Real>
void Parameters<Real>::split(Region region, ElementRange owned) {
  if (precision_.value_scales == "tensor") return;
  for (const std::size_t i : in_order_[static_cast<std::size_t>(region)]) {
    DeclaredMatrix& declared = matrices_[i];
    const WeightRef& ref = declared.ref;
    if (ref.copy < 0 || declared.kept_whole) continue;
    declared.split = true;
    const std::int64_t size = ref.rows * ref.cols;
    declared.present = {std::clamp(owned.begin - ref.offset, std::int64_t{0}, size),
                        std::clamp(owned.end - ref.offset, std::int64_t{0}, size)};
    MORAY_REQUIRE(declared.present.begin % ref.cols == 0 && declared.present.end % ref.cols == 0);
  }
  lay_out();
}

template <class Real>
bool Parameters<Real>::may_cut(const Parameter& parameter, std::int64_t element) const {
  const WeightRef& ref = matrices_[parameter.matrix].ref;
  if (ref.copy < 0) return true;
  const std::int64_t strip = kScaleBlock * ref.cols;
  // Files have scales of each parameter, whose blocks begin with it.
  return element % strip == 0 && (parameter.offset + element - ref.offset) % strip == 0;
}

template <class Real>
bool Parameters<Real>::is_gathered(const DeclaredMatrix& matrix, Gathered what) const {
  if (what == Gathered::values) return !matrix.split;
  return matrix.split && (what == Gathered::codes || matrix.ref.compute == Compute::fp8);
}

/// The places of everything in the arrays of its region.
template <class Real>
void Parameters<Real>::lay_out() {
  constexpr auto kReal = static_cast<std::int64_t>(sizeof(Real));
  for (int r = 0; r < kRegions; ++r) {
    std::array<std::int64_t, kGathered>& sizes = gathered_sizes_[r];
    std::int64_t masters = 0;
    sizes = {};
    for (const std::size_t i : in_order_[r]) {
      DeclaredMatrix& declared = matrices_[i];
      const WeightRef& ref = declared.ref;
      const std::int64_t elements = ref.rows * ref.cols;
      const std::int64_t bytes[kGathered] = {
          elements * kReal, elements * code_size(ref.compute),
          scale_blocks(ref.rows) * scale_blocks(ref.cols) * kFloat};
      for (std::size_t what = 0; what < kGathered; ++what) {
        declared.gathered[what] = sizes[what];
        if (is_gathered(declared, static_cast<Gathered>(what)))
          sizes[what] = whole_lines<char>(sizes[what] + bytes[what]);
      }
      declared.place = declared.split ? masters / kReal : declared.gathered[0] / kReal;
      if (declared.split) masters = whole_lines<char>(masters + declared.present.size() * kReal);
    }
    masters_sizes_[r] = masters / kReal;
  }
}

template <class Real>
std::int64_t Parameters<Real>::gathered_place(Region region, Gathered what,
                                              std::int64_t element) const {
  const auto r = static_cast<std::size_t>(region);
  const auto w = static_cast<std::size_t>(what);
  const std::vector<std::size_t>& order = in_order_[r];
  const auto found =
      std::upper_bound(order.begin(), order.end(), element, [&](std::int64_t e, std::size_t i) {
        const WeightRef& ref = matrices_[i].ref;
        return e < ref.offset + ref.rows * ref.cols;
      });
  if (found == order.end()) return gathered_sizes_[r][w];
  const DeclaredMatrix& declared = matrices_[*found];
  const WeightRef& ref = declared.ref;
  const std::int64_t within = std::max(element - ref.offset, std::int64_t{0});
  if (!is_gathered(declared, what)) return declared.gathered[w];
  switch (what) {
    case Gathered::values:
      return declared.gathered[w] + within * static_cast<std::int64_t>(sizeof(Real));
    case Gathered::codes:
      return declared.gathered[w] + within * code_size(ref.compute);
    case Gathered::scales:
      break;
  }
  const std::int64_t strips = within / ref.cols / kScaleBlock;
  return declared.gathered[w] + strips * scale_blocks(ref.cols) * kFloat;
}

template <class Real>
Vector<char> Parameters<Real>::gathered(Region region, Gathered what) const {
  const auto r = static_cast<std::size_t>(region);
  const std::int64_t bytes = gathered_sizes_[r][static_cast<std::size_t>(what)];
  const auto as_bytes = [&](auto* data) {
    return Vector<char>{reinterpret_cast<char*>(data), bytes};
  };
  return what == Gathered::values  ? as_bytes(weights_[r].data)
         : what == Gathered::codes ? as_bytes(codes_[r].data)
                                   : as_bytes(scales_[r].data);
}

template <class Real>
void Parameters<Real>::allocate_copies(Arena& arena) {
  std::int64_t largest = 0;
  for (Copy& copy : copies_) {
    const WeightRef& ref = copy.ref;
    const auto r = static_cast<std::size_t>(ref.region);
    const DeclaredMatrix& declared = matrices_[ref.matrix];
    const std::int64_t grid_rows = scale_blocks(ref.rows);
    const std::int64_t grid_cols = scale_blocks(ref.cols);
    std::uint8_t* const codes = codes_[r].data + declared.gathered[1];
    float* const scales = scales_[r].data + declared.gathered[2] / sizeof(float);
    if (ref.compute == Compute::bf16) {
      copy.bf16 = declared.split
                      ? matrix(reinterpret_cast<std::uint16_t*>(codes), ref.rows, ref.cols)
                      : arena.matrix<std::uint16_t>(Memory::weights, ref.rows, ref.cols);
    } else if (declared.split) {
      copy.fp8 = {CodeType::e4m3, matrix(codes, ref.rows, ref.cols),
                  matrix(scales, grid_rows, grid_cols)};
    } else {
      copy.fp8 = {CodeType::e4m3, arena.matrix<std::uint8_t>(Memory::weights, ref.rows, ref.cols),
                  arena.matrix<float>(Memory::weights, grid_rows, grid_cols)};
      largest = std::max(largest, ref.rows * ref.cols);
    }
  }
  if (precision_.value_scales == "tensor")
    coarse_ = arena.shared_vector<float>("low.coarse_weight", largest);
}

template <class Real>
void Parameters<Real>::update_copies(const ExecSpace& exec) {
  for (const Copy& copy : copies_) update_copy(exec, copy);
}

template <class Real>
void Parameters<Real>::update_copy(const ExecSpace& exec, const Copy& copy) {
  if constexpr (std::is_same_v<Real, float>) {
    const PresentRows present = present_rows(copy);
    if (present.values.rows == 0) return;
    Matrix<const float> values = present.values;
    if (copy.ref.compute == Compute::bf16) {
      to_bf16(exec, values, present.bf16);
      return;
    }
    if (precision_.value_scales == "tensor") {
      const Matrix<float> rounded = matrix(coarse_.data, values.rows, values.cols);
      round_with_one_scale(exec, values, rounded);
      values = rounded;
    }
    quantize_weights(exec, values, precision_.scale_rule(), present.fp8);
  }
}

/// The rows of a weight with a copy whose values are here.
template <class Real>
typename Parameters<Real>::PresentRows Parameters<Real>::present_rows(const Copy& copy) const {
  const DeclaredMatrix& declared = matrices_[copy.ref.matrix];
  const std::int64_t cols = copy.ref.cols;
  const std::int64_t first = declared.present.begin / cols;
  const std::int64_t rows = declared.present.size() / cols;
  const auto r = static_cast<std::size_t>(copy.ref.region);
  const Vector<Real>& all = declared.split ? masters_[r] : weights_[r];
  PresentRows present{
      matrix(static_cast<const Real*>(all.data + declared.place), rows, cols), {}, {}};
  if (copy.ref.compute == Compute::bf16) {
    present.bf16 = copy.bf16.row_range(first, rows);
  } else {
    present.fp8 = {copy.fp8.type, copy.fp8.codes.row_range(first, rows),
                   copy.fp8.scales.row_range(first / kScaleBlock, scale_blocks(rows))};
  }
  return present;
}

template <class Real>
void Parameters<Real>::add_statistics(const ExecSpace& exec, Region region, bool whole,
                                      Fp8Statistics& statistics) const {
  if constexpr (std::is_same_v<Real, float>) {
    for (const Copy& copy : copies_) {
      if (copy.ref.region != region || copy.ref.compute != Compute::fp8) continue;
      if (!whole && !matrices_[copy.ref.matrix].split) continue;
      const PresentRows present = present_rows(copy);
      if (present.values.rows == 0) continue;
      statistics.add(exec, copy.ref.tensor, Fp8Role::w, present.values, present.fp8, kScaleBlock);
    }
  }
}

template <class Real>
MixedOperand Parameters<Real>::low_weight(const WeightRef& ref) const {
  MORAY_REQUIRE(ref.copy >= 0);
  const Copy& copy = copies_[static_cast<std::size_t>(ref.copy)];
  return ref.compute == Compute::bf16 ? operand(copy.bf16)
                                      : operand(copy.fp8, kScaleBlock, precision_.scale_rule());
}

template <class Real>
bool Parameters<Real>::has_own_scales(const Parameter& parameter) const {
  const WeightRef& ref = matrices_[parameter.matrix].ref;
  const std::int64_t first = (parameter.offset - ref.offset) / ref.cols;
  const std::int64_t end = first + parameter.rows;
  return first % kScaleBlock == 0 && (end % kScaleBlock == 0 || end == ref.rows);
}

template <class Real>
Matrix<const float> Parameters<Real>::copy_scales(const Parameter& parameter) const {
  const WeightRef& ref = matrices_[parameter.matrix].ref;
  MORAY_REQUIRE(ref.compute == Compute::fp8 && has_own_scales(parameter));
  const std::int64_t first = (parameter.offset - ref.offset) / ref.cols;
  return copies_[static_cast<std::size_t>(ref.copy)].fp8.scales.row_range(
      first / kScaleBlock, scale_blocks(parameter.rows));
}

template <class Real>
std::vector<float> Parameters<Real>::copy_values(const Parameter& parameter,
                                                 ElementRange elements) const {
  const WeightRef& ref = matrices_[parameter.matrix].ref;
  MORAY_REQUIRE(parameter.held && ref.copy >= 0);
  const Copy& copy = copies_[static_cast<std::size_t>(ref.copy)];
  const std::int64_t first = parameter.offset - ref.offset + elements.begin;
  const auto count = static_cast<std::size_t>(elements.size());
  std::vector<float> values(count);
  if (ref.compute == Compute::bf16) {
    std::vector<std::uint16_t> bits(count);
    copy_to_host(copy.bf16.data + first, count, bits.data());
    std::transform(bits.begin(), bits.end(), values.begin(), bf16_decode);
    return values;
  }
  std::vector<std::uint8_t> codes(count);
  std::vector<float> scales(static_cast<std::size_t>(copy.fp8.scales.rows * copy.fp8.scales.cols));
  copy_to_host(copy.fp8.codes.data + first, count, codes.data());
  copy_to_host(copy.fp8.scales.data, scales.size(), scales.data());
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t at = first + static_cast<std::int64_t>(i);
    const std::int64_t block =
        at / ref.cols / kScaleBlock * copy.fp8.scales.cols + at % ref.cols / kScaleBlock;
    values[i] = e4m3_decode(codes[i]) * scales[static_cast<std::size_t>(block)];
  }
  return values;
}

template class Parameters<float>;
template class Parameters<double>;

}  // namespace moray
