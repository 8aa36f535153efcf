// Uses headers of a module and of a kernel, and code of the library.
#include <cstdio>

#include "core/build_info.hpp"
#include "core/exact_sum.hpp"
#include "kernels/gemm/gemm.hpp"

int main() {
  moray::ExactSum sum;
  sum.add(0.5);
  std::printf("moray %s, sum %.1f\n", moray::build_info().version, sum.value());
  return sum.value() == 0.5 ? 0 : 1;
}
