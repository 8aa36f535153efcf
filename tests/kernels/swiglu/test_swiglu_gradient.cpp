#include "catch.hpp"
#include "kernels/central_differences.hpp"
#include "kernels/swiglu/swiglu.hpp"

using namespace moray;
using namespace moray::test;

TEST_CASE("swiglu backward agrees with central differences", "[swiglu]") {
  const ExecSpace exec;
  std::mt19937 random(2);
  for (const bool weighted : {false, true}) {
    const std::int64_t rows = 4, width = 37;
    INFO("weighted " << weighted);
    auto gu = Tensor<double>(rows, 2 * width).fill(random);
    auto w = vector_tensor<double>(weighted ? rows : 0).fill(random);
    auto dh = Tensor<double>(rows, width).fill(random);
    auto act = Tensor<double>(rows, width);
    const auto loss = [&] {
      swiglu_forward<double>(exec, gu.device(), w.device_vector(), act.device());
      finish(exec);
      act.fetch();
      return dot(act, dh);
    };
    auto dgu = Tensor<double>(rows, 2 * width);
    auto dw = vector_tensor<double>(weighted ? rows : 0);
    swiglu_backward<double>(exec, dh.device(), gu.device(), w.device_vector(), dgu.device(),
                            dw.device_vector());
    finish(exec);
    dgu.fetch();
    dw.fetch();
    CHECK(worst_direction(gu, dgu, random, loss) <= kDirectionBar);
    if (weighted) CHECK(worst_direction(w, dw, random, loss) <= kDirectionBar);
  }
}
