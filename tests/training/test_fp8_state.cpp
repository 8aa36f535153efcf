// FP8 forms of weights in a checkpoint: written, read, refused where they do not fit, and their errors.
#include <algorithm>
#include <cmath>

#include "catch.hpp"
#include "inspection/fp8_error.hpp"
#include "io/fp8_weights.hpp"
#include "tests/io/sample.hpp"
#include "training/fp8_state.hpp"

using namespace moray;
using namespace moray::testing;

namespace {

constexpr const char* kWeight = "model/layers/0/self_attn/o_proj/weight";
constexpr const char* kExperts = "model/layers/1/mlp/experts/up_proj/weight";
constexpr std::int64_t kRows = 300, kCols = 700;  // more than one strip, digest block and scale
constexpr std::int64_t kWidth = 140, kInner = 150, kCount = 3;

/// The value of an E4M3 code without a sign, from its fields.
double value_of_code(int code) {
  const int exponent = code >> 3;
  const int mantissa = code & 7;
  return exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
}

/// The nearest of all codes, the even one of two.
std::uint8_t plain_code(float x) {
  const double magnitude = std::min(std::abs(static_cast<double>(x)), 448.0);
  int best = 0;
  for (int code = 1; code <= 0x7e; ++code) {
    const double distance = std::abs(value_of_code(code) - magnitude);
    const double least = std::abs(value_of_code(best) - magnitude);
    if (distance < least || (distance == least && code % 2 == 0)) best = code;
  }
  return static_cast<std::uint8_t>(best | (std::signbit(x) ? 0x80 : 0));
}

/// docs/fp8.md section 2 for one matrix, rule float32.
void plain_quantize(const float* w, std::int64_t rows, std::int64_t cols,
                    std::vector<std::uint8_t>& codes, std::vector<float>& scales) {
  const std::int64_t across = (cols + 127) / 128;
  const auto grid = static_cast<std::size_t>((rows + 127) / 128 * across);
  std::vector<float> amax(grid, 1e-4F);
  const auto block = [&](std::int64_t i) {
    return static_cast<std::size_t>(i / cols / 128 * across + i % cols / 128);
  };
  for (std::int64_t i = 0; i < rows * cols; ++i)
    amax[block(i)] = std::max(amax[block(i)], std::abs(w[i]));
  for (const float a : amax) scales.push_back(a / 448.0F);
  for (std::int64_t i = 0; i < rows * cols; ++i)
    codes.push_back(plain_code(w[i] * (448.0F / amax[block(i)])));
}

/// A model of two tensors that have an FP8 form and three that have none, with values.
struct Weights {
  explicit Weights(const std::string& which = "all_linears",
                   const PrecisionConfig& precision = {}) {
    parameters.set_precision(precision);
    parameters.declare(Region::dense, kCols, {{"model.embed_tokens.weight", 4}});
    parameters.declare(Region::dense, kCols, {{"model.layers.0.self_attn.o_proj.weight", kRows}});
    for (int e = 0; e < kCount; ++e) {
      const std::string name = fmt::format("model.layers.1.mlp.experts.{}.up_proj.weight", e);
      parameters.declare(Region::expert, kInner, {{name, kWidth}});
    }
    parameters.declare(Region::dense, kCols, {{"model.layers.1.mlp.gate.weight", 3}});
    parameters.declare_vector("model.norm.weight", 7);
    const auto take = [&](Arena& from) {
      parameters.allocate(from, 1, 1);
      fp8 = allocate_fp8_saving(from, which, parameters);
    };
    Arena plan;
    take(plan);
    arena.reserve(plan);
    take(arena);
    std::uint64_t state = 1;
    for (const Parameter& p : parameters.list()) {
      const Vector<float> values = parameters.values(p);
      for (std::int64_t i = 0; i < values.size; ++i) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const auto bits = static_cast<double>(static_cast<std::int64_t>(state) >> 11);
        // Blocks of different sizes, one of them below the least scale.
        const int size = static_cast<int>(i / 50000) * 8 - 12;
        values[i] = static_cast<float>(std::ldexp(bits, size - 52));
      }
    }
  }

  std::vector<float> values(const std::string& dataset) {
    std::vector<float> all;
    for (const Parameter& p : parameters.list()) {
      if (dataset_name(p.name) != dataset) continue;
      const Vector<float> v = parameters.values(p);
      all.insert(all.end(), v.data, v.data + v.size);
    }
    return all;
  }

  /// What a rank owns that has the digest blocks [first, last) of every tensor.
  std::vector<StateTensor> state(std::int64_t first, std::int64_t last) {
    std::vector<StateTensor> tensors;
    for (const Parameter& p : parameters.list()) {
      const std::string name = dataset_name(p.name);
      const bool expert = name == kExperts;
      if (tensors.empty() || tensors.back().spec.name != name) {
        StateTensor tensor;
        tensor.spec.name = name;
        tensor.spec.axes = p.is_vector ? "channel" : expert ? "expert,out,in" : "out,in";
        tensor.spec.shape = p.is_vector ? std::vector{p.rows} : std::vector{p.rows, p.cols};
        if (expert) tensor.spec.shape.insert(tensor.spec.shape.begin(), kCount);
        tensor.spec.parts = expert ? kCount : 1;
        tensors.push_back(tensor);
        part_ = 0;
      }
      const std::int64_t begin = std::min(first * kDigestBlock, p.elements());
      const std::int64_t end = std::min(last * kDigestBlock, p.elements());
      const std::int64_t offset = part_++ * p.elements() + begin;
      if (end > begin)
        tensors.back().pieces.push_back({offset, end - begin, parameters.values(p).data + begin});
    }
    add_fp8_state(parameters, fp8, tensors);
    return tensors;
  }

  Parameters<float> parameters;
  Arena arena;
  Fp8Saving fp8;
  std::int64_t part_ = 0;
};

std::vector<std::string> names_of(const std::vector<StateTensor>& tensors) {
  std::vector<std::string> names;
  for (const StateTensor& tensor : tensors) {
    if (of_fp8_weights(tensor.spec.name)) names.push_back(tensor.spec.name);
  }
  return names;
}

const std::vector<std::string> kFp8Names = {
    std::string("fp8/") + kWeight, std::string("fp8/") + kWeight + "_scale_inv",
    std::string("fp8/") + kExperts, std::string("fp8/") + kExperts + "_scale_inv"};

template <class T>
std::vector<T> read(const Checkpoint& checkpoint, const std::string& name) {
  std::vector<T> values(static_cast<std::size_t>(BlockGrid(checkpoint.find(name).spec).elements()));
  checkpoint.read(name, 0, static_cast<std::int64_t>(values.size()), values.data());
  return values;
}

/// Saves, after `edit` has changed the list, and opens.
Checkpoint saved(const TemporaryFolder& folder, std::vector<StateTensor> tensors,
                 const std::function<void(std::vector<StateTensor>&)>& edit) {
  edit(tensors);
  SerialCollective alone;
  CheckpointContent content;
  content.step = 1;
  return Checkpoint(save_state(alone, folder.path(), "test", tensors, content));
}

/// Whether `what` is refused as an I/O error with this in its message.
bool says(const std::string& message, const std::function<void()>& what) {
  try {
    what();
  } catch (const Error& error) {
    UNSCOPED_INFO(error.what());
    return error.code() == ExitCode::io &&
           std::string(error.what()).find(message) != std::string::npos;
  }
  return false;
}

void drop(std::vector<StateTensor>& tensors, const std::string& name) {
  std::erase_if(tensors, [&](const StateTensor& tensor) { return tensor.spec.name == name; });
}

}  // namespace

TEST_CASE("codes and scales in a checkpoint are the definition's", "[fp8_state]") {
  Weights weights;
  const TemporaryFolder folder;
  const Checkpoint checkpoint = saved(folder, weights.state(0, 9), [](auto&) {});
  for (const std::string name : {kWeight, kExperts}) {
    const std::vector<float> w = weights.values(name);
    const bool expert = name == kExperts;
    const std::int64_t rows = expert ? kWidth : kRows;
    const std::int64_t cols = expert ? kInner : kCols;
    std::vector<std::uint8_t> codes;
    std::vector<float> scales;
    for (std::int64_t e = 0; e < (expert ? kCount : 1); ++e)
      plain_quantize(w.data() + e * rows * cols, rows, cols, codes, scales);
    CHECK(read<std::uint8_t>(checkpoint, "fp8/" + name) == codes);
    CHECK(read<float>(checkpoint, "fp8/" + name + "_scale_inv") == scales);
    CHECK(read<float>(checkpoint, name) == w);
  }
  const DatasetSpec& scales = checkpoint.find(kFp8Names[3]).spec;
  CHECK(scales.shape == std::vector<std::int64_t>{3, 2, 2});
  CHECK(scales.parts == 3);
}

TEST_CASE("ranks that share a weight make the codes that one makes", "[fp8_state]") {
  Weights weights;
  const std::vector<StateTensor> whole = weights.state(0, 9);
  REQUIRE(names_of(whole) == kFp8Names);
  std::vector<std::vector<StateTensor>> ranks;
  for (int rank = 0; rank < 4; ++rank) ranks.push_back(weights.state(rank, rank + 1));
  for (std::size_t t = 0; t < whole.size(); ++t) {
    const std::int64_t bytes = bytes_of(whole[t].spec.dtype);
    const std::int64_t elements = BlockGrid(whole[t].spec).elements();
    const auto size = static_cast<std::size_t>(elements * bytes);
    std::vector<char> one(size), many(size);
    std::vector<int> written(static_cast<std::size_t>(elements));
    for (const StatePiece& piece : whole[t].pieces)
      copy_piece(whole[t], piece, one.data() + piece.offset * bytes);
    for (const auto& rank : ranks) {
      for (const StatePiece& piece : rank[t].pieces) {
        copy_piece(rank[t], piece, many.data() + piece.offset * bytes);
        for (std::int64_t i = 0; i < piece.count; ++i)
          ++written[static_cast<std::size_t>(piece.offset + i)];
      }
    }
    CHECK(one == many);
    CHECK(written == std::vector<int>(written.size(), 1));
  }
}

TEST_CASE("which weights have an FP8 form", "[fp8_state]") {
  CHECK(names_of(Weights("none").state(0, 9)).empty());
  CHECK(names_of(Weights("fp8_linears").state(0, 9)).empty());
  PrecisionConfig precision;
  precision.compute = "fp8";
  precision.overrides = {{"*.o_proj", "bf16"}};
  CHECK(names_of(Weights("fp8_linears", precision).state(0, 9)) ==
        std::vector(kFp8Names.begin() + 2, kFp8Names.end()));
  CHECK(names_of(Weights("all_linears", precision).state(0, 9)) == kFp8Names);
}

TEST_CASE("a weight that is there in FP8 alone is read as code times scale", "[fp8_state]") {
  Weights weights;
  const TemporaryFolder folder;
  const Checkpoint checkpoint = saved(folder, weights.state(0, 9), [](auto& tensors) {
    drop(tensors, kWeight);
    drop(tensors, kExperts);
  });
  std::vector<std::uint8_t> codes;
  std::vector<float> scales, expected;
  plain_quantize(weights.values(kWeight).data(), kRows, kCols, codes, scales);
  for (std::int64_t i = 0; i < kRows * kCols; ++i) {
    const std::uint8_t code = codes[static_cast<std::size_t>(i)];
    const auto magnitude = static_cast<float>(value_of_code(code & 0x7f));
    const float scale = scales[static_cast<std::size_t>(i / kCols / 128 * 6 + i % kCols / 128)];
    expected.push_back(((code & 0x80) != 0 ? -magnitude : magnitude) * scale);
  }
  Weights read_into("none");
  const std::vector<StateTensor> tensors = read_into.state(0, 9);
  load_state(checkpoint, tensors);
  CHECK(read_into.values(kWeight) == expected);
  CHECK(read_into.values("model/norm/weight") == weights.values("model/norm/weight"));
  CHECK(says(std::string(kWeight) + " in FP8 alone",
             [&] { require_state(checkpoint, tensors, Fp8Alone::refuse); }));
  // Any part of it, across rows, blocks and experts.
  const DatasetSpec& experts = tensors[2].spec;
  REQUIRE(experts.name == kExperts);
  const std::vector<float> all = read_into.values(kExperts);
  std::vector<float> part(30000);
  read_fp8_weights(checkpoint, experts, 20777, 30000, part.data());
  CHECK(std::equal(part.begin(), part.end(), all.begin() + 20777));
}

TEST_CASE("codes or scales that do not fit a weight are refused by name and shapes",
          "[fp8_state]") {
  Weights weights;
  const std::vector<StateTensor> tensors = Weights("none").state(0, 9);
  const auto refused = [&](const std::function<void(std::vector<StateTensor>&)>& edit,
                           const std::string& message) {
    for (const bool alone : {false, true}) {
      const TemporaryFolder folder;
      const Checkpoint checkpoint = saved(folder, weights.state(0, 9), [&](auto& list) {
        edit(list);
        if (alone) drop(list, kExperts);
      });
      CHECK(says(message, [&] { require_state(checkpoint, tensors, Fp8Alone::read); }));
      CHECK(says(message, [&] { load_state(checkpoint, tensors); }));
      DatasetSpec experts = tensors[2].spec;
      CHECK(says(message, [&] { fp8_error(checkpoint, experts, ScaleRule::float32); }));
    }
  };
  std::vector<char> zeros(1 << 20);
  const auto replace = [&](std::size_t which, Dtype dtype, const std::vector<std::int64_t>& shape) {
    return [=, &zeros](std::vector<StateTensor>& list) {
      for (StateTensor& tensor : list) {
        if (tensor.spec.name != kFp8Names[which]) continue;
        tensor.spec.shape = shape;
        tensor.spec.dtype = dtype;
        tensor.make = {};
        tensor.pieces = {{0, BlockGrid(tensor.spec).elements(), zeros.data()}};
      }
    };
  };
  refused(replace(3, Dtype::float32, {3, 2, 1}), kFp8Names[3] + " is float32 (3, 2, 1); " +
                                                     kExperts +
                                                     " (3, 140, 150) has scales float32 (3, 2, 2)");
  refused(replace(3, Dtype::float64, {3, 2, 2}), kFp8Names[3] + " is float64 (3, 2, 2); " +
                                                     kExperts +
                                                     " (3, 140, 150) has scales float32 (3, 2, 2)");
  refused(replace(2, Dtype::uint8, {3, 150, 140}),
          kFp8Names[2] + " is uint8 (3, 150, 140); " + kExperts +
              " (3, 140, 150) has codes uint8 (3, 140, 150)");
  refused([](auto& list) { drop(list, kFp8Names[3]); },
          kFp8Names[3] + " is missing: the scales of " + kExperts + " (3, 140, 150)");
}

TEST_CASE("the error of FP8 weights", "[fp8_state]") {
  Weights weights;
  const std::vector<float> w = weights.values(kExperts);
  const TemporaryFolder with, without, changed;
  const auto keep = [](auto&) {};
  const Checkpoint stored = saved(with, weights.state(0, 9), keep);
  const Checkpoint plain = saved(without, Weights("none").state(0, 9), keep);
  const DatasetSpec experts = plain.find(kExperts).spec;

  std::vector<std::uint8_t> codes;
  std::vector<float> scales;
  for (std::int64_t e = 0; e < kCount; ++e)
    plain_quantize(w.data() + e * kWidth * kInner, kWidth, kInner, codes, scales);
  double xx = 0, xy = 0, yy = 0, dd = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    const std::int64_t row = at / kInner % kWidth;
    const std::int64_t block = at / (kWidth * kInner) * 4 + row / 128 * 2 + at % kInner / 128;
    const double y = std::copysign(value_of_code(codes[i] & 0x7f), (codes[i] & 0x80) ? -1.0 : 1.0) *
                     static_cast<double>(scales[static_cast<std::size_t>(block)]);
    const double x = static_cast<double>(w[i]);
    xx += x * x;
    xy += x * y;
    yy += y * y;
    dd += (x - y) * (x - y);
  }
  for (const Checkpoint* checkpoint : {&stored, &plain}) {
    const Fp8Error e = fp8_error(*checkpoint, experts, ScaleRule::float32);
    CHECK(e.stored == (checkpoint == &stored));
    CHECK(e.compared);
    CHECK(e.not_finite == 0);
    CHECK(e.relative_rms == Approx(std::sqrt(dd / xx)).epsilon(1e-6));
    CHECK(e.calc_diff == Approx(1 - 2 * xy / (xx + yy)).epsilon(1e-4));
    CHECK(e.least_scale == static_cast<double>(*std::min_element(scales.begin(), scales.end())));
    CHECK(e.largest_scale == static_cast<double>(*std::max_element(scales.begin(), scales.end())));
    CHECK(e.worst.relative_rms >= e.relative_rms);
    CHECK(e.relative_rms > 0.01);
    CHECK(e.relative_rms < 0.05);
  }

  // A scale that is twice too large doubles the block that it belongs to.
  const auto double_one = [](std::vector<StateTensor>& list) {
    for (StateTensor& tensor : list) {
      if (tensor.spec.name != kFp8Names[3]) continue;
      tensor.make = [make = tensor.make](const StatePiece& piece, void* host) {
        make(piece, host);
        if (piece.offset == 4) static_cast<float*>(host)[2] *= 2;
      };
    }
  };
  const Fp8Error e =
      fp8_error(saved(changed, weights.state(0, 9), double_one), experts, ScaleRule::float32);
  CHECK(e.worst.expert == 1);
  CHECK(e.worst.row == 1);
  CHECK(e.worst.column == 0);
  CHECK(e.worst.relative_rms == Approx(1).margin(0.1));
}
