// Writes a checkpoint anew as another program might have: rewrite_checkpoint FROM FOLDER EDIT..., where an EDIT
// is fp8-alone (no optimizer, no float32 weight that has codes) or NAME=2,3 (a dataset of that shape, its first
// values kept, zeros beyond them). Prints the path.
#include <cstring>
#include <map>

#include "io/checkpoint_writer.hpp"
#include "io/fp8_weights.hpp"

namespace moray {
namespace {

std::vector<std::int64_t> shape_of(const std::string& text) {
  std::vector<std::int64_t> shape;
  for (std::size_t at = 0; at < text.size(); at = text.find(',', at) + 1) {
    shape.push_back(std::stoll(text.substr(at)));
    if (text.find(',', at) == std::string::npos) break;
  }
  return shape;
}

int rewrite(const std::string& from, const std::string& folder,
            const std::vector<std::string>& edits) {
  const Checkpoint checkpoint(from);
  bool alone = false;
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const std::string& edit : edits) {
    const std::size_t equals = edit.find('=');
    if (edit == "fp8-alone") {
      alone = true;
    } else {
      shapes[edit.substr(0, equals)] = shape_of(edit.substr(equals + 1));
    }
  }
  CheckpointContent content;
  content.step = checkpoint.step();
  content.attributes = checkpoint.manifest().attributes;
  for (const std::string& name : checkpoint.manifest().texts)
    content.texts.emplace_back(name, checkpoint.text(name));
  std::vector<std::vector<char>> values;
  std::vector<Slab> slabs;
  for (const StoredDataset& stored : checkpoint.manifest().datasets) {
    DatasetSpec spec = stored.spec;
    if (alone && (spec.name.starts_with("optimizer/") || has_fp8_weights(checkpoint, spec.name)))
      continue;
    const std::int64_t before = BlockGrid(spec).elements();
    if (shapes.contains(spec.name)) spec.shape = shapes[spec.name];
    const std::int64_t elements = BlockGrid(spec).elements();
    const auto most = static_cast<std::size_t>(std::max(before, elements));
    values.emplace_back(most * static_cast<std::size_t>(bytes_of(spec.dtype)));
    checkpoint.read(spec.name, 0, before, values.back().data());
    content.datasets.push_back(spec);
    slabs.push_back({slabs.size(), 0, elements, nullptr});
  }
  for (Slab& slab : slabs) slab.data = values[slab.dataset].data();
  SerialCollective serial;
  fmt::print("{}\n", save_checkpoint(serial, folder, "rewritten", content, slabs));
  return 0;
}

}  // namespace
}  // namespace moray

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  return moray::rewrite(argv[1], argv[2], {argv + 3, argv + argc});
}
