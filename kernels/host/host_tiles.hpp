#pragma once

#include "core/kokkos.hpp"

namespace moray {

/// parallel_tiles for bodies that call host micro-kernels. On a device backend, which has no host
/// variants, nothing is instantiated: such a body is no device code.
template <class Body>
void host_tiles(const std::string& label, const ExecSpace& exec, std::int64_t count,
                const Body& body) {
  if constexpr (kHostBackend) parallel_tiles(label, exec, count, body);
}

}  // namespace moray
