#include <fmt/format.h>

#include <algorithm>

#include "pipeline/check.hpp"

namespace moray {

std::optional<ScheduleFault> prove_group(const std::vector<std::vector<PipelineOp>>& lists) {
  for (std::size_t member = 1; member < lists.size(); ++member) {
    const auto& one = lists.front();
    const auto& other = lists[member];
    for (std::size_t i = 0; i < std::max(one.size(), other.size()); ++i) {
      if (i < one.size() && i < other.size() && one[i] == other[i]) continue;
      const auto text = [i](const std::vector<PipelineOp>& list) {
        return i < list.size() ? to_text(list[i]) : std::string("nothing");
      };
      return ScheduleFault{static_cast<int>(member), static_cast<int>(i), text(other),
                           fmt::format("rank 0 of its expert group has {} there", text(one))};
    }
  }
  return std::nullopt;
}

}  // namespace moray
