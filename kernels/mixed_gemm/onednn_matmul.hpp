#pragma once

#include <compare>
#include <cstdint>

/// Products of bf16 matrices by oneDNN (AMX or AVX512-BF16), as primitives that are made once.
namespace moray::onednn {

/// c (rows, n) = a b, or c += a b, summed in float32. a (rows, k) is bf16 in row-major order, or its
/// transpose is; b (k, n) lies in strips (widen_host.hpp). No matrix has gaps: with them oneDNN 2 takes a
/// kernel of half the speed. k is even.
struct MatmulShape {
  std::int64_t rows = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  bool a_transposed = false;
  bool accumulates = false;  ///< c += a b; c is float32
  bool rounded = false;      ///< c is bf16
  friend auto operator<=>(const MatmulShape&, const MatmulShape&) = default;
};

/// The primitive of one shape. It takes 0.1 to 1 ms to make; all are kept.
class Matmul {
 public:
  virtual ~Matmul() = default;
  /// Columns of a strip of b, and words of a column.
  std::int64_t width = 0;
  std::int64_t pairs = 0;
  virtual void run(const std::uint16_t* a, const std::uint32_t* b, void* c) = 0;
};
/// Makes it, or finds it. Throws Error(device) where oneDNN refuses.
Matmul& matmul(const MatmulShape& shape);
/// Whether oneDNN has a kernel for bf16 here, with weights in a layout that is known.
bool has_matmul();

}  // namespace moray::onednn
