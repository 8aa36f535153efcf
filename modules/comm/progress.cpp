#include "comm/progress.hpp"

#include <chrono>
#include <exception>
#include <utility>

#include "core/error.hpp"

namespace moray {
namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

/// Time between two tests: some twenty a millisecond carry a message that needs a test for every
/// hundred kilobytes, and cost the computation about a hundredth.
constexpr Clock::duration kInterval = std::chrono::microseconds(20);

/// What an error that unwinds gives peers to complete what is in flight.
constexpr Clock::duration kPatience = std::chrono::seconds(1);
bool abandoned = false;

}  // namespace

/// The ring of operations that are not known to be complete, and its hook. One thread uses it.
class Progress {
 public:
  static void add(PendingRequest& request) {
    if (next_ == nullptr) {
      request.previous_ = request.next_ = &request;
      next_ = &request;
      due_ = last_ = Clock::now();
      hook();
      return;
    }
    request.next_ = next_;
    request.previous_ = next_->previous_;
    request.previous_->next_ = request.next_->previous_ = &request;
  }

  static void remove(PendingRequest& request) {
    if (request.next_ == &request) {
      next_ = nullptr;
      hook();
    } else {
      request.previous_->next_ = request.next_;
      request.next_->previous_ = request.previous_;
      if (next_ == &request) next_ = request.next_;
    }
    request.previous_ = request.next_ = nullptr;
  }

  /// `to` takes the place of `from`.
  static void move(PendingRequest& from, PendingRequest& to) {
    const bool alone = from.next_ == &from;
    to.previous_ = alone ? &to : from.previous_;
    to.next_ = alone ? &to : from.next_;
    to.previous_->next_ = to.next_->previous_ = &to;
    if (next_ == &from) next_ = &to;
    from.previous_ = from.next_ = nullptr;
  }

  static void hook() {
    set_progress_hook(next_ != nullptr && forbidden_ == 0 ? called_by_kernel : nullptr);
  }

  /// Tests one operation: any call of MPI moves all of them, and each has its turn.
  static void called_by_kernel() {
    const Clock::time_point begin = Clock::now();
    ++counts_.calls;
    counts_.longest = std::max(counts_.longest, seconds(begin - last_));
    last_ = begin;
    if (begin < due_) return;
    PendingRequest& request = *next_;
    int done = 0;
    request.code_ = MPI_Test(&request.request_, &done, MPI_STATUS_IGNORE);
    if (done != 0 || request.code_ != MPI_SUCCESS) {
      remove(request);
      request.state_ = PendingRequest::State::complete;
    } else {
      next_ = request.next_;
    }
    last_ = Clock::now();
    due_ = last_ + kInterval;
    ++counts_.tests;
    counts_.seconds += seconds(last_ - begin);
  }

  static inline PendingRequest* next_ = nullptr;  ///< the one to be tested next
  static inline int forbidden_ = 0;
  static inline Clock::time_point due_, last_;
  static inline ProgressCounts counts_;
};

PendingRequest& PendingRequest::operator=(PendingRequest&& other) noexcept {
  if (this == &other) return *this;
  wait();
  request_ = std::exchange(other.request_, MPI_REQUEST_NULL);
  state_ = std::exchange(other.state_, State::none);
  code_ = other.code_;
  if (state_ == State::moving) Progress::move(other, *this);
  return *this;
}

void PendingRequest::start(MPI_Request request) {
  MORAY_REQUIRE(!in_flight());
  request_ = request;
  code_ = MPI_SUCCESS;
  state_ = State::moving;
  Progress::add(*this);
}

PendingRequest::~PendingRequest() {
  if (std::uncaught_exceptions() == 0) {
    wait();
    return;
  }
  if (state_ != State::moving) return;
  Progress::remove(*this);
  // All operations that an error leaves behind share this time.
  static const Clock::time_point deadline = Clock::now() + kPatience;
  int done = 0;
  do {
    if (MPI_Test(&request_, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) break;
  } while (done == 0 && Clock::now() < deadline);
  if (done == 0) abandoned = true;
}

bool requests_abandoned() {
  return abandoned;
}

int PendingRequest::wait() noexcept {
  if (state_ == State::none) return MPI_SUCCESS;
  if (state_ == State::moving) {
    Progress::remove(*this);
    code_ = MPI_Wait(&request_, MPI_STATUS_IGNORE);
  }
  state_ = State::none;
  return code_;
}

ProgressCounts progress_counts() {
  return Progress::counts_;
}

void reset_progress_counts() {
  Progress::counts_ = {};
  Progress::last_ = Clock::now();
}

NoProgress::NoProgress() {
  ++Progress::forbidden_;
  Progress::hook();
}

NoProgress::~NoProgress() {
  --Progress::forbidden_;
  Progress::hook();
}

}  // namespace moray
