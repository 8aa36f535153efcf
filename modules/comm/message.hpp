#pragma once

#include <mpi.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/progress.hpp"

namespace moray {

/// A message of rows of bytes to or from one rank, from its start to wait(); errors call it `what`, text
/// that outlives it, and name the peer by its number in the job. The buffer, in host memory, belongs to the
/// message meanwhile. Messages of a (communicator, sender, receiver, tag) arrive in the
/// order in which they were started.
class Message {
 public:
  explicit Message(const char* what = "a message") : what_(what) {}
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  Message(Message&& other) noexcept : what_(other.what_) { *this = std::move(other); }
  Message& operator=(Message&& other) noexcept;
  /// Waits: MPI may still be reading or writing.
  ~Message();

  void send(const Communicator& ranks, const void* rows, std::int64_t count, std::int64_t row_bytes,
            int peer, int tag);
  void receive(const Communicator& ranks, void* rows, std::int64_t count, std::int64_t row_bytes,
               int peer, int tag);
  /// Returns at once when nothing was started.
  void wait();
  bool in_flight() const { return pending_.in_flight(); }

 private:
  void prepare(const Communicator& ranks, std::int64_t count, std::int64_t row_bytes, int peer);
  void check(int code, const char* call) const;

  MPI_Datatype row_ = MPI_DATATYPE_NULL;
  std::int64_t row_bytes_ = 0;
  const char* what_;
  const Communicator* ranks_ = nullptr;
  int peer_ = -1;
  PendingRequest pending_;
};

}  // namespace moray
