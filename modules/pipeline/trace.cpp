#include "pipeline/trace.hpp"

#include <fmt/format.h>

#include <cmath>
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

/// "attention F, layer 3", "waits for tokens".
std::string text_of(const Recorder::Span& span) {
  const std::string_view name = kPhaseNames[static_cast<std::size_t>(span.phase)];
  switch (span.phase) {
    case Phase::counts:
    case Phase::tokens:
      return fmt::format("waits for {}", name);
    case Phase::message:
      return "waits for a message";
    case Phase::reduce:
    case Phase::update:
      return std::string(name);
    default:
      break;
  }
  const std::string layer = span.layer < 0 ? "" : fmt::format(", layer {}", span.layer);
  return fmt::format("{} {}{}", name, kPhasePartNames[static_cast<std::size_t>(span.part)], layer);
}

class Writer {
 public:
  explicit Writer(double microseconds) : microseconds_(microseconds) {}

  void add(int process, const NamedTimeline& named) {
    const PipelineTimeline& timeline = *named.timeline;
    name(process, -1, "process_name", named.name);
    for (int rank = 0; rank < static_cast<int>(timeline.ranks.size()); ++rank) {
      const auto at = static_cast<std::size_t>(rank);
      name(process, rank, "thread_name",
           at < named.tracks.size() ? named.tracks[at] : fmt::format("rank {}", rank));
      for (const TimelineEvent& e : timeline.ranks[at])
        slice(process, rank, to_text(e.op), category(e.op.kind), e.start, e.end);
      if (at >= named.spans.size()) continue;
      for (const Recorder::Span& s : named.spans[at])
        slice(process, rank, text_of(s), "phase", s.begin, s.end);
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
  // Both ends are rounded to a nanosecond, so that what lies in another slice still does.
  void slice(int process, int rank, const std::string& name, const char* category, double start,
             double end) {
    const double from = std::round(start * microseconds_ * 1e3);
    const double to = std::round(end * microseconds_ * 1e3);
    event(fmt::format(
        R"({{"ph":"X","pid":{},"tid":{},"name":"{}","cat":"{}","ts":{:.3f},"dur":{:.3f}}})",
        process, rank, name, category, from / 1e3, (to - from) / 1e3));
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
