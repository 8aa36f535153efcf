#include "pipeline/stage_link.hpp"

#include <algorithm>

#include "kernels/elementwise/elementwise.hpp"
#include "pipeline/check.hpp"

namespace moray {

LinkBuffers link_buffers(const PipelineSchedule& schedule, int rank) {
  LinkBuffers result;
  const auto at = static_cast<std::size_t>(rank);
  const std::vector<RankNeeds> needs = require_sound(schedule);
  std::array<int, kTransferTags> handed_over{};  // and not yet used
  for (const PipelineOp& op : schedule.ops[at]) {
    for (const Transfer& t : receives(schedule.shape, rank, op)) {
      const auto tag = static_cast<std::size_t>(t.tag);
      if (t.peer == rank) {
        --handed_over[tag];
      } else {
        result.receive[tag] = 1;
      }
    }
    for (const Transfer& t : sends(schedule.shape, rank, op)) {
      const auto tag = static_cast<std::size_t>(t.tag);
      if (t.peer == rank) {
        result.handed_over[tag] = std::max(result.handed_over[tag], ++handed_over[tag]);
      } else {
        result.send[tag] = std::clamp(needs[at].unreceived[tag], 1, 2);
      }
    }
  }
  return result;
}

void StageLink::allocate(Arena& arena, const LinkBuffers& buffers, std::int64_t rows,
                         std::int64_t width) {
  const auto make = [&](Lane& lane, int count) {
    lane.buffers.clear();
    for (int i = 0; i < count; ++i)
      lane.buffers.push_back(arena.matrix<float>(Memory::communication, rows, width));
    lane.messages.resize(lane.buffers.size());
    lane.host.resize(kHostBackend || arena.counting() ? 0 : lane.buffers.size());
    for (std::vector<float>& host : lane.host) host.resize(static_cast<std::size_t>(rows * width));
  };
  for (std::size_t tag = 0; tag < sends_.size(); ++tag) {
    make(sends_[tag], buffers.send[tag]);
    make(handed_over_[tag], buffers.handed_over[tag]);
    Arrivals& arrivals = receives_[tag];
    arrivals.buffer =
        arena.matrix<float>(Memory::communication, buffers.receive[tag] > 0 ? rows : 0, width);
    if (!kHostBackend && !arena.counting())
      arrivals.host.resize(static_cast<std::size_t>(arrivals.buffer.rows * width));
  }
}

void StageLink::count(Arena& arena, const LinkBuffers& buffers, std::int64_t rows,
                      std::int64_t width) {
  for (std::size_t tag = 0; tag < kTransferTags; ++tag) {
    for (int i = 0; i < buffers.send[tag] + buffers.handed_over[tag] + buffers.receive[tag]; ++i)
      arena.matrix<float>(Memory::communication, rows, width);
  }
}

void StageLink::begin(const PipelineSchedule& schedule) {
  const int rank = ranks_.rank();
  for (Arrivals& arrivals : receives_) arrivals.left = 0;
  for (auto* lanes : {&sends_, &handed_over_})
    for (Lane& lane : *lanes) lane.next = lane.taken = 0;
  for (const PipelineOp& op : schedule.ops[static_cast<std::size_t>(rank)]) {
    for (const Transfer& t : receives(schedule.shape, rank, op)) {
      if (t.peer == rank) continue;
      Arrivals& arrivals = receives_[static_cast<std::size_t>(t.tag)];
      arrivals.peer = t.peer;
      ++arrivals.left;
    }
  }
  for (int tag = 0; tag < kTransferTags; ++tag)
    start_receive(receives_[static_cast<std::size_t>(tag)], tag);
}

void StageLink::start_receive(Arrivals& arrivals, int tag) {
  if (arrivals.left == 0) return;
  --arrivals.left;
  float* to = kHostBackend ? arrivals.buffer.data : arrivals.host.data();
  arrivals.message.receive(ranks_, to, arrivals.buffer.rows,
                           arrivals.buffer.cols * static_cast<std::int64_t>(sizeof(float)),
                           arrivals.peer, tag);
}

void StageLink::receive(const ExecSpace& exec, const Transfer& transfer, Matrix<float> into) {
  if (transfer.peer == ranks_.rank()) {
    Lane& lane = this->lane(transfer);
    const auto oldest = static_cast<std::size_t>(lane.taken++) % lane.buffers.size();
    copy<float>(exec, lane.buffers[oldest], into);
    return;
  }
  Arrivals& arrivals = receives_[static_cast<std::size_t>(transfer.tag)];
  arrivals.message.wait();
  if constexpr (!kHostBackend)
    copy_to_device(arrivals.host.data(), arrivals.host.size(), arrivals.buffer.data);
  copy<float>(exec, arrivals.buffer, into);
  fence(exec, "moray::pipeline: a message is copied before the next one arrives");
  start_receive(arrivals, transfer.tag);
}

Matrix<float> StageLink::buffer(const Transfer& transfer) {
  Lane& lane = this->lane(transfer);
  const auto at = static_cast<std::size_t>(lane.next) % lane.buffers.size();
  lane.messages[at].wait();
  return lane.buffers[at];
}

void StageLink::send(const ExecSpace& exec, const Transfer& transfer) {
  Lane& lane = this->lane(transfer);
  const auto at = static_cast<std::size_t>(lane.next++) % lane.buffers.size();
  if (transfer.peer == ranks_.rank()) return;
  fence(exec, "moray::pipeline: a message before it is sent");
  const Matrix<float>& rows = lane.buffers[at];
  const float* from = rows.data;
  if constexpr (!kHostBackend) {
    copy_to_host(rows.data, lane.host[at].size(), lane.host[at].data());
    from = lane.host[at].data();
  }
  lane.messages[at].send(ranks_, from, rows.rows,
                         rows.cols * static_cast<std::int64_t>(sizeof(float)), transfer.peer,
                         transfer.tag);
}

void StageLink::end() {
  for (Lane& lane : sends_)
    for (Message& message : lane.messages) message.wait();
}

}  // namespace moray
