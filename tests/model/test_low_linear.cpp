// Linear in bf16 and FP8 against docs/fp8.md section 4 in plain code.
#include <cmath>
#include <vector>

#include "catch.hpp"
#include "model/linear.hpp"
#include "model/model_config.hpp"
#include "model/plain_fp8.hpp"

using namespace moray;
using namespace moray::test;

namespace {

constexpr std::int64_t kSequences = 3, kRows = 150, kIn = 200, kOut = 264;
constexpr std::int64_t kTokens = kSequences * kRows;

/// Blocks of the rows of all sequences.
RowBlocks blocks_of_tokens() {
  return row_blocks(std::vector<std::size_t>(kSequences, kRows));
}
/// Values of many sizes, so that a coarser scale loses some of them.
PlainMatrix uneven_matrix(std::size_t rows, std::size_t cols, unsigned seed) {
  PlainMatrix x = normal_matrix(rows, cols, seed);
  for (std::size_t i = 0; i < x.values.size(); ++i)
    x.values[i] = std::ldexp(x.values[i], -static_cast<int>(i / 61 % 17));
  return x;
}
PlainMatrix weights() {
  return uneven_matrix(kOut, kIn, 1);
}

struct Case {
  PrecisionConfig precision;
  Parameters<float> parameters;
  Linear<float> linear;
  Arena arena;
  Pass<float> pass;
  BatchLayout batch{kSequences};

  explicit Case(const PrecisionConfig& wanted) : precision(wanted) {
    parameters.set_precision(precision);
    linear = Linear<float>(parameters, Region::dense, kIn,
                           {{"m.a.weight", 100}, {"m.b.weight", kOut - 100}});
    Arena counted;
    take(counted);
    arena.reserve(counted);
    take(arena);
    const PlainMatrix w = weights();
    copy_to_device(w.values.data(), w.values.size(), parameters.values(parameters.list()[0]).data);
    parameters.update_copies(pass.exec);
    pass.parameters = &parameters;
    batch.assign(Deal{}, 0, kSequences);
  }
  void take(Arena& into) {
    parameters.allocate(into, 1, 1);
    linear.make_workspace(into, precision, kSequences, kRows);
  }
  PlainMatrix read(Matrix<const float> x) {
    fence(pass.exec, "moray::test: results are read");
    return on_host(x);
  }
};

struct OnDevice {
  View1<float> storage;
  Matrix<float> matrix;
  explicit OnDevice(const PlainMatrix& x)
      : storage("moray::test::values", x.values.size()),
        matrix(moray::matrix(storage.data(), static_cast<std::int64_t>(x.rows()),
                             static_cast<std::int64_t>(x.cols))) {
    copy_to_device(x.values.data(), x.values.size(), storage.data());
  }
};

struct Results {
  PlainMatrix y, dx, dw;
};
Results results_of(Case& c, const PlainMatrix& x, const PlainMatrix& dy) {
  const OnDevice on_x(x), on_dy(dy), y(PlainMatrix(kTokens, kOut)), dx(PlainMatrix(kTokens, kIn));
  c.linear.forward(c.pass, on_x.matrix, y.matrix);
  c.linear.backward_input(c.pass, on_dy.matrix, dx.matrix);
  c.linear.backward_weight(c.pass, {&c.batch, kRows}, on_dy.matrix, on_x.matrix);
  return {c.read(y.matrix), c.read(dx.matrix), c.read(c.parameters.gradient(c.linear.weight(), 0))};
}
void check_same(const Results& found, const Results& expected) {
  CHECK(difference(found.y, expected.y) == "");
  CHECK(difference(found.dx, expected.dx) == "");
  CHECK(difference(found.dw, expected.dw) == "");
}

}  // namespace

TEST_CASE("an FP8 Linear is the lines of docs/fp8.md, under ablations too", "[low]") {
  const auto with = [](const char* scales, const char* gradients, const char* values) {
    return PrecisionConfig{
        .compute = "fp8", .scales = scales, .gradient_scales = gradients, .value_scales = values};
  };
  for (const PrecisionConfig& precision :
       {with("float32", "token", "block"), with("power_of_two", "token", "block"),
        with("power_of_two", "block", "block"), with("power_of_two", "tensor", "block"),
        with("power_of_two", "token", "tensor"), with("power_of_two", "block", "tensor")}) {
    CAPTURE(precision.scales, precision.gradient_scales, precision.value_scales);
    Case c(precision);
    const PlainMatrix x = uneven_matrix(kTokens, kIn, 2), dy = uneven_matrix(kTokens, kOut, 3);
    const Recipe recipe{precision};
    const RowBlocks blocks = blocks_of_tokens();
    const Codes w = recipe.w(weights()), qx = recipe.x(x, blocks);
    check_same(results_of(c, x, dy),
               {forward_product(qx, w), input_gradient(recipe.dy(dy, blocks), w),
                weight_gradient(recipe.dy_channels(dy, blocks), recipe.again(qx, blocks), blocks, 0,
                                kTokens)});
  }
}

TEST_CASE("a bf16 Linear rounds operands and results, and sums as float32 does", "[low]") {
  Case c({.compute = "bf16"});
  const PlainMatrix x = normal_matrix(kTokens, kIn, 2), dy = normal_matrix(kTokens, kOut, 3);
  const Results found = results_of(c, x, dy);
  const PlainMatrix rx = mapped(x, rounded_to_bf16), rdy = mapped(dy, rounded_to_bf16),
                    rw = mapped(weights(), rounded_to_bf16);
  Results expected{PlainMatrix(kTokens, kOut), PlainMatrix(kTokens, kIn), PlainMatrix(kOut, kIn)};
  const auto chain = [](std::size_t count, const auto& left, const auto& right) {
    float acc = 0;
    for (std::size_t k = 0; k < count; ++k) acc = std::fma(left(k), right(k), acc);
    return acc + 0.0F;
  };
  using Index = std::size_t;
  for (Index t = 0; t < kTokens; ++t) {
    for (Index o = 0; o < kOut; ++o)
      expected.y(t, o) = rounded_to_bf16(chain(
          kIn, [&](Index i) { return rx(t, i); }, [&](Index i) { return rw(o, i); }));
    for (Index i = 0; i < kIn; ++i)
      expected.dx(t, i) = rounded_to_bf16(chain(
          kOut, [&](Index o) { return rdy(t, o); }, [&](Index o) { return rw(o, i); }));
  }
  for (Index o = 0; o < kOut; ++o) {
    for (Index i = 0; i < kIn; ++i)
      expected.dw(o, i) = chain(
          kTokens, [&](Index t) { return rdy(t, o); }, [&](Index t) { return rx(t, i); });
  }
  check_same(found, expected);
}

TEST_CASE("what becomes of the values of an FP8 Linear is counted once", "[low]") {
  Case c({.compute = "fp8"});
  REQUIRE(c.parameters.fp8_tensors() == std::vector<std::string>{"m.a+b"});
  Fp8Statistics statistics;
  Arena counted, arena;
  statistics.allocate(counted, 1);
  arena.reserve(counted);
  statistics.allocate(arena, 1);
  PlainMatrix x = normal_matrix(kTokens, kIn, 2);
  for (std::size_t i = 0; i < x.values.size(); i += 3) x.values[i] *= 1e-6F;
  const OnDevice on_x(x), on_dy(normal_matrix(kTokens, kOut, 3)), y(PlainMatrix(kTokens, kOut)),
      dx(PlainMatrix(kTokens, kIn));
  const auto pass = [&] {
    c.linear.forward(c.pass, on_x.matrix, y.matrix);
    c.linear.backward_input(c.pass, on_dy.matrix, dx.matrix);
    c.linear.backward_weight(c.pass, {&c.batch, kRows}, on_dy.matrix, on_x.matrix);
  };
  statistics.clear(c.pass.exec);
  pass();  // nobody counts
  c.pass.statistics = &statistics;
  {
    const Uncounted<float> again(c.pass);
    pass();
  }
  const auto word = [&](Fp8Role role, std::int64_t which) {
    return statistics.read(
        c.pass.exec)[static_cast<std::size_t>(static_cast<int>(role) * kStatisticWords + which)];
  };
  for (const Fp8Role role : {Fp8Role::x, Fp8Role::dy, Fp8Role::w})
    CHECK(word(role, QuantizationWord::blocks) == 0);
  pass();
  c.parameters.add_statistics(c.pass.exec, Region::expert, true, statistics);  // where it is not
  CHECK(word(Fp8Role::w, QuantizationWord::values) == 0);
  c.parameters.add_statistics(c.pass.exec, Region::dense, true, statistics);
  CHECK(word(Fp8Role::x, QuantizationWord::values) == kTokens * kIn);
  CHECK(word(Fp8Role::x, QuantizationWord::blocks) == kTokens * 2);
  CHECK(word(Fp8Role::dy, QuantizationWord::values) == kTokens * kOut);
  CHECK(word(Fp8Role::dy, QuantizationWord::blocks) == kTokens * 3);
  CHECK(word(Fp8Role::w, QuantizationWord::values) == kIn * kOut);
  CHECK(word(Fp8Role::w, QuantizationWord::blocks) == 2 * 3);
  const Codes qx = by_token(x, false);
  std::int64_t lost = 0;
  for (std::size_t i = 0; i < x.values.size(); ++i)
    lost += x.values[i] != 0 && qx.codes.values[i] == 0 ? 1 : 0;
  CHECK(lost > kTokens * kIn / 4);
  CHECK(word(Fp8Role::x, QuantizationWord::underflow) == lost);
}

TEST_CASE("the experts of a layer are one tensor of the statistics", "[low]") {
  Parameters<float> parameters;
  parameters.set_precision({.compute = "fp8", .overrides = {{"*.o_proj", "bf16"}}});
  const auto declare = [&](const std::vector<Parameters<float>::Part>& parts) {
    return parameters.declare(Region::dense, 8, parts).tensor;
  };
  CHECK(declare({{"model.embed_tokens.weight", 4}}) == -1);
  CHECK(declare({{"model.layers.0.self_attn.o_proj.weight", 4}}) == -1);
  for (const char* e : {"0", "1", "17"}) {
    const std::string expert = std::string("model.layers.3.mlp.experts.") + e;
    CHECK(declare({{expert + ".gate_proj.weight", 4}, {expert + ".up_proj.weight", 4}}) == 0);
    CHECK(declare({{expert + ".down_proj.weight", 4}}) == 1);
  }
  CHECK(declare({{"model.layers.3.mlp.shared_experts.down_proj.weight", 4}}) == 2);
  CHECK(parameters.fp8_tensors() ==
        std::vector<std::string>{"model.layers.3.mlp.experts.gate_proj+up_proj",
                                 "model.layers.3.mlp.experts.down_proj",
                                 "model.layers.3.mlp.shared_experts.down_proj"});
}

TEST_CASE("patterns of module names", "[low]") {
  CHECK(name_matches("*.down_proj", "model.layers.3.mlp.experts.7.down_proj"));
  CHECK(name_matches("model.layers.1*.o_proj", "model.layers.12.self_attn.o_proj"));
  CHECK(name_matches("*", ""));
  CHECK(name_matches("a*b*c", "a-b-b-c"));
  CHECK_FALSE(name_matches("*.down_proj", "model.layers.3.mlp.down_proj.weight"));
  CHECK_FALSE(name_matches("down_proj", "mlp.down_proj"));
  CHECK_FALSE(name_matches("a*b*c", "a-b-b"));
  const PrecisionConfig precision{.compute = "fp8",
                                  .overrides = {{"*.down_proj", "bf16"}, {"*.5.*", "float32"}}};
  CHECK(precision.of("model.layers.4.mlp.down_proj.weight") == Compute::bf16);
  CHECK(precision.of("model.layers.5.mlp.down_proj.weight") == Compute::float32);
  CHECK(precision.of("model.layers.4.mlp.up_proj.weight") == Compute::fp8);
  CHECK(precision.of("model.layers.4.mlp.gate.weight") == Compute::float32);
  CHECK(precision.of("lm_head.weight") == Compute::float32);
}
