#include "optimizer/lane_reducer.hpp"

#include <bit>

#include "core/error.hpp"
#include "core/recorder.hpp"
#include "kernels/elementwise/elementwise.hpp"

namespace moray {
namespace {

Matrix<float> as_row(Vector<float> v) {
  return matrix(v.data, 1, v.size);
}

/// Exchanges device buffers; through host copies where MPI cannot read the backend's memory. Counts what it
/// sends in `sent`.
template <class T>
void exchange(const Communicator& ranks, Vector<T> out, Vector<T> in, int partner,
              SentBytes& sent) {
  const SentBytes before = ranks.sent();
  const auto send = static_cast<std::size_t>(out.size);
  const auto receive = static_cast<std::size_t>(in.size);
  if constexpr (kHostBackend) {
    ranks.exchange(std::span<const T>(out.data, send), std::span<T>(in.data, receive), partner);
  } else {
    std::vector<T> host_out(send);
    std::vector<T> host_in(receive);
    copy_to_host(out.data, send, host_out.data());
    ranks.exchange(std::span<const T>(host_out), std::span<T>(host_in), partner);
    copy_to_device(host_in.data(), receive, in.data);
  }
  sent += ranks.sent() - before;
}

/// The elements of `range`.
template <class T>
Vector<T> part(Vector<T> all, ElementRange range) {
  return all.slice(range.begin, range.size());
}

/// What the partner of a halving keeps of `all` when this rank keeps `mine`.
ElementRange other_half(ElementRange all, ElementRange mine, bool low) {
  return low ? ElementRange{mine.end, all.end} : ElementRange{all.begin, mine.begin};
}

}  // namespace

LaneReducer::LaneReducer(const Communicator& ranks) : ranks_(ranks) {
  const auto levels = std::bit_width(static_cast<unsigned>(ranks.size())) - 1;
  sums_sent_.resize(static_cast<std::size_t>(levels));
  weights_sent_ = sums_sent_;
}

std::int64_t LaneReducer::buffer_size(const Shards& shards) {
  if (shards.ranks() == 1 || !shards.pieces().empty()) return 0;
  return shards.path()[1].size();  // the halves only get smaller
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

void LaneReducer::reduce_scatter(const ExecSpace& exec, Vector<float> sum, const Shards& shards,
                                 const Observer& observer) {
  for (std::size_t level = 0; level + 1 < shards.path().size(); ++level) {
    const auto distance = static_cast<int>(shards.distance(level));
    const ElementRange mine = shards.path()[level + 1];
    const bool low = (ranks_.rank() & distance) == 0;
    const ElementRange give = other_half(shards.path()[level], mine, low);
    const Vector<float> in = received_.slice(0, mine.size());
    if (started_) {
      give_.wait();
      take_.wait();
      started_ = false;
    } else {
      exchange(ranks_, part(sum, give), in, ranks_.rank() ^ distance, sums_sent_[level]);
    }
    const Matrix<float> own = as_row(part(sum, mine));
    add<float>(exec, own, as_row(in), own);
    fence(exec, "moray::reduce: sum before the next exchange");
    if (observer) observer(distance, ranks_.rank() & (distance - 1), mine.begin, part(sum, mine));
  }
}

void LaneReducer::start(const ExecSpace& exec, Matrix<float> lanes, const Shards& shards,
                        const Observer& observer) {
  if (!kHostBackend || !own_buffer_ || lanes.cols == 0 || shards.path().size() < 2) return;
  const Recorder::Scope recorded(Phase::reduce);
  fold_locally(exec, lanes, observer);
  fence(exec, "moray::reduce: local folds before the exchange");
  const auto distance = static_cast<int>(shards.distance(0));
  const int partner = ranks_.rank() ^ distance;
  const ElementRange mine = shards.path()[1];
  const ElementRange give = other_half(shards.path()[0], mine, (ranks_.rank() & distance) == 0);
  constexpr auto kBytes = static_cast<std::int64_t>(sizeof(float));
  take_.receive(ranks_, received_.data, mine.size(), kBytes, partner, 0);
  const SentBytes before = ranks_.sent();
  give_.send(ranks_, lanes.data + give.begin, give.size(), kBytes, partner, 0);
  sums_sent_[0] += ranks_.sent() - before;
  started_ = true;
}

void LaneReducer::reduce(const ExecSpace& exec, Matrix<float> lanes, const Shards& shards,
                         bool exact, const Observer& observer) {
  if (lanes.rows == 0 || lanes.cols == 0) return;
  if (!started_) fold_locally(exec, lanes, observer);
  if (ranks_.size() == 1) return;
  fence(exec, "moray::reduce: local folds before the exchange");
  const Vector<float> sum{lanes.data, lanes.cols};
  if (shards.pieces().empty()) {
    reduce_scatter(exec, sum, shards, observer);
  } else {
    MORAY_REQUIRE(!exact && kHostBackend);
    ranks_.sum_any_order(std::span(sum.data, static_cast<std::size_t>(sum.size)));
  }
}

void LaneReducer::gather(const ExecSpace& exec, Vector<char> bytes, const Shards& shards) {
  if (ranks_.size() == 1 || bytes.size == 0) return;
  fence(exec, "moray::reduce: owned elements before the exchange");
  if (!shards.pieces().empty()) {
    MORAY_REQUIRE(kHostBackend);
    for (int rank = 0; rank < ranks_.size(); ++rank) {
      const Vector<char> piece = part(bytes, shards.pieces()[static_cast<std::size_t>(rank)]);
      ranks_.broadcast(std::span(piece.data, static_cast<std::size_t>(piece.size)), rank);
    }
    return;
  }
  // The halvings backwards: each partner has the other half of the range before.
  for (std::size_t level = shards.path().size() - 1; level >= 1; --level) {
    const auto distance = static_cast<int>(shards.distance(level - 1));
    const ElementRange mine = shards.path()[level];
    const ElementRange other =
        other_half(shards.path()[level - 1], mine, (ranks_.rank() & distance) == 0);
    exchange(ranks_, part(bytes, mine), part(bytes, other), ranks_.rank() ^ distance,
             weights_sent_[level - 1]);
  }
}

}  // namespace moray
