#include "io/checkpoint_layout.hpp"

#include <algorithm>

#include "core/build_info.hpp"
#include "io/hdf5.hpp"

namespace moray {
namespace {

/// The attributes that every reader finds on a dataset, then the caller's own.
void describe(hid_t dataset, const DatasetSpec& spec, const std::string& place) {
  const bool own_dtype = std::any_of(spec.attributes.begin(), spec.attributes.end(),
                                     [](const Attribute& a) { return a.name == "dtype"; });
  if (!own_dtype)
    hdf5::write_attribute(dataset, {"dtype", std::string(name_of(spec.dtype))}, place);
  hdf5::write_attribute(dataset, {"axes", spec.axes}, place);
  hdf5::write_attribute(dataset, {"parts", spec.parts}, place);
  for (const Attribute& attribute : spec.attributes)
    hdf5::write_attribute(dataset, attribute, place);
}

std::int64_t lay_out_dataset(hid_t file, const DatasetSpec& spec, const std::string& path) {
  const std::string place = fmt::format("{}:{}", path, spec.name);
  check_spec(spec, path);
  hdf5::make_groups(file, spec.name, path);
  const hdf5::Handle dataset = hdf5::create_dataset(file, spec.name, hdf5::file_type(spec.dtype),
                                                    hdf5::space(spec.shape), path);
  describe(dataset, spec, place);
  const haddr_t offset = H5Dget_offset(dataset);
  if (offset == HADDR_UNDEF) hdf5::throw_error("H5Dget_offset", place);
  return static_cast<std::int64_t>(offset);
}

void check_dataset(hid_t file, const StoredDataset& stored, const std::string& path) {
  const DatasetSpec& spec = stored.spec;
  const std::string place = fmt::format("{}:{}", path, spec.name);
  const hdf5::Handle dataset(MORAY_HDF5(H5Dopen2, place, file, spec.name.c_str(), H5P_DEFAULT),
                             H5Dclose);
  const hdf5::Handle type(MORAY_HDF5(H5Dget_type, place, dataset), H5Tclose);
  if (H5Tequal(type, hdf5::file_type(spec.dtype)) <= 0)
    fail(ExitCode::io, "{}: is not {} as the manifest says", place, name_of(spec.dtype));
  if (hdf5::shape_of(dataset, place) != spec.shape)
    fail(ExitCode::io, "{}: has another shape than the manifest says", place);
  if (H5Dget_offset(dataset) != static_cast<haddr_t>(stored.offset))
    fail(ExitCode::io, "{}: lies elsewhere than the manifest says", place);
}

}  // namespace

std::vector<std::int64_t> lay_out(const std::string& path, const CheckpointContent& content) {
  hdf5::Handle file = hdf5::create_file(path);
  const BuildInfo build = build_info();
  const std::string version = fmt::format("{}.{}", kCheckpointMajor, kCheckpointMinor);
  hdf5::write_attribute(file, {"format", std::string(kCheckpointFormat)}, path);
  hdf5::write_attribute(file, {"formatVersion", version}, path);
  hdf5::write_attribute(file, {"software", std::string("moray")}, path);
  hdf5::write_attribute(
      file, {"softwareVersion", fmt::format("{} ({})", build.version, build.git_hash)}, path);
  hdf5::write_attribute(file, {"step", content.step}, path);
  for (const Attribute& attribute : content.attributes)
    hdf5::write_attribute(file, attribute, path);
  for (const auto& [name, text] : content.texts) {
    hdf5::make_groups(file, name, path);
    hdf5::write_text(file, name, text, path);
  }
  std::vector<std::int64_t> offsets;
  for (const DatasetSpec& spec : content.datasets)
    offsets.push_back(lay_out_dataset(file, spec, path));
  if (!file.close()) hdf5::throw_error("H5Fclose", path);
  return offsets;
}

void check_layout(const std::string& path, const Manifest& manifest) {
  try {
    const hdf5::Handle file = hdf5::open_file(path);
    std::vector<std::string> expected = manifest.texts;
    for (const StoredDataset& dataset : manifest.datasets) {
      check_dataset(file, dataset, path);
      expected.push_back(dataset.spec.name);
    }
    std::sort(expected.begin(), expected.end());
    if (hdf5::list_datasets(file, path) != expected)
      fail(ExitCode::io, "{}: has other datasets than the manifest lists", path);
  } catch (const Error& error) {
    throw DamagedCheckpoint(error.what());
  }
}

Digest digest_outside(const File& file, const std::vector<StoredDataset>& datasets) {
  std::vector<std::pair<std::int64_t, std::int64_t>> payloads;  // begin, end
  const std::int64_t size = file.size();
  for (const StoredDataset& dataset : datasets) {
    const std::int64_t bytes = dataset.bytes();
    if (dataset.offset < 0 || dataset.offset > size || bytes > size - dataset.offset)
      throw DamagedCheckpoint(
          fmt::format("{}:{}: {} bytes at {} do not lie in the {} bytes of the file", file.path(),
                      dataset.spec.name, bytes, dataset.offset, size));
    payloads.emplace_back(dataset.offset, dataset.offset + bytes);
  }
  std::sort(payloads.begin(), payloads.end());
  payloads.emplace_back(size, size);
  DigestStream stream;
  std::vector<char> buffer(std::size_t{1} << 20);
  std::int64_t at = 0;
  for (const auto& [begin, end] : payloads) {
    if (begin < at)
      throw DamagedCheckpoint(fmt::format("{}: datasets overlap at byte {}", file.path(), begin));
    while (at < begin) {
      const auto piece =
          std::min<std::int64_t>(begin - at, static_cast<std::int64_t>(buffer.size()));
      file.read(buffer.data(), static_cast<std::size_t>(piece), at);
      stream.add(buffer.data(), static_cast<std::size_t>(piece));
      at += piece;
    }
    at = end;
  }
  return stream.value();
}

std::int64_t expected_bytes(const CheckpointContent& content) {
  constexpr std::int64_t kPerObject = 4096 + 1024;  // alignment, object header, manifest entry
  std::int64_t bytes = std::int64_t{1} << 20;
  for (const auto& [name, text] : content.texts)
    bytes += static_cast<std::int64_t>(text.size()) + kPerObject;
  for (const DatasetSpec& spec : content.datasets) {
    const BlockGrid grid(spec);
    bytes += grid.elements() * bytes_of(spec.dtype) + 16 * grid.blocks() + kPerObject;
  }
  return bytes + bytes / 10;
}

}  // namespace moray
