#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace moray {

/// Which source gives sample g, and which draw of that source it is: a pure function of g, found in
/// O(log sources) steps without running through the samples before it.
///
/// While the same sources are active (a phase), the first h samples of the phase are shared out by a
/// tree of halving: a node gives round(h Q_left / Q) of its h samples to its left half, so a source
/// never strays from its share by more than half a sample a level. Blocks of 256 samples are then
/// permuted by key, so that no rank, which reads every R-th sample, meets one source only. A source
/// that has given its `limit` ends the phase and leaves the mix.
/// Bits: docs/numerics/data.md, section 4.
class Mixture {
 public:
  static constexpr std::uint64_t kEndless = std::numeric_limits<std::uint64_t>::max();
  static constexpr std::uint64_t kBlock = 256;

  struct Source {
    double weight = 1;               ///< > 0, relative to the others
    std::uint64_t limit = kEndless;  ///< draws that it gives at most; > 0
  };
  struct Draw {
    std::size_t source = 0;
    std::uint64_t number = 0;  ///< counts the draws from this source
  };

  Mixture(const std::vector<Source>& sources, std::uint64_t key);

  /// Samples until every source is exhausted, or kEndless.
  std::uint64_t samples() const { return samples_; }
  /// g < samples().
  Draw locate(std::uint64_t g) const;

 private:
  struct Phase {
    std::uint64_t begin = 0;            // first g
    std::uint64_t length = kEndless;    // samples
    std::vector<std::size_t> sources;   // active ones, (A)
    std::vector<std::uint64_t> shares;  // prefix sums of their integer weights, (A + 1)
    std::vector<std::uint64_t> drawn;   // draws of each in the phases before, (A)
  };
  static std::uint64_t count(const Phase& phase, std::size_t slot, std::uint64_t h);
  static std::uint64_t when_exhausted(const Phase& phase, std::size_t slot, std::uint64_t draws);

  std::uint64_t key_;
  std::uint64_t samples_ = 0;
  std::vector<Phase> phases_;
};

}  // namespace moray
