#include "model/kept.hpp"

#include "kernels/quantize/bf16.hpp"
#include "kernels/swiglu/swiglu.hpp"

namespace moray {

Kept::Kept(Arena& arena, Cache cache, std::int64_t rows, std::int64_t cols) : cache_(cache) {
  if (!low()) return;
  const std::int64_t bytes = cache == Cache::bf16 ? 2 * cols : code_bytes(type(), cols);
  codes_ = arena.rows<std::uint8_t>(Memory::activations, rows, bytes);
  if (cache != Cache::bf16)
    scales_ = arena.rows<float>(Memory::activations, rows, scale_blocks(cols));
}

std::int64_t Kept::require(std::int64_t rows) const {
  if (!low()) return 0;
  return codes_->require(rows) + (scales_ == nullptr ? 0 : scales_->require(rows));
}

Quantized Kept::codes(std::int64_t rows, std::int64_t cols) const {
  MORAY_REQUIRE(codes_->cols() == code_bytes(type(), cols));
  return {type(), codes_->first(rows), scales_->first(rows)};
}

Matrix<std::uint16_t> Kept::bf16(std::int64_t rows, std::int64_t cols) const {
  MORAY_REQUIRE(codes_->cols() == 2 * cols);
  return matrix(reinterpret_cast<std::uint16_t*>(codes_->first(rows).data), rows, cols);
}

void Kept::keep(const ExecSpace& exec, ScaleRule rule, Matrix<const float> values) const {
  if (!low()) return;
  if (cache_ == Cache::bf16) return to_bf16(exec, values, bf16(values.rows, values.cols));
  quantize_tokens(exec, values, cache_ == Cache::e5m6 ? ScaleRule::power_of_two : rule,
                  codes(values.rows, values.cols));
}

void Kept::restore(const ExecSpace& exec, Matrix<float> values) const {
  if (!low()) return;
  if (cache_ == Cache::bf16) return from_bf16(exec, bf16(values.rows, values.cols), values);
  dequantize_tokens(exec, codes(values.rows, values.cols), values);
}

template <class Real>
Input<Real> swiglu_for_product(const ExecSpace& exec, Matrix<const Real> gu, Vector<const Real> w,
                               Matrix<Real> act, const CodeRoom& room) {
  if constexpr (std::is_same_v<Real, float>) {
    if (room) {
      swiglu_quantize_tokens(exec, gu, w, room.rule, room.codes);
      return Input<Real>(room);
    }
  }
  swiglu_forward<Real>(exec, gu, w, act);
  return act;
}

template <class Real>
Input<Real> Kept::swiglu(const ExecSpace& exec, Matrix<Real> gu, Vector<const Real> w,
                         Matrix<Real> act, const CodeRoom& room) const {
  if constexpr (std::is_same_v<Real, float>) {
    if (coded()) {
      const Quantized kept = codes(gu.rows, gu.cols);
      if (room) {
        swiglu_quantize_tokens(exec, kept, gu, w, room.rule, room.codes);
        return Input<Real>(room);
      }
      swiglu_forward(exec, kept, gu, w, act);
      return act;
    }
  }
  restore(exec, gu);
  return swiglu_for_product<Real>(exec, gu, w, act, room);
}

template <class Real>
void Kept::swiglu_backward(const ExecSpace& exec, Matrix<const Real> dh, Matrix<Real> gu,
                           Vector<const Real> w, Matrix<Real> dgu, Vector<Real> dw) const {
  if constexpr (std::is_same_v<Real, float>) {
    if (coded()) return moray::swiglu_backward(exec, dh, codes(gu.rows, gu.cols), w, dgu, dw);
  }
  restore(exec, gu);
  moray::swiglu_backward<Real>(exec, dh, gu, w, dgu, dw);
}

#define MORAY_INSTANTIATE(Real)                                                               \
  template Input<Real> swiglu_for_product(const ExecSpace&, Matrix<const Real>,               \
                                          Vector<const Real>, Matrix<Real>, const CodeRoom&); \
  template Input<Real> Kept::swiglu(const ExecSpace&, Matrix<Real>, Vector<const Real>,       \
                                    Matrix<Real>, const CodeRoom&) const;                     \
  template void Kept::swiglu_backward(const ExecSpace&, Matrix<const Real>, Matrix<Real>,     \
                                      Vector<const Real>, Matrix<Real>, Vector<Real>) const
MORAY_INSTANTIATE(float);
MORAY_INSTANTIATE(double);
#undef MORAY_INSTANTIATE

}  // namespace moray
