#pragma once

#include <mpi.h>

#include <cstdint>

#include "core/progress.hpp"

namespace moray {

/// A started operation of MPI, for objects that own its buffers to embed. From start() until it is
/// complete it is tested from within the kernels that this rank runs meanwhile (core/progress.hpp),
/// some tens of microseconds apart: so a large message moves while its ranks compute. Any number may
/// be in flight; starting, testing and moving them allocates nothing. All belong to the thread that
/// calls MPI. Declare it behind the buffers, so that it is destroyed, and waits, before they are.
///
///     check_mpi(MPI_Isend(..., &request), "MPI_Isend", place);
///     pending_.start(request);
///     ...
///     if (const int code = pending_.wait(); code != MPI_SUCCESS) check_mpi(code, "MPI_Isend", place);
class PendingRequest {
 public:
  PendingRequest() = default;
  explicit PendingRequest(MPI_Request request) { start(request); }
  PendingRequest(const PendingRequest&) = delete;
  PendingRequest& operator=(const PendingRequest&) = delete;
  PendingRequest(PendingRequest&& other) noexcept { *this = static_cast<PendingRequest&&>(other); }
  /// Waits for what this one held.
  PendingRequest& operator=(PendingRequest&& other) noexcept;
  /// Waits: MPI may still be reading or writing the buffers. While an error unwinds the peer may
  /// never come: then it gives up after a moment, and requests_abandoned() says so.
  ~PendingRequest();

  /// Takes what a non-blocking call of MPI returned. None may be in flight.
  void start(MPI_Request request);
  /// From start() to wait().
  bool in_flight() const { return state_ != State::none; }
  /// Known to be complete, without asking MPI.
  bool complete() const { return state_ == State::complete; }
  /// Completes the operation and returns MPI's code, also that of an error met in a kernel. Nothing
  /// to do when none is in flight.
  int wait() noexcept;

 private:
  friend class Progress;
  enum class State { none, moving, complete };

  MPI_Request request_ = MPI_REQUEST_NULL;
  State state_ = State::none;
  int code_ = MPI_SUCCESS;
  PendingRequest* previous_ = nullptr;  ///< while moving: a ring of all that are
  PendingRequest* next_ = nullptr;
};

/// True when an error left operations behind. MPI may still touch their buffers: the job is ended with
/// MPI_Abort, and nothing else is asked of MPI.
bool requests_abandoned();

/// What the hook did since reset_progress_counts().
struct ProgressCounts {
  std::int64_t calls = 0;  ///< of kernels, while something was in flight
  std::int64_t tests = 0;  ///< calls of MPI
  double seconds = 0;      ///< in MPI, copying of messages included
  double longest = 0;      ///< seconds from one call of a kernel (or the reset) to the next
};
ProgressCounts progress_counts();
void reset_progress_counts();

/// While one lives, kernels do not call MPI: for those who measure what the help is worth.
class NoProgress {
 public:
  NoProgress();
  ~NoProgress();
  NoProgress(const NoProgress&) = delete;
  NoProgress& operator=(const NoProgress&) = delete;
};

}  // namespace moray
