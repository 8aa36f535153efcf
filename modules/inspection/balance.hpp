#pragma once

#include <string>
#include <vector>

#include "io/metrics.hpp"

namespace moray {

/// How evenly one MoE layer uses its experts, over the logged steps of a window.
struct LayerBalance {
  std::vector<std::int64_t> loads;  ///< tokens of each expert, summed over the window
  std::vector<double> bias;     ///< selection bias after the last step; empty: the gate has none
  double last_violation = 0;    ///< MaxVio of the last step's loads
  double mean_violation = 0;    ///< MaxVio of each logged step, averaged
  double window_violation = 0;  ///< MaxVio of the summed loads
};

struct Balance {
  std::int64_t first_step = 0;
  std::int64_t last_step = 0;
  std::int64_t rows = 0;             ///< logged steps from the first to the last
  std::vector<LayerBalance> layers;  ///< in the order of the metrics, MTP modules last
};

/// The balance over the last `window` steps of a run, as far as they were logged; without layers if
/// there is no row or no MoE layer.
Balance balance_of(const MetricTable& metrics, std::int64_t window);

/// Experts whose load is below `fraction` of the mean of their layer.
std::vector<std::int64_t> dead_experts(const std::vector<std::int64_t>& loads, double fraction);

}  // namespace moray
