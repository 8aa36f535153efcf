#pragma once

/// The optimizer for one instruction set, as plain functions over raw pointers. The file that
/// defines them is compiled once per instruction set: no Kokkos, no STL here.

#include <cstdint>

#include "kernels/adamw/adamw_step.hpp"

namespace moray {

/// The functions of adamw.hpp for n consecutive elements.
struct HostAdamw {
  double (*sum_of_squares)(std::int64_t n, const float* x);
  void (*update)(const AdamwStep& step, std::int64_t n, const float* gradient, float* m, float* v,
                 float* w);
  void (*update_bf16)(const AdamwStep& step, std::int64_t n, const float* gradient,
                      std::uint16_t* m, std::uint16_t* v, float* w);
  void (*ema)(std::int64_t n, float one_minus_c, const float* w, float* ema);
};

}  // namespace moray
