// Once warm, a product takes no memory: the step loop must not allocate (docs/design.md).
#include "catch.hpp"
#include "counting_new.hpp"
#include "kernels/gemm/packed.hpp"
#include "plain_gemm.hpp"

using namespace moray;

namespace {

/// What Kokkos itself takes for a launch: nothing in version 3.4, a copy of the label in 5.2.
long allocations_of_a_launch(const ExecSpace& exec) {
  static const std::string label = "moray::test::empty_launch";
  const auto body = KOKKOS_LAMBDA(const std::int64_t){};
  parallel_tiles(label, exec, 1, body);
  return test::count_allocations([&] { parallel_tiles(label, exec, 1, body); });
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
      const long during = test::count_allocations([&] {
        gemm<float>(exec, form, tasks);
        gemm<float>(exec, form, tasks);
      });
      // A host product packs and multiplies; the portable one is a launch for each task.
      const long launches = 2 * (variant == Variant::portable ? 10 : 2);
      CHECK(during == launches * of_a_launch);
    }
  }
  reset_variants();
  // The counter counts; a new-expression the compiler may leave out.
  CHECK(test::count_allocations([] { ::operator delete(::operator new(4)); }) == 1);
}
