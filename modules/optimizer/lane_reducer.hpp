#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "comm/communicator.hpp"
#include "core/arena.hpp"

namespace moray {

/// Folds gradient lanes into their sum on every rank (docs/numerics.md section 3): lane l += lane
/// l + n / 2, then n / 4, down to one. The upper folds are local; the lower ones are a
/// reduce-scatter by recursive halving, the partner at distance R / 2 first, followed by an
/// all-gather. Rank J holds the lanes equal to J mod R.
class LaneReducer {
 public:
  explicit LaneReducer(const Communicator& ranks) : ranks_(ranks) {}

  /// Room to receive half of an array of `largest` elements; empty on one rank.
  static Vector<float> make_buffer(Arena& arena, std::int64_t ranks, std::int64_t largest);
  void set_buffer(Vector<float> received);

  /// Is shown each level: elements [first, first + size) of lane `lane` when `lanes` are left.
  using Observer = std::function<void(std::int64_t lanes, std::int64_t lane, std::int64_t first,
                                      Vector<const float> values)>;

  /// lanes (local lanes, n): row 0 becomes the sum over all lanes of all ranks. The number of ranks
  /// is a power of two; with `exact` false any number goes, in an order that MPI chooses.
  void reduce(const ExecSpace& exec, Matrix<float> lanes, bool exact,
              const Observer& observer = {});

 private:
  struct Range {
    std::int64_t begin;
    std::int64_t end;
  };
  void fold_locally(const ExecSpace& exec, Matrix<float> lanes, const Observer& observer) const;
  void reduce_scatter(const ExecSpace& exec, Vector<float> sum, const Observer& observer);
  void all_gather(const ExecSpace& exec, Vector<float> sum);

  const Communicator& ranks_;
  Vector<float> received_;
  std::vector<Range> ranges_;  ///< what this rank held before each halving
};

}  // namespace moray
