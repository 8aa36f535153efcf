#pragma once

#include <cstdint>

namespace moray {

/// The operations of kernels/host/simd.hpp over arrays, as one instruction set computes them: what
/// the start-up self check hashes and the tests compare with the scalar definition. Plain types
/// only, since the files of raised instruction sets include this.
struct VectorProbe {
  const char* isa;
  int lanes;
  void (*exp)(const float* x, float* y, std::int64_t n);
  void (*sigmoid)(const float* x, float* y, std::int64_t n);
  void (*silu)(const float* x, float* y, std::int64_t n);
  void (*dsilu)(const float* x, const float* s, float* y, std::int64_t n);
  void (*fma)(const float* a, const float* b, const float* c, float* y, std::int64_t n);
  void (*divide)(const float* a, const float* b, float* y, std::int64_t n);
  void (*square_root)(const float* a, float* y, std::int64_t n);
  void (*to_bf16)(const float* x, std::uint16_t* y, std::int64_t n);
  void (*from_bf16)(const std::uint16_t* x, float* y, std::int64_t n);
  float (*row_product_sum)(std::int64_t n, const float* a, const float* b);
  float (*row_sum)(std::int64_t n, const float* x);
  double (*row_sum_of_squares)(std::int64_t n, const float* x);
  float (*row_max)(std::int64_t n, const float* x);
};

namespace v3 {
const VectorProbe& vector_probe();
}
namespace v4 {
const VectorProbe& vector_probe();
}
namespace generic {
const VectorProbe& vector_probe();
}

}  // namespace moray
