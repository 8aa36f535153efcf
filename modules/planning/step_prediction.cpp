#include "planning/step_prediction.hpp"

namespace moray {
namespace {

TimeBySort seconds(const TimeBySort& ms) {
  return {ms.forward / 1000, ms.backward / 1000, ms.weight / 1000, ms.overlapped / 1000,
          ms.waiting / 1000};
}

}  // namespace

double optimizer_bytes(const Deck& deck, const ParameterPlan& parameters,
                       const PipelineShape& shape, double data_ranks) {
  const MoeConfig& moe = deck.model.moe;
  double routed = static_cast<double>(deck.model.mtp.depth * moe.experts * 3 * moe.width *
                                      deck.model.model.width);
  for (const ModuleParameters& m : parameters.modules)
    if (m.name == "routed experts") routed += static_cast<double>(m.total);
  const double dense = static_cast<double>(parameters.total + parameters.mtp) - routed;
  const double copies = shape.kind == ScheduleKind::dualpipe ? 2 : 1;
  const auto expert = static_cast<double>(deck.parallel.expert);
  const auto sent = [&](double of_rank, double replicas) {
    return (4 + 2) * of_rank * (1 - 1 / replicas);
  };
  const double share = copies / shape.ranks;
  return sent(dense * share, copies * data_ranks) +
         sent(routed * share / expert, copies * data_ranks / expert);
}

StepPrediction predict_step(const SchedulePlan& plan, double optimizer_bytes, double link) {
  StepPrediction result;
  result.mean = seconds(plan.mean());
  int busiest = 0;
  for (int rank = 1; rank < plan.shape.ranks; ++rank)
    if (plan.timeline.idle(rank) < plan.timeline.idle(busiest)) busiest = rank;
  result.busiest = seconds(time_by_sort(plan.timeline, busiest));
  if (link > 0) result.optimizer = optimizer_bytes / (link * 1e9);
  result.step = plan.step() / 1000 + result.optimizer;
  return result;
}

}  // namespace moray
