#include "parity/reference.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>

#include "core/error.hpp"

namespace moray::test {
namespace {

static_assert(std::endian::native == std::endian::little, "reference files are little-endian");

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

constexpr std::string_view kGradient = "gradient.";

}  // namespace

float parity_weight(std::string_view name, std::int64_t index) {
  std::uint64_t seed = 0xCBF29CE484222325u;  // 64-bit FNV-1a
  for (const char c : name) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  std::uint64_t z = seed + (static_cast<std::uint64_t>(index) + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z = z ^ (z >> 31);
  const auto centred = static_cast<float>(static_cast<int>(z >> 48) - 32768);
  if (ends_with(name, "norm.weight")) return 1 + centred * 0x1p-17f;
  if (ends_with(name, "e_score_correction_bias")) return (centred + 32768) * 0x1p-19f;
  return centred * 0x1p-16f;
}

const std::vector<std::string>& ParityReference::shapes() {
  static const std::vector<std::string> all = {"plain", "groups", "yarn", "yarn_groups", "mtp"};
  return all;
}

ParityReference::ParityReference(const std::string& shape)
    : path_(std::string(MORAY_PARITY_REFERENCES) + "/" + shape + ".ref") {
  std::ifstream file(path_, std::ios::binary);
  std::string line;
  if (!std::getline(file, line) || line != "moray-parity 1") {
    fail(ExitCode::io, "{}: not a parity reference (tests/parity/run.sh --write makes them)",
         path_);
  }
  std::size_t total = 0;
  while (std::getline(file, line) && !line.empty()) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word != "tensor") {
      const std::size_t equals = line.find('=');
      keys_[line.substr(0, equals)] = line.substr(equals + 1);
      continue;
    }
    std::string name;
    Tensor tensor;
    words >> name >> tensor.type;
    tensor.offset = total;
    tensor.count = 1;
    for (std::int64_t extent; words >> extent;) {
      tensor.extents.push_back(extent);
      tensor.count *= static_cast<std::size_t>(extent);
    }
    total += tensor.count;
    if (name.starts_with(kGradient)) parameters_.push_back(name.substr(kGradient.size()));
    tensors_[name] = tensor;
  }
  data_.resize(total);
  file.read(reinterpret_cast<char*>(data_.data()), static_cast<std::streamsize>(4 * total));
  if (!file || file.peek() != std::ifstream::traits_type::eof()) {
    fail(ExitCode::io, "{}: {} values were announced, the file has others", path_, total);
  }
}

const ParityReference::Tensor& ParityReference::tensor(const std::string& name,
                                                       std::string_view type) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end() || found->second.type != type) {
    fail(ExitCode::io, "{}: no {} tensor '{}'", path_, type, name);
  }
  return found->second;
}

std::span<const std::int32_t> ParityReference::tokens() const {
  const Tensor& found = tensor("tokens", "int32");
  return {reinterpret_cast<const std::int32_t*>(data_.data()) + found.offset, found.count};
}

std::span<const float> ParityReference::values(const std::string& name) const {
  const Tensor& found = tensor(name, "float32");
  return {data_.data() + found.offset, found.count};
}

const std::vector<std::int64_t>& ParityReference::extents(const std::string& name) const {
  return tensor(name, "float32").extents;
}

const std::string& ParityReference::text(const std::string& key) const {
  const auto found = keys_.find(key);
  if (found == keys_.end()) fail(ExitCode::io, "{}: no key '{}'", path_, key);
  return found->second;
}
std::int64_t ParityReference::integer(const std::string& key) const {
  return std::stoll(text(key));
}
double ParityReference::real(const std::string& key) const {
  return std::stod(text(key));
}

ModelConfig ParityReference::config() const {
  ModelConfig c;
  c.model.vocabulary = integer("model.vocabulary");
  c.model.width = integer("model.width");
  c.model.layers = integer("model.layers");
  c.model.dense_layers = integer("model.dense_layers");
  c.model.dense_width = integer("model.dense_width");
  c.model.norm_eps = real("model.norm_eps");
  c.attention.heads = integer("attention.heads");
  c.attention.nope_width = integer("attention.nope_width");
  c.attention.rope_width = integer("attention.rope_width");
  c.attention.value_width = integer("attention.value_width");
  c.attention.latent = integer("attention.latent");
  c.attention.query_latent = integer("attention.query_latent");
  c.attention.rope_theta = real("attention.rope_theta");
  c.attention.max_length = integer("attention.max_length");
  if (keys_.contains("attention.yarn.factor")) {
    c.attention.yarn.factor = real("attention.yarn.factor");
    c.attention.yarn.original_length = integer("attention.yarn.original_length");
    c.attention.yarn.beta_fast = real("attention.yarn.beta_fast");
    c.attention.yarn.beta_slow = real("attention.yarn.beta_slow");
    c.attention.yarn.mscale = real("attention.yarn.mscale");
  }
  c.moe.experts = integer("moe.experts");
  c.moe.top_k = integer("moe.top_k");
  c.moe.shared_experts = integer("moe.shared_experts");
  c.moe.width = integer("moe.width");
  c.moe.groups = integer("moe.groups");
  c.moe.top_groups = integer("moe.top_groups");
  c.moe.scale = real("moe.scale");
  c.moe.sequence_loss = 0;
  c.mtp.depth = integer("mtp.depth");
  c.mtp.weight = real("mtp.weight");
  return c;
}

double max_relative_difference(std::span<const float> a, std::span<const float> b) {
  MORAY_REQUIRE(a.size() == b.size());
  double difference = 0, scale = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - b[i]);
    if (!(d <= difference)) difference = d;  // a NaN stays
    scale = std::max(scale, std::abs(static_cast<double>(b[i])));
  }
  if (difference == 0) return 0;
  return scale > 0 ? difference / scale : std::numeric_limits<double>::infinity();
}

double calc_diff(std::span<const float> a, std::span<const float> b) {
  MORAY_REQUIRE(a.size() == b.size());
  double difference = 0, scale = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = a[i], y = b[i];
    difference += (x - y) * (x - y);
    scale += x * x + y * y;
  }
  return scale == 0 ? 0 : difference / scale;
}

}  // namespace moray::test
