#pragma once

#include <cstdint>

namespace moray {

/// Bytes that a rank sent to other ranks.
struct SentBytes {
  std::int64_t inside = 0;  ///< to ranks of its node
  std::int64_t across = 0;  ///< to other nodes

  std::int64_t total() const { return inside + across; }
  SentBytes& operator+=(const SentBytes& other) {
    inside += other.inside;
    across += other.across;
    return *this;
  }
  SentBytes& operator-=(const SentBytes& other) {
    inside -= other.inside;
    across -= other.across;
    return *this;
  }
  friend SentBytes operator-(SentBytes a, const SentBytes& b) { return a -= b; }
  friend bool operator==(const SentBytes&, const SentBytes&) = default;
};

}  // namespace moray
