// One table of array operations for each instruction set: see probe.hpp.
#include "kernels/functions/probe.hpp"

#include "kernels/host/simd.hpp"

#define MORAY_QUOTE2(x) #x
#define MORAY_QUOTE(x) MORAY_QUOTE2(x)

namespace moray::MORAY_ISA {
namespace {

/// y = op(x) over n elements, the last vector partial.
template <class Op>
MORAY_FUNCTION void map(const float* x, float* y, std::int64_t n, const Op& op) {
  for (std::int64_t i = 0; i < n; i += Float::kLanes) {
    const int count = n - i < Float::kLanes ? static_cast<int>(n - i) : Float::kLanes;
    op(Float::load(x + i, count), i, count).store(y + i, count);
  }
}

void exp_array(const float* x, float* y, std::int64_t n) {
  map(x, y, n, [](Float v, std::int64_t, int) { return exp(v); });
}
void sigmoid_array(const float* x, float* y, std::int64_t n) {
  map(x, y, n, [](Float v, std::int64_t, int) { return sigmoid(v); });
}
void silu_array(const float* x, float* y, std::int64_t n) {
  map(x, y, n, [](Float v, std::int64_t, int) { return silu(v); });
}
void dsilu_array(const float* x, const float* s, float* y, std::int64_t n) {
  map(x, y, n,
      [=](Float v, std::int64_t i, int count) { return dsilu(v, Float::load(s + i, count)); });
}
void fma_array(const float* a, const float* b, const float* c, float* y, std::int64_t n) {
  map(a, y, n, [=](Float v, std::int64_t i, int count) {
    return fma(v, Float::load(b + i, count), Float::load(c + i, count));
  });
}
void divide_array(const float* a, const float* b, float* y, std::int64_t n) {
  map(a, y, n, [=](Float v, std::int64_t i, int count) { return v / Float::load(b + i, count); });
}
void square_root_array(const float* a, float* y, std::int64_t n) {
  map(a, y, n, [](Float v, std::int64_t, int) { return square_root(v); });
}
void to_bf16(const float* x, std::uint16_t* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += Float::kLanes) {
    const int count = n - i < Float::kLanes ? static_cast<int>(n - i) : Float::kLanes;
    store_bf16(y + i, Float::load(x + i, count), count);
  }
}
void from_bf16(const std::uint16_t* x, float* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += Float::kLanes) {
    const int count = n - i < Float::kLanes ? static_cast<int>(n - i) : Float::kLanes;
    load_bf16(x + i, count).store(y + i, count);
  }
}
float product_sum(std::int64_t n, const float* a, const float* b) {
  return row_product_sum(n, a, b);
}
float sum(std::int64_t n, const float* x) {
  return row_sum(n, x);
}
double sum_of_squares(std::int64_t n, const float* x) {
  return row_sum_of_squares(n, x);
}
float maximum(std::int64_t n, const float* x) {
  return row_max(n, x);
}

constexpr VectorProbe kProbe = {MORAY_QUOTE(MORAY_ISA),
                                Float::kLanes,
                                exp_array,
                                sigmoid_array,
                                silu_array,
                                dsilu_array,
                                fma_array,
                                divide_array,
                                square_root_array,
                                to_bf16,
                                from_bf16,
                                product_sum,
                                sum,
                                sum_of_squares,
                                maximum};

}  // namespace

const VectorProbe& vector_probe() {
  return kProbe;
}

}  // namespace moray::MORAY_ISA
