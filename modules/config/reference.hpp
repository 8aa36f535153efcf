#pragma once

#include <string>

#include "config/section.hpp"

namespace moray {

/// The reference of every section, or of one (`name`: "moe", "attention.yarn"), as Markdown that
/// also reads well on a terminal. Throws Error(usage) with the nearest name when there is none.
std::string deck_reference(Section& root, const std::string& name = "");

}  // namespace moray
