#pragma once

#include <vector>

#include "comm/message.hpp"
#include "core/arena.hpp"
#include "pipeline/check.hpp"
#include "pipeline/pipeline.hpp"

namespace moray {

/// How many buffers of messages a rank has, by tag.
struct LinkBuffers {
  std::array<int, kTransferTags> send{};         ///< to another rank
  std::array<int, kTransferTags> handed_over{};  ///< at the turn of DualPipeV, on this rank
  std::array<int, kTransferTags> receive{};      ///< 1 or 0
};
/// Those with which no rank of a proved schedule waits for ever; a second one to send from, where more
/// than one message may be on its way, lets a rank go on meanwhile.
LinkBuffers link_buffers(const PipelineSchedule& schedule, int rank, const RankNeeds& needs);

/// The messages of one rank of a pipeline: what its ops receive and send, in the order of its list.
/// Receives are started before they are needed.
class StageLink {
 public:
  /// `ranks`: the pipeline, in the order of its ranks.
  explicit StageLink(const Communicator& ranks) : ranks_(ranks) {}

  /// Buffers of (rows, width).
  void allocate(Arena& arena, const LinkBuffers& buffers, std::int64_t rows, std::int64_t width);
  /// What allocate() takes, without MPI.
  static void count(Arena& arena, const LinkBuffers& buffers, std::int64_t rows,
                    std::int64_t width);
  /// Starts the receives of a schedule.
  void begin(const PipelineSchedule& schedule);
  /// Copies the next message of a tag; waits for it.
  void receive(const ExecSpace& exec, const Transfer& transfer, Matrix<float> into);
  /// A buffer to write the next message of a tag into; waits until it is free.
  Matrix<float> buffer(const Transfer& transfer);
  /// Sends what buffer() was given.
  void send(const ExecSpace& exec, const Transfer& transfer);
  /// Waits for all that was sent.
  void end();
  int rank() const { return ranks_.rank(); }
  /// What was sent to other ranks since the beginning.
  const SentBytes& sent(Payload payload) const { return sent_[static_cast<std::size_t>(payload)]; }

 private:
  struct Lane {
    std::vector<Matrix<float>> buffers;
    std::vector<Message> messages;
    std::vector<std::vector<float>> host;  ///< device backends
    std::int64_t next = 0;                 ///< messages that were begun
  };
  /// What a rank hands over to itself, to be taken in any order.
  struct HandedOver {
    std::vector<Matrix<float>> buffers;
    std::vector<int> micro;  ///< that a buffer is for; kFree
  };
  static constexpr const char* kMessage = "a message between stages";
  struct Arrivals {
    Matrix<float> buffer;
    Message message{kMessage};
    std::vector<float> host;
    int peer = -1;
    std::int64_t left = 0;  ///< messages that are still to be started
  };
  void start_receive(Arrivals& arrivals, int tag);
  /// The place of a buffer for a micro-batch, or of a free one.
  std::size_t handed_over(const Transfer& transfer, int micro) const;

  static constexpr int kFree = -1;
  const Communicator& ranks_;
  std::array<Lane, kTransferTags> sends_;
  std::array<HandedOver, kTransferTags> handed_over_;
  std::array<Arrivals, kTransferTags> receives_;
  std::array<SentBytes, 2> sent_;
};

}  // namespace moray
