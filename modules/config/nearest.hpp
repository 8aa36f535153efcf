#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moray {

/// Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate that somebody who wrote `name` most likely meant: fewest edits, at most a third of
/// its length (or one); the earlier one of equals. Nothing when none is near.
std::optional<std::string> nearest_name(std::string_view name,
                                        const std::vector<std::string>& candidates);

}  // namespace moray
