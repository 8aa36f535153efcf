#include "inspection/balance.hpp"

#include <algorithm>
#include <numeric>

#include "training/trainer.hpp"

namespace moray {
namespace {

/// A layer's part of a row of a column of shape (layers, experts).
template <class T>
std::span<const T> part(std::span<const T> column, std::int64_t layers, std::int64_t experts,
                        std::int64_t row, std::int64_t layer) {
  return column.subspan(static_cast<std::size_t>((row * layers + layer) * experts),
                        static_cast<std::size_t>(experts));
}

}  // namespace

Balance balance_of(const MetricTable& metrics, std::int64_t window) {
  Balance balance;
  if (metrics.rows == 0 || window < 1 || !metrics.schema.contains("loads")) return balance;
  const std::vector<std::int64_t>& shape =
      metrics.schema.columns()[metrics.schema.index("loads")].shape;
  const std::int64_t layers = shape[0];
  const std::int64_t experts = shape[1];
  const std::span<const std::int64_t> loads = metrics.integers("loads");
  std::int64_t first = 0;
  while (metrics.step(first) <= metrics.last_step() - window) ++first;
  while (first < metrics.rows && part(loads, layers, experts, first, 0)[0] == kMissingInteger)
    ++first;  // an older part of the run had no such column
  if (first == metrics.rows) return balance;
  balance.rows = metrics.rows - first;
  balance.first_step = metrics.step(first);
  balance.last_step = metrics.last_step();
  const std::vector<double> bias =
      metrics.schema.contains("bias") ? metrics.reals("bias") : std::vector<double>();
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    LayerBalance b;
    b.loads.resize(static_cast<std::size_t>(experts));
    for (std::int64_t row = first; row < metrics.rows; ++row) {
      const auto of_row = part(loads, layers, experts, row, layer);
      const std::vector<std::int64_t> step(of_row.begin(), of_row.end());
      for (std::size_t e = 0; e < step.size(); ++e) b.loads[e] += step[e];
      b.last_violation = max_violation(step);
      b.mean_violation += b.last_violation / static_cast<double>(balance.rows);
    }
    b.window_violation = max_violation(b.loads);
    if (!bias.empty()) {
      const auto last = part(std::span(bias), layers, experts, metrics.rows - 1, layer);
      b.bias.assign(last.begin(), last.end());
    }
    balance.layers.push_back(std::move(b));
  }
  return balance;
}

std::vector<std::int64_t> dead_experts(const std::vector<std::int64_t>& loads, double fraction) {
  const auto total =
      static_cast<double>(std::accumulate(loads.begin(), loads.end(), std::int64_t{}));
  const double limit = fraction * total / static_cast<double>(loads.size());
  std::vector<std::int64_t> dead;
  for (std::size_t e = 0; e < loads.size(); ++e) {
    if (static_cast<double>(loads[e]) < limit) dead.push_back(static_cast<std::int64_t>(e));
  }
  return dead;
}

}  // namespace moray
