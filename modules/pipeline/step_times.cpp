#include "pipeline/step_times.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include "core/error.hpp"

namespace moray {
namespace {

using Spans = std::vector<Recorder::Span>;

/// The row of a phase; -1: it is none of a layer.
int row_of(Phase phase) {
  switch (phase) {
    case Phase::attention:
      return 0;
    case Phase::dispatch_start:
    case Phase::dispatch_relay:
    case Phase::dispatch_finish:
      return 1;
    case Phase::experts:
      return 2;
    case Phase::combine_start:
    case Phase::combine_relay:
    case Phase::combine_finish:
      return 3;
    case Phase::ends:
      return 4;
    default:
      return -1;
  }
}

bool waits_for_tokens(Phase phase) {
  return phase == Phase::counts || phase == Phase::tokens;
}

/// Waits lie in the phase that began last.
void add_phases(const Spans& spans, RankTimes& times) {
  PhaseTime* open = nullptr;
  for (const Recorder::Span& s : spans) {
    const double seconds = s.end - s.begin;
    if (const int row = row_of(s.phase); row >= 0) {
      open = &times.phases[static_cast<std::size_t>(row)][static_cast<std::size_t>(s.part)];
      open->seconds += seconds;
    } else if (waits_for_tokens(s.phase)) {
      if (open != nullptr) open->waited += seconds;
    } else if (s.phase == Phase::reduce) {
      times.reduce += seconds;
    } else if (s.phase == Phase::update) {
      times.update += seconds;
    }
  }
}

}  // namespace

RankTimes rank_times(const std::vector<TimelineEvent>& events, double started, const Spans& spans) {
  RankTimes times;
  add_phases(spans, times);
  auto span = spans.begin();
  for (const TimelineEvent& e : events) {
    RankTimes::Op op{started + e.start, started + e.start, started + e.end, 0};
    for (; span != spans.end() && span->begin < op.end; ++span) {
      if (span->phase == Phase::message && span->begin < op.start)
        op.asked = std::min(op.asked, span->begin);
      if (waits_for_tokens(span->phase)) op.tokens += span->end - span->begin;
    }
    times.ops.push_back(op);
  }
  return times;
}

PipelineTimeline timeline_of(const PipelineSchedule& schedule,
                             const std::vector<RankTimes>& ranks) {
  PipelineTimeline timeline{schedule.shape, {}};
  MORAY_REQUIRE(ranks.size() == schedule.ops.size());
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const auto& list = schedule.ops[rank];
    MORAY_REQUIRE(ranks[rank].ops.size() == list.size());
    auto& events = timeline.ranks.emplace_back();
    for (std::size_t i = 0; i < list.size(); ++i)
      events.push_back({list[i], ranks[rank].ops[i].start, ranks[rank].ops[i].end});
  }
  return timeline;
}

namespace {

/// When the op that sends a message ended: by receiver, tag and micro-batch.
using Sent = std::map<std::tuple<int, int, int>, double>;

Sent sent_times(const PipelineTimeline& timeline) {
  Sent sent;
  for (int rank = 0; rank < static_cast<int>(timeline.ranks.size()); ++rank)
    for (const TimelineEvent& e : timeline.ranks[static_cast<std::size_t>(rank)])
      for (const Transfer& t : sends(timeline.shape, rank, e.op))
        if (t.peer != rank) sent[{t.peer, t.tag, t.unit.micro}] = e.end;
  return sent;
}

/// Seconds in which a rank waited for messages that were on their way. What an op waits for is late
/// because its sender was: until that one's end it is bubble.
double waited_for_stages(const PipelineTimeline& timeline, const Sent& sent, int rank,
                         const RankTimes& times) {
  double seconds = 0;
  const auto& events = timeline.ranks[static_cast<std::size_t>(rank)];
  for (std::size_t i = 0; i < events.size(); ++i) {
    double from = times.ops[i].asked;
    for (const Transfer& t : receives(timeline.shape, rank, events[i].op))
      if (t.peer != rank) from = std::max(from, sent.at({rank, t.tag, t.unit.micro}));
    seconds += std::max(0.0, times.ops[i].start - from);
  }
  return seconds;
}

}  // namespace

TimeShares time_shares(const PipelineSchedule& schedule,
                       const std::vector<std::vector<RankTimes>>& ranks, double length) {
  TimeShares shares;
  double whole = 0;
  for (const std::vector<RankTimes>& pipeline : ranks) {
    const PipelineTimeline timeline = timeline_of(schedule, pipeline);
    const Sent sent = sent_times(timeline);
    for (int rank = 0; rank < static_cast<int>(pipeline.size()); ++rank) {
      const RankTimes& times = pipeline[static_cast<std::size_t>(rank)];
      double tokens = 0;
      for (const RankTimes::Op& op : times.ops) tokens += op.tokens;
      shares.computing += timeline.busy(rank) - tokens;
      shares.tokens += tokens;
      shares.stages += waited_for_stages(timeline, sent, rank, times);
      whole += length;
    }
  }
  for (double* part : {&shares.computing, &shares.tokens, &shares.stages}) *part /= whole;
  shares.bubble = 1 - shares.computing - shares.exposed();
  return shares;
}

}  // namespace moray
