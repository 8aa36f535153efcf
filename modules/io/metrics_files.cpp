#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "core/error.hpp"
#include "core/log.hpp"
#include "io/digest.hpp"
#include "io/metrics.hpp"
#include "io/metrics_hdf5.hpp"

namespace moray::metrics_files {
namespace {

constexpr std::string_view kMagic = "MORAYROW1\n";
constexpr std::size_t kDigestBytes = sizeof(Digest::bytes);
constexpr std::size_t kFrameHead = sizeof(std::uint32_t) + kDigestBytes;
constexpr std::int64_t kLargestFrame = std::int64_t{1} << 28;

std::string digest_path(const std::string& segment) {
  return segment.substr(0, segment.size() - 3) + ".xxh3";
}

/// The next whole frame at `at`, or false at the end or where a kill tore it.
bool next_frame(const File& file, std::int64_t size, std::int64_t& at, std::string& payload) {
  char head[kFrameHead];
  if (size - at < static_cast<std::int64_t>(kFrameHead)) return false;
  file.read(head, kFrameHead, at);
  std::uint32_t length = 0;
  std::memcpy(&length, head, sizeof length);
  const std::int64_t begin = at + static_cast<std::int64_t>(kFrameHead);
  if (length > kLargestFrame || length > size - begin) return false;
  payload.resize(length);
  file.read(payload.data(), length, begin);
  const Digest digest = digest_of(payload);
  if (std::memcmp(digest.bytes.data(), head + sizeof length, kDigestBytes) != 0) return false;
  at = begin + length;
  return true;
}

Digest digest_of_file(const std::string& path) {
  const File file(path, O_RDONLY);
  const std::int64_t size = file.size();
  std::vector<char> buffer(std::size_t{1} << 20);
  DigestStream stream;
  for (std::int64_t at = 0; at < size;) {
    const auto piece = std::min<std::int64_t>(size - at, static_cast<std::int64_t>(buffer.size()));
    file.read(buffer.data(), static_cast<std::size_t>(piece), at);
    stream.add(buffer.data(), static_cast<std::size_t>(piece));
    at += piece;
  }
  return stream.value();
}

}  // namespace

std::string folder(const std::string& run) {
  return run + "/metrics";
}
std::string rows_path(const std::string& run) {
  return folder(run) + "/current.rows";
}
std::string segment_path(const std::string& run, std::int64_t number) {
  return fmt::format("{}/{:04}.h5", folder(run), number);
}

std::vector<std::int64_t> segments(const std::string& run) {
  std::vector<std::int64_t> numbers;
  for (const std::string& name : list_folder(folder(run))) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc() && name == fmt::format("{:04}.h5", number)) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::string frame(const void* data, std::size_t size) {
  MORAY_REQUIRE(static_cast<std::int64_t>(size) <= kLargestFrame);
  const auto length = static_cast<std::uint32_t>(size);
  const Digest digest = digest_of(data, size);
  std::string framed(reinterpret_cast<const char*>(&length), sizeof length);
  framed.append(reinterpret_cast<const char*>(digest.bytes.data()), kDigestBytes);
  framed.append(static_cast<const char*>(data), size);
  return framed;
}

std::string rows_header(const MetricSchema& schema) {
  const std::string json = schema.to_json();
  return std::string(kMagic) + frame(json.data(), json.size());
}

MetricTable read_rows(const std::string& path, std::int64_t& end) {
  const File file(path, O_RDONLY);
  const std::int64_t size = file.size();
  std::string payload(kMagic.size(), '\0');
  end = static_cast<std::int64_t>(kMagic.size());
  if (size >= end) file.read(payload.data(), payload.size(), 0);
  // The head is written whole before the file gets its name: no kill can damage it.
  if (size < end || payload != kMagic || !next_frame(file, size, end, payload))
    fail(ExitCode::io, "{}: is not a file of metrics rows, or its head was changed", path);
  MetricTable table(MetricSchema::from_json(payload, path));
  std::vector<std::int64_t> words(static_cast<std::size_t>(table.schema.row_words()));
  while (true) {
    const std::int64_t begin = end;
    if (!next_frame(file, size, end, payload)) break;
    if (payload.size() != words.size() * sizeof words[0]) {
      end = begin;
      break;
    }
    std::memcpy(words.data(), payload.data(), payload.size());
    table.append(words);
  }
  return table;
}

void write_segment(const std::string& path, const MetricTable& table) {
  const std::string beside = fmt::format("{}.tmp-{}", path, ::getpid());
  try {
    ::unlink(beside.c_str());
    {
      Hdf5Writer writer(beside, table.schema, table.rows);
      writer.add(table);
      writer.close();
    }
    File(beside, O_RDONLY).sync();
    // HDF5 reports success on a full disk: only what reads back equal leaves current.rows.
    if (read_hdf5(beside, {}) != table)
      fail(ExitCode::io, "{}: does not read back as written; is the disk full?", beside);
    const std::string name = path.substr(path.rfind('/') + 1);
    replace_text(digest_path(path), fmt::format("{}  {}\n", digest_of_file(beside).hex(), name));
    rename_path(beside, path);
    sync_folder(parent_of(path));
  } catch (...) {
    ::unlink(beside.c_str());
    throw;
  }
}

MetricTable read_segment(const std::string& path, const std::vector<std::string>& columns) {
  const std::string digest =
      path_exists(digest_path(path)) ? read_text(digest_path(path), 4096) : "";
  if (digest.substr(0, 32) != digest_of_file(path).hex())
    fail(ExitCode::io, "{}: does not match its digest in {}; it was changed", path,
         digest_path(path));
  return read_hdf5(path, columns);
}

}  // namespace moray::metrics_files
