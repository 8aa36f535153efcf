#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace moray {

/// Where a run's time goes: named parts, each a child of another by its name ("step/forward" of
/// "step"). Times are those of the host thread; on a device they show launches unless the part ends
/// with a fence. Parts are declared once, so that timing a step allocates nothing.
class Timers {
 public:
  /// Declares a part; parents first.
  std::size_t part(const std::string& name);

  /// Times its own life.
  class Scope {
   public:
    Scope(Timers& timers, std::size_t part) : timers_(timers), part_(part) {}
    ~Scope() { timers_.add(part_, std::chrono::steady_clock::now() - begin_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Timers& timers_;
    std::size_t part_;
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  };

  struct Part {
    std::string name;
    std::int64_t calls = 0;
    double seconds = 0;
  };
  const std::vector<Part>& parts() const { return parts_; }

 private:
  void add(std::size_t part, std::chrono::steady_clock::duration time) {
    parts_[part].seconds += std::chrono::duration<double>(time).count();
    ++parts_[part].calls;
  }

  std::vector<Part> parts_;
};

/// The tree as lines of text: calls, the slowest rank's seconds and their share of `total`, and how
/// much longer the slowest rank took than the mean one. `slowest` and `mean` hold a value a part.
std::vector<std::string> timer_table(const Timers& timers, const std::vector<double>& slowest,
                                     const std::vector<double>& mean, double total);

}  // namespace moray
