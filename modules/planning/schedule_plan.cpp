#include "planning/schedule_plan.hpp"

#include <algorithm>
#include <numeric>

#include "core/error.hpp"

namespace moray {
namespace {

StageDurations scaled(const StageDurations& d, double factor) {
  return {d.forward * factor, d.input_gradient * factor, d.weight_gradient * factor,
          d.overlapped * factor};
}

double total_cost(const LayerCosts& costs) {
  return std::accumulate(costs.layers.begin(), costs.layers.end(), costs.embedding + costs.last);
}

/// Fills the durations of each stage, and how the layers were placed.
PipelineDurations durations_of(const ScheduleQuestion& q, SchedulePlan& plan) {
  const int stages = plan.shape.stages();
  const double mean = total_cost(q.costs) / stages;
  PipelineDurations result;
  result.communication = q.communication;
  result.stages.push_back(scaled(q.timed.durations, mean / q.timed.cost));
  plan.published_bubble = published_bubble(plan.shape, result.stages.front());
  plan.stages = q.stages;
  if (q.stages == "equal") return result;
  const std::vector<StageLayers> placed =
      q.stages == "auto"
          ? place_layers(q.costs, plan.shape)
          : parse_stages(q.stages, static_cast<std::int64_t>(q.costs.layers.size()), stages);
  plan.stages = to_text(placed);
  if (q.ran) {
    result.stages = place_durations(placed, *q.ran, q.costs);
    return result;
  }
  result.stages.clear();
  for (const double cost : stage_costs(q.costs, placed))
    result.stages.push_back(scaled(q.timed.durations, cost / q.timed.cost));
  return result;
}

}  // namespace

TimeBySort time_by_sort(const PipelineTimeline& timeline, int rank) {
  TimeBySort sum;
  for (const TimelineEvent& e : timeline.ranks[static_cast<std::size_t>(rank)]) {
    double& sort = e.op.kind == OpKind::F    ? sum.forward
                   : e.op.kind == OpKind::W  ? sum.weight
                   : e.op.kind == OpKind::FB ? sum.overlapped
                                             : sum.backward;
    sort += e.end - e.start;
  }
  sum.waiting = timeline.idle(rank);
  return sum;
}

TimeBySort SchedulePlan::mean() const {
  TimeBySort mean;
  const double share = 1.0 / shape.ranks;
  for (int rank = 0; rank < shape.ranks; ++rank) {
    const TimeBySort t = time_by_sort(timeline, rank);
    mean.forward += t.forward * share;
    mean.backward += t.backward * share;
    mean.weight += t.weight * share;
    mean.overlapped += t.overlapped * share;
    mean.waiting += t.waiting * share;
  }
  return mean;
}

int SchedulePlan::slots() const {
  int most = 0;
  for (const RankNeeds& n : needs) most = std::max(most, n.activations);
  return most;
}

double SchedulePlan::activations() const {
  return static_cast<double>(slots()) * shape.ranks / shape.stages();
}

int SchedulePlan::most_put_off() const {
  int most = 0;
  for (const RankNeeds& n : needs) most = std::max(most, n.pending_weights);
  return most;
}

SchedulePlan plan_schedule(ScheduleKind kind, const ScheduleQuestion& question) {
  SchedulePlan plan;
  plan.shape = {kind, question.ranks, question.micro_batches};
  plan.problem = shape_problem(plan.shape);
  if (!plan.problem.empty()) return plan;
  try {
    const PipelineDurations durations = durations_of(question, plan);
    const PipelineSchedule schedule = make_schedule(plan.shape);
    plan.needs = require_sound(schedule);
    plan.timeline = simulate(schedule, durations);
    plan.durations = durations.stages;
  } catch (const Error& error) {  // stages that do not fit
    plan.problem = error.what();
  }
  return plan;
}

}  // namespace moray
