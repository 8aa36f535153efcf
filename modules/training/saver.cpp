#include "training/saver.hpp"

#include <chrono>
#include <system_error>

#include "core/error.hpp"

namespace moray {

bool saves_behind(const CheckpointConfig& config) {
  const bool at_intervals = config.every.value > 0 || config.every_minutes > 0;
  return config.asynchronous && config.io == "posix" && at_intervals;
}

Vector<std::byte> allocate_snapshot(Arena& arena, const CheckpointConfig& config,
                                    std::int64_t bytes) {
  return arena.vector<std::byte>(Memory::snapshot, saves_behind(config) ? bytes : 0);
}

Saver::Saver(Collective& ranks, const CheckpointConfig& config)
    : ranks_(ranks),
      behind_(saves_behind(config)),
      open_(config.io == "mpiio" ? mpi_output : posix_output) {}

Saver::~Saver() {
  if (thread_.joinable()) thread_.join();
}

std::string Saver::save(const Place& place, const std::vector<StateTensor>& tensors,
                        CheckpointContent content) {
  MORAY_REQUIRE(!under_way());
  return save_state(ranks_, place.folder, place.run, tensors, std::move(content), open_);
}

void Saver::begin(const Place& place, const std::vector<StateTensor>& tensors,
                  CheckpointContent content) {
  MORAY_REQUIRE(behind_ && !under_way());
  for (const StateTensor& tensor : tensors) content.datasets.push_back(tensor.spec);
  auto writer = std::make_unique<CheckpointWriter>(ranks_, place.folder, place.run, open_);
  writer->begin(content);
  copy(tensors);
  writer_ = std::move(writer);
  step_ = content.step;
  written_.store(false, std::memory_order_relaxed);
  try {
    thread_ = std::thread([this] { write_copy(); });
  } catch (const std::system_error&) {
    write_copy();  // a process that may have no more threads saves in front of the next step
  }
}

/// All pieces, one behind the other.
void Saver::copy(const std::vector<StateTensor>& tensors) {
  slabs_.clear();
  std::int64_t at = 0;
  for (std::size_t d = 0; d < tensors.size(); ++d) {
    for (const StatePiece& piece : tensors[d].pieces) {
      const std::int64_t bytes = piece.count * bytes_of(tensors[d].spec.dtype);
      MORAY_REQUIRE(at + bytes <= snapshot_.size);
      copy_piece(tensors[d], piece, snapshot_.data + at);
      slabs_.push_back({d, piece.offset, piece.count, snapshot_.data + at});
      at += bytes;
    }
  }
}

/// On the thread. Failures wait in the writer.
void Saver::write_copy() {
  const auto begin = std::chrono::steady_clock::now();
  writer_->write(slabs_);
  writer_->finish();
  background_seconds_ =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  written_.store(true, std::memory_order_release);
}

std::string Saver::commit() {
  MORAY_REQUIRE(under_way());
  if (thread_.joinable()) thread_.join();
  const std::unique_ptr<CheckpointWriter> writer = std::move(writer_);
  return writer->commit();
}

}  // namespace moray
