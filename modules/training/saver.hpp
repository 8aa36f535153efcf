#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/arena.hpp"
#include "io/checkpoint_writer.hpp"
#include "training/state.hpp"
#include "training/training_config.hpp"

namespace moray {

/// Whether saves that are not the last go on behind the next steps. MPI-IO does not: MPI is called
/// by the thread that trains alone (MPI_THREAD_FUNNELED).
bool saves_behind(const CheckpointConfig& config);

/// The host buffer for what this rank owns, from the memory plan; empty where nothing is saved behind
/// the steps. `bytes` are those of owned_bytes().
Vector<std::byte> allocate_snapshot(Arena& arena, const CheckpointConfig& config,
                                    std::int64_t bytes);

/// Saves the state of a run: at once, or from a copy behind the next steps. A thread of this object
/// digests and writes the copy and calls neither MPI nor HDF5 nor Kokkos; whatever ranks must agree
/// on happens in begin() and commit(), which all ranks call together between steps.
class Saver {
 public:
  Saver(Collective& ranks, const CheckpointConfig& config);
  /// A save under way is given up.
  ~Saver();
  Saver(const Saver&) = delete;
  Saver& operator=(const Saver&) = delete;

  void set_snapshot(Vector<std::byte> snapshot) { snapshot_ = snapshot; }
  bool behind() const { return behind_; }

  /// Where checkpoints go: see CheckpointWriter.
  struct Place {
    std::string folder;
    std::string run;
  };
  /// Writes the owned state of all ranks and returns the path. No save may be under way.
  std::string save(const Place& place, const std::vector<StateTensor>& tensors,
                   CheckpointContent content);
  /// Copies the owned state and returns: the state may change, the copy is on its way. Throws what
  /// CheckpointWriter::begin throws; nothing is under way then.
  void begin(const Place& place, const std::vector<StateTensor>& tensors,
             CheckpointContent content);
  /// A save was begun and not committed.
  bool under_way() const { return writer_ != nullptr; }
  /// Of the save under way.
  std::int64_t step() const { return step_; }
  /// This rank has written and fsynced its part, or failed to.
  bool written() const { return written_.load(std::memory_order_acquire); }
  /// Waits for this rank's part and gives the checkpoint its name. Returns the path. Throws what
  /// failed on any rank; nothing is under way then either.
  std::string commit();
  /// Seconds that the thread took for the last save.
  double background_seconds() const { return background_seconds_; }

 private:
  void copy(const std::vector<StateTensor>& tensors);
  void write_copy();

  Collective& ranks_;
  bool behind_;
  OpenOutput open_;
  Vector<std::byte> snapshot_;
  std::vector<Slab> slabs_;  ///< of the snapshot
  std::unique_ptr<CheckpointWriter> writer_;
  std::int64_t step_ = -1;
  std::atomic<bool> written_{false};
  double background_seconds_ = 0;  ///< read after the thread has ended
  std::thread thread_;
};

}  // namespace moray
