#pragma once

#include "core/error.hpp"
#include "kernels/gate/gate.hpp"

/// What the forward and the backward of the gate share.
namespace moray {

inline void require_valid(const GateRule& rule) {
  MORAY_REQUIRE(rule.experts > 0 && rule.groups > 0 && rule.groups <= kMaxGateGroups);
  MORAY_REQUIRE(rule.experts % rule.groups == 0);
  MORAY_REQUIRE(rule.top_groups >= 1 && rule.top_groups <= rule.groups);
  MORAY_REQUIRE(rule.top_k >= 1 && rule.top_k <= kMaxGateChoices);
  MORAY_REQUIRE(rule.top_k <= rule.top_groups * (rule.experts / rule.groups));
}

KOKKOS_INLINE_FUNCTION bool normalizes(const GateRule& rule) {
  return rule.normalize || rule.score == GateScore::sigmoid;
}

/// S: the scores of the selected experts, a chain in increasing expert index, + 1e-20.
template <class Real>
KOKKOS_INLINE_FUNCTION Real selected_sum(const GateRule& rule, const Real* s,
                                         const std::int32_t* selected) {
  Real sum = 0;
  for (std::int64_t k = 0; k < rule.top_k; ++k) sum = sum + s[selected[k]];
  return sum + Real(1e-20);
}

}  // namespace moray
