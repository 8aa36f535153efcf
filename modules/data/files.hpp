#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moray {

/// What a checkpoint keeps of a data file, so that a resumed run reads the same text.
struct FileDigest {
  std::string path;
  std::uint64_t bytes = 0;
  std::string xxh3_128;  ///< 32 hexadecimal digits, canonical (big-endian) order
  friend bool operator==(const FileDigest&, const FileDigest&) = default;
};

/// The files that deck paths name, in a defined order: paths as listed; a folder gives its regular
/// files, all levels deep, a glob its matches, both sorted by the bytes of their names. Names that
/// begin with a dot inside a folder are left out, a file named twice counts once. Relative paths
/// start at `folder`. `place` (`data.sources[0].paths`) goes into messages.
/// Error(io): a path that is missing, unreadable, neither file nor folder, or matches nothing.
std::vector<std::string> expand_paths(const std::vector<std::string>& paths,
                                      const std::string& folder, const std::string& place);

/// Files end to end: one range of bytes, read with pread (never mapped: a file that is cut short
/// under a running program is an error with its name, not a SIGBUS). Memory: a few words a file.
/// Not for two threads at a time.
class FileSet {
 public:
  /// Error(io) when a file is missing, empty, unreadable or no regular file; `place` names the deck
  /// key in the message.
  explicit FileSet(std::vector<std::string> paths, const std::string& place = "data");
  ~FileSet();
  FileSet(const FileSet&) = delete;
  FileSet& operator=(const FileSet&) = delete;

  std::size_t count() const { return paths_.size(); }
  std::uint64_t bytes() const { return begins_.back(); }
  const std::string& path(std::size_t file) const { return paths_[file]; }
  /// First byte of a file; begin(count()) == bytes().
  std::uint64_t begin(std::size_t file) const { return begins_[file]; }
  /// The file that holds a byte.
  std::size_t file_at(std::uint64_t offset) const;

  /// Fills `out` with the bytes from `offset` on. Error(io) when a file has become shorter.
  void read(std::uint64_t offset, std::span<char> out);
  /// Reads every byte once, 1 MiB at a time.
  std::vector<FileDigest> digests();

 private:
  void read_file(std::size_t file, std::uint64_t position, std::span<char> out);
  int descriptor(std::size_t file);

  // Open files: a file lives in the slot of its number mod kSlots, so that a corpus of a million
  // files needs no million descriptors.
  static constexpr std::size_t kSlots = 64;
  struct Slot {
    std::size_t file = 0;
    int descriptor = -1;
  };
  std::vector<std::string> paths_;
  std::vector<std::uint64_t> begins_;  // (count + 1)
  std::vector<Slot> slots_;
};

/// Reads a FileSet through one block of memory: small steps forward cost one pread a block.
class BlockReader {
 public:
  BlockReader(FileSet& files, std::size_t block) : files_(&files), block_(block) {}

  /// The bytes from `offset` on that lie in memory, at least one, none at or after `end`; valid until
  /// the next call. offset < end <= files.bytes().
  std::string_view view(std::uint64_t offset, std::uint64_t end);
  unsigned char at(std::uint64_t offset);

 private:
  FileSet* files_;
  std::size_t block_;
  std::uint64_t begin_ = 0;
  std::vector<char> buffer_;
};

/// The first place at or after `offset`, at most `end`, where no UTF-8 character is cut in two: steps
/// over at most three continuation bytes.
std::uint64_t character_boundary(BlockReader& reader, std::uint64_t offset, std::uint64_t end);

}  // namespace moray
