#include "model/parameters.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace moray {

template <class Real>
std::int64_t Parameters<Real>::start(Region region) {
  std::int64_t& size = sizes_[static_cast<std::size_t>(region)];
  size = whole_lines<float>(size);
  return size;
}

template <class Real>
void Parameters<Real>::declare_matrix(WeightRef& ref) {
  ref.matrix = matrices_.size();
  if (ref.offset >= 0) in_order_[static_cast<std::size_t>(ref.region)].push_back(ref.matrix);
  matrices_.push_back({.ref = ref, .present = {0, ref.rows * ref.cols}});
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
    list_.push_back(
        {part.name, region, held ? size : -1, part.rows, cols, false, held, matrices_.size()});
    if (held) size += part.rows * cols;
    ref.rows += part.rows;
  }
  if (held && ref.compute != Compute::float32) {
    MORAY_REQUIRE((std::is_same_v<Real, float>));
    ref.copy = static_cast<std::int64_t>(copies_.size());
  }
  declare_matrix(ref);
  if (ref.copy >= 0) copies_.push_back({ref, {}, {}});
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
  WeightRef ref{region, held ? start(region) : -1, 1, elements};
  declare_matrix(ref);
  list_.push_back({name, region, ref.offset, elements, 1, true, held, ref.matrix});
  if (held) sizes_[static_cast<std::size_t>(region)] += elements;
  return ref;
}

template <class Real>
void Parameters<Real>::allocate_weights(Arena& arena) {
  lay_out();
  for (int r = 0; r < kRegions; ++r) {
    start(static_cast<Region>(r));
    const auto& [values, codes, scales] = gathered_sizes_[r];
    weights_[r] =
        arena.vector<Real>(Memory::weights, values / static_cast<std::int64_t>(sizeof(Real)));
    masters_[r] = arena.vector<Real>(Memory::weights, masters_sizes_[r]);
    codes_[r] = arena.vector<std::uint8_t>(Memory::weights, codes);
    scales_[r] =
        arena.vector<float>(Memory::weights, scales / static_cast<std::int64_t>(sizeof(float)));
  }
  allocate_copies(arena);
}

template <class Real>
void Parameters<Real>::share_weights(const Parameters& lender) {
  MORAY_REQUIRE(list_.size() <= lender.list_.size());
  for (std::size_t i = 0; i < list_.size(); ++i) {
    MORAY_REQUIRE(list_[i].name == lender.list_[i].name &&
                  list_[i].offset == lender.list_[i].offset &&
                  list_[i].elements() == lender.list_[i].elements());
  }
  for (int r = 0; r < kRegions; ++r) {
    weights_[r] = lender.weights_[r];
    masters_[r] = lender.masters_[r];
  }
  for (std::size_t i = 0; i < matrices_.size(); ++i) {
    matrices_[i].split = lender.matrices_[i].split;
    matrices_[i].present = lender.matrices_[i].present;
    matrices_[i].place = lender.matrices_[i].place;
  }
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
  const DeclaredMatrix& declared = matrices_[ref.matrix];
  MORAY_REQUIRE(ref.offset >= 0 && !declared.split);
  return {weights_[static_cast<std::size_t>(ref.region)].data + declared.place, ref.rows, ref.cols,
          ref.cols};
}

template <class Real>
Vector<const Real> Parameters<Real>::vector(const WeightRef& ref) const {
  return {weight(ref).data, ref.cols};
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
  return values(parameter, {0, parameter.elements()});
}

template <class Real>
ElementRange Parameters<Real>::present(const Parameter& parameter) const {
  MORAY_REQUIRE(parameter.held);
  const DeclaredMatrix& declared = matrices_[parameter.matrix];
  const std::int64_t first = parameter.offset - declared.ref.offset;
  const auto within = [&](std::int64_t element) {
    return std::clamp(element - first, std::int64_t{0}, parameter.elements());
  };
  return {within(declared.present.begin), within(declared.present.end)};
}

template <class Real>
Vector<Real> Parameters<Real>::values(const Parameter& parameter, ElementRange elements) const {
  MORAY_REQUIRE(parameter.held);
  if (elements.size() == 0) return {};
  const DeclaredMatrix& declared = matrices_[parameter.matrix];
  const std::int64_t first =
      parameter.offset - declared.ref.offset + elements.begin - declared.present.begin;
  MORAY_REQUIRE(first >= 0 && first + elements.size() <= declared.present.size());
  const auto r = static_cast<std::size_t>(parameter.region);
  return (declared.split ? masters_[r] : weights_[r])
      .slice(declared.place + first, elements.size());
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
