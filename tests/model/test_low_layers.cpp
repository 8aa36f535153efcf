// The layers of a small model in FP8 against docs/fp8.md section 4 in plain code: from the stages that a
// probe is shown, each one that a product, a cache or a dispatch makes is computed again.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "attention/rotary.hpp"
#include "catch.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/functions/functions.hpp"
#include "kernels/tensor.hpp"
#include "model/watched_step.hpp"

using namespace moray;
using namespace moray::test;

namespace {

RowBlocks token_blocks() {
  return row_blocks(std::vector<std::size_t>(kSequences, kRows));
}

PlainMatrix columns(const PlainMatrix& x, std::size_t first, std::size_t count) {
  PlainMatrix out(x.rows(), count);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < count; ++j) out(i, j) = x(i, first + j);
  }
  return out;
}

// SwiGLU (docs/numerics.md section 5); without routing weights w is empty.
PlainMatrix swiglu(const PlainMatrix& gu, const std::vector<float>& w) {
  PlainMatrix act(gu.rows(), gu.cols / 2);
  for (std::size_t t = 0; t < act.rows(); ++t) {
    for (std::size_t j = 0; j < act.cols; ++j) {
      const float a = silu_exact(gu(t, j)) * gu(t, act.cols + j);
      act(t, j) = w.empty() ? a : a * w[t];
    }
  }
  return act;
}
PlainMatrix swiglu_gradient(const PlainMatrix& dh, const PlainMatrix& gu,
                            const std::vector<float>& w) {
  PlainMatrix dgu(gu.rows(), gu.cols);
  for (std::size_t t = 0; t < dh.rows(); ++t) {
    for (std::size_t j = 0; j < dh.cols; ++j) {
      const float g = gu(t, j), u = gu(t, dh.cols + j);
      const float da = w.empty() ? dh(t, j) : dh(t, j) * w[t];
      dgu(t, dh.cols + j) = da * silu_exact(g);
      dgu(t, j) = (da * u) * dsilu_exact(g, sigmoid_exact(g));
    }
  }
  return dgu;
}
PlainMatrix weight_dots(const PlainMatrix& dh, const PlainMatrix& gu) {
  PlainMatrix dw(dh.rows(), 1);
  const PlainMatrix a = swiglu(gu, {});
  for (std::size_t t = 0; t < dh.rows(); ++t) {
    dw(t, 0) = plain_row_reduction<float>(static_cast<std::int64_t>(dh.cols),
                                          [&](std::int64_t j, float c) {
                                            const auto i = static_cast<std::size_t>(j);
                                            return std::fma(dh(t, i), a(t, i), c);
                                          });
  }
  return dw;
}

/// The float32 attention core, which kernels/attention holds to its definition.
struct Core {
  explicit Core(const AttentionConfig& config)
      : shape{kSequences,        kRows, config.heads, config.nope_width, config.rope_width,
              config.value_width},
        workspace("test::workspace", static_cast<std::size_t>(attention_workspace<float>(shape))) {}
  struct Forward {
    PlainMatrix m, l, o;
  };
  Vector<std::byte> scratch() const {
    return {workspace.data(), static_cast<std::int64_t>(workspace.extent(0))};
  }
  static Tensor<float> tensor(const PlainMatrix& x) {
    Tensor<float> all(static_cast<std::int64_t>(x.rows()), static_cast<std::int64_t>(x.cols));
    for (std::size_t i = 0; i < x.values.size(); ++i)
      all[static_cast<std::int64_t>(i)] = x.values[i];
    return all;
  }
  Forward forward(const PlainMatrix& q, const PlainMatrix& kv, const PlainMatrix& k_pe) const {
    auto a = tensor(q), b = tensor(kv), c = tensor(k_pe);
    Tensor<float> m(kTokens, shape.heads), l = m, o(kTokens, shape.heads * shape.value);
    const Matrix<float> on_m = m.device(), on_l = l.device(), on_o = o.device();
    attention_forward<float>(exec, shape, a.device(), b.device(), c.device(), scratch(), on_m, on_l,
                             on_o);
    finish(exec);
    return {on_host(on_m), on_host(on_l), on_host(on_o)};
  }
  /// dkv and dk_pe, still rotated.
  std::pair<PlainMatrix, PlainMatrix> backward(float scale, const PlainMatrix& d_o,
                                               const PlainMatrix& o, const PlainMatrix& q,
                                               const PlainMatrix& kv, const PlainMatrix& k_pe,
                                               const Forward& kept) const {
    auto a = tensor(d_o), b = tensor(o), c = tensor(q), d = tensor(kv), e = tensor(k_pe),
         m = tensor(kept.m), l = tensor(kept.l), dq = c, dkv = d, dk_pe = e;
    const Matrix<float> on_dkv = dkv.device(), on_dk_pe = dk_pe.device();
    attention_backward<float>(exec, shape, scale, a.device(), b.device(), c.device(), d.device(),
                              e.device(), m.device(), l.device(), scratch(), dq.device(), on_dkv,
                              on_dk_pe);
    finish(exec);
    return {on_host(on_dkv), on_host(on_dk_pe)};
  }
  ExecSpace exec;
  AttentionShape shape;
  View1<std::byte> workspace;
};

PlainMatrix rotated(const PlainMatrix& x, const AttentionConfig& config) {
  const std::vector<float> frequencies = inverse_frequencies(config);
  PlainMatrix out = x;
  for (std::size_t t = 0; t < x.rows(); ++t) {
    for (std::size_t i = 0; i < x.cols / 2; ++i) {
      const float angle = frequencies[i] * static_cast<float>(t % kRows);
      const float cosine = cos_exact(angle), sine = sin_exact(angle);
      const float a = x(t, 2 * i), b = x(t, 2 * i + 1);
      out(t, 2 * i) = std::fma(a, cosine, -(b * sine));
      out(t, 2 * i + 1) = std::fma(a, sine, b * cosine);
    }
  }
  return out;
}

void check_attention(const WatchedStep& step, int layer) {
  const AttentionConfig& config = step.test.model.config().attention;
  const Recipe& recipe = step.recipe;
  const auto stage = [&](const char* name) { return step.stage(layer, name); };
  const RowBlocks blocks = token_blocks();
  // [q_a | kv_a] is bf16; then its rotary part is rotated, and without compression q, and rounded anew.
  const bool compressed = config.query_latent > 0;
  const std::string prefix = fmt::format("model.layers.{}.self_attn.", layer);
  const std::vector<std::string> queries_and_keys = {prefix + (compressed ? "q_a_proj" : "q_proj"),
                                                     prefix + "kv_a_proj_with_mqa"};
  const Codes x1 = recipe.x(stage("norm1"), blocks), w1 = step.weight(queries_and_keys);
  const PlainMatrix down = forward_product(x1, w1);
  CHECK(difference(stage("down"), down) == "");
  const auto rope = static_cast<std::size_t>(config.rope_width);
  const PlainMatrix turned = rotated(columns(down, down.cols - rope, rope), config);
  const PlainMatrix k_pe = mapped(turned, rounded_to_bf16);
  CHECK(difference(turned, k_pe) != "");
  CHECK(difference(stage("k_pe"), k_pe) == "");
  const PlainMatrix q = compressed ? stage("q") : mapped(stage("q"), rounded_to_bf16);
  const PlainMatrix kv = stage("kv");
  const Core core(config);
  const Core::Forward exact = core.forward(q, kv, k_pe);
  CHECK(difference(stage("m"), exact.m) == "");
  CHECK(difference(stage("l"), exact.l) == "");
  // o is rounded before anything reads it.
  const PlainMatrix o = step.kept(recipe.precision.attention_output, exact.o);
  CHECK(difference(stage("o"), o) == "");
  const std::vector<std::string> output = {prefix + "o_proj"};
  const Codes w = step.weight(output), x = recipe.x(o, blocks);
  PlainMatrix h = step.stream(layer);
  const PlainMatrix out = forward_product(x, w);
  for (std::size_t i = 0; i < h.values.size(); ++i) h.values[i] = h.values[i] + out.values[i];
  CHECK(difference(stage("h"), h) == "");

  const PlainMatrix dout = stage("dh"), d_o = input_gradient(recipe.dy(dout, blocks), w);
  CHECK(difference(stage("do"), d_o) == "");
  PlainMatrix delta(kTokens, static_cast<std::size_t>(config.heads));
  const auto width = static_cast<std::size_t>(config.value_width);
  for (std::size_t t = 0; t < kTokens; ++t) {
    for (std::size_t head = 0; head < delta.cols; ++head) {
      const float r = 1.0F / exact.l(t, head);
      delta(t, head) = plain_row_reduction<float>(config.value_width, [&](std::int64_t d, float c) {
        const std::size_t at = head * width + static_cast<std::size_t>(d);
        return std::fma(r * d_o(t, at), o(t, at), c);
      });
    }
  }
  CHECK(difference(stage("delta"), delta) == "");
  const auto [dkv, dk_pe] = core.backward(softmax_scale(config), d_o, o, q, kv, k_pe, exact);
  CHECK(difference(stage("dkv"), dkv) == "");
  CHECK(difference(stage("dk_pe"), dk_pe) == "");
  CHECK(difference(step.gradient(output),
                   weight_gradient(recipe.dy_channels(dout, blocks), recipe.again(x, blocks),
                                   blocks, 0, kTokens)) == "");
  const PlainMatrix ddown = stage("ddown");
  CHECK(difference(stage("norm1.dy"), input_gradient(recipe.dy(ddown, blocks), w1)) == "");
  CHECK(difference(step.gradient(queries_and_keys),
                   weight_gradient(recipe.dy_channels(ddown, blocks), recipe.again(x1, blocks),
                                   blocks, 0, kTokens)) == "");
}

void check_dense(const WatchedStep& step) {
  const Recipe& recipe = step.recipe;
  const auto stage = [&](const char* name) { return step.stage(0, name); };
  const RowBlocks blocks = token_blocks();
  const std::vector<std::string> gate_up = {"model.layers.0.mlp.gate_proj",
                                            "model.layers.0.mlp.up_proj"},
                                 down = {"model.layers.0.mlp.down_proj"};
  const Codes x = recipe.x(stage("norm2"), blocks), w1 = step.weight(gate_up),
              w2 = step.weight(down);
  const PlainMatrix gu = forward_product(x, w1), act = swiglu(gu, {});
  CHECK(difference(stage("ffn.gate_up"), gu) == "");
  CHECK(difference(stage("ffn.act"), act) == "");
  CHECK(difference(stage("ffn.y"), forward_product(recipe.x(act, blocks), w2)) == "");

  // The backward has what was kept of gate and up, and from it another activation.
  const PlainMatrix kept = step.kept(recipe.precision.swiglu_input, gu);
  const PlainMatrix& dout = step.gradient_out(0);
  const PlainMatrix dact = input_gradient(recipe.dy(dout, blocks), w2);
  CHECK(difference(stage("ffn.dact"), dact) == "");
  const PlainMatrix dgu = swiglu_gradient(dact, kept, {});
  CHECK(difference(stage("ffn.dgate_up"), dgu) == "");
  CHECK(difference(stage("ffn.dx"), input_gradient(recipe.dy(dgu, blocks), w1)) == "");
  const Codes again = recipe.again(recipe.x(swiglu(kept, {}), blocks), blocks);
  CHECK(difference(step.gradient(down), weight_gradient(recipe.dy_channels(dout, blocks), again,
                                                        blocks, 0, kTokens)) == "");
  CHECK(difference(step.gradient(gate_up),
                   weight_gradient(recipe.dy_channels(dgu, blocks), recipe.again(x, blocks), blocks,
                                   0, kTokens)) == "");
}

/// The rows of the experts of a layer, by (expert, sequence, position).
struct Rows {
  explicit Rows(const WatchedStep& step) {
    const auto& selected = step.stages.choices_of("layer1/gate.selected");
    const PlainMatrix& weight = step.stage(1, "gate.w");
    std::vector<std::size_t> runs;
    for (std::size_t e = 0; e < kExperts; ++e) {
      begins.push_back(token.size());
      for (std::size_t s = 0; s < kSequences; ++s) {
        const std::size_t begin = token.size();
        for (std::size_t i = s * kRows * kChoices; i < (s + 1) * kRows * kChoices; ++i) {
          if (static_cast<std::size_t>(selected[i]) != e) continue;
          token.push_back(i / kChoices);
          choice.push_back(i);
          weights.push_back(weight.values[i]);
        }
        runs.push_back(token.size() - begin);
      }
    }
    begins.push_back(token.size());
    blocks = row_blocks(runs);
    REQUIRE(token.size() == kTokens * kChoices);
    REQUIRE(*std::max_element(runs.begin(), runs.end()) > 128);
  }
  std::vector<std::size_t> token, choice, begins;
  std::vector<float> weights;
  RowBlocks blocks;
};

void append(PlainMatrix& all, const PlainMatrix& rows) {
  all.cols = rows.cols;
  all.values.insert(all.values.end(), rows.values.begin(), rows.values.end());
}

void check_experts(const WatchedStep& step) {
  const Recipe& recipe = step.recipe;
  const auto stage = [&](const char* name) { return step.stage(1, name); };
  const Rows rows(step);
  // Dispatched as E4M3 with powers of two whatever the recipe's scales are; an ablation rounds at home.
  const Codes x = rows_of(by_token(recipe.value(stage("norm2"), token_blocks()), true), rows.token);
  const Codes dy =
      rows_of(by_token(recipe.gradient(step.gradient_out(1), token_blocks()), true), rows.token);
  const Codes x_again = recipe.again(x, rows.blocks), dy_again = recipe.again(dy, rows.blocks);

  PlainMatrix gu, dact, y, dx;
  const auto for_experts = [&](const auto& visit) {
    for (std::size_t e = 0; e < kExperts; ++e) {
      const std::string prefix = fmt::format("model.layers.1.mlp.experts.{}.", e);
      visit({prefix + "gate_proj", prefix + "up_proj"}, {prefix + "down_proj"}, rows.begins[e],
            rows.begins[e + 1]);
    }
  };
  using Names = std::vector<std::string>;
  for_experts([&](const Names& up, const Names& down, std::size_t begin, std::size_t end) {
    append(gu, forward_product(rows_of(x, begin, end), step.weight(up)));
    append(dact, input_gradient(rows_of(dy, begin, end), step.weight(down)));
  });
  CHECK(difference(stage("experts.gate_up"), gu) == "");
  CHECK(difference(stage("experts.dact"), dact) == "");
  const PlainMatrix act = swiglu(gu, rows.weights);
  CHECK(difference(stage("experts.act"), act) == "");
  const PlainMatrix kept = step.kept(recipe.precision.swiglu_input, gu);
  const PlainMatrix dgu = swiglu_gradient(dact, kept, rows.weights);
  CHECK(difference(stage("experts.dgate_up"), dgu) == "");
  const PlainMatrix dots = weight_dots(dact, kept);
  PlainMatrix dw(kTokens, kChoices);
  for (std::size_t r = 0; r < rows.choice.size(); ++r) dw.values[rows.choice[r]] = dots.values[r];
  CHECK(difference(stage("gate.dw"), dw) == "");

  const Codes to_down = recipe.x(act, rows.blocks), to_up = recipe.dy(dgu, rows.blocks);
  const Codes act_again =
      recipe.again(recipe.x(swiglu(kept, rows.weights), rows.blocks), rows.blocks);
  const Codes dgu_again = recipe.dy_channels(dgu, rows.blocks);
  for_experts([&](const Names& up, const Names& down, std::size_t begin, std::size_t end) {
    append(y, forward_product(rows_of(to_down, begin, end), step.weight(down)));
    append(dx, input_gradient(rows_of(to_up, begin, end), step.weight(up)));
    CHECK(difference(step.gradient(down),
                     weight_gradient(dy_again, act_again, rows.blocks, begin, end)) == "");
    CHECK(difference(step.gradient(up),
                     weight_gradient(dgu_again, x_again, rows.blocks, begin, end)) == "");
  });
  CHECK(difference(stage("experts.y"), y) == "");
  CHECK(difference(stage("experts.dx"), dx) == "");
}

struct Case {
  const char* name;
  PrecisionConfig precision;
  std::int64_t query_latent;
  bool recompute;
};

std::vector<Case> cases() {
  const PrecisionConfig power = {.compute = "fp8", .scales = "power_of_two"};
  PrecisionConfig coarse = power, kept = {.compute = "fp8"};
  coarse.gradient_scales = "block";
  coarse.value_scales = "tensor";
  kept.attention_output = "e4m3";
  kept.swiglu_input = "bf16";
  return {
      {"scales of float32", {.compute = "fp8"}, 0, true},
      {"powers of two, query compression", power, 24, false},
      {"coarser scales", coarse, 0, true},
      {"other caches", kept, 24, true},
  };
}

}  // namespace

TEST_CASE("the layers of a model in FP8 are the lines of docs/fp8.md", "[low]") {
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    const WatchedStep step(c.precision, c.query_latent, c.recompute);
    for (const int layer : {0, 1}) {
      CAPTURE(layer);
      check_attention(step, layer);
    }
    check_dense(step);
    check_experts(step);
  }
}

TEST_CASE("what nobody looks at is made as codes at once, with the same bits", "[low]") {
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    const WatchedStep shown(c.precision, c.query_latent, c.recompute);
    const WatchedStep alone(c.precision, c.query_latent, c.recompute, false);
    for (const Region region : {Region::dense, Region::expert}) {
      const auto gradients = [region](const WatchedStep& step) {
        return on_host(step.test.model.parameters().gradients(region));
      };
      CHECK(difference(gradients(alone), gradients(shown)) == "");
    }
    const auto loss = [](const WatchedStep& step, std::int64_t sequence) {
      const Vector<const float> losses = step.test.model.losses(sequence, 0);
      return on_host(matrix(losses.data, 1, losses.size));
    };
    for (std::int64_t s = 0; s < static_cast<std::int64_t>(kSequences); ++s)
      CHECK(difference(loss(alone, s), loss(shown, s)) == "");
  }
}
