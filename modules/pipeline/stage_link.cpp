#include "pipeline/stage_link.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "core/recorder.hpp"
#include "kernels/elementwise/elementwise.hpp"

namespace moray {

LinkBuffers link_buffers(const PipelineSchedule& schedule, int rank, const RankNeeds& needs) {
  LinkBuffers result;
  // A message is gone when its receiver takes the one before, sooner than fewest_buffers() counts on.
  const int enough = std::max(fewest_buffers(schedule), 2);
  std::array<int, kTransferTags> handed_over{};  // and not yet used
  for (const PipelineOp& op : schedule.ops[static_cast<std::size_t>(rank)]) {
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
        result.send[tag] = std::clamp(needs.unreceived[tag], 1, enough);
      }
    }
  }
  return result;
}

void StageLink::allocate(Arena& arena, const LinkBuffers& buffers, std::int64_t rows,
                         std::int64_t width) {
  const auto make = [&](std::vector<Matrix<float>>& list, int count) {
    list.clear();
    for (int i = 0; i < count; ++i)
      list.push_back(arena.matrix<float>(Memory::communication, rows, width));
  };
  for (std::size_t tag = 0; tag < sends_.size(); ++tag) {
    Lane& lane = sends_[tag];
    make(lane.buffers, buffers.send[tag]);
    for (std::size_t i = 0; i < lane.buffers.size(); ++i) lane.messages.emplace_back(kMessage);
    lane.host.resize(kHostBackend || arena.counting() ? 0 : lane.buffers.size());
    for (std::vector<float>& host : lane.host) host.resize(static_cast<std::size_t>(rows * width));
    make(handed_over_[tag].buffers, buffers.handed_over[tag]);
    handed_over_[tag].micro.assign(handed_over_[tag].buffers.size(), kFree);
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
  for (Lane& lane : sends_) lane.next = 0;
  for (HandedOver& own : handed_over_) std::fill(own.micro.begin(), own.micro.end(), kFree);
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

std::size_t StageLink::handed_over(const Transfer& transfer, int micro) const {
  const std::vector<int>& all = handed_over_[static_cast<std::size_t>(transfer.tag)].micro;
  const auto found = std::find(all.begin(), all.end(), micro);
  MORAY_REQUIRE(found != all.end());
  return static_cast<std::size_t>(found - all.begin());
}

void StageLink::receive(const ExecSpace& exec, const Transfer& transfer, Matrix<float> into) {
  const Recorder::Scope recorded(Phase::message);
  if (transfer.peer == ranks_.rank()) {
    HandedOver& own = handed_over_[static_cast<std::size_t>(transfer.tag)];
    const std::size_t at = handed_over(transfer, transfer.unit.micro);
    copy<float>(exec, own.buffers[at], into);
    own.micro[at] = kFree;
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
  const Recorder::Scope recorded(Phase::message);
  const auto tag = static_cast<std::size_t>(transfer.tag);
  if (transfer.peer == ranks_.rank()) {
    const std::size_t at = handed_over(transfer, kFree);
    handed_over_[tag].micro[at] = transfer.unit.micro;
    return handed_over_[tag].buffers[at];
  }
  Lane& lane = sends_[tag];
  const auto at = static_cast<std::size_t>(lane.next) % lane.buffers.size();
  lane.messages[at].wait();
  return lane.buffers[at];
}

void StageLink::send(const ExecSpace& exec, const Transfer& transfer) {
  if (transfer.peer == ranks_.rank()) return;
  Lane& lane = sends_[static_cast<std::size_t>(transfer.tag)];
  const auto at = static_cast<std::size_t>(lane.next++) % lane.buffers.size();
  fence(exec, "moray::pipeline: a message before it is sent");
  const Matrix<float>& rows = lane.buffers[at];
  const float* from = rows.data;
  if constexpr (!kHostBackend) {
    copy_to_host(rows.data, lane.host[at].size(), lane.host[at].data());
    from = lane.host[at].data();
  }
  const SentBytes before = ranks_.sent();
  lane.messages[at].send(ranks_, from, rows.rows,
                         rows.cols * static_cast<std::int64_t>(sizeof(float)), transfer.peer,
                         transfer.tag);
  sent_[static_cast<std::size_t>(transfer.payload)] += ranks_.sent() - before;
}

void StageLink::end() {
  const Recorder::Scope recorded(Phase::message);
  for (Lane& lane : sends_)
    for (Message& message : lane.messages) message.wait();
}

}  // namespace moray
