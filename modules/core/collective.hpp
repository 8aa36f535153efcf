#pragma once

#include <functional>
#include <string>
#include <vector>

namespace moray {

/// The few operations over ranks that file formats need, without MPI: `comm` implements them for
/// real ranks, tests for threads, and `SerialCollective` for one rank. Rank 0 is the root. Every
/// operation is called by all ranks, in the same order.
class Collective {
 public:
  virtual ~Collective() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// True on every rank if every rank passes true.
  virtual bool all(bool value) = 0;
  /// Rank 0's bytes on every rank, whatever `bytes` held there.
  virtual void broadcast(std::string& bytes) = 0;
  /// On rank 0 the bytes of every rank in rank order; empty on the others. Lengths may differ.
  virtual std::vector<std::string> gather(const std::string& bytes) = 0;
  /// `to` has the bytes for each rank; returns those of each rank for this one. Lengths may differ.
  virtual std::vector<std::string> exchange(const std::vector<std::string>& to) = 0;
};

/// One rank alone.
class SerialCollective final : public Collective {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  bool all(bool value) override { return value; }
  void broadcast(std::string&) override {}
  std::vector<std::string> gather(const std::string& bytes) override { return {bytes}; }
  std::vector<std::string> exchange(const std::vector<std::string>& to) override { return to; }
};

/// Runs `work` on this rank and then agrees on its outcome: if it threw on any rank, every rank
/// throws Error(io) with the message of the first rank that failed; NoSpace if all that failed threw
/// that. So no rank is left waiting in a later collective for one that gave up. `work` itself must
/// call no collective.
void agree(Collective& ranks, const std::function<void()>& work);

}  // namespace moray
