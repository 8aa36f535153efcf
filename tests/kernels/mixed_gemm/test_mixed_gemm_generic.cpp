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
