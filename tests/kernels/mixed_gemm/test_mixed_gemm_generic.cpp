// The vectors of processors other than x86 against the definition: the same source without intrinsics.
#include "kernels/mixed_gemm/mixed_gemm_variants.hpp"
#include "plain.hpp"

using namespace moray;
using namespace moray::test;

namespace moray::generic {
extern const HostMixedGemm host_mixed_gemm;
}

TEST_CASE("the tiles of any processor have the same bits", "[mixed_gemm]") {
  std::mt19937 random(1);
  const ExecSpace exec;
  for (const GemmForm form : kForms) {
    for (const NumberType type : kNumberTypes) {
      for (const bool rounded : {false, true}) {
        MixedShape s;
        s.form = form;
        s.a = s.b = type;
        s.m = 77;
        s.n = 150;
        s.k = 690;
        s.rounded = rounded && form != GemmForm::tn;
        if (form == GemmForm::tn && type != NumberType::bf16) s.lengths = {5, 0, 300, 385};
        MixedProblem p(s, random);
        const MixedGemmTask task = p.task();
        host::mixed_gemm(exec, generic::host_mixed_gemm, form, {&task, 1});
        finish(exec);
        INFO(describe(s));
        CHECK(p.matches());
      }
    }
  }
}

TEST_CASE("the limited accumulator of any processor has the same bits", "[mixed_gemm]") {
  std::mt19937 random(2);
  const ExecSpace exec;
  for (const GemmForm form : kForms) {
    for (const Accumulation accumulation :
         {Accumulation::limited_promoted, Accumulation::limited}) {
      MixedShape s;
      s.form = form;
      s.m = 23;
      s.n = 45;
      s.k = 690;
      if (form == GemmForm::tn) s.lengths = {5, 300, 385};
      MixedProblem p(s, random), q = p;
      const MixedGemmTask task = p.task(), same = q.task();
      host::mixed_gemm(exec, generic::host_mixed_gemm, form, {&task, 1}, accumulation);
      portable::mixed_gemm(exec, form, {&same, 1}, accumulation);
      finish(exec);
      q.c.fetch();
      p.expected = q.c;
      INFO(describe(s));
      CHECK(p.is_as_expected());
    }
  }
}
