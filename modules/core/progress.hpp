#pragma once

/// Where long computation gives communication a chance: MPI moves large messages only inside its own
/// calls, so kernels call make_progress() between pieces of their work, and `comm` sets the hook that
/// makes the call. Host micro-kernels of raised instruction sets include this header: it has neither
/// Kokkos, nor the STL, nor anything inline.

namespace moray {

/// Must be short, throw nothing and launch nothing: it runs inside kernels.
using ProgressHook = void (*)();

/// The hook of this thread and of no other, so that MPI stays with the thread that owns it; null:
/// none. Returns the one before.
ProgressHook set_progress_hook(ProgressHook hook);

/// Calls this thread's hook. Without one it costs about a nanosecond or two; kernels that run on the
/// host call it after at most some tenths of a millisecond of work.
void make_progress();

}  // namespace moray
