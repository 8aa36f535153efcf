#include "model/parameters.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "kernels/quantize/bf16.hpp"
#include "kernels/quantize/coarse_scales.hpp"

namespace moray {
namespace {
/// Matrices start at multiples of 64 bytes of float32.
constexpr std::int64_t kAlignment = 16;
}  // namespace

template <class Real>
std::int64_t Parameters<Real>::start(Region region) {
  std::int64_t& size = sizes_[static_cast<std::size_t>(region)];
  size = (size + kAlignment - 1) / kAlignment * kAlignment;
  return size;
}

template <class Real>
WeightRef Parameters<Real>::declare(Region region, std::int64_t cols,
                                    const std::vector<Part>& parts, bool held) {
  held = held && chunk_ >= 0;
  region = in_chunk(region);
  WeightRef ref{region, held ? start(region) : -1, 0, cols};
  ref.compute = precision_.of(parts.front().name);
  for (const Part& part : parts) MORAY_REQUIRE(precision_.of(part.name) == ref.compute);
  if (ref.compute == Compute::fp8) ref.tensor = fp8_tensor(parts);
  std::int64_t& size = sizes_[static_cast<std::size_t>(region)];
  for (const Part& part : parts) {
    list_.push_back({part.name, region, held ? size : -1, part.rows, cols, false, held});
    if (held) size += part.rows * cols;
    ref.rows += part.rows;
  }
  if (held && ref.compute != Compute::float32) {
    MORAY_REQUIRE((std::is_same_v<Real, float>));
    ref.copy = static_cast<std::int64_t>(copies_.size());
    copies_.push_back({ref, {}, {}});
  }
  return ref;
}

template <class Real>
std::int64_t Parameters<Real>::fp8_tensor(const std::vector<Part>& parts) {
  const auto module = [](const Part& part) {
    return part.name.substr(0, part.name.size() - std::string_view(".weight").size());
  };
  std::string name = module(parts.front());
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const std::string other = module(parts[i]);
    name += "+" + other.substr(other.rfind('.') + 1);
  }
  const std::string_view experts = ".experts.";
  if (const std::size_t at = name.find(experts); at != std::string::npos) {
    const std::size_t number = at + experts.size();
    name.erase(number, name.find('.', number) + 1 - number);
  }
  const auto known = std::find(fp8_tensors_.begin(), fp8_tensors_.end(), name);
  const std::int64_t index = known - fp8_tensors_.begin();
  if (known == fp8_tensors_.end()) fp8_tensors_.push_back(std::move(name));
  return index;
}

template <class Real>
WeightRef Parameters<Real>::declare_vector(const std::string& name, std::int64_t elements) {
  const Region region = in_chunk(Region::dense);
  const bool held = chunk_ >= 0;
  const WeightRef ref{region, held ? start(region) : -1, 1, elements};
  list_.push_back({name, region, ref.offset, elements, 1, true, held});
  if (held) sizes_[static_cast<std::size_t>(region)] += elements;
  return ref;
}

template <class Real>
void Parameters<Real>::allocate_weights(Arena& arena) {
  for (int r = 0; r < kRegions; ++r) {
    start(static_cast<Region>(r));
    weights_[r] = arena.vector<Real>(Memory::weights, sizes_[r]);
  }
  allocate_copies(arena);
}

template <class Real>
void Parameters<Real>::allocate_copies(Arena& arena) {
  std::int64_t largest = 0;
  for (Copy& copy : copies_) {
    const WeightRef& ref = copy.ref;
    if (ref.compute == Compute::bf16) {
      copy.bf16 = arena.matrix<std::uint16_t>(Memory::weights, ref.rows, ref.cols);
      continue;
    }
    copy.fp8 = {
        CodeType::e4m3, arena.matrix<std::uint8_t>(Memory::weights, ref.rows, ref.cols),
        arena.matrix<float>(Memory::weights, scale_blocks(ref.rows), scale_blocks(ref.cols))};
    largest = std::max(largest, ref.rows * ref.cols);
  }
  if (precision_.value_scales == "tensor")
    coarse_ = arena.shared_vector<float>("low.coarse_weight", largest);
}

template <class Real>
void Parameters<Real>::update_copies(const ExecSpace& exec) {
  if constexpr (std::is_same_v<Real, float>) {
    for (const Copy& copy : copies_) {
      Matrix<const float> values = weight(copy.ref);
      if (copy.ref.compute == Compute::bf16) {
        to_bf16(exec, values, copy.bf16);
        continue;
      }
      if (precision_.value_scales == "tensor") {
        const Matrix<float> rounded = matrix(coarse_.data, values.rows, values.cols);
        round_with_one_scale(exec, values, rounded);
        values = rounded;
      }
      quantize_weights(exec, values, precision_.scale_rule(), copy.fp8);
    }
  }
}

template <class Real>
void Parameters<Real>::add_statistics(const ExecSpace& exec, Region region,
                                      Fp8Statistics& statistics) const {
  if constexpr (std::is_same_v<Real, float>) {
    for (const Copy& copy : copies_) {
      if (copy.ref.region != region || copy.ref.compute != Compute::fp8) continue;
      statistics.add(exec, copy.ref.tensor, Fp8Role::w, weight(copy.ref), copy.fp8, kScaleBlock);
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
void Parameters<Real>::share_weights(const Parameters& lender) {
  MORAY_REQUIRE(list_.size() <= lender.list_.size());
  for (std::size_t i = 0; i < list_.size(); ++i) {
    MORAY_REQUIRE(list_[i].name == lender.list_[i].name &&
                  list_[i].offset == lender.list_[i].offset &&
                  list_[i].elements() == lender.list_[i].elements());
  }
  for (int r = 0; r < kRegions; ++r) weights_[r] = {lender.weights_[r].data, sizes_[r]};
  MORAY_REQUIRE(copies_.size() <= lender.copies_.size());
  std::copy_n(lender.copies_.begin(), copies_.size(), copies_.begin());
}

template <class Real>
void Parameters<Real>::allocate(Arena& arena, std::int64_t dense_lanes, std::int64_t expert_lanes) {
  allocate_weights(arena);
  for (int r = 0; r < kRegions; ++r) {
    gradients_[r] = arena.matrix<Real>(
        Memory::gradients, is_expert(static_cast<Region>(r)) ? expert_lanes : dense_lanes,
        sizes_[r]);
  }
}

template <class Real>
Matrix<const Real> Parameters<Real>::weight(const WeightRef& ref) const {
  MORAY_REQUIRE(ref.offset >= 0);
  return {weights_[static_cast<std::size_t>(ref.region)].data + ref.offset, ref.rows, ref.cols,
          ref.cols};
}

template <class Real>
Vector<const Real> Parameters<Real>::vector(const WeightRef& ref) const {
  return {weights_[static_cast<std::size_t>(ref.region)].data + ref.offset, ref.cols};
}

template <class Real>
Matrix<Real> Parameters<Real>::gradient(const WeightRef& ref, std::int64_t lane) const {
  const Matrix<Real>& all = gradients_[static_cast<std::size_t>(ref.region)];
  MORAY_REQUIRE(ref.offset >= 0 && lane < all.rows);
  return {all.row(lane) + ref.offset, ref.rows, ref.cols, ref.cols};
}

template <class Real>
Vector<Real> Parameters<Real>::gradient_vector(const WeightRef& ref, std::int64_t lane) const {
  return {gradient(ref, lane).data, ref.cols};
}

template <class Real>
Vector<Real> Parameters<Real>::values(const Parameter& parameter) const {
  MORAY_REQUIRE(parameter.held);
  return weights_[static_cast<std::size_t>(parameter.region)].slice(parameter.offset,
                                                                    parameter.elements());
}

template <class Real>
Vector<Real> Parameters<Real>::gradient(const Parameter& parameter, std::int64_t lane) const {
  MORAY_REQUIRE(parameter.held);
  const Matrix<Real>& all = gradients_[static_cast<std::size_t>(parameter.region)];
  return {all.row(lane) + parameter.offset, parameter.elements()};
}

template class Parameters<float>;
template class Parameters<double>;

}  // namespace moray
