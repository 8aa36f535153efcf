// Fused forms against the ops that they fuse, by memcmp.
#include "catch.hpp"
#include "kernels/quantize/plain.hpp"
#include "kernels/rmsnorm/rmsnorm.hpp"
#include "kernels/swiglu/swiglu.hpp"

using namespace moray;
using namespace moray::test;

namespace {

void check_swiglu(std::int64_t rows, std::int64_t width, std::int64_t gap, bool weighted) {
  INFO("rows " << rows << ", width " << width << ", gap " << gap << ", weighted " << weighted);
  const ExecSpace exec;
  std::mt19937 random(4);
  auto gu = Tensor<float>(rows, 2 * width, gap).fill(random, 3);
  auto w = vector_tensor<float>(weighted ? rows : 0).fill(random);
  auto act = Tensor<float>(rows, width);
  const Matrix<float> values = act.device();
  swiglu_forward<float>(exec, gu.device(), w.device_vector(), values);
  for (const CodeType type : kCodeTypes) {
    for (const ScaleRule rule : kScaleRules) {
      auto fused = tokens_of(type, rows, width, gap), apart = fused;
      swiglu_quantize_tokens(exec, gu.device(), w.device_vector(), rule, fused.device());
      quantize_tokens(exec, values, rule, apart.device());
      fused.fetch();
      apart.fetch();
      CHECK(fused.same_bits(apart));
    }
  }
}

/// SwiGLU and its gradients of codes against decoding them first.
void check_swiglu_of_codes(std::int64_t rows, std::int64_t width, std::int64_t gap, bool weighted) {
  INFO("rows " << rows << ", width " << width << ", gap " << gap << ", weighted " << weighted);
  const ExecSpace exec;
  std::mt19937 random(7);
  auto from = Tensor<float>(rows, 2 * width, gap).fill(random, 3);
  auto dh = Tensor<float>(rows, width, gap).fill(random);
  auto w = vector_tensor<float>(weighted ? rows : 0).fill(random);
  for (const CodeType type : kCodeTypes) {
    auto codes = tokens_of(type, rows, 2 * width, gap);
    quantize_tokens(exec, from.device(), ScaleRule::float32, codes.device());
    auto gu = Tensor<float>(rows, 2 * width, gap), room = gu, dgu = gu, own_dgu = gu;
    auto act = Tensor<float>(rows, width, gap), own_act = act;
    auto dw = vector_tensor<float>(weighted ? rows : 0), own_dw = dw;
    const Matrix<float> values = gu.device();
    dequantize_tokens(exec, codes.device(), values);
    swiglu_forward<float>(exec, values, w.device_vector(), act.device());
    swiglu_backward<float>(exec, dh.device(), values, w.device_vector(), dgu.device(),
                           dw.device_vector());
    swiglu_forward(exec, codes.device(), room.device(), w.device_vector(), own_act.device());
    swiglu_backward(exec, dh.device(), codes.device(), w.device_vector(), own_dgu.device(),
                    own_dw.device_vector());
    finish(exec);
    for (Tensor<float>* x : {&act, &own_act, &dgu, &own_dgu, &dw, &own_dw}) x->fetch();
    CHECK(own_act.same_bits(act));
    CHECK(own_dgu.same_bits(dgu));
    CHECK(own_dw.same_bits(dw));
    for (const ScaleRule rule : kScaleRules) {
      auto fused = tokens_of(type, rows, width, gap), apart = fused;
      swiglu_quantize_tokens(exec, codes.device(), room.device(), w.device_vector(), rule,
                             fused.device());
      swiglu_quantize_tokens(exec, values, w.device_vector(), rule, apart.device());
      fused.fetch();
      apart.fetch();
      CHECK(fused.same_bits(apart));
    }
  }
}

void check_rmsnorm(std::int64_t rows, std::int64_t width, std::int64_t gap) {
  INFO("rows " << rows << ", width " << width << ", gap " << gap);
  const ExecSpace exec;
  std::mt19937 random(5);
  auto x = Tensor<float>(rows, width, gap).fill(random, 3);
  auto gamma = vector_tensor<float>(width).fill(random);
  auto y = Tensor<float>(rows, width, gap), r = vector_tensor<float>(rows);
  const Matrix<float> values = y.device();
  rmsnorm_forward<float>(exec, x.device(), gamma.device_vector(), 1e-6F, values, r.device_vector());
  for (const CodeType type : kCodeTypes) {
    for (const ScaleRule rule : kScaleRules) {
      auto apart = tokens_of(type, rows, width, gap);
      quantize_tokens(exec, values, rule, apart.device());
      apart.fetch();
      y.fetch();
      r.fetch();
      for (const bool keep : {false, true}) {
        auto fused = tokens_of(type, rows, width, gap);
        auto own_y = Tensor<float>(rows, width, gap), own_r = vector_tensor<float>(rows);
        rmsnorm_quantize_tokens(exec, x.device(), gamma.device_vector(), 1e-6F, rule,
                                keep ? own_y.device() : Matrix<float>(), own_r.device_vector(),
                                fused.device());
        fused.fetch();
        own_r.fetch();
        CHECK(fused.same_bits(apart));
        CHECK(own_r.same_bits(r));
        if (!keep) continue;
        own_y.fetch();
        CHECK(own_y.same_bits(y));
      }
    }
  }
}

}  // namespace

TEST_CASE("SwiGLU and quantisation in one pass have the bits of two", "[quantize]") {
  for_each_variant(Op::quantize, [] {
    for (const bool weighted : {false, true}) {
      for (const std::int64_t width : {1, 9, 128, 200, 352, 1152}) {
        check_swiglu(3, width, 0, weighted);
        check_swiglu(2, width, 5, weighted);
      }
      check_swiglu(0, 16, 0, weighted);
    }
  });
}

TEST_CASE("SwiGLU of codes has the bits of decoding them first", "[quantize]") {
  for (const Op op : {Op::swiglu, Op::quantize}) {
    for_each_variant(op, [] {
      for (const bool weighted : {false, true}) {
        for (const std::int64_t width : {1, 9, 64, 128, 200, 1152}) {
          check_swiglu_of_codes(3, width, 0, weighted);
          check_swiglu_of_codes(2, width, 5, weighted);
        }
        check_swiglu_of_codes(0, 16, 0, weighted);
      }
    });
  }
}

TEST_CASE("RMSNorm and quantisation in one pass have the bits of two", "[quantize]") {
  for_each_variant(Op::quantize, [] {
    for (const std::int64_t width : {1, 9, 128, 200, 352, 1152}) {
      check_rmsnorm(3, width, 0);
      check_rmsnorm(2, width, 5);
    }
    check_rmsnorm(0, 16, 0);
  });
}

TEST_CASE("transposing and quantising in one pass has the bits of two", "[quantize]") {
  const ExecSpace exec;
  for_each_variant(Op::quantize, [&] {
    for (const std::int64_t cols : {1, 16, 70, 128, 200}) {
      const std::int64_t rows = 300;  // one sequence: its blocks are those of a row of 300
      std::mt19937 random(6);
      auto x = Tensor<float>(rows, cols).fill(random);
      auto turned = Tensor<float>(cols, rows);
      for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < cols; ++j) turned(j, i) = x(i, j);
      }
      const std::vector<RowBlock> blocks = blocks_of(0, {rows});
      auto table = block_tensor(blocks);
      for (const CodeType type : kByteTypes) {
        for (const ScaleRule rule : kScaleRules) {
          auto fused = channels_of(type, rows, cols, blocks, Layout::transposed);
          auto apart = tokens_of(type, cols, rows);
          quantize_channels(exec, x.device(), table.device_vector(), rule, Layout::transposed,
                            fused.device());
          quantize_tokens(exec, turned.device(), rule, apart.device());
          fused.fetch();
          apart.fetch();
          CHECK(fused.same_bits(apart));
        }
      }
    }
  });
}
