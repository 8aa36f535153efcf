#include "planning/timed_stages.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.hpp"

namespace moray {
namespace {

enum Kind : std::size_t { kEmbedding, kDense, kOther, kLast };
/// A number for each kind of part.
using ByKind = std::array<double, 4>;

/// What can move from one stage to another.
struct Part {
  Kind kind;
  double cost;
  std::size_t from;  ///< the stage that had it
  std::size_t to;    ///< the stage that is to have it
};

std::size_t stage_of(const std::vector<StageLayers>& stages, std::int64_t layer) {
  const auto holds = [layer](const StageLayers& s) { return layer < s.first + s.count; };
  const auto found = std::find_if(stages.begin(), stages.end(), holds);
  MORAY_REQUIRE(found != stages.end());
  return static_cast<std::size_t>(found - stages.begin());
}

std::vector<Part> parts_of(const std::vector<StageLayers>& stages, const TimedStages& ran,
                           const LayerCosts& costs) {
  std::vector<Part> parts = {{kEmbedding, costs.embedding, 0, 0}};
  for (std::size_t i = 0; i < costs.layers.size(); ++i) {
    const auto layer = static_cast<std::int64_t>(i);
    parts.push_back({layer < ran.dense_layers ? kDense : kOther, costs.layers[i],
                     stage_of(ran.layers, layer), stage_of(stages, layer)});
  }
  parts.push_back({kLast, costs.last, ran.layers.size() - 1, stages.size() - 1});
  return parts;
}

double product(const ByKind& a, const ByKind& b) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += a[k] * b[k];
  return sum;
}

/// Factors of the kinds from the cost that each stage has of each, and its time. Richardson and Lucy's
/// iteration: factors are never negative, the sum of the times is met, and from equal factors on kinds
/// move apart only as far as the stages demand.
ByKind factors_of(const std::vector<ByKind>& stages, const std::vector<double>& times) {
  constexpr int kMost = 20'000;
  constexpr double kStill = 1e-13;
  ByKind factors;
  factors.fill(1);
  double change = 1;
  for (int i = 0; i < kMost && change > kStill; ++i) {
    ByKind sum{}, ratio{};
    for (std::size_t s = 0; s < stages.size(); ++s) {
      const double expected = product(stages[s], factors);
      for (std::size_t k = 0; k < sum.size(); ++k) {
        sum[k] += stages[s][k];
        if (expected > 0) ratio[k] += stages[s][k] * times[s] / expected;
      }
    }
    change = 0;
    for (std::size_t k = 0; k < sum.size(); ++k) {
      if (sum[k] == 0) continue;
      change = std::max(change, std::abs(ratio[k] / sum[k] - 1));
      factors[k] *= ratio[k] / sum[k];
    }
  }
  return factors;
}

/// What the new stages take of one sort of op.
std::vector<double> dealt(const std::vector<Part>& parts, const std::vector<double>& times,
                          std::size_t stages) {
  std::vector<ByKind> costs(times.size(), ByKind{});
  std::vector<double> positive;
  for (const Part& p : parts) costs[p.from][p.kind] += p.cost;
  for (const double time : times) positive.push_back(std::max(time, 0.0));
  const ByKind factors = factors_of(costs, positive);
  const auto weight = [&](const Part& p) {
    return product(costs[p.from], factors) > 0 ? p.cost * factors[p.kind] : p.cost;
  };
  // Sums in the order of the parts: a stage that keeps all of its own has exactly 1 of its time.
  std::vector<double> whole(times.size());
  std::vector<std::vector<double>> shares(stages, std::vector<double>(times.size()));
  for (const Part& p : parts) {
    whole[p.from] += weight(p);
    shares[p.to][p.from] += weight(p);
  }
  std::vector<double> result(stages);
  for (std::size_t to = 0; to < stages; ++to)
    for (std::size_t from = 0; from < times.size(); ++from)
      if (whole[from] > 0) result[to] += times[from] * (shares[to][from] / whole[from]);
  return result;
}

}  // namespace

std::vector<StageDurations> place_durations(const std::vector<StageLayers>& stages,
                                            const TimedStages& ran, const LayerCosts& costs) {
  const std::vector<Part> parts = parts_of(stages, ran, costs);
  std::vector<StageDurations> result(stages.size());
  for (double StageDurations::*const sort :
       {&StageDurations::forward, &StageDurations::input_gradient, &StageDurations::weight_gradient,
        &StageDurations::overlapped}) {
    std::vector<double> times;
    for (const StageDurations& d : ran.durations) times.push_back(d.*sort);
    const std::vector<double> moved = dealt(parts, times, stages.size());
    for (std::size_t s = 0; s < stages.size(); ++s) result[s].*sort = moved[s];
  }
  return result;
}

}  // namespace moray
