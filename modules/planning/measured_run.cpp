#include "planning/measured_run.hpp"

#include <fmt/format.h>

#include "core/error.hpp"
#include "io/files.hpp"
#include "io/run_folder.hpp"
#include "training/deck.hpp"
#include "training/layout_rules.hpp"
#include "training/step_timeline.hpp"
#include "training/timeline_file.hpp"

namespace moray {
namespace {

constexpr std::int64_t kLargestDeck = 4 << 20;

Deck deck_of(const std::string& path) {
  const DeckReading reading = read_deck_text(read_text(path, kLargestDeck), path);
  if (!reading.problems.empty()) throw Error(ExitCode::io, reading.problems.report(path));
  return reading.deck;
}

/// Why times of one deck say nothing of the other; empty when they do.
std::string difference(const Deck& ran, const Deck& deck) {
  const ModelSizes& then = ran.model.model;
  const ModelSizes& now = deck.model.model;
  if (then.layers != now.layers)
    return fmt::format("its model has {} layers, and that of the deck {}", then.layers, now.layers);
  const std::int64_t micro_then = micro_batch(ran, data_ranks(ran));
  const std::int64_t micro_now = micro_batch(deck, data_ranks(deck));
  if (micro_then != micro_now || ran.batch.length != deck.batch.length)
    return fmt::format("its micro-batches are {} x {} tokens, and those of the deck {} x {}",
                       micro_then, ran.batch.length, micro_now, deck.batch.length);
  const LayerCosts costs_then = forward_costs(ran.model, ran.batch.length);
  const LayerCosts costs_now = forward_costs(deck.model, deck.batch.length);
  if (then.dense_layers != now.dense_layers || costs_then.layers != costs_now.layers ||
      costs_then.last != costs_now.last)
    return "the sizes of its model are others than those of the deck";
  if (ran.model.precision != deck.model.precision || ran.run.recompute != deck.run.recompute)
    return "its section precision or run.recompute is another than that of the deck";
  return {};
}

/// What the times of a run have of its ranks, where the deck's are others: "parallel.expert 1, not 2".
std::vector<std::string> unlike(const Deck& ran, const Deck& deck) {
  std::vector<std::string> texts;
  const auto compare = [&texts](const char* key, const auto& then, const auto& now) {
    if (then != now) texts.push_back(fmt::format("{} {}, not {}", key, then, now));
  };
  compare("run.threads", ran.run.threads, deck.run.threads);
  compare("parallel.expert", ran.parallel.expert, deck.parallel.expert);
  const auto nodes = [](const Deck& d) {
    return d.parallel.nodes == 0 ? std::string("auto") : fmt::format("{}", d.parallel.nodes);
  };
  compare("parallel.nodes", nodes(ran), nodes(deck));
  compare("parallel.traffic", ran.parallel.traffic, deck.parallel.traffic);
  return texts;
}

/// The schedule that a file says, whose lists are those of the file.
PipelineSchedule schedule_of(const TimelineFile& file) {
  const auto kind = schedule_kind(file.text(file.json(), "schedule"));
  if (!kind) file.wrong("schedule");
  const std::int64_t micro_batches = file.integer(file.json(), "micro_batches");
  if (file.integer(file.json(), "pipeline") != static_cast<std::int64_t>(file.places()))
    file.wrong("pipeline");
  // A rank has an op or more for each micro-batch.
  if (micro_batches < 1 || micro_batches > static_cast<std::int64_t>(file.ops() / file.places()))
    file.wrong("micro_batches");
  const PipelineShape shape = {*kind, static_cast<int>(file.places()),
                               static_cast<int>(micro_batches)};
  if (!shape_problem(shape).empty()) file.wrong("schedule");
  PipelineSchedule schedule = make_schedule(shape);
  const nlohmann::json& lists = file.list("ops");
  for (std::size_t place = 0; place < file.places(); ++place) {
    bool same = lists[place].size() == schedule.ops[place].size();
    for (std::size_t i = 0; same && i < schedule.ops[place].size(); ++i)
      same = lists[place][i] == to_text(schedule.ops[place][i]);
    if (!same)
      fail(ExitCode::io, "{}: its ops are not those of {} here; another version of Moray ran them",
           file.path(), schedule_name(shape.kind));
  }
  return schedule;
}

/// What ran: each pipeline, whose ranks follow each other in the file. Milliseconds.
std::vector<PipelineTimeline> pipelines_of(const TimelineFile& file,
                                           const PipelineSchedule& schedule) {
  const nlohmann::json& ranks = file.list("ranks");
  const std::size_t places = file.places();
  if (ranks.empty() || ranks.size() % places != 0) file.wrong("ranks");
  std::vector<PipelineTimeline> pipelines;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const std::size_t place = i % places;
    if (place == 0) pipelines.push_back({schedule.shape, {}});
    const nlohmann::json& starts = file.times(ranks[i], "start_us", place);
    const nlohmann::json& ends = file.times(ranks[i], "end_us", place);
    std::vector<TimelineEvent>& events = pipelines.back().ranks.emplace_back();
    for (std::size_t k = 0; k < schedule.ops[place].size(); ++k)
      events.push_back(
          {schedule.ops[place][k], starts[k].get<double>() / 1000, ends[k].get<double>() / 1000});
  }
  return pipelines;
}

}  // namespace

MeasuredRun read_measured_run(const std::string& run, const Deck& deck) {
  if (!RunFolder::holds_run(run))
    fail(ExitCode::io, "{}: holds no run; name the folder that `moray train --out` made", run);
  const std::string path = newest_timeline(run);
  if (path.empty())
    fail(ExitCode::io,
         "{}: no step has been recorded in traces/ so far; a run records the second step of each "
         "start",
         run);
  const std::string place = RunFolder::newest_start(run) + "/resolved.yaml";
  const Deck ran = deck_of(place);
  const std::string other = difference(ran, deck);
  if (!other.empty()) fail(ExitCode::usage, "{}: {}; the deck that ran is {}", run, other, place);

  const TimelineFile file(path);
  const PipelineSchedule schedule = schedule_of(file);
  MeasuredRun result;
  result.step = file.integer(file.json(), "step");
  result.shape = schedule.shape;
  const PipelineShape newest = pipeline_shape(ran, 0, 1);
  if (newest.kind != result.shape.kind || newest.ranks != result.shape.ranks)
    fail(ExitCode::io,
         "{}: ran {} on {} pipeline ranks, but the newest start of the run is {} on {} and has "
         "recorded no step so far",
         path, schedule_name(result.shape.kind), result.shape.ranks, schedule_name(newest.kind),
         newest.ranks);
  const std::vector<PipelineTimeline> pipelines = pipelines_of(file, schedule);
  result.stages = {
      stage_layers(ran), measured_durations(pipelines).stages,
      ran.model.moe.experts == 0 ? ran.model.model.layers : ran.model.model.dense_layers};
  result.ops = stage_ops(schedule);
  result.unlike = unlike(ran, deck);
  result.length = file.number(file.json(), "length_us") / 1000;
  double busy = 0;
  for (const PipelineTimeline& p : pipelines)
    for (int rank = 0; rank < result.shape.ranks; ++rank) busy += p.busy(rank);
  const auto ranks = static_cast<double>(pipelines.size()) * result.shape.ranks;
  result.waiting = result.length - busy / ranks;
  return result;
}

}  // namespace moray
