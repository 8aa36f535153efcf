#include "tests/io/sample.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "io/checkpoint_reader.hpp"
#include "tests/io/ranks.hpp"

namespace moray::testing {
namespace {

/// Bits of element i of dataset d at a step: a fixed scramble (of no statistical ambition).
std::uint64_t scramble(std::int64_t step, std::size_t dataset, std::int64_t i) {
  std::uint64_t x = static_cast<std::uint64_t>(step) * 0x9E3779B97F4A7C15u + dataset * 0x517CC1B7u +
                    static_cast<std::uint64_t>(i);
  x = (x ^ (x >> 31)) * 0xBF58476D1CE4E5B9u;
  return x ^ (x >> 29);
}

/// Finite values of the dtype, so that other readers' comparisons mean something.
void fill(std::vector<char>& bytes, Dtype dtype, std::int64_t step, std::size_t dataset) {
  const std::int64_t width = bytes_of(dtype);
  const std::int64_t count = static_cast<std::int64_t>(bytes.size()) / width;
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint64_t bits = scramble(step, dataset, i);
    if (dtype == Dtype::float32) bits = (bits & 0x807FFFFFu) | (96 + bits % 63) << 23;
    if (dtype == Dtype::bfloat16) bits = (bits & 0x807Fu) | (96 + bits % 63) << 7;
    if (dtype == Dtype::float64) bits = (bits & 0x800FFFFFFFFFFFFFu) | (991 + bits % 63) << 52;
    std::memcpy(bytes.data() + i * width, &bits, static_cast<std::size_t>(width));
  }
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "moray-io-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) fail(ExitCode::io, "{}: mkdtemp failed", pattern);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  remove_tree(path_);
}

Sample::Sample(std::int64_t step) {
  content.step = step;
  content.attributes = {{"tokens", step * 1000}, {"loss", 1.0 / 3.0}, {"seed", std::string("7")}};
  content.texts = {{"deck", "run: {name: sample}\n"}, {"build", "möray\n"}, {"empty", ""}};
  content.datasets = {
      {"model/embed_tokens/weight", Dtype::float32, {260, 300}, "vocabulary,model", 1, {}},
      {"model/layers/1/mlp/experts/up_proj/weight",
       Dtype::float32,
       {4, 64, 300},
       "expert,out,in",
       4,
       {}},
      {"model/norm/weight", Dtype::float32, {300}, "model", 1, {}},
      {"optimizer/m/model/norm/weight", Dtype::bfloat16, {300}, "model", 1, {}},
      {"optimizer/m/model/embed_tokens/weight",
       Dtype::bfloat16,
       {260, 300},
       "vocabulary,model",
       1,
       {{"unit", std::string("1")}}},
      {"model/layers/1/mlp/experts/up_proj/weight_fp8",
       Dtype::uint8,
       {70, 1000},
       "out,in",
       1,
       {{"dtype", std::string("float8_e4m3fn")}}},
      {"model/layers/1/mlp/gate/loads", Dtype::int64, {4}, "expert", 1, {}},
      {"data/norms", Dtype::float64, {1}, "one", 1, {}},
  };
  for (std::size_t i = 0; i < content.datasets.size(); ++i) {
    const DatasetSpec& spec = content.datasets[i];
    values.emplace_back(
        static_cast<std::size_t>(BlockGrid(spec).elements() * bytes_of(spec.dtype)));
    fill(values.back(), spec.dtype, step, i);
  }
}

std::vector<Slab> Sample::slabs(int rank, int size) const {
  std::vector<Slab> mine;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const BlockGrid grid(content.datasets[i]);
    const std::int64_t first = grid.blocks() * rank / size;
    const std::int64_t last = grid.blocks() * (rank + 1) / size;
    const std::int64_t begin = grid.begin(first);
    const std::int64_t width = bytes_of(content.datasets[i].dtype);
    mine.push_back({i, begin, grid.begin(last) - begin, values[i].data() + begin * width});
  }
  return mine;
}

std::vector<std::string> save_sample(const std::string& folder, std::int64_t step, int ranks,
                                     Writing writing) {
  const Sample sample(step);
  return run_ranks(ranks, [&](Collective& all) {
    const std::vector<Slab> slabs = sample.slabs(all.rank(), all.size());
    if (writing == Writing::in_front) {
      save_checkpoint(all, folder, "test", sample.content, slabs);
      return;
    }
    CheckpointWriter writer(all, folder, "test");
    writer.begin(sample.content);
    std::thread([&] {
      writer.write(slabs);
      writer.finish();
    }).join();
    writer.commit();
  });
}

bool equals_sample(const Checkpoint& checkpoint) {
  const Sample sample(checkpoint.step());
  for (std::size_t i = 0; i < sample.values.size(); ++i) {
    const DatasetSpec& spec = sample.content.datasets[i];
    const std::int64_t width = bytes_of(spec.dtype);
    const std::int64_t elements = BlockGrid(spec).elements();
    std::vector<char> whole(sample.values[i].size());
    checkpoint.read(spec.name, 0, elements, whole.data());
    if (whole != sample.values[i]) return false;
    std::vector<char> pieces(whole.size());
    const std::int64_t piece = std::max<std::int64_t>(1, elements / 3 + 1);
    for (std::int64_t at = 0; at < elements; at += piece) {
      const std::int64_t count = std::min(piece, elements - at);
      checkpoint.read(spec.name, at, count, pieces.data() + at * width);
    }
    if (pieces != whole) return false;
  }
  return true;
}

}  // namespace moray::testing
