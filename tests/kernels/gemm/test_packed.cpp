// Weights packed beforehand give the bits of gemm().
#include <cstring>

#include "catch.hpp"
#include "kernels/gemm/packed.hpp"
#include "plain_gemm.hpp"

using namespace moray;
using test::plain_gemm;
using test::Product;

namespace {

/// Storage aligned to 64 bytes.
struct Storage {
  explicit Storage(std::int64_t floats) : memory(static_cast<std::size_t>(floats) + 16) {}
  Vector<float> get() {
    const auto skip = (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64 / 4;
    return {memory.data() + skip, static_cast<std::int64_t>(memory.size() - 16)};
  }
  std::vector<float> memory;
};

struct PackedProduct {
  PackedProduct(GemmForm form, std::int64_t m, std::int64_t n, std::int64_t k, std::mt19937& random)
      : product(form, m, n, k, n % 3, random), storage(PackedMatrix::floats(n, k)) {
    const bool nt = form == GemmForm::nt;
    const Matrix<const float> b = {product.b.data(), nt ? n : k, nt ? k : n, product.task.ldb};
    packed.pack(ExecSpace(), form, b, storage.get());
    std::fill(product.b.begin(), product.b.end(), 0.0f);  // from here on only the packed one counts
  }
  PackedGemmTask task() {
    const GemmTask<float>& t = product.task;
    return {product.a.data(), t.lda, &packed, product.c.data(), t.ldc, t.m};
  }
  Product<float> product;
  Storage storage;
  PackedMatrix packed;
};

}  // namespace

TEST_CASE("packed weights give the same bits, one product or many", "[gemm][packed]") {
  for (const Variant variant : available_variants(Op::gemm)) {
    if (!is_exact(variant)) continue;
    force_variant(Op::gemm, variant);
    INFO("variant " << variant_name(variant));
    for (const GemmForm form : {GemmForm::nt, GemmForm::nn}) {
      std::mt19937 random(1);
      std::vector<PackedProduct> products;
      std::vector<Product<float>> plain;
      for (const std::int64_t m : {0, 1, 2, 5, 12, 13, 40}) {
        for (const std::int64_t n : {1, 15, 16, 33, 70}) {
          for (const std::int64_t k : {0, 1, 50, 400, 800}) {
            std::mt19937 same = random;
            plain.emplace_back(form, m, n, k, n % 3, same);
            products.emplace_back(form, m, n, k, random);
          }
        }
      }
      // So wide that a tile of c has not all columns.
      std::mt19937 same = random;
      plain.emplace_back(form, 90, 1050, 1300, 0, same);
      products.emplace_back(form, 90, 1050, 1300, random);
      std::vector<PackedGemmTask> tasks;
      for (PackedProduct& p : products) tasks.push_back(p.task());
      const ExecSpace exec;
      gemm_packed(exec, tasks);
      fence(exec, "packed test");
      for (std::size_t i = 0; i < plain.size(); ++i) {
        plain_gemm(form, plain[i].on(plain[i].expected));
        const auto& c = products[i].product.c;
        INFO("m " << plain[i].task.m << " n " << plain[i].task.n << " k " << plain[i].task.k);
        CHECK(std::memcmp(c.data(), plain[i].expected.data(), c.size() * sizeof(float)) == 0);
      }
      gemm_packed(exec, {});
    }
  }
  reset_variants();
}

TEST_CASE("a packed matrix stays with the variant it was packed for", "[gemm][packed]") {
  std::mt19937 random(2);
  std::mt19937 same = random;
  PackedProduct p(GemmForm::nt, 9, 40, 60, random);
  Product<float> plain(GemmForm::nt, 9, 40, 60, 1, same);
  force_variant(Op::gemm, Variant::portable);
  const PackedGemmTask task = p.task();
  gemm_packed(ExecSpace(), {&task, 1});
  reset_variants();
  plain_gemm(GemmForm::nt, plain.on(plain.expected));
  const auto& c = p.product.c;
  CHECK(std::memcmp(c.data(), plain.expected.data(), c.size() * sizeof(float)) == 0);
}
