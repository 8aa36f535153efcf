#include "kernels/gemm/packed.hpp"

#include "core/error.hpp"
#include "kernels/gemm/gemm_variants.hpp"
#include "kernels/gemm/gemm_workspace.hpp"
#include "kernels/host/host_kernels.hpp"

namespace moray {
namespace {

/// Columns are padded to whole vectors, 16 floats in the widest variant.
constexpr std::int64_t kPaddedColumns = 16;

/// Variants without a packed order of their own keep b as it is, rows behind each other.
void copy_rows(const ExecSpace& exec, Matrix<const float> b, float* storage) {
  static const std::string label = "moray::gemm::copy_rows";
  parallel_for(
      label, exec, b.rows * b.cols,
      KOKKOS_LAMBDA(const std::int64_t i) { storage[i] = b(i / b.cols, i % b.cols); });
}

/// The tasks of a launch with b packed or copied.
std::span<const GemmTask<float>> plain_tasks(std::span<const PackedGemmTask> tasks) {
  std::vector<GemmTask<float>>& plain = GemmWorkspace::global().tasks();
  plain.clear();
  for (const PackedGemmTask& t : tasks) {
    MORAY_REQUIRE(t.b->form() == tasks[0].b->form() && t.b->variant() == tasks[0].b->variant());
    const std::int64_t ldb = t.b->form() == GemmForm::nt ? t.b->k() : t.b->n();
    plain.push_back({t.a, t.lda, t.b->data(), ldb, t.c, t.ldc, t.m, t.b->n(), t.b->k()});
  }
  return plain;
}

}  // namespace

std::int64_t PackedMatrix::floats(std::int64_t n, std::int64_t k) {
  return (n + kPaddedColumns - 1) / kPaddedColumns * kPaddedColumns * k;
}

void PackedMatrix::pack(const ExecSpace& exec, GemmForm form, Matrix<const float> b,
                        Vector<float> storage) {
  MORAY_REQUIRE(form != GemmForm::tn);
  n_ = form == GemmForm::nt ? b.rows : b.cols;
  k_ = form == GemmForm::nt ? b.cols : b.rows;
  MORAY_REQUIRE(storage.size >= floats(n_, k_));
  form_ = form;
  variant_ = selected_variant(Op::gemm);
  data_ = storage.data;
  if (const HostKernels* host = host_kernels(variant_)) {
    GemmTask<float> task;
    task.b = b.data;
    task.ldb = b.stride;
    task.n = n_;
    task.k = k_;
    gemm_host_pack(exec, *host->gemm, form, task, storage.data);
  } else {
    copy_rows(exec, b, storage.data);
  }
}

void gemm_packed(const ExecSpace& exec, std::span<const PackedGemmTask> tasks) {
  if (tasks.empty()) return;
  const PackedMatrix& first = *tasks[0].b;
  if (const HostKernels* host = host_kernels(first.variant())) {
    gemm_host_packed(exec, *host->gemm, first.form(), plain_tasks(tasks));
  } else {
    gemm_variant(exec, first.variant(), first.form(), plain_tasks(tasks));
  }
}

void gemm_packed(const ExecSpace& exec, Matrix<const float> a, const PackedMatrix& b,
                 Matrix<float> c) {
  MORAY_REQUIRE(a.cols == b.k() && c.cols == b.n() && a.rows == c.rows);
  const PackedGemmTask task = {a.data, a.stride, &b, c.data, c.stride, c.rows};
  gemm_packed(exec, {&task, 1});
}

}  // namespace moray
