// Once warm, a product takes no memory: the step loop must not allocate (docs/design.md).
#include "counting_new.hpp"
#include "plain.hpp"

using namespace moray;
using namespace moray::test;

TEST_CASE("a warm product allocates nothing", "[mixed_gemm]") {
  std::mt19937 random(1);
  const ExecSpace exec;
  static const std::string label = "moray::test::empty_launch";
  const auto body = KOKKOS_LAMBDA(const std::int64_t){};
  parallel_tiles(label, exec, 1, body);
  // What Kokkos itself takes for a launch: nothing in version 3.4, a copy of the label in 5.2.
  const long of_a_launch = count_allocations([&] { parallel_tiles(label, exec, 1, body); });
  for_each_variant(Op::mixed_gemm, [&] {
    for (const GemmForm form : kForms) {
      std::vector<MixedProblem> problems;
      for (int i = 0; i < 10; ++i) {
        MixedShape s;
        s.form = form;
        s.m = 30 + i;
        s.n = 50;
        s.k = 300;
        if (form == GemmForm::tn) s.lengths = {100, 200};
        problems.emplace_back(s, random);
      }
      std::vector<MixedGemmTask> tasks;
      for (MixedProblem& p : problems) tasks.push_back(p.task());
      mixed_gemm(exec, form, tasks);
      const long during = count_allocations([&] {
        mixed_gemm(exec, form, tasks);
        mixed_gemm(exec, form, tasks);
      });
      // A host product packs and multiplies; the portable one is a launch for each task.
      const bool portable = selected_variant(Op::mixed_gemm) == Variant::portable;
      CHECK(during == 2 * (portable ? 10 : 2) * of_a_launch);
    }
  });
}
