#include "plan_schedules.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <fstream>
#include <numeric>

#include "config/number.hpp"
#include "core/error.hpp"
#include "pipeline/picture.hpp"
#include "pipeline/trace.hpp"
#include "planning/hardware.hpp"
#include "planning/plan.hpp"
#include "training/deck.hpp"
#include "training/layout_rules.hpp"

namespace moray {
namespace {

StageDurations parse_durations(const std::string& text) {
  std::vector<double> values;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    double value = 0;
    if (!parse_number(std::string_view(text).substr(at, comma - at), value).empty() || value < 0)
      break;
    values.push_back(value);
    at = comma + 1;
  }
  if (values.size() != 4)
    fail(ExitCode::usage,
         "--durations {}: give four times in ms, forward, input gradient, weight gradient and "
         "overlapped pair, such as 50,75,32,128",
         text);
  if (values[0] + values[1] + values[2] == 0)
    fail(ExitCode::usage, "--durations {}: a micro-batch takes some time", text);
  return {values[0], values[1], values[2], values[3]};
}

/// Those that were asked for; when there are times, the deck's own.
std::vector<ScheduleKind> kinds_of(const Options& options, const Deck& deck) {
  const std::string& name = options.schedule;
  if (name.empty()) {
    const bool timed = !options.durations.empty() || !options.hardware.empty();
    if (options.measured.empty() && (!timed || deck.parallel.pipeline == 1)) return {};
    return {pipeline_shape(deck, 0, 1).kind};
  }
  if (name == "all") return {kScheduleKinds.begin(), kScheduleKinds.end()};
  const auto kind = schedule_kind(name);
  if (!kind)
    fail(ExitCode::usage, "--schedule {}: one of 1f1b, zb1p, dualpipe, dualpipev, all", name);
  return {*kind};
}

/// The sizes of the option or else of the deck. A proof keeps a number for each rank and op.
void set_sizes(const Options& options, const Deck& deck, std::int64_t micro_batches,
               ScheduleQuestion& q) {
  const std::int64_t p = options.pipeline > 0 ? options.pipeline : deck.parallel.pipeline;
  const std::int64_t n = options.micro_batches > 0 ? options.micro_batches : micro_batches;
  constexpr std::int64_t kMost = 100'000'000;
  if (p > 10'000 || n > kMost || p * p * n > kMost)
    fail(ExitCode::usage, "{} pipeline ranks and {} micro-batches are too many to plan", p, n);
  q.ranks = static_cast<int>(p);
  q.micro_batches = static_cast<int>(n);
}

double total_cost(const LayerCosts& costs) {
  return std::accumulate(costs.layers.begin(), costs.layers.end(), costs.embedding + costs.last);
}

void ask_durations(const Options& options, ScheduleComparison& c) {
  ScheduleQuestion& q = c.question;
  q.timed = {parse_durations(options.durations), total_cost(q.costs) / q.ranks};
  c.source = "--durations, of 1/P of the model";
}

void ask_hardware(const Options& options, const Deck& deck, ScheduleComparison& c) {
  ScheduleQuestion& q = c.question;
  const LayerTimes& t = c.hardware->layer;
  const double exchange = t.dispatch + t.combine;
  const std::int64_t tokens = micro_batch(deck, data_ranks(deck)) * deck.batch.length;
  q.timed.durations = {t.forward + exchange, t.input_gradient + exchange, t.weight_gradient,
                       t.overlapped};
  q.timed.cost = t.flops * t.tokens / static_cast<double>(tokens);
  q.communication = c.hardware->stage_exchange;
  c.source = options.hardware + ", of a layer";
}

void ask_measured(const Options& options, const Deck& deck, ScheduleComparison& c) {
  ScheduleQuestion& q = c.question;
  c.run = options.measured;
  c.measured = read_measured_run(c.run, deck);
  q.ran = c.measured->stages;
  StageDurations& mean = q.timed.durations;
  for (const StageDurations& d : q.ran->durations) {
    mean.forward += d.forward / q.ranks;
    mean.input_gradient += d.input_gradient / q.ranks;
    mean.weight_gradient += d.weight_gradient / q.ranks;
    mean.overlapped += d.overlapped / q.ranks;
  }
  q.timed.cost = total_cost(q.costs) / q.ranks;
  c.source = fmt::format("step {} of {}, of 1/P of the model", c.measured->step, c.run);
}

void ask(const Options& options, const Deck& deck, const Hardware* hardware,
         ScheduleComparison& c) {
  const int given = (options.durations.empty() ? 0 : 1) + (hardware == nullptr ? 0 : 1) +
                    (options.measured.empty() ? 0 : 1);
  if (given != 1)
    fail(ExitCode::usage,
         "--schedule needs one of --durations F,B,W,FB, --hardware FILE and --measured RUN");
  ScheduleQuestion& q = c.question;
  const std::int64_t data = data_ranks(deck);
  set_sizes(options, deck, deck.batch.sequences / data / micro_batch(deck, data), q);
  q.costs = forward_costs(deck.model, deck.batch.length);
  if (hardware != nullptr) {
    c.hardware = *hardware;
    ask_hardware(options, deck, c);
  } else if (!options.measured.empty()) {
    ask_measured(options, deck, c);
  } else {
    ask_durations(options, c);
  }
  if (options.communication >= 0) q.communication = options.communication;
}

/// How the stages of a schedule are cut: as asked, else as the deck says where it has as many.
std::string stages_of(const Options& options, const Deck& deck, const PipelineShape& shape) {
  if (!options.stages.empty()) return options.stages;
  if (!options.durations.empty()) return "equal";
  return shape.stages() == pipeline_shape(deck, 0, 1).stages() ? deck.parallel.stages : "auto";
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) fail(ExitCode::io, "{}: cannot be written", path);
}

/// "times.svg" -> "times-zb1p.svg" when there are several.
std::string path_for(const std::string& path, const SchedulePlan& plan, bool several) {
  if (!several) return path;
  const std::filesystem::path p(path);
  return (p.parent_path() / fmt::format("{}-{}{}", p.stem().string(),
                                        schedule_name(plan.shape.kind), p.extension().string()))
      .string();
}

void write_pictures(const Options& options, const ScheduleComparison& c) {
  double until = 0;  // all to one scale
  for (const SchedulePlan& p : c.plans) until = std::max(until, p.timeline.end());
  std::vector<NamedTimeline> timelines;
  for (const SchedulePlan& p : c.plans) {
    if (!p.problem.empty()) continue;
    PictureOptions picture;
    picture.title =
        fmt::format("{}: {} ranks, {} micro-batches, {:.4g} ms", schedule_name(p.shape.kind),
                    p.shape.ranks, p.shape.micro_batches, p.step());
    picture.until = until;
    if (!options.timeline.empty())
      write_file(path_for(options.timeline, p, c.plans.size() > 1),
                 timeline_picture(p.timeline, picture));
    timelines.push_back({fmt::format("{} planned", schedule_name(p.shape.kind)), &p.timeline});
  }
  if (!options.trace.empty()) write_file(options.trace, perfetto_trace(timelines, 1000));
}

/// The deck's keys that lay it out as the plan of one schedule is.
std::vector<std::string> layout_keys(const Options& options, const Deck& deck,
                                     const SchedulePlan& plan) {
  std::vector<std::string> keys;
  if (plan.shape.kind != pipeline_shape(deck, 0, 1).kind)
    keys.push_back(fmt::format("parallel.schedule={}", schedule_name(plan.shape.kind)));
  if (plan.shape.ranks != deck.parallel.pipeline)
    keys.push_back(fmt::format("parallel.pipeline={}", plan.shape.ranks));
  const std::string stages = stages_of(options, deck, plan.shape);
  if (stages != "equal" && stages != deck.parallel.stages)
    keys.push_back("parallel.stages=" + stages);
  return keys;
}

DeckReading read_layout(const Options& options, const std::vector<std::string>& keys) {
  std::vector<std::string> overrides = options.overrides;
  overrides.insert(overrides.end(), keys.begin(), keys.end());
  return try_read_deck(options.deck, overrides, options.ranks);
}

/// What the fullest rank takes with a schedule; 0 where the deck has no such layout.
std::int64_t peak_memory(const Options& options, const Deck& deck, const SchedulePlan& plan) {
  const bool sized = options.micro_batches > 0;
  if (!plan.problem.empty() || (sized && deck.batch.micro == 0)) return 0;
  std::vector<std::string> keys = layout_keys(options, deck, plan);
  if (sized)
    keys.push_back(fmt::format("batch.sequences={}",
                               options.micro_batches * deck.batch.micro * data_ranks(deck)));
  const DeckReading other = read_layout(options, keys);
  return other.problems.empty() ? make_plan(other.deck).total_bytes() : 0;
}

/// The step of one schedule on a machine. Another layout than the deck's sends other bytes.
void predict(const Options& options, const Deck& deck, const LinkPlan& links,
             ScheduleComparison& c) {
  const std::vector<std::string> keys = layout_keys(options, deck, c.plans[0]);
  LinkPlan sent = links;
  if (!keys.empty()) {
    const DeckReading other = read_layout(options, keys);
    if (!other.problems.empty()) {
      c.no_step = fmt::format("the deck has no layout with {}", fmt::join(keys, " "));
      return;
    }
    sent = plan_links(other.deck);
  }
  if (sent.sums_unknown)
    c.no_step = "MPI chooses the ways of sums, as the data ranks are no power of two";
  else
    c.step = predict_step(c.plans[0], optimizer_seconds(sent, *c.hardware));
}

/// A published step stands beside the plan of what ran then, and of nothing else.
bool is_of(const PublishedStep& was, const Deck& deck, const PipelineShape& shape) {
  return was.deck == deck.run.name && was.schedule == schedule_name(shape.kind) &&
         was.pipeline == shape.ranks && was.micro_batches == shape.micro_batches;
}

}  // namespace

bool ScheduleComparison::ran(const SchedulePlan& plan) const {
  if (!measured || !plan.problem.empty()) return false;
  const PipelineShape& was = measured->shape;
  return plan.shape.kind == was.kind && plan.shape.ranks == was.ranks &&
         plan.shape.micro_batches == was.micro_batches &&
         plan.stages == to_text(measured->stages.layers);
}

ScheduleComparison compare_schedules(const Options& options, const Deck& deck,
                                     const LinkPlan& links, const Hardware* hardware) {
  ScheduleComparison c;
  const std::vector<ScheduleKind> kinds = kinds_of(options, deck);
  if (kinds.empty()) return c;
  ask(options, deck, hardware, c);
  for (const ScheduleKind kind : kinds) {
    ScheduleQuestion& q = c.question;
    q.stages = stages_of(options, deck, {kind, q.ranks, q.micro_batches});
    c.plans.push_back(plan_schedule(kind, q));
  }
  for (const SchedulePlan& p : c.plans) c.memory.push_back(peak_memory(options, deck, p));
  if (kinds.size() == 1 && !c.plans[0].problem.empty())
    fail(ExitCode::usage, "{}", c.plans[0].problem);
  if (kinds.size() == 1 && c.hardware) {
    predict(options, deck, links, c);
    if (!is_of(c.hardware->published, deck, c.plans[0].shape)) c.hardware->published = {};
  }
  write_pictures(options, c);
  return c;
}

}  // namespace moray
