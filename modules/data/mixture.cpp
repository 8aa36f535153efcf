#include "data/mixture.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "data/permutation.hpp"

namespace moray {

namespace {

__extension__ typedef unsigned __int128 Wide;

/// round(h part / whole), halves up, exact.
std::uint64_t share(std::uint64_t h, std::uint64_t part, std::uint64_t whole) {
  return static_cast<std::uint64_t>((Wide{2} * h * part + whole) / (Wide{2} * whole));
}

std::size_t middle(std::size_t lo, std::size_t hi) {
  return lo + (hi - lo + 1) / 2;
}

/// Weights as integers: the nearest multiple of 2^-32 of their sum, at least one.
std::vector<std::uint64_t> integer_weights(const std::vector<Mixture::Source>& sources) {
  double sum = 0;
  for (const Mixture::Source& source : sources) sum += source.weight;
  std::vector<std::uint64_t> result;
  for (const Mixture::Source& source : sources) {
    const double scaled = std::floor(source.weight / sum * 4294967296.0 + 0.5);
    result.push_back(std::max<std::uint64_t>(1, static_cast<std::uint64_t>(scaled)));
  }
  return result;
}

}  // namespace

Mixture::Mixture(const std::vector<Source>& sources, std::uint64_t key) : key_(key) {
  MORAY_REQUIRE(!sources.empty());
  for (const Source& source : sources) {
    MORAY_REQUIRE(source.weight > 0 && std::isfinite(source.weight) && source.limit > 0);
  }
  const std::vector<std::uint64_t> weights = integer_weights(sources);
  std::vector<std::uint64_t> drawn(sources.size(), 0);
  while (samples_ != kEndless) {
    Phase phase;
    phase.begin = samples_;
    phase.shares.push_back(0);
    for (std::size_t s = 0; s < sources.size(); ++s) {
      if (drawn[s] == sources[s].limit) continue;
      phase.sources.push_back(s);
      phase.shares.push_back(phase.shares.back() + weights[s]);
      phase.drawn.push_back(drawn[s]);
    }
    if (phase.sources.empty()) break;
    for (std::size_t slot = 0; slot < phase.sources.size(); ++slot) {
      const std::uint64_t limit = sources[phase.sources[slot]].limit;
      if (limit == kEndless) continue;
      phase.length = std::min(phase.length, when_exhausted(phase, slot, limit - phase.drawn[slot]));
    }
    samples_ = phase.length == kEndless ? kEndless : samples_ + phase.length;
    for (std::size_t slot = 0; slot < phase.sources.size() && samples_ != kEndless; ++slot) {
      drawn[phase.sources[slot]] += count(phase, slot, phase.length);
    }
    phases_.push_back(std::move(phase));
  }
}

/// Draws of a slot among the first h samples of a phase.
std::uint64_t Mixture::count(const Phase& phase, std::size_t slot, std::uint64_t h) {
  std::size_t lo = 0, hi = phase.sources.size();
  while (hi - lo > 1) {
    const std::size_t mid = middle(lo, hi);
    const std::uint64_t left =
        share(h, phase.shares[mid] - phase.shares[lo], phase.shares[hi] - phase.shares[lo]);
    const bool go_left = slot < mid;
    h = go_left ? left : h - left;
    (go_left ? hi : lo) = mid;
  }
  return h;
}

/// The smallest h with count(h) == draws; kEndless when it does not fit 63 bits.
std::uint64_t Mixture::when_exhausted(const Phase& phase, std::size_t slot, std::uint64_t draws) {
  std::uint64_t lo = 0, hi = std::uint64_t{1} << 62;
  if (count(phase, slot, hi) < draws) return kEndless;
  while (hi - lo > 1) {
    const std::uint64_t mid = lo + (hi - lo) / 2;
    (count(phase, slot, mid) < draws ? lo : hi) = mid;
  }
  return hi;
}

Mixture::Draw Mixture::locate(std::uint64_t g) const {
  MORAY_REQUIRE(g < samples_);
  const auto next =
      std::upper_bound(phases_.begin(), phases_.end(), g,
                       [](std::uint64_t value, const Phase& phase) { return value < phase.begin; });
  const Phase& phase = *(next - 1);
  std::uint64_t h = g - phase.begin;
  if (phase.sources.size() > 1) {
    const std::uint64_t first = h - h % kBlock;
    const std::uint64_t size = std::min(kBlock, phase.length - first);
    h = first + Permutation(size, key_, phase.begin + first).forward(h - first);
  }
  std::size_t lo = 0, hi = phase.sources.size();
  while (hi - lo > 1) {
    const std::size_t mid = middle(lo, hi);
    const std::uint64_t part = phase.shares[mid] - phase.shares[lo];
    const std::uint64_t whole = phase.shares[hi] - phase.shares[lo];
    const std::uint64_t left = share(h, part, whole);
    const bool go_left = share(h + 1, part, whole) > left;
    h = go_left ? left : h - left;
    (go_left ? hi : lo) = mid;
  }
  return {phase.sources[lo], phase.drawn[lo] + h};
}

}  // namespace moray
