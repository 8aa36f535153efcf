#include "pipeline/execution.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace moray {

std::vector<ChannelOrder> channel_orders(const PipelineSchedule& schedule) {
  const PipelineShape& shape = schedule.shape;
  std::vector<ChannelOrder> channels;
  // A rank receives messages of one tag from one peer only.
  const auto channel = [&](int receiver, int tag) -> ChannelOrder& {
    return channels[static_cast<std::size_t>(receiver * kTransferTags + tag)];
  };
  channels.resize(static_cast<std::size_t>(shape.ranks * kTransferTags));
  for (int rank = 0; rank < shape.ranks; ++rank) {
    const auto& list = schedule.ops[static_cast<std::size_t>(rank)];
    for (int i = 0; i < static_cast<int>(list.size()); ++i) {
      for (const Transfer& t : receives(shape, rank, list[static_cast<std::size_t>(i)])) {
        if (t.peer == rank) continue;
        ChannelOrder& c = channel(rank, t.tag);
        c.sender = t.peer;
        c.receiver = rank;
        c.tag = t.tag;
        c.received.push_back({t.unit.micro, i});
      }
      for (const Transfer& t : sends(shape, rank, list[static_cast<std::size_t>(i)]))
        if (t.peer != rank) channel(t.peer, t.tag).sent.push_back({t.unit.micro, i});
    }
  }
  std::erase_if(channels, [](const ChannelOrder& c) { return c.received.empty(); });
  return channels;
}

Execution::Execution(const PipelineSchedule& schedule, int buffers)
    : schedule_(schedule), buffers_(buffers) {
  const PipelineShape& shape = schedule.shape;
  const auto ranks = static_cast<std::size_t>(shape.ranks);
  const auto micros = static_cast<std::size_t>(shape.stream_micro_batches());
  made_.assign(ranks, std::vector<std::vector<int>>(kTransferTags, std::vector<int>(micros, -1)));
  done_.assign(ranks, 0);
  waiting_.assign(ranks * kTransferTags, 0);
  clocks_.resize(ranks);
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    const auto& list = schedule.ops[rank];
    for (int i = 0; i < static_cast<int>(list.size()); ++i) {
      for (const Transfer& t :
           sends(shape, static_cast<int>(rank), list[static_cast<std::size_t>(i)])) {
        const int kind = 2 * t.unit.chunk + (t.payload == Payload::gradient ? 1 : 0);
        made_[rank][static_cast<std::size_t>(kind)][static_cast<std::size_t>(t.unit.micro)] = i;
      }
    }
  }
}

Execution::Sender Execution::sender_of(int rank, const Transfer& receive) const {
  const PipelineShape& shape = schedule_.shape;
  const int stream = shape.stream(receive.unit.chunk);
  const bool gradient = receive.payload == Payload::gradient;
  const int stage = shape.stage(rank, receive.unit.chunk) + (gradient ? 1 : -1);
  const int kind = 2 * shape.chunk_of(stage, stream) + (gradient ? 1 : 0);
  const auto& made = made_[static_cast<std::size_t>(receive.peer)][static_cast<std::size_t>(kind)];
  return {receive.peer, made[static_cast<std::size_t>(receive.unit.micro)]};
}

// Finishes the next op of a rank if everything that it receives was sent.
bool Execution::advance(int rank) {
  const auto r = static_cast<std::size_t>(rank);
  const auto& list = schedule_.ops[r];
  const int position = done_[r];
  if (position == static_cast<int>(list.size())) return false;
  Clock clock = position > 0 ? clocks_[r].back() : Clock(schedule_.ops.size(), 0);
  for (const Transfer& t :
       receives(schedule_.shape, rank, list[static_cast<std::size_t>(position)])) {
    const Sender sender = sender_of(rank, t);
    const auto s = static_cast<std::size_t>(sender.rank);
    if (done_[s] <= sender.position) return false;
    const Clock& before = clocks_[s][static_cast<std::size_t>(sender.position)];
    for (std::size_t i = 0; i < clock.size(); ++i) clock[i] = std::max(clock[i], before[i]);
  }
  const PipelineOp& op = list[static_cast<std::size_t>(position)];
  if (!has_buffers(rank, op)) return false;
  count_messages(rank, op);
  clock[r] = ++done_[r];
  clocks_[r].push_back(std::move(clock));
  return true;
}

bool Execution::has_buffers(int rank, const PipelineOp& op) const {
  if (buffers_ == 0) return true;
  for (const Transfer& t : sends(schedule_.shape, rank, op))
    if (t.peer != rank &&
        waiting_[static_cast<std::size_t>(t.peer * kTransferTags + t.tag)] >= buffers_)
      return false;
  return true;
}

void Execution::count_messages(int rank, const PipelineOp& op) {
  for (const Transfer& t : sends(schedule_.shape, rank, op))
    ++waiting_[static_cast<std::size_t>(t.peer * kTransferTags + t.tag)];
  for (const Transfer& t : receives(schedule_.shape, rank, op))
    --waiting_[static_cast<std::size_t>(rank * kTransferTags + t.tag)];
}

bool Execution::run() {
  const int ranks = schedule_.shape.ranks;
  for (bool moved = true; moved;) {
    moved = false;
    for (int rank = 0; rank < ranks; ++rank)
      while (advance(rank)) moved = true;
  }
  for (std::size_t rank = 0; rank < done_.size(); ++rank)
    if (done_[rank] < static_cast<int>(schedule_.ops[rank].size())) return false;
  return true;
}

// Every rank that is not at its end waits for one that is not either, so following the first wait of
// each ends in a ring.
std::vector<Wait> Execution::find_ring() const {
  std::vector<Wait> path;
  std::vector<int> seen(schedule_.ops.size(), -1);
  int rank = 0;
  while (done_[static_cast<std::size_t>(rank)] ==
         static_cast<int>(schedule_.ops[static_cast<std::size_t>(rank)].size()))
    ++rank;
  while (seen[static_cast<std::size_t>(rank)] < 0) {
    const auto r = static_cast<std::size_t>(rank);
    seen[r] = static_cast<int>(path.size());
    const int position = done_[r];
    for (const Transfer& t :
         receives(schedule_.shape, rank, schedule_.ops[r][static_cast<std::size_t>(position)])) {
      const Sender sender = sender_of(rank, t);
      if (done_[static_cast<std::size_t>(sender.rank)] > sender.position) continue;
      path.push_back({rank, position, sender.rank, sender.position});
      break;
    }
    rank = path.back().peer;
  }
  path.erase(path.begin(), path.begin() + seen[static_cast<std::size_t>(rank)]);
  return path;
}

void Execution::count_unreceived(std::vector<RankNeeds>& needs) const {
  for (const ChannelOrder& c : channel_orders(schedule_)) {
    int& most =
        needs[static_cast<std::size_t>(c.sender)].unreceived[static_cast<std::size_t>(c.tag)];
    std::size_t received = 0;
    for (std::size_t i = 0; i < c.sent.size(); ++i) {
      const Clock& clock =
          clocks_[static_cast<std::size_t>(c.sender)][static_cast<std::size_t>(c.sent[i].position)];
      const int done = clock[static_cast<std::size_t>(c.receiver)];
      while (received < c.received.size() && c.received[received].position < done) ++received;
      most = std::max(most, static_cast<int>(i + 1 - received));
    }
  }
}

int fewest_buffers(const PipelineSchedule& schedule) {
  int buffers = 1;
  while (!Execution(schedule, buffers).run()) ++buffers;  // ends at the number of messages
  return buffers;
}

}  // namespace moray
