#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace moray {

/// std::chrono::steady_clock in seconds: the clock of everything that is recorded. Processes of one
/// machine share it.
double steady_seconds();

/// What a rank does within the ops of a pipeline schedule, what it waits for there, and what follows.
enum class Phase : std::uint8_t {
  attention,  ///< with norms and gate
  dispatch_start,
  dispatch_relay,  ///< from the first of two hops to the second
  dispatch_finish,
  experts,  ///< the FFN of a dense layer, too
  combine_start,
  combine_relay,
  combine_finish,
  ends,     ///< embedding, final norm, head and loss
  counts,   ///< waiting for how many tokens come from where
  tokens,   ///< waiting for rows of tokens
  message,  ///< waiting for a message between stages, or for room to send one
  reduce,   ///< gradients over ranks, also of a chunk that is complete before the last op
  update,   ///< the optimizer
};
inline constexpr std::array<std::string_view, 14> kPhaseNames = {
    "attention", "dispatch start", "dispatch relay", "dispatch finish",
    "experts",   "combine start",  "combine relay",  "combine finish",
    "ends",      "counts",         "tokens",         "message",
    "reduce",    "update"};

/// Of which of a micro-batch's three passes a phase is a part.
enum class PhasePart : std::uint8_t { F, B, W };
inline constexpr std::array<std::string_view, 3> kPhasePartNames = {"F", "B", "W"};

/// When what began and ended on this rank in a step that is recorded. Memory is taken before; what
/// finds no room is counted and left out. While nothing is recorded a Scope costs a test of a pointer.
/// One recording goes on at a time, and only the thread that launches kernels and calls MPI tells it
/// anything.
class Recorder {
 public:
  struct Span {
    double begin = 0;  ///< steady_seconds()
    double end = 0;
    Phase phase = Phase::attention;
    PhasePart part = PhasePart::F;
    std::int16_t layer = -1;  ///< -1: of none
  };

  /// Makes room for so many spans.
  void reserve(std::size_t spans);
  /// Of the last recording, in the order in which they began: what encloses comes before what it has.
  const std::vector<Span>& spans() const { return spans_; }
  /// Spans for which there was no room.
  std::int64_t lost() const { return lost_; }

  static bool active() { return active_ != nullptr; }

  /// Records during its life.
  class Recording {
   public:
    explicit Recording(Recorder& recorder);
    ~Recording() { active_ = nullptr; }
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;
  };

  /// Its own life as a span.
  class Scope {
   public:
    explicit Scope(Phase phase, PhasePart part = PhasePart::F, std::int64_t layer = -1)
        : place_(active_ == nullptr ? kNone : active_->begin(phase, part, layer)) {}
    ~Scope() {
      if (place_ != kNone) active_->spans_[place_].end = steady_seconds();
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    std::size_t place_;
  };

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};
  std::size_t begin(Phase phase, PhasePart part, std::int64_t layer);

  static inline Recorder* active_ = nullptr;
  std::vector<Span> spans_;
  std::size_t room_ = 0;
  std::int64_t lost_ = 0;
};

}  // namespace moray
