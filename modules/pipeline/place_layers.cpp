#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "core/error.hpp"
#include "pipeline/stages.hpp"

namespace moray {
namespace {

constexpr double kNone = std::numeric_limits<double>::infinity();

/// Places layers from both ends inwards: step k fills stages k and stages-1-k, which share a rank in
/// the schedules of two chunks. What is best for the outer k pairs, given how many layers they take
/// at the front and at the back, does not depend on what follows.
class Placement {
 public:
  Placement(const LayerCosts& costs, int stages)
      : costs_(costs), layers_(static_cast<int>(costs.layers.size())), stages_(stages) {
    sums_.push_back(0);
    for (const double c : costs.layers) sums_.push_back(sums_.back() + c);
  }

  enum class Goal { busiest_rank, largest_stage, squares };
  double rank_limit = kNone;   ///< of the cost of a pair
  double stage_limit = kNone;  ///< of a stage

  /// The least value of the goal within the limits; fills the placement.
  double solve(Goal goal);
  std::vector<StageLayers> stages() const { return result_; }

 private:
  struct State {
    double value = kNone;
    int front = 0;  ///< layers of this step's stage at the front, and at the back
    int back = 0;
  };
  int pairs() const { return stages_ / 2; }
  State& at(int step, int front, int back) {
    const int side = layers_ + 1;
    return states_[static_cast<std::size_t>((step * side + front) * side + back)];
  }
  double cost(int stage, int first, int count) const {
    return sums_[static_cast<std::size_t>(first + count)] - sums_[static_cast<std::size_t>(first)] +
           (stage == 0 ? costs_.embedding : 0) + (stage + 1 == stages_ ? costs_.last : 0);
  }
  int least(int stage) const { return stage + 1 == stages_ ? 0 : 1; }
  bool fits(double front, double back) const {
    return std::max(front, back) <= stage_limit && front + back <= rank_limit;
  }
  static double joined(Goal goal, double before, double front, double back) {
    if (goal == Goal::busiest_rank) return std::max(before, front + back);
    if (goal == Goal::largest_stage) return std::max({before, front, back});
    return before + front * front + back * back;
  }
  void extend(Goal goal, int step, int front, int back);
  double finish(Goal goal);
  void trace_back(int front, int back);

  const LayerCosts& costs_;
  int layers_;
  int stages_;
  std::vector<double> sums_;
  std::vector<State> states_;
  std::vector<StageLayers> result_;
};

double Placement::solve(Goal goal) {
  states_.assign(static_cast<std::size_t>((pairs() + 1) * (layers_ + 1) * (layers_ + 1)), {});
  at(0, 0, 0).value = 0;
  for (int step = 0; step < pairs(); ++step)
    for (int front = 0; front <= layers_; ++front)
      for (int back = 0; front + back <= layers_; ++back)
        if (at(step, front, back).value < kNone) extend(goal, step, front, back);
  return finish(goal);
}

void Placement::extend(Goal goal, int step, int front, int back) {
  const double before = at(step, front, back).value;
  const int last = stages_ - 1 - step;
  for (int a = least(step); front + a + back <= layers_; ++a) {
    const double front_cost = cost(step, front, a);
    if (front_cost > stage_limit) break;
    for (int b = least(last); front + a + back + b <= layers_; ++b) {
      const double back_cost = cost(last, layers_ - back - b, b);
      if (!fits(front_cost, back_cost)) break;
      State& to = at(step + 1, front + a, back + b);
      const double value = joined(goal, before, front_cost, back_cost);
      if (value < to.value) to = {value, a, b};
    }
  }
}

// All layers must be placed; an odd number of stages leaves one in the middle, alone on its rank.
double Placement::finish(Goal goal) {
  const bool middle = stages_ % 2 != 0;
  double best = kNone;
  for (int front = 0; front <= layers_; ++front) {
    for (int back = middle ? 0 : layers_ - front; front + back <= layers_; ++back) {
      double value = at(pairs(), front, back).value;
      const int left = layers_ - front - back;
      if (value == kNone || left < (middle ? least(pairs()) : 0)) continue;
      if (middle) {
        const double alone = cost(pairs(), front, left);
        if (!fits(alone, 0)) continue;
        value = joined(goal, value, alone, 0);
      }
      if (value >= best) continue;
      best = value;
      trace_back(front, back);
    }
  }
  return best;
}

void Placement::trace_back(int front, int back) {
  result_.assign(static_cast<std::size_t>(stages_), {});
  if (stages_ % 2 != 0)
    result_[static_cast<std::size_t>(pairs())] = {front, layers_ - front - back};
  for (int step = pairs(); step > 0; --step) {
    const State& state = at(step, front, back);
    result_[static_cast<std::size_t>(step - 1)] = {front - state.front, state.front};
    result_[static_cast<std::size_t>(stages_ - step)] = {layers_ - back, state.back};
    front -= state.front;
    back -= state.back;
  }
}

}  // namespace

std::string placement_problem(std::int64_t layers, const PipelineShape& shape) {
  if (layers >= std::max(shape.stages() - 1, 1)) return {};
  const std::int64_t most = shape.kind == ScheduleKind::dualpipev  ? (layers + 1) / 2
                            : shape.kind == ScheduleKind::dualpipe ? (layers + 1) / 2 * 2
                                                                   : layers + 1;
  return fmt::format(
      "{} on {} pipeline ranks has {} stages, more than {} layers fill (each but the last needs "
      "one): at most {} pipeline ranks",
      schedule_name(shape.kind), shape.ranks, shape.stages(), layers, most);
}

std::vector<StageLayers> place_layers(const LayerCosts& costs, const PipelineShape& shape) {
  const int stages = shape.stages();
  const std::string problem =
      placement_problem(static_cast<std::int64_t>(costs.layers.size()), shape);
  if (!problem.empty()) fail(ExitCode::usage, "{}", problem);
  Placement placement(costs, stages);
  // A hair above the optimum, so that sums formed in another order stay within it.
  const auto limit = [](double optimum) { return optimum * (1 + 1e-12); };
  if (shape.chunks() == 2)
    placement.rank_limit = limit(placement.solve(Placement::Goal::busiest_rank));
  placement.stage_limit = limit(placement.solve(Placement::Goal::largest_stage));
  placement.solve(Placement::Goal::squares);
  return placement.stages();
}

}  // namespace moray
