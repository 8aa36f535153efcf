// Once warm, a product takes no memory: the step loop must not allocate (docs/design.md).
#include <atomic>
#include <cstdlib>
#include <new>

#include "catch.hpp"
#include "kernels/gemm/packed.hpp"
#include "plain_gemm.hpp"

namespace {
std::atomic<long> allocations{0};

void* counted(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  void* p = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
}  // namespace

void* operator new(std::size_t bytes) {
  return counted(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}
void operator delete(void* p, std::align_val_t) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}

using namespace moray;

namespace {

/// What Kokkos itself takes for a launch: nothing in version 3.4, a copy of the label in 5.2.
long allocations_of_a_launch(const ExecSpace& exec) {
  static const std::string label = "moray::test::empty_launch";
  const auto body = KOKKOS_LAMBDA(const std::int64_t){};
  parallel_tiles(label, exec, 1, body);
  const long before = allocations;
  parallel_tiles(label, exec, 1, body);
  return allocations - before;
}

}  // namespace

TEST_CASE("a warm product allocates nothing", "[gemm]") {
  std::mt19937 random(1);
  const ExecSpace exec;
  const long of_a_launch = allocations_of_a_launch(exec);
  for (const Variant variant : available_variants(Op::gemm)) {
    if (!is_exact(variant)) continue;
    force_variant(Op::gemm, variant);
    INFO("variant " << variant_name(variant));
    for (const GemmForm form : {GemmForm::nt, GemmForm::nn, GemmForm::tn}) {
      std::vector<test::Product<float>> products;
      for (int i = 0; i < 10; ++i) products.emplace_back(form, 30 + i, 50, 70, 0, random);
      std::vector<GemmTask<float>> tasks;
      for (auto& p : products) tasks.push_back(p.on(p.c));
      gemm_reserve();
      gemm<float>(exec, form, tasks);
      const long before = allocations;
      gemm<float>(exec, form, tasks);
      gemm<float>(exec, form, tasks);
      const long during = allocations - before;
      // A host product packs and multiplies; the portable one is a launch for each task.
      const long launches = 2 * (variant == Variant::portable ? 10 : 2);
      CHECK(during == launches * of_a_launch);
    }
  }
  reset_variants();
  const long before = allocations;
  const std::vector<float> seen(1);
  CHECK(allocations > before);  // the counter counts
}
