#pragma once

#include <string>

#include "config/section.hpp"

namespace moray {

/// What mends a broken rule, as the end of its message: "; works with parallel.expert = 2 or 4, or
/// with run.ranks = 8"; empty when no one key of its remedies does. Of an integer key the nearest
/// value to either side within kFarthestRemedy, of a choice all. With each of them alone every rule
/// of `root` holds, but for those that are broken and no remedy is known of. When there is none,
/// values that mend this rule and break no other: "; this one is mended by ...". The text of a remedy is
/// named in any case.
/// Values are put into the structs that the keys are bound to, and taken out again.
std::string remedies_text(Section& root, const Rule& rule);

inline constexpr std::int64_t kFarthestRemedy = 1 << 12;

}  // namespace moray
