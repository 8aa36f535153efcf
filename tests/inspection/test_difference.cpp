#include <cmath>
#include <cstring>
#include <limits>

#include "catch.hpp"
#include "inspection/checkpoint_difference.hpp"
#include "io/checkpoint_reader.hpp"
#include "tests/io/ranks.hpp"
#include "tests/io/sample.hpp"

using namespace moray;
using namespace moray::testing;

namespace {

const auto kAll = [](const std::string&) { return true; };

void save(const Sample& sample, const std::string& folder) {
  const auto errors = run_ranks(1, [&](Collective& ranks) {
    save_checkpoint(ranks, folder, "test", sample.content, sample.slabs(0, 1));
  });
  REQUIRE(errors[0].empty());
}

template <class T>
void put(Sample& sample, std::size_t dataset, std::size_t element, T value) {
  std::memcpy(sample.values[dataset].data() + element * sizeof(T), &value, sizeof(T));
}

const TensorDifference& tensor(const CheckpointDifference& d, const std::string& name) {
  for (const TensorDifference& t : d.tensors)
    if (t.name == name) return t;
  throw std::runtime_error(name + " was not compared");
}

}  // namespace

TEST_CASE("checkpoints of equal tensors are equal", "[difference]") {
  TemporaryFolder folder, other;
  save(Sample(5), folder.path());
  save(Sample(5), other.path());
  const Checkpoint a(folder / "step_00000005");
  const Checkpoint b(other / "step_00000005");
  const CheckpointDifference d = compare_checkpoints(a, b, kAll);
  CHECK(d.equal());
  CHECK(d.tensors.size() == Sample(5).content.datasets.size());
  CHECK(tensor(d, "model/norm/weight").relative() == 0);
}

TEST_CASE("each kind of difference is found and counted", "[difference]") {
  TemporaryFolder folder, other;
  Sample left(5);
  Sample right(5);
  std::fill(left.values[2].begin(), left.values[2].end(), '\0');  // model/norm/weight, float32
  right.values[2] = left.values[2];
  put(left, 2, 0, 3.0F);
  put(left, 2, 1, 4.0F);
  put(right, 2, 0, 3.0F);
  put(right, 2, 1, 3.5F);
  put(right, 2, 2, -0.0F);  // other bits, the same value
  put(left, 2, 3, std::numeric_limits<float>::quiet_NaN());
  put(right, 2, 3, 1.0F);
  put(left, 2, 4, std::numeric_limits<float>::quiet_NaN());  // the same bits on both sides
  put(right, 2, 4, std::numeric_limits<float>::quiet_NaN());
  put(left, 3, 299, std::uint16_t{0x3F80});   // bfloat16 1
  put(right, 3, 299, std::uint16_t{0x4000});  // 2
  put(left, 6, 0, std::int64_t{7});
  put(right, 6, 0, std::int64_t{-7});
  // The last value of a tensor of several blocks.
  put(left, 0, 260 * 300 - 1, 1.0F);
  put(right, 0, 260 * 300 - 1, 1.5F);
  right.content.datasets[5].shape = {1000, 70};
  right.content.datasets[7].name = "data/other";
  save(left, folder.path());
  save(right, other.path());
  const CheckpointDifference d = compare_checkpoints(Checkpoint(folder / "step_00000005"),
                                                     Checkpoint(other / "step_00000005"), kAll);
  CHECK_FALSE(d.equal());
  const TensorDifference& norm = tensor(d, "model/norm/weight");
  CHECK(norm.different == 3);
  CHECK(norm.not_finite == 1);
  CHECK(norm.max == 0.5);
  CHECK(norm.norm == 0.5);
  CHECK(norm.relative() == Approx(0.1));
  CHECK(tensor(d, "optimizer/m/model/norm/weight").max == 1);
  CHECK(tensor(d, "model/layers/1/mlp/gate/loads").max == 14);
  CHECK(tensor(d, "model/embed_tokens/weight").different == 1);
  CHECK(tensor(d, "model/layers/1/mlp/experts/up_proj/weight").equal());
  REQUIRE(d.mismatches.size() == 1);
  CHECK(d.mismatches[0].b.shape == std::vector<std::int64_t>{1000, 70});
  REQUIRE(d.only_a.size() == 1);
  CHECK(d.only_a[0].name == "data/norms");
  REQUIRE(d.only_b.size() == 1);
  CHECK(d.only_b[0].name == "data/other");
}

TEST_CASE("tensors that were not chosen do not count", "[difference]") {
  TemporaryFolder folder, other;
  Sample right(5);
  put(right, 3, 0, std::uint16_t{0x3F80});
  save(Sample(5), folder.path());
  save(right, other.path());
  const Checkpoint a(folder / "step_00000005");
  const Checkpoint b(other / "step_00000005");
  CHECK_FALSE(compare_checkpoints(a, b, kAll).equal());
  CHECK(compare_checkpoints(a, b, [](const std::string& name) {
          return !name.starts_with("optimizer/");
        }).equal());
}
