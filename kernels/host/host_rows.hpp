#pragma once

#include "kernels/host/host_kernels.hpp"
#include "kernels/host/host_tiles.hpp"

namespace moray {

/// The micro-kernels that `op` runs with now, or null for its portable version.
inline const HostKernels* selected_host_kernels(Op op) {
  return kHostBackend ? host_kernels(selected_variant(op)) : nullptr;
}

/// body(t) for rows t in [0, rows), some rows to a tile. A row can be long: communication moves after
/// each.
template <class Body>
void host_rows(const std::string& label, const ExecSpace& exec, std::int64_t rows,
               const Body& body) {
  constexpr std::int64_t kRows = 16;
  host_tiles(label, exec, (rows + kRows - 1) / kRows, [=](std::int64_t tile) {
    const std::int64_t end = (tile + 1) * kRows < rows ? (tile + 1) * kRows : rows;
    for (std::int64_t t = tile * kRows; t < end; ++t) {
      body(t);
      make_progress();
    }
  });
}

/// body(begin, count) for pieces of [0, size).
template <class Body>
void host_pieces(const std::string& label, const ExecSpace& exec, std::int64_t size,
                 std::int64_t piece, const Body& body) {
  host_tiles(label, exec, (size + piece - 1) / piece, [=](std::int64_t tile) {
    const std::int64_t begin = tile * piece;
    body(begin, size - begin < piece ? size - begin : piece);
  });
}

}  // namespace moray
