// Kernels that run long give communication a chance again and again (core/progress.hpp), also where
// all of their work is one tile. What they compute in between is counted in operations, not in time.
#include <array>
#include <random>

#include "catch.hpp"
#include "core/progress.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/cross_entropy/cross_entropy.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/mixed_gemm/mixed_gemm.hpp"
#include "kernels/tensor.hpp"
#include "kernels/variants.hpp"

using namespace moray;
using namespace moray::test;

namespace {

/// Operations between two chances: a tenth of a millisecond of a core that does 200 GFLOP/s.
constexpr double kOperations = 2e7;

std::int64_t calls = 0;
void count_call() {
  ++calls;
}

/// Calls of the hook while `work` runs.
template <class Work>
double calls_during(const Work& work) {
  calls = 0;
  set_progress_hook(count_call);
  work();
  set_progress_hook(nullptr);
  return static_cast<double>(calls);
}

/// body() with each exact variant: one call of a vendor's library cannot be interrupted.
template <class Body>
void for_each_exact_variant(Op op, const Body& body) {
  for_each_variant(op, [&] {
    if (is_exact(selected_variant(op))) body();
  });
}

bool counts_all() {
  return kHostBackend && ExecSpace().concurrency() == 1;
}

}  // namespace

TEST_CASE("products make progress, wide, deep and tall ones", "[progress]") {
  if (!counts_all()) return;
  const ExecSpace exec;
  struct Size {
    std::int64_t m, n, k;
  };
  std::mt19937 random(1);
  for (const Size size : {Size{16, 8192, 1024}, Size{64, 256, 8192}, Size{4096, 96, 256}}) {
    const double operations = 2.0 * static_cast<double>(size.m * size.n * size.k);
    for (const GemmForm form : {GemmForm::nt, GemmForm::nn, GemmForm::tn}) {
      const bool tn = form == GemmForm::tn, nt = form == GemmForm::nt;
      Tensor<float> a(tn ? size.k : size.m, tn ? size.m : size.k);
      Tensor<float> b(nt ? size.n : size.k, nt ? size.k : size.n);
      Tensor<float> c(size.m, size.n);
      const Matrix<const float> da = a.fill_with(0.5f).device(), db = b.fill_with(0.25f).device();
      const Matrix<float> dc = c.fill_with(0).device();
      for_each_exact_variant(Op::gemm, [&] {
        INFO(size.m << " x " << size.n << " x " << size.k << ", form " << static_cast<int>(form));
        const double chances = calls_during([&] { gemm<float>(exec, form, da, db, dc); });
        CHECK(chances >= operations / kOperations);
      });
    }
  }
}

TEST_CASE("products in FP8 make progress, wide and deep ones", "[progress]") {
  if (!counts_all()) return;
  const ExecSpace exec;
  for (const auto& [m, n, k] : {std::array<std::int64_t, 3>{16, 8192, 1024}, {64, 256, 8192}}) {
    Tensor<std::uint8_t> a(m, k), b(n, k);
    Tensor<float> scales(1, scale_blocks(k)), c(m, n);
    MixedGemmTask task;
    task.a = {NumberType::e4m3, a.fill_with(0x33).device().data, k};
    task.b = {NumberType::e4m3, b.fill_with(0x35).device().data, k};
    task.a.scales = task.b.scales = scales.fill_with(1).device().data;
    task.a.shared = m;  // all rows have the same
    task.b.shared = n;
    task.c = c.device().data;
    task.m = m;
    task.ldc = task.n = n;
    task.k = k;
    const double operations = 2.0 * static_cast<double>(m * n * k);
    for_each_exact_variant(Op::mixed_gemm, [&] {
      INFO(m << " x " << n << " x " << k);
      const double chances = calls_during([&] { mixed_gemm(exec, GemmForm::nt, {&task, 1}); });
      CHECK(chances >= operations / kOperations);
    });
  }
}

TEST_CASE("attention makes progress within a head", "[progress]") {
  if (!counts_all()) return;
  const ExecSpace exec;
  const AttentionShape shape = {1, 1500, 1, 128, 64, 128};
  const std::int64_t rows = shape.rows;
  Tensor<float> q(rows, 192), kv(rows, 256), k_pe(rows, 64), m(rows, 1), l(rows, 1), o(rows, 128);
  Tensor<float> dq(rows, 192), dkv(rows, 256), dk_pe(rows, 64), dout(rows, 128);
  std::mt19937 random(2);
  const Matrix<float> dm = m.device(), dl = l.device(), d_o = o.device();
  const Matrix<const float> d_q = q.fill(random, 0.1).device(), d_kv = kv.fill(random).device(),
                            d_k_pe = k_pe.fill(random, 0.1).device(),
                            d_dout = dout.fill(random).device();
  const Matrix<float> d_dq = dq.device(), d_dkv = dkv.device(), d_dk_pe = dk_pe.device();
  const double scores = static_cast<double>(rows * (rows + 1) / 2);
  for_each_exact_variant(Op::attention, [&] {
    View1<std::byte> space("test::workspace",
                           static_cast<std::size_t>(attention_workspace<float>(shape)));
    const Vector<std::byte> workspace = {space.data(), static_cast<std::int64_t>(space.size())};
    const double forward = calls_during(
        [&] { attention_forward<float>(exec, shape, d_q, d_kv, d_k_pe, workspace, dm, dl, d_o); });
    CHECK(forward >= scores * 2 * (192 + 128) / kOperations);
    const double backward = calls_during([&] {
      attention_backward<float>(exec, shape, 1.0f, d_dout, d_o, d_q, d_kv, d_k_pe, dm, dl,
                                workspace, d_dq, d_dkv, d_dk_pe);
    });
    CHECK(backward >= scores * 2 * (3 * 192 + 2 * 128) / kOperations);
  });
}

TEST_CASE("losses make progress at each row of a large vocabulary", "[progress]") {
  if (!counts_all()) return;
  const ExecSpace exec;
  constexpr std::int64_t kRows = 40, kVocabulary = 5000;
  Tensor<float> logits(kRows, kVocabulary), dlogit(kRows, kVocabulary);
  auto targets = vector_tensor<std::int32_t>(kRows);
  auto m = vector_tensor<float>(kRows), l = vector_tensor<float>(kRows),
       loss = vector_tensor<float>(kRows);
  std::mt19937 random(3);
  const Matrix<const float> in = logits.fill(random).device();
  const Vector<const std::int32_t> to = targets.fill_with(7).device_vector();
  const Vector<float> dm = m.device_vector(), dl = l.device_vector(), dloss = loss.device_vector();
  const Matrix<float> out = dlogit.device();
  for_each_exact_variant(Op::cross_entropy, [&] {
    CHECK(calls_during([&] { cross_entropy_forward<float>(exec, in, to, dm, dl, dloss); }) >=
          kRows / 16.0);
    CHECK(calls_during([&] { cross_entropy_backward<float>(exec, in, to, dm, dl, 1.0f, out); }) >=
          kRows / 16.0);
    if (selected_variant(Op::cross_entropy) == Variant::portable) return;
    CHECK(calls_during([&] { cross_entropy_forward<float>(exec, in, to, dm, dl, dloss); }) >=
          kRows);
  });
}
