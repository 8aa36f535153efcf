#pragma once

#include <vector>

#include "bench_shapes.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/mixed_gemm/mixed_gemm.hpp"

namespace moray {

/// Memory of a benchmark's operands, each at a multiple of 64 bytes.
class BenchStorage {
 public:
  template <class T>
  Matrix<T> take(std::int64_t rows, std::int64_t cols) {
    const auto bytes = static_cast<std::size_t>(rows * cols) * sizeof(T);
    memory_.emplace_back("moray::bench::operand", bytes + 64);
    const auto at = reinterpret_cast<std::uintptr_t>(memory_.back().data());
    return matrix(reinterpret_cast<T*>(memory_.back().data() + (64 - at % 64) % 64), rows, cols);
  }
  /// Normal values times `spread`.
  Matrix<float> normal(std::int64_t rows, std::int64_t cols, float spread);
  /// The same values rounded to bf16.
  Matrix<std::uint16_t> rounded(Matrix<const float> x);
  /// Room for codes and scales.
  Quantized codes(CodeType type, std::int64_t rows, std::int64_t cols, std::int64_t scale_rows,
                  std::int64_t scale_cols);
  /// The blocks of `rows` rows that are dealt evenly to the sequences.
  Vector<const RowBlock> blocks(std::int64_t rows, std::int64_t sequences);

 private:
  std::vector<View1<std::uint8_t>> memory_;
};

/// One form of one Linear, all groups, in float32, bf16 and FP8. Results are those of training:
/// float32 for float32 and for weight gradients, else bf16. Scales are powers of two.
class MixedProducts {
 public:
  MixedProducts(const LinearShape& shape, GemmForm f, std::int64_t sequences);

  double operations() const;
  /// 1 - 2 <x, y> / (<x, x> + <y, y>) of the results of `tasks` and those of float32.
  double calc_diff(std::span<const MixedGemmTask> tasks) const;

  GemmForm form;
  std::vector<GemmTask<float>> plain;
  std::vector<MixedGemmTask> half, fp8;

 private:
  void add(Matrix<const float> x, Matrix<const float> w, std::int64_t m, std::int64_t n,
           std::int64_t k);
  void add_weight_gradient(Matrix<const float> dy, Matrix<const float> x, std::int64_t sequences);
  void add_task(const Quantized& a, const Quantized& b, std::int64_t shared,
                Matrix<const float> left, Matrix<const float> right, const MixedGemmTask& sizes);

  BenchStorage storage_;
};

}  // namespace moray
