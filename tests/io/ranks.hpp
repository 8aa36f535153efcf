#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/collective.hpp"

namespace moray::testing {

/// Ranks as threads of one process: what they share.
class Meeting {
 public:
  explicit Meeting(int size) : size_(size), bytes_(static_cast<std::size_t>(size)) {}
  int size() const { return size_; }

  /// Every rank leaves its bytes; the last one to come lets all go on. Returns all ranks' bytes.
  std::vector<std::string> exchange(int rank, const std::string& bytes) {
    std::unique_lock lock(mutex_);
    bytes_[static_cast<std::size_t>(rank)] = bytes;
    const long round = round_;
    if (++present_ == size_) {
      present_ = 0;
      ++round_;
      shown_ = bytes_;
      all_.notify_all();
    } else {
      all_.wait(lock, [&] { return round_ != round; });
    }
    return shown_;
  }

 private:
  int size_;
  std::mutex mutex_;
  std::condition_variable all_;
  std::vector<std::string> bytes_, shown_;
  int present_ = 0;
  long round_ = 0;
};

class ThreadCollective final : public Collective {
 public:
  ThreadCollective(Meeting& meeting, int rank) : meeting_(meeting), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return meeting_.size(); }
  bool all(bool value) override {
    for (const std::string& other : meeting_.exchange(rank_, value ? "1" : "0")) {
      if (other != "1") return false;
    }
    return true;
  }
  void broadcast(std::string& bytes) override { bytes = meeting_.exchange(rank_, bytes)[0]; }
  std::vector<std::string> gather(const std::string& bytes) override {
    auto all = meeting_.exchange(rank_, bytes);
    if (rank_ != 0) return {};
    gathered_ += bytes_of_others(all);
    return all;
  }
  std::vector<std::string> exchange(const std::vector<std::string>& to) override {
    std::vector<std::string> mine;
    for (int rank = 0; rank < size(); ++rank) {
      auto all = meeting_.exchange(rank_, to.at(static_cast<std::size_t>(rank)));
      if (rank == rank_) mine = all;
    }
    exchanged_ += bytes_of_others(mine);
    return mine;
  }

  /// Bytes that other ranks sent to this one alone: by gather(), and by exchange().
  std::size_t gathered() const { return gathered_; }
  std::size_t exchanged() const { return exchanged_; }

 private:
  std::size_t bytes_of_others(const std::vector<std::string>& all) const {
    std::size_t bytes = 0;
    for (const std::string& some : all) bytes += some.size();
    return bytes - all[static_cast<std::size_t>(rank_)].size();
  }

  Meeting& meeting_;
  int rank_;
  std::size_t gathered_ = 0, exchanged_ = 0;
};

/// Runs `body` on so many ranks. Returns the message of each rank's error, empty where it ended
/// well. A rank that leaves a collective early lets the others hang: CTest's limit finds it.
inline std::vector<std::string> run_ranks(int size, const std::function<void(Collective&)>& body) {
  Meeting meeting(size);
  std::vector<std::string> errors(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      ThreadCollective ranks(meeting, rank);
      try {
        body(ranks);
      } catch (const std::exception& error) {
        errors[static_cast<std::size_t>(rank)] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return errors;
}

}  // namespace moray::testing
