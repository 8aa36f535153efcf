#include "data/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "core/error.hpp"
#include "data/utf8.hpp"

namespace moray {

FileSet::FileSet(std::vector<std::string> paths, const std::string& place)
    : paths_(std::move(paths)), slots_(kSlots) {
  begins_.assign(1, 0);
  for (const std::string& path : paths_) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
      fail(ExitCode::io, "{}: {} cannot be read: {}", place, path, std::strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) fail(ExitCode::io, "{}: {} is no regular file", place, path);
    if (status.st_size == 0)
      fail(ExitCode::io, "{}: {} is empty; take it out of the data", place, path);
    if (::access(path.c_str(), R_OK) != 0) {
      fail(ExitCode::io, "{}: {} cannot be read: {}", place, path, std::strerror(errno));
    }
    begins_.push_back(begins_.back() + static_cast<std::uint64_t>(status.st_size));
  }
}

FileSet::~FileSet() {
  for (const Slot& slot : slots_) {
    if (slot.descriptor >= 0) ::close(slot.descriptor);
  }
}

std::size_t FileSet::file_at(std::uint64_t offset) const {
  MORAY_REQUIRE(offset < bytes());
  const auto next = std::upper_bound(begins_.begin(), begins_.end(), offset);
  return static_cast<std::size_t>(next - begins_.begin()) - 1;
}

void FileSet::read(std::uint64_t offset, std::span<char> out) {
  MORAY_REQUIRE(offset + out.size() <= bytes());
  if (out.empty()) return;
  std::size_t file = file_at(offset);
  while (!out.empty()) {
    const std::uint64_t left = begins_[file + 1] - offset;
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left, out.size()));
    read_file(file, offset - begins_[file], out.first(count));
    offset += count;
    out = out.subspan(count);
    ++file;
  }
}

void FileSet::read_file(std::size_t file, std::uint64_t position, std::span<char> out) {
  const int from = descriptor(file);
  while (!out.empty()) {
    const ssize_t got = ::pread(from, out.data(), out.size(), static_cast<off_t>(position));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      fail(ExitCode::io, "{}: reading byte {} failed: {}", paths_[file], position,
           std::strerror(errno));
    }
    if (got == 0) {
      fail(ExitCode::io, "{}: ends at byte {}, but had {} bytes when the run began; restore it",
           paths_[file], position, begins_[file + 1] - begins_[file]);
    }
    position += static_cast<std::uint64_t>(got);
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

int FileSet::descriptor(std::size_t file) {
  Slot& slot = slots_[file % kSlots];
  if (slot.descriptor >= 0 && slot.file == file) return slot.descriptor;
  if (slot.descriptor >= 0) ::close(slot.descriptor);
  slot.file = file;
  slot.descriptor = ::open(paths_[file].c_str(), O_RDONLY | O_CLOEXEC);
  if (slot.descriptor < 0) {
    fail(ExitCode::io, "{}: cannot be opened: {}", paths_[file], std::strerror(errno));
  }
  return slot.descriptor;
}

std::vector<FileDigest> FileSet::digests() {
  constexpr std::size_t kBlock = std::size_t{1} << 20;
  std::vector<char> block(kBlock);
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  std::vector<FileDigest> result;
  for (std::size_t file = 0; file < count(); ++file) {
    const std::uint64_t size = begins_[file + 1] - begins_[file];
    XXH3_128bits_reset(state.get());
    for (std::uint64_t position = 0; position < size; position += kBlock) {
      const std::span<char> part(block.data(), std::min<std::uint64_t>(kBlock, size - position));
      read_file(file, position, part);
      XXH3_128bits_update(state.get(), part.data(), part.size());
    }
    const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
    result.push_back({paths_[file], size, fmt::format("{:016x}{:016x}", hash.high64, hash.low64)});
  }
  return result;
}

std::string_view BlockReader::view(std::uint64_t offset, std::uint64_t end) {
  MORAY_REQUIRE(offset < end && end <= files_->bytes());
  if (offset < begin_ || offset >= begin_ + buffer_.size()) {
    buffer_.resize(
        static_cast<std::size_t>(std::min<std::uint64_t>(block_, files_->bytes() - offset)));
    begin_ = offset;
    files_->read(offset, buffer_);
  }
  const auto skip = static_cast<std::size_t>(offset - begin_);
  return std::string_view(buffer_.data(), buffer_.size())
      .substr(skip, static_cast<std::size_t>(std::min<std::uint64_t>(end - offset, block_)));
}

unsigned char BlockReader::at(std::uint64_t offset) {
  return static_cast<unsigned char>(view(offset, offset + 1).front());
}

std::uint64_t character_boundary(BlockReader& reader, std::uint64_t offset, std::uint64_t end) {
  for (int step = 0; step < 3 && offset < end && is_utf8_continuation(reader.at(offset)); ++step) {
    ++offset;
  }
  return offset;
}

}  // namespace moray
