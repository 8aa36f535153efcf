#include "io/checkpoint_writer.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "core/build_info.hpp"
#include "core/no_space.hpp"
#include "io/checkpoint_layout.hpp"
#include "io/crash_point.hpp"

namespace moray {
namespace {

constexpr std::int64_t kDigestBytes = sizeof(Digest::bytes);
// Bytes that one call writes: large enough for any file system, small enough to stay cached
// between digest and write.
constexpr std::int64_t kWriteBytes = std::int64_t{8} << 20;

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace

CheckpointWriter::CheckpointWriter(Collective& ranks, std::string folder, std::string run,
                                   OpenOutput open)
    : ranks_(ranks), folder_(std::move(folder)), run_(std::move(run)), open_(std::move(open)) {}

CheckpointWriter::~CheckpointWriter() {
  abandon();
}

void CheckpointWriter::begin(const CheckpointContent& content) {
  content_ = content;
  ranks_.broadcast(run_);
  temporary_ = fmt::format("{}/{}.tmp-{}", folder_, checkpoint_name(content.step), run_);
  agree(ranks_, [&] {
    first_block_.assign(1, 0);
    for (const DatasetSpec& spec : content_.datasets) {
      check_spec(spec, temporary_);
      grids_.emplace_back(spec);
      first_block_.push_back(first_block_.back() + grids_.back().blocks());
    }
    if (ranks_.rank() == 0) lay_out_on_root();
  });
  std::string packed(reinterpret_cast<const char*>(offsets_.data()), offsets_.size() * 8);
  ranks_.broadcast(packed);
  offsets_.resize(packed.size() / 8);
  std::memcpy(offsets_.data(), packed.data(), packed.size());
  agree(ranks_, [&] {
    MORAY_REQUIRE(offsets_.size() == content_.datasets.size());
    tensors_ = open_(fmt::format("{}/{}", temporary_, kTensorFile));
    blocks_ = open_(fmt::format("{}/{}", temporary_, kBlockFile));
  });
}

void CheckpointWriter::lay_out_on_root() {
  const std::string name = checkpoint_name(content_.step);
  if (path_exists(fmt::format("{}/{}", folder_, name)))
    fail(ExitCode::io, "{}/{}: is there already; move it away to save step {} again", folder_, name,
         content_.step);
  const std::int64_t needed = expected_bytes(content_);
  const std::int64_t available = free_bytes(folder_);
  if (available < needed)
    throw NoSpace(fmt::format("{}: a checkpoint needs {} MB and {} MB are free; free some space",
                              folder_, needed / 1000000 + 1, available / 1000000));
  crash_point("begin");
  remove_tree(temporary_);  // of an earlier attempt of this very process
  make_folder(temporary_);
  crash_point("folder_made");
  tell_full_disk(folder_, [&] {
    offsets_ = lay_out(fmt::format("{}/{}", temporary_, kTensorFile), content_);
  });
  File(fmt::format("{}/{}", temporary_, kBlockFile), O_WRONLY | O_CREAT | O_EXCL);
  crash_point("laid_out");
}

void CheckpointWriter::write(std::span<const Slab> slabs) {
  if (failure_ != nullptr) return;
  try {
    for (const Slab& slab : slabs) write_slab(slab);
  } catch (...) {
    failure_ = std::current_exception();
  }
}

void CheckpointWriter::write_slab(const Slab& slab) {
  if (slab.count == 0) return;
  MORAY_REQUIRE(slab.dataset < grids_.size());
  const BlockGrid& grid = grids_[slab.dataset];
  const std::int64_t end = slab.offset + slab.count;
  MORAY_REQUIRE(slab.offset >= 0 && slab.count > 0 && end <= grid.elements());
  const std::int64_t first = grid.block_of(slab.offset);
  const std::int64_t last = grid.block_of(end - 1) + 1;
  MORAY_REQUIRE(grid.begin(first) == slab.offset && grid.begin(last) == end);

  const std::int64_t width = bytes_of(content_.datasets[slab.dataset].dtype);
  const char* const data = static_cast<const char*>(slab.data);
  std::int64_t pending = slab.offset;  // digested from here on, not yet written
  for (std::int64_t block = first; block < last; ++block) {
    const std::int64_t begin = grid.begin(block);
    const auto bytes = static_cast<std::size_t>(grid.count(block) * width);
    records_.push_back({first_block_[slab.dataset] + block,
                        digest_of(data + (begin - slab.offset) * width, bytes)});
    const std::int64_t reached = grid.begin(block + 1);
    if ((reached - pending) * width < kWriteBytes && block + 1 < last) continue;
    tensors_->write(data + (pending - slab.offset) * width,
                    static_cast<std::size_t>((reached - pending) * width),
                    offsets_[slab.dataset] + pending * width);
    pending = reached;
    crash_point("block_written");
  }
}

void CheckpointWriter::finish() {
  if (finished_ || failure_ != nullptr) return;
  crash_point("blocks_written");
  try {
    tensors_->sync();  // each rank, since each node has a cache of its own
    write_digests();
    finished_ = true;
  } catch (...) {
    failure_ = std::current_exception();
  }
}

std::string CheckpointWriter::commit() {
  finish();
  agree(ranks_, [&] {
    if (failure_ != nullptr) std::rethrow_exception(failure_);
  });
  crash_point("blocks_synced");
  exchange_digests();
  agree(ranks_, [&] {
    if (ranks_.rank() == 0) tell_full_disk(folder_, [&] { finish_on_root(); });
  });
  temporary_.clear();
  return fmt::format("{}/{}", folder_, checkpoint_name(content_.step));
}

void CheckpointWriter::write_digests() {
  std::sort(records_.begin(), records_.end(),
            [](const Record& a, const Record& b) { return a.block < b.block; });
  std::vector<Digest> run;  // of blocks that follow each other
  static_assert(sizeof(Digest) == kDigestBytes);
  for (auto record = records_.begin(); record != records_.end();) {
    const std::int64_t first = record->block;
    run.clear();
    while (record != records_.end() && record->block == first + std::ssize(run) &&
           std::ssize(run) < kWriteBytes / kDigestBytes)
      run.push_back((record++)->digest);
    blocks_->write(run.data(), run.size() * sizeof(Digest), first * kDigestBytes);
  }
  crash_point("digests_written");
  blocks_->sync();
}

std::size_t CheckpointWriter::first_dataset(int rank) const {
  const std::int64_t first = (first_block_.back() * rank + ranks_.size() - 1) / ranks_.size();
  return static_cast<std::size_t>(
      std::lower_bound(first_block_.begin(), first_block_.end(), first) - first_block_.begin());
}

/// No rank sees the block digests of all datasets: each gets those of its own, and rank 0 one digest
/// of each dataset.
void CheckpointWriter::exchange_digests() {
  std::vector<std::string> to;
  auto begin = records_.begin();
  static_assert(sizeof(Record) == sizeof(std::int64_t) + kDigestBytes);
  for (int rank = 0; rank < ranks_.size(); ++rank) {
    const auto end = std::lower_bound(
        begin, records_.end(), first_block_[first_dataset(rank + 1)],
        [](const Record& record, std::int64_t block) { return record.block < block; });
    to.emplace_back(reinterpret_cast<const char*>(records_.data() + (begin - records_.begin())),
                    static_cast<std::size_t>(end - begin) * sizeof(Record));
    begin = end;
  }
  const std::vector<std::string> records = ranks_.exchange(to);
  std::string mine;
  agree(ranks_, [&] { mine = digest_datasets(records); });
  for (const std::string& some : ranks_.gather(mine)) {
    for (std::size_t at = 0; at < some.size(); at += sizeof(Digest)) {
      digests_.emplace_back();
      std::memcpy(digests_.back().bytes.data(), some.data() + at, sizeof(Digest));
    }
  }
}

/// Of each of this rank's datasets the digest of its block digests, one behind the other.
std::string CheckpointWriter::digest_datasets(const std::vector<std::string>& records) const {
  const std::size_t first = first_dataset(ranks_.rank());
  const std::size_t last = first_dataset(ranks_.rank() + 1);
  const std::int64_t begin = first_block_[first];
  std::vector<Digest> table(static_cast<std::size_t>(first_block_[last] - begin));
  std::vector<int> writers(table.size());
  for (const std::string& some : records) {
    for (std::size_t at = 0; at < some.size(); at += sizeof(Record)) {
      Record record{};
      std::memcpy(&record, some.data() + at, sizeof record);
      const auto index = static_cast<std::size_t>(record.block - begin);
      table.at(index) = record.digest;
      ++writers[index];
    }
  }
  std::string digests;
  for (std::size_t dataset = first; dataset < last; ++dataset) {
    DigestStream stream;
    for (std::int64_t block = first_block_[dataset]; block < first_block_[dataset + 1]; ++block) {
      const auto index = static_cast<std::size_t>(block - begin);
      if (writers[index] != 1)
        fail(ExitCode::io, "{}: block {} of {} was written {} times; please report it", temporary_,
             block - first_block_[dataset], content_.datasets[dataset].name, writers[index]);
      stream.add(table[index]);
    }
    const Digest digest = stream.value();
    digests.append(reinterpret_cast<const char*>(digest.bytes.data()), sizeof digest);
  }
  return digests;
}

void CheckpointWriter::finish_on_root() {
  crash_point("all_digested");
  const BuildInfo build = build_info();
  const std::string tensor_path = fmt::format("{}/{}", temporary_, kTensorFile);
  Manifest manifest;
  manifest.step = content_.step;
  manifest.software = fmt::format("moray {} ({})", build.version, build.git_hash);
  manifest.date = utc_now();
  manifest.attributes = content_.attributes;
  for (const auto& [name, text] : content_.texts) manifest.texts.push_back(name);
  for (std::size_t i = 0; i < grids_.size(); ++i)
    manifest.datasets.push_back({content_.datasets[i], offsets_[i], digests_[i]});
  // Read back what HDF5 wrote: its H5Fclose reports success on a full disk.
  const File tensors(tensor_path, O_RDONLY);
  manifest.tensor_file_size = tensors.size();
  manifest.outside = digest_outside(tensors, manifest.datasets);
  check_layout(tensor_path, manifest);
  const File blocks(fmt::format("{}/{}", temporary_, kBlockFile), O_RDONLY);
  manifest.block_file_size = first_block_.back() * kDigestBytes;
  if (blocks.size() != manifest.block_file_size)
    fail(ExitCode::io, "{}: has {} bytes, {} were written", blocks.path(), blocks.size(),
         manifest.block_file_size);

  const std::string text = to_text(manifest);
  const File file(fmt::format("{}/{}", temporary_, kManifestFile), O_WRONLY | O_CREAT | O_EXCL);
  const std::size_t half = text.size() / 2;
  file.write(text.data(), half, 0);
  crash_point("manifest_half");
  file.write(text.data() + half, text.size() - half, static_cast<std::int64_t>(half));
  crash_point("manifest_written");
  file.sync();
  crash_point("manifest_synced");
  sync_folder(temporary_);
  crash_point("folder_synced");
  rename_path(temporary_, fmt::format("{}/{}", folder_, checkpoint_name(content_.step)));
  crash_point("renamed");
  sync_folder(folder_);
  crash_point("parent_synced");
}

void CheckpointWriter::abandon() noexcept {
  if (temporary_.empty() || ranks_.rank() != 0) return;
  try {
    remove_tree(temporary_);
  } catch (const std::exception&) {
    // The next start of the run removes leftovers; the error that led here is the one to report.
  }
}

std::string save_checkpoint(Collective& ranks, const std::string& folder, const std::string& run,
                            const CheckpointContent& content, std::span<const Slab> slabs,
                            OpenOutput open) {
  CheckpointWriter writer(ranks, folder, run, std::move(open));
  writer.begin(content);
  writer.write(slabs);
  return writer.commit();
}

}  // namespace moray
