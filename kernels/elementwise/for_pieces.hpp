#pragma once

#include <cstdint>
#include <string>

#include "core/kokkos.hpp"

namespace moray {

/// Calls body(i, begin, end) for pieces of columns [begin, end) of every row i: a row of a layer is one
/// piece on a host, and a whole tensor given as one row is still spread over the threads; a device
/// thread takes one element.
template <class Body>
void for_pieces(const std::string& label, const ExecSpace& exec, std::int64_t rows,
                std::int64_t cols, const Body& body) {
  constexpr std::int64_t kColumns = kHostBackend ? 4096 : 1;
  const std::int64_t pieces = (cols + kColumns - 1) / kColumns;
  parallel_for(
      label, exec, rows * pieces, KOKKOS_LAMBDA(const std::int64_t item) {
        const std::int64_t begin = item % pieces * kColumns;
        body(item / pieces, begin, begin + kColumns < cols ? begin + kColumns : cols);
      });
}

}  // namespace moray
