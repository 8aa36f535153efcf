#include "core/progress.hpp"

#include <utility>

namespace moray {
namespace {

constinit thread_local ProgressHook hook_of_thread = nullptr;

}  // namespace

ProgressHook set_progress_hook(ProgressHook hook) {
  return std::exchange(hook_of_thread, hook);
}

void make_progress() {
  if (hook_of_thread != nullptr) hook_of_thread();
}

}  // namespace moray
