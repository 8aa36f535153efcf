#include "optimizer/lane_reducer.hpp"

#include <bit>

#include "core/error.hpp"
#include "kernels/elementwise/elementwise.hpp"

namespace moray {
namespace {

Matrix<float> as_row(Vector<float> v) {
  return matrix(v.data, 1, v.size);
}

/// Exchanges device buffers; through host copies where MPI cannot read the backend's memory.
void exchange(const Communicator& ranks, Vector<const float> out, Vector<float> in, int partner) {
  const auto send = static_cast<std::size_t>(out.size);
  const auto receive = static_cast<std::size_t>(in.size);
  if constexpr (kHostBackend) {
    ranks.exchange(std::span<const float>(out.data, send), std::span<float>(in.data, receive),
                   partner);
  } else {
    std::vector<float> host_out(send);
    std::vector<float> host_in(receive);
    copy_to_host(out.data, send, host_out.data());
    ranks.exchange(std::span<const float>(host_out), std::span<float>(host_in), partner);
    copy_to_device(host_in.data(), receive, in.data);
  }
}

}  // namespace

Vector<float> LaneReducer::make_buffer(Arena& arena, std::int64_t ranks, std::int64_t largest) {
  if (ranks == 1) return {};
  return arena.vector<float>(Memory::communication, (largest + 1) / 2);
}

void LaneReducer::set_buffer(Vector<float> received) {
  received_ = received;
  ranges_.reserve(64);
}

void LaneReducer::fold_locally(const ExecSpace& exec, Matrix<float> lanes,
                               const Observer& observer) const {
  const std::int64_t ranks = ranks_.size();
  for (std::int64_t half = lanes.rows / 2; half >= 1; half /= 2) {
    const Matrix<float> low = lanes.row_range(0, half);
    add<float>(exec, low, lanes.row_range(half, half), low);
    for (std::int64_t lane = 0; observer && lane < half; ++lane) {
      observer(half * ranks, lane * ranks + ranks_.rank(), 0, {low.row(lane), low.cols});
    }
  }
}

void LaneReducer::reduce_scatter(const ExecSpace& exec, Vector<float> sum,
                                 const Observer& observer) {
  ranges_.clear();
  Range mine{0, sum.size};
  for (int distance = ranks_.size() / 2; distance >= 1; distance /= 2) {
    ranges_.push_back(mine);
    const std::int64_t middle = mine.begin + (mine.end - mine.begin) / 2;
    const bool low = (ranks_.rank() & distance) == 0;
    const Range keep = low ? Range{mine.begin, middle} : Range{middle, mine.end};
    const Range give = low ? Range{middle, mine.end} : Range{mine.begin, middle};
    const Vector<float> in = received_.slice(0, keep.end - keep.begin);
    exchange(ranks_, sum.slice(give.begin, give.end - give.begin), in, ranks_.rank() ^ distance);
    const Matrix<float> own = as_row(sum.slice(keep.begin, keep.end - keep.begin));
    add<float>(exec, own, as_row(in), own);
    fence(exec, "moray::reduce: sum before the next exchange");
    mine = keep;
    if (observer) {
      observer(distance, ranks_.rank() & (distance - 1), mine.begin,
               sum.slice(mine.begin, mine.end - mine.begin));
    }
  }
}

void LaneReducer::all_gather(const ExecSpace&, Vector<float> sum) {
  // The halvings backwards: each partner holds the other half of the range before.
  int distance = 1;
  for (auto range = ranges_.rbegin(); range != ranges_.rend(); ++range, distance *= 2) {
    const std::int64_t middle = range->begin + (range->end - range->begin) / 2;
    const bool low = (ranks_.rank() & distance) == 0;
    const Range mine = low ? Range{range->begin, middle} : Range{middle, range->end};
    const Range other = low ? Range{middle, range->end} : Range{range->begin, middle};
    exchange(ranks_, sum.slice(mine.begin, mine.end - mine.begin),
             sum.slice(other.begin, other.end - other.begin), ranks_.rank() ^ distance);
  }
}

void LaneReducer::reduce(const ExecSpace& exec, Matrix<float> lanes, bool exact,
                         const Observer& observer) {
  if (lanes.rows == 0 || lanes.cols == 0) return;
  fold_locally(exec, lanes, observer);
  if (ranks_.size() == 1) return;
  fence(exec, "moray::reduce: local folds before the exchange");
  const Vector<float> sum{lanes.data, lanes.cols};
  if (std::has_single_bit(static_cast<unsigned>(ranks_.size()))) {
    reduce_scatter(exec, sum, observer);
    all_gather(exec, sum);
  } else {
    MORAY_REQUIRE(!exact && kHostBackend);
    ranks_.sum_any_order(std::span(sum.data, static_cast<std::size_t>(sum.size)));
  }
}

}  // namespace moray
