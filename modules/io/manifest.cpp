#include "io/manifest.hpp"

#include <cmath>

#include "io/json.hpp"

namespace moray {
namespace {

using Json = nlohmann::json;

// The file ends with exactly this around 32 hexadecimal digits.
constexpr std::string_view kBeforeDigest = "\n\"digest\":\"";
constexpr std::string_view kAfterDigest = "\"}\n";
constexpr std::size_t kSuffix = kBeforeDigest.size() + 32 + kAfterDigest.size();
constexpr JsonLimits kLimits{std::size_t{64} << 20, 6};

Json to_json(const AttributeValue& value, const std::string& name) {
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return *integer;
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  const double real = std::get<double>(value);
  if (!std::isfinite(real)) fail(ExitCode::io, "attribute '{}' is not finite", name);
  return real;
}

AttributeValue attribute_value(const Json& value, const std::string& name,
                               const std::string& place) {
  if (value.is_number_float()) return value.get<double>();
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_number_integer())
    fail(ExitCode::io, "{}: attribute '{}' is neither number nor text", place, name);
  return value.get<std::int64_t>();
}

Json to_json(const StoredDataset& dataset) {
  Json json;
  json["name"] = dataset.spec.name;
  json["dtype"] = name_of(dataset.spec.dtype);
  json["shape"] = dataset.spec.shape;
  json["axes"] = dataset.spec.axes;
  json["parts"] = dataset.spec.parts;
  json["offset"] = dataset.offset;
  json["digest"] = dataset.digest.hex();
  return json;
}

Digest json_digest(const Json& object, const char* key, const std::string& place) {
  const auto digest = Digest::parse(json_string(object, key, place));
  if (!digest) fail(ExitCode::io, "{}: '{}' is not a digest", place, key);
  return *digest;
}

StoredDataset dataset_from(const Json& json, const std::string& place) {
  StoredDataset dataset;
  dataset.spec.name = json_string(json, "name", place);
  const std::string where = fmt::format("{}:{}", place, dataset.spec.name);
  const auto dtype = dtype_named(json_string(json, "dtype", where));
  if (!dtype) fail(ExitCode::io, "{}: has an unknown dtype", where);
  dataset.spec.dtype = *dtype;
  for (const Json& extent : json_array(json, "shape", where)) {
    if (!extent.is_number_integer()) fail(ExitCode::io, "{}: has no integer shape", where);
    dataset.spec.shape.push_back(extent.get<std::int64_t>());
  }
  dataset.spec.axes = json_string(json, "axes", where);
  dataset.spec.parts = json_integer(json, "parts", where);
  dataset.offset = json_integer(json, "offset", where);
  dataset.digest = json_digest(json, "digest", where);
  check_spec(dataset.spec, place);
  return dataset;
}

/// Refuses a foreign format and a future one; the latter is no damage.
void check_version(const Json& json, const std::string& place) {
  if (json_string(json, "format", place) != kCheckpointFormat)
    throw DamagedCheckpoint(fmt::format("{}: is not a {} manifest", place, kCheckpointFormat));
  const std::int64_t major = json_integer(json, "version_major", place);
  const std::int64_t minor = json_integer(json, "version_minor", place);
  if (major > kCheckpointMajor)
    fail(ExitCode::io,
         "{}: format version {}.{} is newer than {}.{}, the newest that this moray reads; use a "
         "newer moray",
         place, major, minor, kCheckpointMajor, kCheckpointMinor);
}

Manifest manifest_from(const Json& json, const std::string& place) {
  Manifest manifest;
  manifest.step = json_integer(json, "step", place);
  manifest.software = json_string(json, "software", place);
  manifest.date = json_string(json, "date", place);
  for (const auto& [name, value] : json_member(json, "attributes", place).items())
    manifest.attributes.push_back({name, attribute_value(value, name, place)});
  for (const Json& name : json_array(json, "texts", place))
    manifest.texts.push_back(name.get<std::string>());
  for (const Json& dataset : json_array(json, "datasets", place))
    manifest.datasets.push_back(dataset_from(dataset, place));
  const Json& files = json_member(json, "files", place);
  const Json& tensors = json_member(files, kTensorFile, place);
  manifest.tensor_file_size = json_integer(tensors, "size", place);
  manifest.outside = json_digest(tensors, "outside", place);
  manifest.block_file_size = json_integer(json_member(files, kBlockFile, place), "size", place);
  return manifest;
}

}  // namespace

std::string to_text(const Manifest& manifest) {
  Json attributes = Json::object();
  for (const Attribute& attribute : manifest.attributes)
    attributes[attribute.name] = to_json(attribute.value, attribute.name);
  const auto line = [](const char* key, const Json& value) {
    return fmt::format("\"{}\":{},\n", key, value.dump());
  };
  std::string text = "{";
  text += line("format", kCheckpointFormat);
  text += line("version_major", kCheckpointMajor) + line("version_minor", kCheckpointMinor);
  text += line("step", manifest.step);
  text += line("software", manifest.software) + line("date", manifest.date);
  text += line("attributes", attributes) + line("texts", manifest.texts);
  text += "\"datasets\":[";
  for (std::size_t i = 0; i < manifest.datasets.size(); ++i)
    text += fmt::format("{}{}", i == 0 ? "\n" : ",\n", to_json(manifest.datasets[i]).dump());
  text += "],\n";
  Json files;
  files[kTensorFile] = {{"size", manifest.tensor_file_size}, {"outside", manifest.outside.hex()}};
  files[kBlockFile] = {{"size", manifest.block_file_size}};
  text += fmt::format("\"files\":{},", files.dump());
  const Digest digest = digest_of(text);
  text += fmt::format("{}{}{}", kBeforeDigest, digest.hex(), kAfterDigest);
  return text;
}

Manifest parse_manifest(std::string_view text, const std::string& place) {
  const auto damaged = [&](const char* why) {
    throw DamagedCheckpoint(fmt::format("{}: {}", place, why));
  };
  if (text.size() < kSuffix || !text.ends_with(kAfterDigest) ||
      text.substr(text.size() - kSuffix, kBeforeDigest.size()) != kBeforeDigest)
    damaged("does not end with its digest; it was cut or changed");
  if (digest_of(text.substr(0, text.size() - kSuffix)).hex() != manifest_digest(text))
    damaged("does not match its own digest; it was changed");
  // The bytes are those that some moray wrote; what follows refuses future and broken writers.
  const Json json = parse_json(text, kLimits, place);
  check_version(json, place);
  try {
    return manifest_from(json, place);
  } catch (const std::exception& error) {
    throw DamagedCheckpoint(error.what());
  }
}

std::string manifest_digest(std::string_view text) {
  if (text.size() < kSuffix) return "";
  return std::string(text.substr(text.size() - kSuffix + kBeforeDigest.size(), 32));
}

}  // namespace moray
