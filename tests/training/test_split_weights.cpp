// Weights whose float32 values only their owners have, on however many ranks the test is started on: what products
// read of them is that of a rank with all values.
#include "catch.hpp"
#include "kernels/adamw/adamw.hpp"
#include "kernels/random/random.hpp"
#include "mpi_world.hpp"
#include "optimizer/lane_reducer.hpp"
#include "training/rank_memory.hpp"

using namespace moray;

namespace {

/// Tensors of both low precisions, one with two parts, between tensors of float32.
struct Tensors {
  explicit Tensors(const std::string& scales = "float32") {
    PrecisionConfig precision;
    precision.compute = "fp8";
    precision.scales = scales == "tensor" ? "power_of_two" : scales;
    if (scales == "tensor") precision.value_scales = scales;
    precision.overrides = {{"*.down_proj", "bf16"}};
    parameters.set_precision(precision);
    declare("model.embed_tokens.weight", 70, 100);
    parameters.declare(Region::dense, 512,
                       {{"model.layers.0.mlp.gate_proj.weight", 640},
                        {"model.layers.0.mlp.up_proj.weight", 1000}});
    parameters.declare_vector("model.norm.weight", 9);
    declare("model.layers.0.mlp.down_proj.weight", 700, 256);
    declare("model.layers.0.self_attn.o_proj.weight", 1100, 384);
    declare("model.layers.1.self_attn.o_proj.weight", 130, 72);
  }
  void declare(const std::string& name, std::int64_t rows, std::int64_t cols) {
    parameters.declare(Region::dense, cols, {{name, rows}});
  }
  /// Values that depend on their place in the tensor alone, of what this rank has.
  void fill() {
    Arena plan;
    parameters.allocate_weights(plan);
    bytes = plan.bytes(Memory::weights);
    arena.reserve(plan);
    parameters.allocate_weights(arena);
    for (const Parameter& p : parameters.list()) {
      const ElementRange present = parameters.present(p);
      if (present.size() == 0) continue;
      fill_normal(exec, random_key(p.name, 1), static_cast<std::uint64_t>(present.begin), 0.02,
                  parameters.values(p, present));
    }
    parameters.update_copies(exec);
    fence(exec, "test: filled");
  }

  ExecSpace exec;
  Parameters<float> parameters;
  Arena arena;
  std::int64_t bytes = 0;
};

}  // namespace

TEST_CASE("copies of split weights are those of whole ones, on every rank", "[split]") {
  const Communicator& ranks = test::world();
  const std::string scales = GENERATE("float32", "power_of_two");
  Tensors whole(scales), split(scales);
  whole.fill();
  const Shards shards = Shards::of(split.parameters, Region::dense, ranks.size(), ranks.rank());
  if (ranks.size() > 1) split.parameters.split(Region::dense, shards.owned());
  split.fill();

  LaneReducer reducer(ranks);
  std::int64_t gathered = 0;
  for (const GatheredShards& part : gathered_shards(split.parameters, Region::dense, shards)) {
    gathered += part.bytes.all().size();
    reducer.gather(split.exec, split.parameters.gathered(Region::dense, part.what), part.bytes);
  }
  std::int64_t low = 0, cut = 0;
  for (const Parameter& p : split.parameters.list()) {
    const ElementRange present = split.parameters.present(p);
    if (!split.parameters.has_copy(p)) {
      CHECK(present.size() == p.elements());
      continue;
    }
    CAPTURE(p.name);
    low += p.elements();
    if (present.size() > 0 && present.size() < p.elements()) ++cut;
    const ElementRange all{0, p.elements()};
    CHECK(split.parameters.copy_values(p, all) == whole.parameters.copy_values(p, all));
    CHECK(split.parameters.is_split(p) == (ranks.size() > 1));
    if (ranks.size() > 1) {
      CHECK(present.begin ==
            std::clamp(shards.owned().begin - p.offset, std::int64_t{0}, p.elements()));
      CHECK(present.end ==
            std::clamp(shards.owned().end - p.offset, std::int64_t{0}, p.elements()));
    }
  }
  if (ranks.size() == 1) return;
  CHECK(ranks.all(cut <= 2));
  CHECK(!ranks.all(cut == 0));  // the test would not show what a cut does
  // One to two bytes an element instead of four, beside float32 tensors.
  CHECK(gathered < 4 * 70 * 100 + 2 * low);
  CHECK(split.bytes + 4 * (low - 2 * low / ranks.size()) < whole.bytes);
}

TEST_CASE("a weight that an ablation rounds whole, and one that is kept whole, are not split",
          "[split]") {
  Tensors rounded("tensor"), kept;
  for (Tensors* tensors : {&rounded, &kept}) {
    if (tensors == &kept) {
      for (const Parameter& p : kept.parameters.list()) kept.parameters.keep_whole(p.matrix);
    }
    tensors->parameters.split(Region::dense, {0, 70 * 100 + 12});
    for (const Parameter& p : tensors->parameters.list()) {
      CHECK(!tensors->parameters.is_split(p));
      CHECK(tensors->parameters.present(p).size() == p.elements());
    }
    tensors->fill();
    CHECK(tensors->parameters.gathered(Region::dense, Gathered::codes).size == 0);
  }
}

TEST_CASE("owners of a weight in low precision have whole rows of its scale blocks", "[split]") {
  const Tensors tensors;
  const std::vector<std::int64_t> borders = Shards::borders(tensors.parameters, Region::dense);
  for (const Parameter& p : tensors.parameters.list()) {
    for (std::int64_t begin = 0; begin < p.elements(); begin += kBlockElements) {
      const bool found =
          std::find(borders.begin(), borders.end(), p.offset + begin) != borders.end();
      const std::int64_t row = begin / p.cols;
      CAPTURE(p.name, begin);
      CHECK(found ==
            (!tensors.parameters.has_copy(p) || (begin % p.cols == 0 && row % kScaleBlock == 0)));
    }
  }
}
