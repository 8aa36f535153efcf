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

/// The stages of an op's forward and of its backward; -1 where it has none.
struct OpStages {
  int forward = -1;
  int backward = -1;
};
OpStages stages_of(const PipelineShape& shape, int rank, const PipelineOp& op) {
  return {op.has_forward() ? shape.stage(rank, op.forward.chunk) : -1,
          op.kind != OpKind::F ? shape.stage(rank, op.backward.chunk) : -1};
}

/// Calls visit(event, stage of its forward, stage of its backward).
template <class Visit>
void each_event(const PipelineTimeline& timeline, const Visit& visit) {
  for (int rank = 0; rank < static_cast<int>(timeline.ranks.size()); ++rank) {
    for (const TimelineEvent& e : timeline.ranks[static_cast<std::size_t>(rank)]) {
      const OpStages stages = stages_of(timeline.shape, rank, e.op);
      visit(e, stages.forward, stages.backward);
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

PipelineDurations measured_durations(const std::vector<PipelineTimeline>& pipelines) {
  PipelineTimeline all = pipelines.front();
  for (std::size_t j = 1; j < pipelines.size(); ++j) {
    for (std::size_t rank = 0; rank < all.ranks.size(); ++rank) {
      const std::vector<TimelineEvent>& more = pipelines[j].ranks[rank];
      all.ranks[rank].insert(all.ranks[rank].end(), more.begin(), more.end());
    }
  }
  return measured_durations(all);
}

std::vector<StageOps> stage_ops(const PipelineSchedule& schedule) {
  std::vector<StageOps> stages(static_cast<std::size_t>(schedule.shape.stages()));
  for (int rank = 0; rank < schedule.shape.ranks; ++rank) {
    for (const PipelineOp& op : schedule.ops[static_cast<std::size_t>(rank)]) {
      const OpStages of = stages_of(schedule.shape, rank, op);
      if (op.kind == OpKind::B || op.kind == OpKind::W)
        stages[static_cast<std::size_t>(of.backward)].parted = true;
      if (op.kind == OpKind::FB)
        for (const int stage : {of.forward, of.backward})
          stages[static_cast<std::size_t>(stage)].overlapped = true;
    }
  }
  return stages;
}

}  // namespace moray
