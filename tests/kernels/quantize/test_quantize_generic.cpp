// The vectors of other processors against the portable version.
#include "catch.hpp"
#include "kernels/quantize/plain.hpp"
#include "kernels/quantize/quantize_variants.hpp"

using namespace moray;
using namespace moray::test;

namespace moray::generic {
extern const HostQuantize host_quantize;
}

TEST_CASE("the vectors of any processor have the same bits", "[quantize]") {
  const ExecSpace exec;
  const HostQuantize& generic = generic::host_quantize;
  const std::int64_t rows = 150, cols = 300;
  std::mt19937 random(10);
  auto x = Tensor<float>(rows, cols).fill(random);
  auto gamma = vector_tensor<float>(cols).fill(random);
  auto w = vector_tensor<float>(rows).fill(random);
  const std::vector<RowBlock> blocks = blocks_of(0, {20, 130});
  auto table = block_tensor(blocks);
  const Vector<const RowBlock> device_blocks = table.device_vector();
  const Matrix<const float> values = x.device();
  for (const CodeType type : kCodeTypes) {
    for (const ScaleRule rule : kScaleRules) {
      auto a = tokens_of(type, rows, cols), b = a;
      const Quantized codes = a.device();
      host::quantize_tokens(exec, generic, values, rule, codes);
      portable::quantize_tokens(exec, values, rule, b.device());
      a.fetch();
      b.fetch();
      CHECK(a.same_bits(b));

      auto back = Tensor<float>(rows, cols), back_b = back;
      host::dequantize_tokens(exec, generic, codes, back.device());
      portable::dequantize_tokens(exec, codes, back_b.device());
      finish(exec);
      back.fetch();
      back_b.fetch();
      CHECK(back.same_bits(back_b));

      auto half = tokens_of(type, rows, cols / 2), half_b = half;
      host::swiglu_quantize_tokens(exec, generic, values, w.device_vector(), rule, half.device());
      portable::swiglu_quantize_tokens(exec, values, w.device_vector(), rule, half_b.device());
      half.fetch();
      half_b.fetch();
      CHECK(half.same_bits(half_b));

      auto r = vector_tensor<float>(rows), r_b = r;
      host::rmsnorm_quantize_tokens(exec, generic, values, gamma.device_vector(), 1e-6F, rule, {},
                                    r.device_vector(), codes);
      portable::rmsnorm_quantize_tokens(exec, values, gamma.device_vector(), 1e-6F, rule, {},
                                        r_b.device_vector(), b.device());
      a.fetch();
      b.fetch();
      r.fetch();
      r_b.fetch();
      CHECK(a.same_bits(b));
      CHECK(r.same_bits(r_b));

      for (const Layout layout : kLayouts) {
        auto c = channels_of(CodeType::e4m3, rows, cols, blocks, layout), c_b = c;
        host::requantize_channels(exec, generic, codes, cols, device_blocks, rule, layout,
                                  c.device());
        portable::requantize_channels(exec, codes, cols, device_blocks, rule, layout, c_b.device());
        c.fetch();
        c_b.fetch();
        CHECK(c.same_bits(c_b));
      }
      if (type == CodeType::e5m6) continue;
      auto weights = weights_of(type, rows, cols), weights_b = weights;
      host::quantize_weights(exec, generic, values, rule, weights.device());
      portable::quantize_weights(exec, values, rule, weights_b.device());
      weights.fetch();
      weights_b.fetch();
      CHECK(weights.same_bits(weights_b));
    }
  }
}
