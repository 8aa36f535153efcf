// Products of bf16 and FP8 operands in plain Kokkos, for every backend.
#include <cmath>

#include "core/bf16.hpp"
#include "kernels/mixed_gemm/mixed_gemm_variants.hpp"

namespace moray::portable {
namespace {

/// Columns of c that one work item computes: independent chains hide the latency of fma on a host;
/// on a device neighbouring threads take neighbouring columns.
constexpr int kColumns = kHostBackend ? 16 : 1;
/// Steps of k that are decoded at a time.
constexpr int kSteps = kHostBackend ? 32 : 1;

/// Number j of row i.
KOKKOS_FORCEINLINE_FUNCTION float number(const MixedOperand& x, std::int64_t i, std::int64_t j) {
  const std::uint8_t* row = static_cast<const std::uint8_t*>(x.data) + i * x.stride;
  if (x.type == NumberType::e4m3) return e4m3_decode(row[j]);
  if (x.type == NumberType::bf16) {
    return bf16_decode(reinterpret_cast<const std::uint16_t*>(row)[j]);
  }
  if (x.type == NumberType::e5m2) return e5m2_decode(row[j]);
  std::uint32_t word[3], code[8];
  const std::uint8_t* group = row + j / 8 * 12;
  for (int w = 0; w < 3; ++w) __builtin_memcpy(&word[w], group + 4 * w, 4);
  e5m6_unpack(word, code);
  return e5m6_decode(static_cast<std::uint16_t>(code[j % 8]));
}

/// What a form reads for element (row i, step l) of the left operand and (step l, column j) of the
/// right one, and their scales of block q.
template <GemmForm form>
struct Operands {
  const MixedOperand& a;
  const MixedOperand& b;

  KOKKOS_FORCEINLINE_FUNCTION float left(std::int64_t i, std::int64_t l) const {
    return form == GemmForm::tn ? number(a, l, i) : number(a, i, l);
  }
  KOKKOS_FORCEINLINE_FUNCTION float right(std::int64_t l, std::int64_t j) const {
    return form == GemmForm::nt ? number(b, j, l) : number(b, l, j);
  }
  KOKKOS_FORCEINLINE_FUNCTION float left_scale(std::int64_t i, std::int64_t q) const {
    const std::int64_t at = i / a.shared;
    return a.scales[form == GemmForm::tn ? q * a.scale_stride + at : at * a.scale_stride + q];
  }
  KOKKOS_FORCEINLINE_FUNCTION float right_scale(std::int64_t q, std::int64_t j) const {
    const std::int64_t at = j / b.shared;
    return b.scales[form == GemmForm::nt ? at * b.scale_stride + q : q * b.scale_stride + at];
  }
};

/// Continues the chains of `count` columns from j on over steps [begin, begin + steps).
template <GemmForm form>
KOKKOS_FORCEINLINE_FUNCTION void chains(const Operands<form>& x, std::int64_t i, std::int64_t j,
                                        int count, std::int64_t begin, std::int64_t steps,
                                        float* sum) {
  for (std::int64_t done = 0; done < steps; done += kSteps) {
    const int depth = static_cast<int>(steps - done < kSteps ? steps - done : kSteps);
    float a[kSteps];
    float b[kSteps][kColumns];
    for (int l = 0; l < depth; ++l) a[l] = x.left(i, begin + done + l);
    for (int l = 0; l < depth; ++l) {
      for (int c = 0; c < count; ++c) b[l][c] = x.right(begin + done + l, j + c);
    }
    for (int l = 0; l < depth; ++l) {
      for (int c = 0; c < count; ++c) {
        using std::fma;
        sum[c] = fma(a[l], b[l][c], sum[c]);
      }
    }
  }
}

/// Block q of the sum: [128 q, 128 q + 128) of k, or what the task says.
KOKKOS_FORCEINLINE_FUNCTION RowBlock block_of(const MixedGemmTask& t, std::int64_t q) {
  if (t.blocks.data != nullptr) return t.blocks[q];
  const std::int64_t rest = t.k - q * kScaleBlock;
  return {static_cast<std::int32_t>(q * kScaleBlock),
          static_cast<std::int32_t>(rest < kScaleBlock ? rest : kScaleBlock)};
}

/// c(i, j .. j + count).
template <GemmForm form>
KOKKOS_FORCEINLINE_FUNCTION void elements(const MixedGemmTask& t, std::int64_t i, std::int64_t j,
                                          int count) {
  const Operands<form> x = {t.a, t.b};
  float acc[kColumns];
  for (int c = 0; c < count; ++c) {
    acc[c] = form == GemmForm::tn ? t.c[i * t.ldc + j + c] : 0.0F;
  }
  if (t.a.scales == nullptr) {
    chains<form>(x, i, j, count, 0, t.k, acc);
  } else {
    const std::int64_t blocks = sum_blocks(t);
    for (std::int64_t q = 0; q < blocks; ++q) {
      const RowBlock block = block_of(t, q);
      float sum[kColumns] = {};
      chains<form>(x, i, j, count, block.begin, block.count, sum);
      const float scale = x.left_scale(i, q);
      for (int c = 0; c < count; ++c) {
        using std::fma;
        acc[c] = fma(sum[c], scale * x.right_scale(q, j + c), acc[c]);
      }
    }
  }
  for (int c = 0; c < count; ++c) {
    const float result = acc[c] + 0.0F;  // never -0
    if (t.rounded != nullptr) {
      t.rounded[i * t.ldc + j + c] = bf16_encode(result);
    } else {
      t.c[i * t.ldc + j + c] = result;
    }
  }
}

template <GemmForm form>
void launch(const ExecSpace& exec, const MixedGemmTask& task) {
  static const std::string label = "moray::mixed_gemm::portable";
  const std::int64_t groups = (task.n + kColumns - 1) / kColumns;
  parallel_for(
      label, exec, task.m * groups, KOKKOS_LAMBDA(const std::int64_t index) {
        const std::int64_t j = index % groups * kColumns;
        const std::int64_t rest = task.n - j;
        elements<form>(task, index / groups, j,
                       static_cast<int>(rest < kColumns ? rest : kColumns));
      });
}

}  // namespace

void mixed_gemm(const ExecSpace& exec, GemmForm form, std::span<const MixedGemmTask> tasks) {
  for (const MixedGemmTask& task : tasks) {
    if (!has_work(form, task)) continue;
    switch (form) {
      case GemmForm::nt:
        launch<GemmForm::nt>(exec, task);
        break;
      case GemmForm::nn:
        launch<GemmForm::nn>(exec, task);
        break;
      case GemmForm::tn:
        launch<GemmForm::tn>(exec, task);
        break;
    }
  }
}

}  // namespace moray::portable
