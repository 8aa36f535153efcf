// Linear in bf16 and FP8 against docs/fp8.md section 4 in plain code: loops over single values, whose
// encoding core/test_fp8 holds to its definition.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "catch.hpp"
#include "core/bf16.hpp"
#include "core/fp8.hpp"
#include "model/linear.hpp"
#include "model/model_config.hpp"

using namespace moray;

namespace {

constexpr std::int64_t kSequences = 3, kRows = 150, kIn = 200, kOut = 264;
using Values = std::vector<float>;  // (rows, cols), dense

Values normal(std::int64_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> one;
  Values all(static_cast<std::size_t>(size));
  for (float& x : all) x = one(random);
  return all;
}
float rounded(float x) {
  return bf16_decode(bf16_encode(x));
}

/// The values of codes and their scale at each place.
struct Plain {
  Values codes, scales;
};

/// Quantises blocks given by a number for each element.
template <class BlockOf>
Plain quantised(const Values& x, bool power, const BlockOf& block_of) {
  const std::size_t size = x.size();
  std::vector<float> amax;
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t b = block_of(i);
    if (amax.size() <= b) amax.resize(b + 1, 1e-4F);
    amax[b] = std::max(amax[b], std::fabs(x[i]));
  }
  Plain out{Values(size), Values(size)};
  for (std::size_t i = 0; i < size; ++i) {
    const float a = amax[block_of(i)];
    float scale = a / 448.0F, inverse = 448.0F / a;
    if (power) {
      int exponent = 0;
      const float half = std::frexp(scale, &exponent);
      scale = std::ldexp(1.0F, half == 0.5F ? exponent - 1 : exponent);
      inverse = 1.0F / scale;
    }
    out.codes[i] = e4m3_decode(e4m3_encode(x[i] * inverse));
    out.scales[i] = scale;
  }
  return out;
}

std::size_t token_block(std::size_t i, std::int64_t cols) {
  const auto width = static_cast<std::size_t>(cols);
  return i / width * ((width + 127) / 128) + i % width / 128;
}
/// Blocks of 128 rows that begin anew with each sequence.
std::size_t channel_block(std::size_t i, std::int64_t cols) {
  const auto width = static_cast<std::size_t>(cols), rows = static_cast<std::size_t>(kRows);
  const std::size_t row = i / width;
  const std::size_t block = row / rows * ((rows + 127) / 128) + row % rows / 128;
  return block * width + i % width;
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
    const Values w = normal(kIn * kOut, 1);
    copy_to_device(w.data(), w.size(), parameters.weights(Region::dense).data);
    parameters.update_copies(pass.exec);
    pass.parameters = &parameters;
    batch.assign(Deal{}, 0, kSequences);
  }
  void take(Arena& into) {
    parameters.allocate(into, 1, 1);
    linear.make_workspace(into, precision, kSequences, kRows);
  }
  Values read(Matrix<float> x) {
    fence(pass.exec, "moray::test: results are read");
    Values all(static_cast<std::size_t>(x.rows * x.cols));
    copy_to_host(x.data, all.size(), all.data());
    return all;
  }
};

struct OnDevice {
  View1<float> storage;
  Matrix<float> matrix;
  OnDevice(const Values& values, std::int64_t cols)
      : storage("moray::test::values", values.size()),
        matrix{storage.data(), static_cast<std::int64_t>(values.size()) / cols, cols, cols} {
    copy_to_device(values.data(), values.size(), storage.data());
  }
};

bool same_bits(const Values& a, const Values& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("an FP8 Linear is the lines of docs/fp8.md", "[low]") {
  for (const bool power : {false, true}) {
    Case c({.compute = "fp8", .scales = power ? "power_of_two" : "float32"});
    constexpr std::int64_t tokens = kSequences * kRows;
    const Values x = normal(tokens * kIn, 2), dy = normal(tokens * kOut, 3);
    const OnDevice on_x(x, kIn), on_dy(dy, kOut), y(Values(tokens * kOut), kOut),
        dx(Values(tokens * kIn), kIn);
    c.linear.forward(c.pass, on_x.matrix, y.matrix);
    c.linear.backward_input(c.pass, on_dy.matrix, dx.matrix);
    c.linear.backward_weight(c.pass, {&c.batch, kRows}, on_dy.matrix, on_x.matrix);

    const Plain w = quantised(normal(kIn * kOut, 1), power, [](std::size_t i) {
      return i / kIn / 128 * ((kIn + 127) / 128) + i % kIn / 128;
    });
    const Plain qx = quantised(x, power, [](std::size_t i) { return token_block(i, kIn); });
    const Plain qdy = quantised(dy, power, [](std::size_t i) { return token_block(i, kOut); });
    // Of `left` element l at left[i0 + l di], likewise `right`; blocks of 128 from begin.
    const auto add = [](float acc, const Plain& left, std::size_t i0, std::size_t di,
                        const Plain& right, std::size_t j0, std::size_t dj, std::size_t count) {
      for (std::size_t q = 0; q < count; q += 128) {
        float chain = 0;
        for (std::size_t l = q; l < std::min(q + 128, count); ++l)
          chain = std::fma(left.codes[i0 + l * di], right.codes[j0 + l * dj], chain);
        acc = std::fma(chain, left.scales[i0 + q * di] * right.scales[j0 + q * dj], acc);
      }
      return acc;
    };
    Values expected_y, expected_dx, expected_dw(static_cast<std::size_t>(kOut * kIn));
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t o = 0; o < kOut; ++o)
        expected_y.push_back(rounded(add(0, qx, t * kIn, 1, w, o * kIn, 1, kIn) + 0.0F));
      for (std::size_t i = 0; i < kIn; ++i)
        expected_dx.push_back(rounded(add(0, qdy, t * kOut, 1, w, i, kIn, kOut) + 0.0F));
    }
    // x anew from its codes, dy from its values.
    Values x_again(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) x_again[i] = qx.codes[i] * qx.scales[i];
    const Plain cx = quantised(x_again, power, [](std::size_t i) { return channel_block(i, kIn); });
    const Plain cdy = quantised(dy, power, [](std::size_t i) { return channel_block(i, kOut); });
    for (std::size_t o = 0; o < kOut; ++o) {
      for (std::size_t i = 0; i < kIn; ++i) {
        float acc = 0;
        for (std::size_t s = 0; s < kSequences; ++s)
          acc = add(acc, cdy, s * kRows * kOut + o, kOut, cx, s * kRows * kIn + i, kIn, kRows);
        expected_dw[o * kIn + i] = acc + 0.0F;
      }
    }
    CHECK(same_bits(c.read(y.matrix), expected_y));
    CHECK(same_bits(c.read(dx.matrix), expected_dx));
    CHECK(same_bits(c.read(c.parameters.gradient(c.linear.weight(), 0)), expected_dw));
  }
}

TEST_CASE("a bf16 Linear rounds operands and results, and sums as float32 does", "[low]") {
  Case c({.compute = "bf16"});
  constexpr std::int64_t tokens = kSequences * kRows;
  Values x = normal(tokens * kIn, 2), dy = normal(tokens * kOut, 3), w = normal(kIn * kOut, 1);
  const OnDevice on_x(x, kIn), on_dy(dy, kOut), y(Values(tokens * kOut), kOut),
      dx(Values(tokens * kIn), kIn);
  c.linear.forward(c.pass, on_x.matrix, y.matrix);
  c.linear.backward_input(c.pass, on_dy.matrix, dx.matrix);
  c.linear.backward_weight(c.pass, {&c.batch, kRows}, on_dy.matrix, on_x.matrix);
  for (Values* all : {&x, &dy, &w}) {
    for (float& value : *all) value = rounded(value);
  }
  Values expected_y, expected_dx, expected_dw(static_cast<std::size_t>(kOut * kIn));
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t o = 0; o < kOut; ++o) {
      float acc = 0;
      for (std::size_t i = 0; i < kIn; ++i) acc = std::fma(x[t * kIn + i], w[o * kIn + i], acc);
      expected_y.push_back(rounded(acc + 0.0F));
    }
    for (std::size_t i = 0; i < kIn; ++i) {
      float acc = 0;
      for (std::size_t o = 0; o < kOut; ++o) acc = std::fma(dy[t * kOut + o], w[o * kIn + i], acc);
      expected_dx.push_back(rounded(acc + 0.0F));
    }
  }
  for (std::size_t o = 0; o < kOut; ++o) {
    for (std::size_t i = 0; i < kIn; ++i) {
      float acc = 0;
      for (std::size_t t = 0; t < tokens; ++t)
        acc = std::fma(dy[t * kOut + o], x[t * kIn + i], acc);
      expected_dw[o * kIn + i] = acc + 0.0F;
    }
  }
  CHECK(same_bits(c.read(y.matrix), expected_y));
  CHECK(same_bits(c.read(dx.matrix), expected_dx));
  CHECK(same_bits(c.read(c.parameters.gradient(c.linear.weight(), 0)), expected_dw));
}

TEST_CASE("what becomes of the values of an FP8 Linear is counted once", "[low]") {
  Case c({.compute = "fp8"});
  REQUIRE(c.parameters.fp8_tensors() == std::vector<std::string>{"m.a+b"});
  Fp8Statistics statistics;
  Arena counted, arena;
  statistics.allocate(counted, 1);
  arena.reserve(counted);
  statistics.allocate(arena, 1);
  constexpr std::int64_t tokens = kSequences * kRows;
  Values x = normal(tokens * kIn, 2);
  for (std::size_t i = 0; i < x.size(); i += 3) x[i] *= 1e-6F;
  const OnDevice on_x(x, kIn), on_dy(normal(tokens * kOut, 3), kOut),
      y(Values(tokens * kOut), kOut), dx(Values(tokens * kIn), kIn);
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
  c.parameters.add_statistics(c.pass.exec, Region::expert, statistics);  // where it is not
  CHECK(word(Fp8Role::w, QuantizationWord::values) == 0);
  c.parameters.add_statistics(c.pass.exec, Region::dense, statistics);
  CHECK(word(Fp8Role::x, QuantizationWord::values) == tokens * kIn);
  CHECK(word(Fp8Role::x, QuantizationWord::blocks) == tokens * 2);
  CHECK(word(Fp8Role::dy, QuantizationWord::values) == tokens * kOut);
  CHECK(word(Fp8Role::dy, QuantizationWord::blocks) == tokens * 3);
  CHECK(word(Fp8Role::w, QuantizationWord::values) == kIn * kOut);
  CHECK(word(Fp8Role::w, QuantizationWord::blocks) == 2 * 3);
  const Plain qx = quantised(x, false, [](std::size_t i) { return token_block(i, kIn); });
  std::int64_t lost = 0;
  for (std::size_t i = 0; i < x.size(); ++i) lost += x[i] != 0 && qx.codes[i] == 0 ? 1 : 0;
  CHECK(lost > tokens * kIn / 4);
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
