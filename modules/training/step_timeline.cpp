#include "training/step_timeline.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/error.hpp"
#include "pipeline/measure.hpp"
#include "training/trainer.hpp"

namespace moray {
namespace {

/// Up to so many ranks all keep their spans: a text of a few MB.
constexpr int kRanksWithSpans = 32;

/// What a rank sends: ranks of a job run the same program, so bytes of plain values are a format.
struct Head {
  int rank = 0;
  std::int64_t pipeline = 0, data = 0, lost = 0;
  std::size_t ops = 0, spans = 0;
  double begin = 0, clock_error = 0;
  PhaseTimes phases{};
  double reduce = 0, update = 0;
};

template <class T>
void append(std::string& bytes, const T* values, std::size_t count) {
  static_assert(std::is_trivially_copyable_v<T>);
  bytes.append(reinterpret_cast<const char*>(values), count * sizeof(T));
}

template <class T>
void take(std::string_view& bytes, T* values, std::size_t count) {
  static_assert(std::is_trivially_copyable_v<T>);
  MORAY_REQUIRE(bytes.size() >= count * sizeof(T));
  std::memcpy(values, bytes.data(), count * sizeof(T));
  bytes.remove_prefix(count * sizeof(T));
}

void shift(RankTimes& times, std::vector<Recorder::Span>& spans, double seconds) {
  for (RankTimes::Op& op : times.ops)
    for (double* time : {&op.asked, &op.start, &op.end}) *time += seconds;
  for (Recorder::Span& span : spans)
    for (double* time : {&span.begin, &span.end}) *time += seconds;
}

std::string encoded(const Trainer& trainer, const Recorder& recorder, const ClockOffset& clock) {
  const Mesh& mesh = trainer.mesh();
  RankTimes times = rank_times(trainer.events(), trainer.started(), recorder.spans());
  std::vector<Recorder::Span> spans;
  if (mesh.world().size() <= kRanksWithSpans || mesh.place().data == 0) spans = recorder.spans();
  shift(times, spans, clock.seconds);
  const Head head = {mesh.world().rank(),
                     mesh.place().pipeline,
                     mesh.place().data,
                     recorder.lost(),
                     times.ops.size(),
                     spans.size(),
                     trainer.started() + clock.seconds,
                     clock.error,
                     times.phases,
                     times.reduce,
                     times.update};
  std::string bytes;
  append(bytes, &head, 1);
  append(bytes, times.ops.data(), times.ops.size());
  append(bytes, spans.data(), spans.size());
  return bytes;
}

/// Puts what a rank sent in its place. Returns when it began.
double decode(std::string_view bytes, StepTimeline& timeline) {
  Head head;
  take(bytes, &head, 1);
  const auto pipeline = static_cast<std::size_t>(head.data);
  const auto place = static_cast<std::size_t>(head.pipeline);
  RankTimes& times = timeline.times.at(pipeline).at(place);
  StepTimeline::Rank& rank = timeline.ranks.at(pipeline).at(place);
  rank.rank = head.rank;
  times.ops.resize(head.ops);
  rank.spans.resize(head.spans);
  take(bytes, times.ops.data(), head.ops);
  take(bytes, rank.spans.data(), head.spans);
  times.phases = head.phases;
  times.reduce = head.reduce;
  times.update = head.update;
  timeline.lost += head.lost;
  timeline.clock_error = std::max(timeline.clock_error, head.clock_error);
  return head.begin;
}

void add_means(StepTimeline& timeline) {
  double ranks = 0;
  for (const std::vector<RankTimes>& pipeline : timeline.times) {
    for (const RankTimes& times : pipeline) {
      ++ranks;
      timeline.reduce += times.reduce;
      timeline.update += times.update;
      for (std::size_t row = 0; row < kPhaseRows.size(); ++row) {
        for (std::size_t part = 0; part < kPhasePartNames.size(); ++part) {
          timeline.phases[row][part].seconds += times.phases[row][part].seconds;
          timeline.phases[row][part].waited += times.phases[row][part].waited;
        }
      }
    }
  }
  for (auto& row : timeline.phases) {
    for (PhaseTime& time : row) {
      time.seconds /= ranks;
      time.waited /= ranks;
    }
  }
  timeline.reduce /= ranks;
  timeline.update /= ranks;
}

void add_plan(StepTimeline& timeline) {
  std::vector<PipelineTimeline> pipelines;
  for (const std::vector<RankTimes>& times : timeline.times)
    pipelines.push_back(timeline_of(timeline.schedule, times));
  timeline.planned = simulate(timeline.schedule, measured_durations(pipelines));
  const int ranks = timeline.schedule.shape.ranks;
  double idle = 0;
  for (int rank = 0; rank < ranks; ++rank) idle += timeline.planned.idle(rank);
  timeline.planned_bubble = idle / (ranks * std::max(timeline.planned.end(), 1e-300));
}

}  // namespace

std::size_t most_spans(const Trainer& trainer) {
  // Of a micro-batch in a piece: 19 phases, and with two hops at most 16 waits.
  constexpr std::int64_t kOfPiece = 35, kOfUnit = 16;
  const PipelineShape& shape = trainer.layout().pipeline;
  std::int64_t pieces = 0;
  for (const ModelChunk& chunk : trainer.layout().chunks)
    pieces = std::max(pieces, chunk.layers + (chunk.head ? trainer.model().depth() : 0));
  const std::int64_t units = std::int64_t{shape.stream_micro_batches()} * shape.chunks();
  constexpr std::int64_t kOfStep =
      2 + 2;  // reduce and update; both regions of a chunk that is reduced early
  return static_cast<std::size_t>(units * (pieces * kOfPiece + kOfUnit) + kOfStep);
}

std::optional<StepTimeline> gather_timeline(const Trainer& trainer, const Recorder& recorder,
                                            std::int64_t step, const ClockOffset& clock) {
  const Communicator& world = trainer.mesh().world();
  const std::vector<std::string> texts = world.gather(encoded(trainer, recorder, clock), 0);
  if (world.rank() != 0) return {};
  StepTimeline timeline;
  timeline.step = step;
  timeline.expert = trainer.mesh().shape().expert;
  timeline.schedule = trainer.last_schedule();
  const auto places = static_cast<std::size_t>(timeline.schedule.shape.ranks);
  timeline.times.assign(texts.size() / places, std::vector<RankTimes>(places));
  timeline.ranks.assign(texts.size() / places, std::vector<StepTimeline::Rank>(places));
  std::vector<double> begins;
  for (const std::string& text : texts) begins.push_back(decode(text, timeline));
  const double begin = *std::min_element(begins.begin(), begins.end());
  for (std::size_t j = 0; j < timeline.times.size(); ++j) {
    for (std::size_t p = 0; p < places; ++p) {
      RankTimes& times = timeline.times[j][p];
      shift(times, timeline.ranks[j][p].spans, -begin);
      if (!times.ops.empty()) timeline.length = std::max(timeline.length, times.ops.back().end);
    }
  }
  timeline.shares = time_shares(timeline.schedule, timeline.times, timeline.length);
  add_means(timeline);
  add_plan(timeline);
  return timeline;
}

}  // namespace moray
