// The model of a limited accumulator in plain Kokkos, an element of c a work item.
#include <cmath>

#include "kernels/mixed_gemm/limited_sum.hpp"
#include "kernels/mixed_gemm/mixed_gemm_portable.hpp"

namespace moray::portable {
namespace {

using Sum = LimitedSum<ScalarLanes>;

/// Adds the products of one block, group by group.
template <GemmForm form>
KOKKOS_FORCEINLINE_FUNCTION void add_block(const Operands<form>& x, std::int64_t i, std::int64_t j,
                                           RowBlock block, Sum& sum) {
  const int left = least_exponent(x.a.type), right = least_exponent(x.b.type);
  for (int done = 0; done < block.count; done += kLimitedGroup) {
    const int steps = block.count - done < kLimitedGroup ? block.count - done : kLimitedGroup;
    const std::int64_t begin = block.begin + done;
    float product[kLimitedGroup];
    std::int32_t largest = 2 * Sum::kNone;
    for (int l = 0; l < steps; ++l) {
      const float a = x.left(i, begin + l), b = x.right(begin + l, j);
      const std::int32_t e = Sum::exponent_of(a, left) + Sum::exponent_of(b, right);
      largest = e > largest ? e : largest;
      product[l] = a * b;
    }
    sum.align(largest);
    for (int l = 0; l < steps; ++l) sum.add(product[l]);
    sum.finish();
  }
}

template <GemmForm form>
KOKKOS_FORCEINLINE_FUNCTION float element(const MixedGemmTask& t, std::int64_t i, std::int64_t j,
                                          bool promoted) {
  const Operands<form> x = {t.a, t.b};
  const float from = form == GemmForm::tn ? t.c[i * t.ldc + j] : 0.0F;
  float acc = promoted ? from : 0.0F;  // without promotion: what NaN scales leave behind
  Sum sum;
  sum.start(0.0F);
  const std::int64_t blocks = sum_blocks(t);
  for (std::int64_t q = 0; q < blocks; ++q) {
    const float scale = x.left_scale(i, q) * x.right_scale(q, j);
    if (promoted) {
      sum.start(0.0F);
    } else {
      sum.multiply_by(scale);
      acc = acc + scale * 0.0F;
    }
    add_block(x, i, j, block_of(t, q), sum);
    if (promoted) {
      using std::fma;
      acc = fma(sum.value, scale, acc);
    }
  }
  if (promoted) return acc;
  const float result = sum.value + acc;
  return form == GemmForm::tn ? from + result : result;
}

template <GemmForm form>
void launch(const ExecSpace& exec, const MixedGemmTask& task, bool promoted) {
  static const std::string label = "moray::mixed_gemm::limited_portable";
  parallel_for(
      label, exec, task.m * task.n, KOKKOS_LAMBDA(const std::int64_t index) {
        const std::int64_t i = index / task.n, j = index % task.n;
        store(task, i, j, element<form>(task, i, j, promoted));
      });
}

}  // namespace

void limited_gemm(const ExecSpace& exec, GemmForm form, std::span<const MixedGemmTask> tasks,
                  bool promoted) {
  for (const MixedGemmTask& task : tasks) {
    if (!has_work(form, task)) continue;
    if (form == GemmForm::nt) launch<GemmForm::nt>(exec, task, promoted);
    if (form == GemmForm::nn) launch<GemmForm::nn>(exec, task, promoted);
    if (form == GemmForm::tn) launch<GemmForm::tn>(exec, task, promoted);
  }
}

}  // namespace moray::portable
