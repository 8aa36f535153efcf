#include "io/checkpoint_reader.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "io/checkpoint_layout.hpp"
#include "io/hdf5.hpp"

namespace moray {
namespace {

constexpr std::int64_t kManifestLimit = std::int64_t{64} << 20;
constexpr std::int64_t kDigestBytes = sizeof(Digest::bytes);

std::string manifest_text(const std::string& path) {
  const std::string file = fmt::format("{}/{}", path, kManifestFile);
  if (!path_exists(file))
    throw DamagedCheckpoint(fmt::format("{}: is missing; the checkpoint is not complete", file));
  return read_text(file, kManifestLimit);
}

File open_member(const std::string& folder, const char* name) {
  const std::string path = fmt::format("{}/{}", folder, name);
  if (!path_exists(path)) throw DamagedCheckpoint(fmt::format("{}: is missing", path));
  return File(path, O_RDONLY);
}

void check_size(const File& file, std::int64_t expected) {
  const std::int64_t size = file.size();
  if (size != expected)
    throw DamagedCheckpoint(
        fmt::format("{}: has {} bytes, {} were written", file.path(), size, expected));
}

/// A file that can be opened but not read is as good as damaged: the one before is tried.
void read_or_damaged(const File& file, void* data, std::int64_t size, std::int64_t offset) {
  try {
    file.read(data, static_cast<std::size_t>(size), offset);
  } catch (const Error& error) {
    throw DamagedCheckpoint(error.what());
  }
}

}  // namespace

Checkpoint::Checkpoint(const std::string& path) : path_(path) {
  const std::string text = manifest_text(path);
  manifest_ = parse_manifest(text, fmt::format("{}/{}", path, kManifestFile));
  digest_ = manifest_digest(text);
  open_files();
  check_file();
}

Checkpoint::Checkpoint(Collective& ranks, const std::string& path) : path_(path) {
  ranks.broadcast(path_);
  std::string text;
  agree(ranks, [&] {
    if (ranks.rank() != 0) return;
    *this = Checkpoint(path_);
    text = manifest_text(path_);
    if (manifest_digest(text) != digest_)
      throw DamagedCheckpoint(fmt::format("{}: changed while it was read", path_));
  });
  ranks.broadcast(text);
  agree(ranks, [&] {
    if (ranks.rank() == 0) return;
    manifest_ = parse_manifest(text, fmt::format("{}/{}", path_, kManifestFile));
    digest_ = manifest_digest(text);
    open_files();
  });
}

void Checkpoint::open_files() {
  first_block_.assign(1, 0);
  for (std::size_t i = 0; i < manifest_.datasets.size(); ++i) {
    const StoredDataset& dataset = manifest_.datasets[i];
    if (!index_.emplace(dataset.spec.name, i).second)
      throw DamagedCheckpoint(
          fmt::format("{}: the manifest lists {} twice", path_, dataset.spec.name));
    first_block_.push_back(first_block_.back() + BlockGrid(dataset.spec).blocks());
  }
  tensors_ = open_member(path_, kTensorFile);
  blocks_ = open_member(path_, kBlockFile);
  check_size(tensors_, manifest_.tensor_file_size);
  check_size(blocks_, manifest_.block_file_size);
  check_size(blocks_, first_block_.back() * kDigestBytes);
}

void Checkpoint::check_file() const {
  Digest outside;
  try {
    outside = digest_outside(tensors_, manifest_.datasets);
  } catch (const Error& error) {
    throw DamagedCheckpoint(error.what());
  }
  if (outside != manifest_.outside)
    throw DamagedCheckpoint(
        fmt::format("{}: bytes outside the tensors are not those written", tensors_.path()));
  check_layout(tensors_.path(), manifest_);
}

const StoredDataset& Checkpoint::find(const std::string& dataset) const {
  const auto found = index_.find(dataset);
  if (found == index_.end()) fail(ExitCode::io, "{}: has no dataset {}", path_, dataset);
  return manifest_.datasets[found->second];
}

void Checkpoint::expect(const std::string& dataset, Dtype dtype,
                        const std::vector<std::int64_t>& shape) const {
  const DatasetSpec& spec = find(dataset).spec;
  if (spec.dtype != dtype || spec.shape != shape)
    fail(ExitCode::io, "{}: {} is {} ({}), the model needs {} ({})", path_, dataset,
         name_of(spec.dtype), fmt::join(spec.shape, ", "), name_of(dtype), fmt::join(shape, ", "));
}

bool Checkpoint::has_attribute(const std::string& name) const {
  return std::any_of(manifest_.attributes.begin(), manifest_.attributes.end(),
                     [&](const Attribute& attribute) { return attribute.name == name; });
}

const AttributeValue& Checkpoint::attribute(const std::string& name) const {
  for (const Attribute& candidate : manifest_.attributes) {
    if (candidate.name == name) return candidate.value;
  }
  fail(ExitCode::io, "{}: has no attribute '{}'", path_, name);
}

std::int64_t Checkpoint::integer(const std::string& name) const {
  const auto* value = std::get_if<std::int64_t>(&attribute(name));
  if (value == nullptr) fail(ExitCode::io, "{}: attribute '{}' is not an integer", path_, name);
  return *value;
}

double Checkpoint::real(const std::string& name) const {
  const auto* value = std::get_if<double>(&attribute(name));
  if (value == nullptr) fail(ExitCode::io, "{}: attribute '{}' is not a float64", path_, name);
  return *value;
}

const std::string& Checkpoint::string(const std::string& name) const {
  const auto* value = std::get_if<std::string>(&attribute(name));
  if (value == nullptr) fail(ExitCode::io, "{}: attribute '{}' is not a text", path_, name);
  return *value;
}

std::string Checkpoint::text(const std::string& name) const {
  const auto& names = manifest_.texts;
  if (std::find(names.begin(), names.end(), name) == names.end())
    fail(ExitCode::io, "{}: has no text '{}'", path_, name);
  check_file();  // again, since HDF5 must see no byte that was not just verified
  return hdf5::read_text(hdf5::open_file(tensors_.path()), name, tensors_.path());
}

const std::vector<Digest>& Checkpoint::block_digests(std::size_t dataset) const {
  if (loaded_ == dataset) return loaded_digests_;
  loaded_ = SIZE_MAX;
  const std::int64_t first = first_block_[dataset];
  const std::int64_t count = first_block_[dataset + 1] - first;
  loaded_digests_.resize(static_cast<std::size_t>(count));
  read_or_damaged(blocks_, loaded_digests_.data(), count * kDigestBytes, first * kDigestBytes);
  const StoredDataset& stored = manifest_.datasets[dataset];
  if (digest_of(loaded_digests_.data(), loaded_digests_.size() * kDigestBytes) != stored.digest)
    throw DamagedCheckpoint(fmt::format("{}: the digests of {} are not those written",
                                        blocks_.path(), stored.spec.name));
  loaded_ = dataset;
  return loaded_digests_;
}

void Checkpoint::read_block(std::size_t dataset, std::int64_t block, void* out) const {
  const StoredDataset& stored = manifest_.datasets[dataset];
  const BlockGrid grid(stored.spec);
  const std::int64_t width = bytes_of(stored.spec.dtype);
  const std::int64_t bytes = grid.count(block) * width;
  const Digest& expected = block_digests(dataset)[static_cast<std::size_t>(block)];
  read_or_damaged(tensors_, out, bytes, stored.offset + grid.begin(block) * width);
  if (digest_of(out, static_cast<std::size_t>(bytes)) != expected)
    throw DamagedCheckpoint(fmt::format("{}: elements {} to {} of {} are not those written",
                                        tensors_.path(), grid.begin(block),
                                        grid.begin(block + 1) - 1, stored.spec.name));
}

void Checkpoint::read(const std::string& dataset, std::int64_t offset, std::int64_t count,
                      void* out) const {
  const StoredDataset& stored = find(dataset);
  const std::size_t index = index_.at(dataset);
  const BlockGrid grid(stored.spec);
  MORAY_REQUIRE(offset >= 0 && count >= 0 && offset <= grid.elements() - count);
  if (count == 0) return;
  const std::int64_t width = bytes_of(stored.spec.dtype);
  const std::int64_t end = offset + count;
  char* const bytes = static_cast<char*>(out);
  std::vector<char> partial;
  for (std::int64_t block = grid.block_of(offset); block <= grid.block_of(end - 1); ++block) {
    const std::int64_t begin = grid.begin(block);
    if (begin >= offset && begin + grid.count(block) <= end) {
      read_block(index, block, bytes + (begin - offset) * width);
      continue;
    }
    partial.resize(static_cast<std::size_t>(grid.count(block) * width));
    read_block(index, block, partial.data());
    const std::int64_t from = std::max(begin, offset);
    const std::int64_t until = std::min(begin + grid.count(block), end);
    std::memcpy(bytes + (from - offset) * width, partial.data() + (from - begin) * width,
                static_cast<std::size_t>((until - from) * width));
  }
}

void Checkpoint::verify_blocks(int rank, int size) const {
  std::int64_t all = 0;
  for (const StoredDataset& dataset : manifest_.datasets) all += dataset.bytes();
  const std::int64_t begin = all / size * rank + all % size * rank / size;
  const std::int64_t end = all / size * (rank + 1) + all % size * (rank + 1) / size;
  std::vector<char> buffer;
  std::int64_t at = 0;  // where the dataset begins, all lying one behind the other
  for (std::size_t dataset = 0; dataset < manifest_.datasets.size(); ++dataset) {
    const StoredDataset& stored = manifest_.datasets[dataset];
    const std::int64_t width = bytes_of(stored.spec.dtype);
    const BlockGrid grid(stored.spec);
    // The first block that begins at this byte or behind it.
    const auto first_from = [&](std::int64_t byte) {
      const std::int64_t element = (byte - at + width - 1) / width;
      if (byte <= at) return std::int64_t{0};
      if (element >= grid.elements()) return grid.blocks();
      const std::int64_t block = grid.block_of(element);
      return grid.begin(block) < element ? block + 1 : block;
    };
    buffer.resize(static_cast<std::size_t>(std::min(grid.elements(), kDigestBlock) * width));
    for (std::int64_t block = first_from(begin); block < first_from(end); ++block)
      read_block(dataset, block, buffer.data());
    at += stored.bytes();
  }
}

}  // namespace moray
