#include "pipeline/trace.hpp"

#include <fmt/format.h>

#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

namespace moray {
namespace {

const char* category(OpKind kind) {
  static constexpr const char* kNames[] = {"forward", "input gradient", "weight gradient",
                                           "backward", "overlapped"};
  return kNames[static_cast<int>(kind)];
}

class Writer {
 public:
  explicit Writer(double microseconds) : microseconds_(microseconds) {}

  void add(int process, const NamedTimeline& named) {
    const PipelineTimeline& timeline = *named.timeline;
    name(process, -1, "process_name", named.name);
    for (int rank = 0; rank < static_cast<int>(timeline.ranks.size()); ++rank) {
      name(process, rank, "thread_name", fmt::format("rank {}", rank));
      for (const TimelineEvent& e : timeline.ranks[static_cast<std::size_t>(rank)])
        slice(process, rank, e);
    }
    arrows(process, timeline);
  }
  std::string text() const {
    return "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n" + events_ + "\n]}\n";
  }

 private:
  void event(const std::string& text) {
    if (!events_.empty()) events_ += ",\n";
    events_ += text;
  }
  void name(int process, int rank, const char* what, const std::string& text) {
    event(fmt::format(R"({{"ph":"M","pid":{},"tid":{},"name":"{}","args":{{"name":{}}}}})", process,
                      std::max(rank, 0), what, nlohmann::json(text).dump()));
  }
  void slice(int process, int rank, const TimelineEvent& e) {
    event(fmt::format(
        R"({{"ph":"X","pid":{},"tid":{},"name":"{}","cat":"{}","ts":{:.3f},"dur":{:.3f}}})",
        process, rank, to_text(e.op), category(e.op.kind), e.start * microseconds_,
        (e.end - e.start) * microseconds_));
  }

  // An arrow leaves in the middle of the op that sends and ends at the start of the one that waits.
  void arrows(int process, const PipelineTimeline& timeline) {
    std::map<std::tuple<int, int, int>, std::pair<int, double>> sent;  // receiver, tag, micro
    const auto each = [&](auto&& visit) {
      for (int rank = 0; rank < static_cast<int>(timeline.ranks.size()); ++rank)
        for (const TimelineEvent& e : timeline.ranks[static_cast<std::size_t>(rank)])
          visit(rank, e);
    };
    each([&](int rank, const TimelineEvent& e) {
      for (const Transfer& t : sends(timeline.shape, rank, e.op))
        sent[{t.peer, t.tag, t.unit.micro}] = {rank, (e.start + e.end) / 2};
    });
    each([&](int rank, const TimelineEvent& e) {
      for (const Transfer& t : receives(timeline.shape, rank, e.op)) {
        const auto from = sent.find({rank, t.tag, t.unit.micro});
        if (from == sent.end() || t.peer == rank) continue;
        arrow_end(process, from->second.first, "\"ph\":\"s\"", from->second.second);
        arrow_end(process, rank, "\"ph\":\"f\",\"bp\":\"e\"", e.start);
        ++flows_;
      }
    });
  }
  void arrow_end(int process, int rank, const char* phase, double time) {
    event(fmt::format(
        R"({{{},"pid":{},"tid":{},"name":"message","cat":"message","id":{},"ts":{:.3f}}})", phase,
        process, rank, flows_, time * microseconds_));
  }

  double microseconds_;
  int flows_ = 0;
  std::string events_;
};

}  // namespace

std::string perfetto_trace(const std::vector<NamedTimeline>& timelines, double microseconds) {
  Writer writer(microseconds);
  for (std::size_t i = 0; i < timelines.size(); ++i) writer.add(static_cast<int>(i), timelines[i]);
  return writer.text();
}

}  // namespace moray
