#pragma once

#include <cstdint>

#include "config/amount.hpp"

namespace moray {

class Section;

/// Deck section `mtp`: multi-token prediction (DeepSeek-V3 report, section 2.2).
struct MtpConfig {
  std::int64_t depth = 0;
  double weight = 0.3;       ///< lambda
  double weight_late = 0.1;  ///< lambda from `switch_at` on
  Amount switch_at{0};       ///< 0: never
  friend bool operator==(const MtpConfig&, const MtpConfig&) = default;
};
void declare(Section& section, MtpConfig& config);

}  // namespace moray
