#include "pipeline/measure.hpp"

#include <algorithm>

namespace moray {
namespace {

/// What a stage was seen to take.
struct Samples {
  std::vector<double> forward, input, weight, both, saved;
};

/// 0 when there is none.
double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

StageDurations alone(const Samples& s) {
  StageDurations d{median(s.forward), median(s.input), median(s.weight), 0};
  const double both = median(s.both);
  if (s.input.empty() && s.weight.empty()) {
    d.input_gradient = d.weight_gradient = both / 2;
  } else if (s.input.empty()) {
    d.input_gradient = std::max(both - d.weight_gradient, 0.0);
  } else if (s.weight.empty()) {
    d.weight_gradient = std::max(both - d.input_gradient, 0.0);
  }
  return d;
}

/// Calls visit(event, stage of its forward, stage of its backward); -1 where it has none.
template <class Visit>
void each_event(const PipelineTimeline& timeline, const Visit& visit) {
  for (int rank = 0; rank < static_cast<int>(timeline.ranks.size()); ++rank) {
    for (const TimelineEvent& e : timeline.ranks[static_cast<std::size_t>(rank)]) {
      const bool forward = e.op.has_forward();
      const bool backward = e.op.kind != OpKind::F;
      visit(e, forward ? timeline.shape.stage(rank, e.op.forward.chunk) : -1,
            backward ? timeline.shape.stage(rank, e.op.backward.chunk) : -1);
    }
  }
}

}  // namespace

PipelineDurations measured_durations(const PipelineTimeline& timeline) {
  std::vector<Samples> samples(static_cast<std::size_t>(timeline.shape.stages()));
  const auto of = [&](int stage) -> Samples& { return samples[static_cast<std::size_t>(stage)]; };
  each_event(timeline, [&](const TimelineEvent& e, int forward, int backward) {
    const double time = e.end - e.start;
    if (e.op.kind == OpKind::F) of(forward).forward.push_back(time);
    if (e.op.kind == OpKind::B) of(backward).input.push_back(time);
    if (e.op.kind == OpKind::W) of(backward).weight.push_back(time);
    if (e.op.kind == OpKind::BW) of(backward).both.push_back(time);
  });
  PipelineDurations result;
  for (const Samples& s : samples) result.stages.push_back(alone(s));
  const auto stage = [&](int index) -> StageDurations& {
    return result.stages[static_cast<std::size_t>(index)];
  };
  each_event(timeline, [&](const TimelineEvent& e, int forward, int backward) {
    if (e.op.kind != OpKind::FB) return;
    const StageDurations& b = stage(backward);
    const double saved =
        stage(forward).forward + b.input_gradient + b.weight_gradient - (e.end - e.start);
    of(forward).saved.push_back(saved);
    of(backward).saved.push_back(saved);
  });
  for (int i = 0; i < timeline.shape.stages(); ++i) {
    StageDurations& d = stage(i);
    d.overlapped = d.forward + d.input_gradient + d.weight_gradient - median(of(i).saved);
  }
  return result;
}

}  // namespace moray
