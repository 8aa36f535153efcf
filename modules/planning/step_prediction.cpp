#include "planning/step_prediction.hpp"

namespace moray {
namespace {

TimeBySort seconds(const TimeBySort& ms) {
  return {ms.forward / 1000, ms.backward / 1000, ms.weight / 1000, ms.overlapped / 1000,
          ms.waiting / 1000};
}

}  // namespace

double optimizer_seconds(const LinkPlan& links, const Hardware& hardware) {
  if (hardware.link <= 0) return 0;
  double inside = 0, across = 0;
  for (const LinkKind kind : {LinkKind::dense_sums, LinkKind::expert_sums, LinkKind::direction_sums,
                              LinkKind::dense_weights, LinkKind::expert_weights,
                              LinkKind::direction_weights, LinkKind::embedding}) {
    const LinkPlan::Row& row = links.kinds[static_cast<std::size_t>(kind)];
    inside += row.inside.mean;
    across += row.across.mean;
  }
  const double near = hardware.near_link > 0 ? hardware.near_link : hardware.link;
  return inside / (near * 1e9) + across / (hardware.link * 1e9);
}

StepPrediction predict_step(const SchedulePlan& plan, double optimizer) {
  StepPrediction result;
  result.mean = seconds(plan.mean());
  int busiest = 0;
  for (int rank = 1; rank < plan.shape.ranks; ++rank)
    if (plan.timeline.idle(rank) < plan.timeline.idle(busiest)) busiest = rank;
  result.busiest = seconds(time_by_sort(plan.timeline, busiest));
  result.optimizer = optimizer;
  result.step = plan.step() / 1000 + optimizer;
  return result;
}

}  // namespace moray
