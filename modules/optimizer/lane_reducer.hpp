#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "comm/message.hpp"
#include "core/arena.hpp"
#include "optimizer/shards.hpp"

namespace moray {

/// Folds gradient lanes into their sum, each element on the rank that owns it (docs/numerics.md
/// section 3): lane l += lane l + n / 2, then n / 4, down to one. The upper folds are local; the
/// lower ones are a reduce-scatter by recursive halving, the partner at distance R / 2 first. Rank J
/// holds the lanes equal to J mod R. What owners make of the sums comes back by `gather`.
class LaneReducer {
 public:
  explicit LaneReducer(const Communicator& ranks);

  /// Floats that arrive at a time.
  static std::int64_t buffer_size(const Shards& shards);
  /// At least buffer_size of every array that is reduced.
  void set_buffer(Vector<float> received) { received_ = received; }
  /// One that nobody else uses, so that start() is possible; of the same size.
  void set_own_buffer(Vector<float> received) {
    received_ = received;
    own_buffer_ = true;
  }

  /// Is shown each level: elements [first, first + size) of lane `lane` when `lanes` are left.
  using Observer = std::function<void(std::int64_t lanes, std::int64_t lane, std::int64_t first,
                                      Vector<const float> values)>;

  /// lanes (local lanes, n): the owned elements of row 0 become the sum over all lanes of all ranks;
  /// the others are left as they happen to be. With `exact` the number of ranks is a power of two;
  /// otherwise any number goes, in an order that MPI chooses.
  void reduce(const ExecSpace& exec, Matrix<float> lanes, const Shards& shards, bool exact,
              const Observer& observer = {});
  /// Begins a reduce() of complete gradients while this rank computes on: the local folds, and the first
  /// and largest exchange, which ends in reduce(). Does nothing without a buffer of its own.
  void start(const ExecSpace& exec, Matrix<float> lanes, const Shards& shards,
             const Observer& observer = {});
  /// What every rank owns to all ranks; `shards` of bytes, by Shards::mapped().
  void gather(const ExecSpace& exec, Vector<char> bytes, const Shards& shards);

  /// What this rank sent in reduce() and start(), and in gather(): at each level of Shards::path(), since the
  /// beginning. Nothing where the number of ranks is no power of two, since MPI then chooses the ways.
  const std::vector<SentBytes>& sums_sent() const { return sums_sent_; }
  const std::vector<SentBytes>& weights_sent() const { return weights_sent_; }

 private:
  void fold_locally(const ExecSpace& exec, Matrix<float> lanes, const Observer& observer) const;
  void reduce_scatter(const ExecSpace& exec, Vector<float> sum, const Shards& shards,
                      const Observer& observer);

  const Communicator& ranks_;
  Vector<float> received_;
  bool own_buffer_ = false;
  bool started_ = false;
  Message give_{"half of the gradients"}, take_{"half of the gradients"};
  std::vector<SentBytes> sums_sent_, weights_sent_;
};

}  // namespace moray
