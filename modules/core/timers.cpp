#include "core/timers.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace moray {

std::size_t Timers::part(const std::string& name) {
  parts_.push_back({name, 0, 0});
  return parts_.size() - 1;
}

std::vector<std::string> timer_table(const Timers& timers, const std::vector<double>& slowest,
                                     const std::vector<double>& mean, double total) {
  std::vector<std::string> lines = {
      fmt::format("{:<24} {:>9} {:>10} {:>7} {:>10}", "time", "calls", "s", "share", "imbalance")};
  for (std::size_t i = 0; i < timers.parts().size(); ++i) {
    const Timers::Part& part = timers.parts()[i];
    if (part.calls == 0) continue;
    const auto depth =
        static_cast<std::size_t>(std::count(part.name.begin(), part.name.end(), '/'));
    const std::string name =
        std::string(2 * depth, ' ') + part.name.substr(part.name.rfind('/') + 1);
    const double imbalance = mean[i] > 0 ? slowest[i] / mean[i] - 1 : 0.0;
    lines.push_back(fmt::format("{:<24} {:>9} {:>10.3f} {:>6.1f}% {:>9.1f}%", name, part.calls,
                                slowest[i], 100 * slowest[i] / std::max(total, 1e-9),
                                100 * imbalance));
  }
  return lines;
}

}  // namespace moray
