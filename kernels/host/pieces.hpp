#pragma once

#include <algorithm>
#include <cstdint>

namespace moray {

inline std::int64_t ceil_divide(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

/// The piece that a tile number belongs to, where each piece says its `first` one: the last that
/// begins at or before it.
template <class Piece>
const Piece& piece_of(const Piece* begin, const Piece* end, std::int64_t tile,
                      std::int64_t Piece::*first) {
  return *(std::upper_bound(begin, end, tile,
                            [first](std::int64_t t, const Piece& p) { return t < p.*first; }) -
           1);
}

}  // namespace moray
