#pragma once

#include <cstdint>

#include "core/arena.hpp"
#include "kernels/quantize/quantize.hpp"
#include "model/low_linear.hpp"

namespace moray {

/// What a forward keeps of a tensor (T, W) for its backward, in fewer bits. The values themselves then
/// live in a workspace that all layers share. With Cache::float32 nothing happens: they are kept.
class Kept {
 public:
  Kept() = default;
  Kept(Arena& arena, Cache cache, std::int64_t rows, std::int64_t cols);

  bool low() const { return cache_ != Cache::float32; }
  /// Makes room for more rows than planned; returns the bytes that it took.
  std::int64_t require(std::int64_t rows) const;
  /// E5M6 always has scales of powers of two, E4M3 those of the rule.
  void keep(const ExecSpace& exec, ScaleRule rule, Matrix<const float> values) const;
  void restore(const ExecSpace& exec, Matrix<float> values) const;
  /// float64 models compute in float64 only.
  void keep(const ExecSpace&, ScaleRule, Matrix<const double>) const {}
  void restore(const ExecSpace&, Matrix<double>) const {}

  /// swiglu_for_product and swiglu_backward (kernels/swiglu/swiglu.hpp) of what was kept, or of gu where
  /// nothing was. gu is room for the values if they are kept in fewer bits.
  template <class Real>
  Input<Real> swiglu(const ExecSpace& exec, Matrix<Real> gu, Vector<const Real> w, Matrix<Real> act,
                     const CodeRoom& room) const;
  template <class Real>
  void swiglu_backward(const ExecSpace& exec, Matrix<const Real> dh, Matrix<Real> gu,
                       Vector<const Real> w, Matrix<Real> dgu, Vector<Real> dw) const;

 private:
  bool coded() const { return low() && cache_ != Cache::bf16; }
  CodeType type() const { return cache_ == Cache::e5m6 ? CodeType::e5m6 : CodeType::e4m3; }
  Quantized codes(std::int64_t rows, std::int64_t cols) const;
  Matrix<std::uint16_t> bf16(std::int64_t rows, std::int64_t cols) const;

  Cache cache_ = Cache::float32;
  Rows<std::uint8_t> codes_;
  Rows<float> scales_;
};

/// swiglu_forward (kernels/swiglu/swiglu.hpp) for a product, of which alone the codes are written if there
/// is room for them.
template <class Real>
Input<Real> swiglu_for_product(const ExecSpace& exec, Matrix<const Real> gu, Vector<const Real> w,
                               Matrix<Real> act, const CodeRoom& room);

}  // namespace moray
