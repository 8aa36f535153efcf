#pragma once

#include <vector>

#include "pipeline/check.hpp"
#include "pipeline/pipeline.hpp"

namespace moray {

/// One end of a message.
struct MessageEnd {
  int micro = 0;
  int position = 0;  ///< of the op in the rank's list
};

/// The messages of one sender, receiver and tag, in the order of either end's ops.
struct ChannelOrder {
  int sender = 0;
  int receiver = 0;
  int tag = 0;
  std::vector<MessageEnd> sent;
  std::vector<MessageEnd> received;
};

/// All channels between different ranks.
std::vector<ChannelOrder> channel_orders(const PipelineSchedule& schedule);

/// Op `position` of `rank` waits for what op `peer_position` of `peer` sends.
struct Wait {
  int rank = 0;
  int position = 0;
  int peer = 0;
  int peer_position = 0;
};

/// Runs a schedule whose units are complete without doing anything: receives block, sends do not.
/// What runs does not depend on which ready rank goes first, so one run stands for every timing.
class Execution {
 public:
  /// With `buffers` above 0 an op also waits until a buffer for each of its messages is free: one
  /// message of a channel fewer than that was sent and not yet used.
  explicit Execution(const PipelineSchedule& schedule, int buffers = 0);

  /// Goes as far as it goes; true when every rank came to its end.
  bool run();
  /// After a run() without buffers that did not: ranks that wait for each other in a ring.
  std::vector<Wait> find_ring() const;

  /// After run(): fills RankNeeds::unreceived.
  void count_unreceived(std::vector<RankNeeds>& needs) const;

 private:
  /// Of each rank, how many of its ops are done before this one starts, at the least.
  using Clock = std::vector<int>;

  struct Sender {
    int rank = 0;
    int position = 0;
  };
  Sender sender_of(int rank, const Transfer& receive) const;
  bool advance(int rank);
  bool has_buffers(int rank, const PipelineOp& op) const;
  void count_messages(int rank, const PipelineOp& op);

  const PipelineSchedule& schedule_;
  int buffers_;
  /// Position of the op that makes each message: [rank][2 * chunk + payload][micro].
  std::vector<std::vector<std::vector<int>>> made_;
  std::vector<int> done_;                   ///< ops that each rank has finished
  std::vector<int> waiting_;                ///< messages sent and not used: [receiver][tag]
  std::vector<std::vector<Clock>> clocks_;  ///< of each finished op, itself included
};

}  // namespace moray
