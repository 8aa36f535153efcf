#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/arena.hpp"
#include "core/matrix.hpp"
#include "kernels/mixed_gemm/mixed_numbers.hpp"
#include "kernels/quantize/quantize.hpp"
#include "kernels/quantize/quantize_statistics.hpp"

namespace moray {

/// What a tensor is to the products with a weight: what they read forward, backward, and the weight.
enum class Fp8Role : int { x, dy, w };
inline constexpr std::int64_t kFp8Roles = 3;

/// Counts over a step what becomes of the values of each tensor in FP8 (docs/fp8.md section 4). All
/// numbers are integers, so that nothing shows of the order, the micro-batches and the ranks.
class Fp8Statistics {
 public:
  /// For the tensors that Parameters::fp8_tensors() names.
  void allocate(Arena& arena, std::size_t tensors) {
    words_ = arena.matrix<std::int64_t>(
        Memory::workspace, static_cast<std::int64_t>(tensors) * kFp8Roles, kStatisticWords);
  }
  bool allocated() const { return words_.rows > 0; }
  void clear(const ExecSpace& exec) { clear_statistics(exec, words_); }

  /// Values and their E4M3 codes; `block_rows` rows share a scale.
  void add(const ExecSpace& exec, std::int64_t tensor, Fp8Role role, Matrix<const float> x,
           const Quantized& codes, std::int64_t block_rows) {
    add_statistics(exec, x, codes.codes, codes.scales, block_rows, words(tensor, role));
  }
  /// The same from an operand with scales 1 x 128.
  void add(const ExecSpace& exec, std::int64_t tensor, Fp8Role role, Matrix<const float> x,
           const MixedOperand& codes);

  /// (tensors, roles, kStatisticWords) to the host. Fences.
  std::vector<std::int64_t> read(const ExecSpace& exec) const;

 private:
  Vector<std::int64_t> words(std::int64_t tensor, Fp8Role role) const;

  Matrix<std::int64_t> words_;
};

}  // namespace moray
