#pragma once

#include <cstdint>

#include "comm/communicator.hpp"

namespace moray {

/// Which of a layer's experts this rank has: [share E / shares, (share + 1) E / shares).
struct ExpertShare {
  std::int64_t shares = 1;
  std::int64_t share = 0;
  const Communicator* group = nullptr;  ///< ranks in the order of shares; none for a plan
  double headroom = 1.5;                ///< rows to receive, times their mean, that are planned for

  bool whole() const { return shares == 1; }
  std::int64_t count(std::int64_t experts) const { return experts / shares; }
  std::int64_t first(std::int64_t experts) const { return share * count(experts); }
};

}  // namespace moray
