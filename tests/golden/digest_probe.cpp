#include "golden/digest_probe.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <sstream>

#include "core/error.hpp"
#include "training/state.hpp"

namespace moray::golden {
namespace {

/// Experts come before lanes in the order of pieces.
constexpr std::int64_t kSequences = std::int64_t{1} << 32;
/// The place of a stage's sum in what ranks send.
constexpr std::int64_t kSum = -1;

template <class T>
std::vector<T> to_host(const T* device, std::int64_t count) {
  std::vector<T> host(static_cast<std::size_t>(count));
  copy_to_host(device, host.size(), host.data());
  return host;
}

std::uint64_t row_digest(const Matrix<const float>& values, std::int64_t row) {
  std::vector<float> host = to_host(values.row(row), values.cols);
  return digest_floats(host);
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

std::uint64_t integer_digest(const std::vector<std::int32_t>& values) {
  return digest_words({values.begin(), values.end()});
}

}  // namespace

void DigestProbe::enter(const char* place, std::int64_t index, const BatchLayout& batch) {
  batch_ = &batch;
  place_ = index < 0 ? fmt::format("{}/", place) : fmt::format("{}{}/", place, index);
}

DigestProbe::Stage& DigestProbe::stage(const std::string& name) {
  const auto [found, is_new] = index_.emplace(name, stages_.size());
  if (is_new) stages_.push_back({name, 0, {}});
  return stages_[found->second];
}

void DigestProbe::rows(const char* stage_name, Matrix<const float> values, std::int64_t first,
                       std::int64_t total) {
  Kokkos::fence();
  const std::int64_t of_sequence = total / batch_->sequences();
  MORAY_REQUIRE(of_sequence * batch_->sequences() == total);
  auto& pieces = stage(place_ + stage_name).pieces;
  for (std::int64_t row = 0; row < values.rows; ++row)
    pieces[global((first + row) / of_sequence)].push_back(row_digest(values, row));
}

void DigestProbe::choices(const char* stage_name, Matrix<const std::int32_t> values) {
  Kokkos::fence();
  const std::int64_t of_sequence = values.rows / batch_->sequences();
  auto& pieces = stage(place_ + stage_name).pieces;
  for (std::int64_t row = 0; row < values.rows; ++row)
    pieces[global(row / of_sequence)].push_back(
        integer_digest(to_host(values.row(row), values.cols)));
}

void DigestProbe::expert_rows(const char* stage_name, const Route<float>& route,
                              Matrix<const float> values) {
  Kokkos::fence();
  const std::vector<std::int32_t> source = to_host(route.source().data, route.source().size);
  for (std::int64_t expert = 0; expert < experts_; ++expert) {
    // Every rank names every expert, in the same order.
    auto& pieces = stage(fmt::format("{}{}/expert{}", place_, stage_name, expert)).pieces;
    const std::int64_t local = expert - route.first_expert();
    if (local < 0 || local >= route.experts()) continue;
    const auto range = route.expert_rows(local);
    for (std::int64_t row = range.begin; row < range.begin + range.rows; ++row) {
      const std::int64_t g = route.sequence(source[static_cast<std::size_t>(row)]);
      pieces[g].push_back(row_digest(values, row));
    }
  }
}

void DigestProbe::lanes(Model<float>& model) {
  Kokkos::fence();
  const Parameters<float>& parameters = model.parameters();
  parameters_ = &parameters;
  // Rank J holds the lanes equal to J mod R, and of experts those equal to J mod (R / group).
  // Experts of a layer are one stage, in their order.
  std::map<std::string, std::int64_t> parts;
  for (const Parameter& p : parameters.list()) {
    const std::string name = dataset_name(p.name);
    const std::int64_t part = parts[name]++;
    Stage& lanes = stage("lanes/" + name);
    const Deal& deal = layout_.deal(p.region);
    const std::int64_t copies = is_expert(p.region) ? deal.replicas() : deal.data_ranks;
    for (std::int64_t lane = 0; p.held && lane < parameters.lanes(p.region); ++lane) {
      std::vector<float> host = to_host<float>(parameters.gradient(p, lane).data, p.elements());
      lanes.pieces[part * kSequences + lane * copies + deal.rank % copies] = {digest_floats(host)};
    }
  }
  // MTP modules, which use the embedding once more, are in the head's chunk.
  const auto head = std::find_if(layout_.chunks.begin(), layout_.chunks.end(),
                                 [](const ModelChunk& c) { return c.head; });
  for (std::size_t use = 0; use < model.embedding_uses().size(); ++use) {
    const Deal& deal = layout_.deals[static_cast<std::size_t>(head - layout_.chunks.begin())];
    const Matrix<float> lanes = model.embedding_uses()[use];
    for (std::int64_t lane = 0; lane < lanes.rows; ++lane) {
      std::vector<float> host = to_host<float>(lanes.row(lane), lanes.cols);
      stage(fmt::format("lanes/embedding.use{}", use + 1))
          .pieces[lane * deal.data_ranks + deal.rank] = {digest_floats(host)};
    }
  }
}

/// Adds a mix of place and bits for each element: a sum has no order, so ranks may hold any parts.
void DigestProbe::add_elements(const std::string& name, std::uint64_t tensor, std::int64_t lane,
                               std::int64_t first, Vector<const float> values) {
  const std::vector<float> host = to_host(values.data, values.size);
  std::uint64_t& sum = stage(name).sum;
  const std::uint64_t place = mix(mix(tensor) + static_cast<std::uint64_t>(lane));
  for (std::size_t i = 0; i < host.size(); ++i) {
    const std::uint32_t bits =
        std::isnan(host[i]) ? 0x7fc00000 : std::bit_cast<std::uint32_t>(host[i]);
    sum += mix(mix(place + static_cast<std::uint64_t>(first) + i) + bits);
  }
}

void DigestProbe::folded(const Fold& fold, Vector<const float> values) {
  if (fold.lanes == 1) return;  // the sum, recorded as G
  Kokkos::fence();
  const std::string level = fmt::format("folds/{}/", fold.lanes);
  if (fold.use > 0) {
    const std::string name = fmt::format("{}embedding.use{}", level, fold.use);
    return add_elements(name, 0, fold.lane, fold.first, values);
  }
  std::map<std::string, std::uint64_t> parts;
  for (const Parameter& p : parameters_->list()) {
    if (p.region != fold.region) continue;
    const std::string name = dataset_name(p.name);
    const std::uint64_t part = parts[name]++;
    const std::int64_t begin = p.held ? std::max(p.offset, fold.first) : 0;
    const std::int64_t end =
        p.held ? std::min(p.offset + p.elements(), fold.first + values.size) : 0;
    add_elements(
        level + name, part, fold.lane, begin - p.offset,
        begin < end ? values.slice(begin - fold.first, end - begin) : Vector<const float>());
  }
}

void DigestProbe::tokens(std::int64_t g, std::span<const std::int32_t> tokens) {
  stage("tokens").pieces[g] = {integer_digest({tokens.begin(), tokens.end()})};
}

void DigestProbe::add_to(Record& record, const std::string& prefix) const {
  // Of each stage of this rank its name and how many pieces it has, then "place digest" for each.
  std::string mine;
  for (const Stage& stage : stages_) {
    mine += fmt::format("{} {}\n", stage.name, stage.pieces.size() + 1);
    mine += fmt::format("{} {:x}\n", kSum, stage.sum);
    for (const auto& [place, rows] : stage.pieces)
      mine += fmt::format("{} {:x}\n", place, digest_words(rows));
  }
  std::vector<std::string> names;
  std::map<std::string, std::map<std::int64_t, std::uint64_t>> all;
  for (const std::string& text : ranks_.gather(mine, 0)) {
    std::istringstream in(text);
    std::string name;
    std::size_t pieces = 0;
    while (in >> name >> std::dec >> pieces) {
      if (!all.contains(name)) names.push_back(name);
      for (; pieces > 0; --pieces) {
        std::int64_t place = 0;
        std::uint64_t digest = 0;
        in >> std::dec >> place >> std::hex >> digest;
        const auto [known, is_new] = all[name].emplace(place, digest);
        if (place == kSum && !is_new) known->second += digest;
        if (place != kSum && known->second != digest)
          fail(ExitCode::numerics, "{}, piece {}: ranks differ", name, place);
      }
    }
  }
  for (const std::string& name : names) {
    std::vector<std::uint64_t> words;
    for (const auto& [place, digest] : all[name]) {
      if (place == kSum && digest == 0) continue;  // not in pieces of elements
      words.push_back(static_cast<std::uint64_t>(place));
      words.push_back(digest);
    }
    record.add_digest(prefix + name, digest_words(words));
  }
}

}  // namespace moray::golden
