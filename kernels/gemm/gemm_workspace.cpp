#include "kernels/gemm/gemm_workspace.hpp"

#include <new>

namespace moray {
namespace {

/// Packed floats of b in flight: 4 MiB for one thread, 2 MiB for each further one. Large enough
/// that an operand of usual width is packed in one go, small enough for a shared cache.
constexpr std::int64_t kFirstThread = std::int64_t{1} << 20;
constexpr std::int64_t kNextThread = std::int64_t{1} << 19;
constexpr std::size_t kAlignment = 64;
/// Pieces and tasks of one launch for which there is room at once: the experts of a layer.
constexpr std::size_t kListed = 1024;

}  // namespace

GemmWorkspace::GemmWorkspace() : capacity_(capacity_for(HostExecSpace().concurrency())) {
  pieces_.reserve(kListed);
  tasks_.reserve(kListed);
}

std::int64_t GemmWorkspace::capacity_for(std::int64_t threads) {
  return kFirstThread + kNextThread * (threads - 1);
}

GemmWorkspace& GemmWorkspace::global() {
  static GemmWorkspace workspace;
  return workspace;
}

float* GemmWorkspace::storage() {
  if (!storage_) {
    storage_.reset(static_cast<float*>(
        std::aligned_alloc(kAlignment, static_cast<std::size_t>(capacity_) * sizeof(float))));
    if (!storage_) throw std::bad_alloc();
  }
  return storage_.get();
}

std::int64_t gemm_workspace_bytes() {
  return kHostBackend
             ? GemmWorkspace::global().capacity() * static_cast<std::int64_t>(sizeof(float))
             : 0;
}

void gemm_reserve() {
  if (kHostBackend) GemmWorkspace::global().storage();
}

}  // namespace moray
