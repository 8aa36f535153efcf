#pragma once

#include <mpi.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "comm/sent_bytes.hpp"
#include "core/exact_sum.hpp"

namespace moray {

/// Throws Error(communication) naming the call, the peer and MPI's own text when `code` is an error.
void check_mpi(int code, const char* call, const std::string& place);
/// The same where nothing can be thrown: in destructors. Warns.
void note_mpi(int code, const char* call) noexcept;

/// MPI for the life of the process: initialised at the thread level that the program needs, with
/// errors returned instead of fatal.
class MpiSession {
 public:
  /// Tensors are communicated by the thread that computes.
  static constexpr int kThreadLevel = MPI_THREAD_FUNNELED;

  MpiSession(int& argc, char**& argv);
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
};

/// A communicator that is freed with the object, every call checked.
class Communicator {
 public:
  /// A duplicate of MPI_COMM_WORLD.
  static Communicator world();
  /// Ranks with equal color, in the order of key.
  Communicator split(int color, int key) const;
  /// The ranks of this one that share a node.
  Communicator node() const;

  Communicator(Communicator&& other) noexcept;
  Communicator& operator=(Communicator&& other) noexcept;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  ~Communicator();

  int rank() const { return rank_; }
  int size() const { return size_; }
  MPI_Comm raw() const { return comm_; }
  /// "rank 3 of all", for messages: a rank of this communicator by its number in the job.
  std::string name_of(int rank) const;

  /// Says which ranks are on the node of this one, (size); without it all are. What was sent before is
  /// forgotten.
  void set_nodes(std::vector<char> here);
  /// What this rank sent, by exchanges and all_to_all() below, Message and RowExchange. Sums, maxima and
  /// texts, whose ways MPI chooses, are not counted.
  const SentBytes& sent() const { return sent_; }
  /// Adds to sent(), unless the peer is this rank.
  void count_sent(int peer, std::int64_t bytes) const;

  void barrier() const;
  /// A barrier that gives up: true if all ranks came within `seconds`.
  bool meet(double seconds) const;
  /// Ends all processes of the job with `code`.
  [[noreturn]] void abort(int code) const;
  void sum(std::span<std::int64_t> values) const;
  void maximum(std::span<std::int64_t> values) const;
  void maximum(std::span<double> values) const;
  bool all(bool value) const;
  /// The exact sum over all ranks: limbs are added as integers.
  void sum(ExactSum& value) const;
  void broadcast(std::span<char> bytes, int root) const;
  std::string broadcast(const std::string& text, int root) const;
  /// Texts of all ranks at `root`, in rank order; empty elsewhere.
  std::vector<std::string> gather(const std::string& text, int root) const;
  /// A text to each rank, less than 2 GiB in all; returns those of all ranks to this one.
  std::vector<std::string> all_to_all(const std::vector<std::string>& texts) const;

  /// The sum over ranks in an order that MPI chooses: never under `determinism: exact`.
  void sum_any_order(std::span<float> values) const;
  void sum_any_order(std::span<double> values) const;

  /// `per_rank` integers from each rank to each: those for rank 0 come first in `out`, those from
  /// rank 0 first in `in`.
  void all_to_all(std::span<const std::int32_t> out, std::span<std::int32_t> in,
                  std::int64_t per_rank) const;

  /// Sends `out` to and receives `in` from one partner; both in host memory, any length.
  void exchange(std::span<const char> out, std::span<char> in, int partner) const;
  void exchange(std::span<const float> out, std::span<float> in, int partner) const;
  void exchange(std::span<const double> out, std::span<double> in, int partner) const;

 private:
  explicit Communicator(MPI_Comm comm);

  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  std::vector<char> here_;  ///< of each rank, whether it is on this node; empty: all are
  mutable SentBytes sent_;
};

/// Runs `work`, which calls no collective, and agrees on its outcome: when it threw Error on some
/// rank, every rank throws the error of the first such rank, so that none is left waiting.
void agree_on_errors(const Communicator& ranks, const std::function<void()>& work);

}  // namespace moray
