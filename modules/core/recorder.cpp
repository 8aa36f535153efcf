#include "core/recorder.hpp"

#include <chrono>

#include "core/error.hpp"

namespace moray {

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Recorder::reserve(std::size_t spans) {
  spans_.reserve(spans);
  room_ = spans;
}

std::size_t Recorder::begin(Phase phase, PhasePart part, std::int64_t layer) {
  if (spans_.size() == room_) {
    ++lost_;
    return kNone;
  }
  spans_.push_back({steady_seconds(), 0, phase, part, static_cast<std::int16_t>(layer)});
  return spans_.size() - 1;
}

Recorder::Recording::Recording(Recorder& recorder) {
  MORAY_REQUIRE(active_ == nullptr);
  recorder.spans_.clear();
  recorder.lost_ = 0;
  active_ = &recorder;
}

}  // namespace moray
