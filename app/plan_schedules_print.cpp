// What moray plan --schedule prints: a row a schedule, and a step beside a published one.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <limits>

#include "plan_schedules.hpp"

namespace moray {
namespace {

// One row a sort of op: of the mean and of the busiest rank, and what was published.
void print_step(const StepPrediction& p, const PublishedStep& was) {
  const bool published = was.step > 0;
  fmt::print("\n{:<14} {:>12} {:>14}", "step, seconds", "mean rank", "busiest rank");
  fmt::print("{}\n", published ? "    published  mean against it" : "");
  const auto row = [&](const char* name, double mean, double busiest, double was_then) {
    fmt::print("  {:<12} {:>12.3f} {:>14.3f}", name, mean, busiest);
    if (published && was_then > 0)
      fmt::print(" {:>12.3f} {:>+14.1f} %", was_then, 100 * (mean / was_then - 1));
    fmt::print("\n");
  };
  row("F", p.mean.forward, p.busiest.forward, was.forward);
  row("B, BW", p.mean.backward, p.busiest.backward, was.backward);
  row("W", p.mean.weight, p.busiest.weight, was.weight);
  row("F&B", p.mean.overlapped, p.busiest.overlapped, was.overlapped);
  row("waiting", p.mean.waiting, p.busiest.waiting, was.bubble);
  row("optimizer", p.optimizer, p.optimizer, was.optimizer);
  row("step", p.step, p.step, was.step);
  if (published)
    fmt::print("  published: {}; docs/schedules.md explains the differences\n", was.source);
}

}  // namespace

namespace {

std::string gib(std::int64_t bytes) {
  return bytes > 0 ? fmt::format("{:.2f}", static_cast<double>(bytes) / (1 << 30)) : "none";
}

/// Stages of a run of which something was not measured on its own: "stages 0, 3"; "" for none.
std::string stages_without(const MeasuredRun& m, bool StageOps::*sort) {
  std::vector<std::size_t> stages;
  for (std::size_t s = 0; s < m.ops.size(); ++s)
    if (!(m.ops[s].*sort)) stages.push_back(s);
  if (stages.size() == m.ops.size()) return "all stages";
  if (stages.empty()) return "";
  return fmt::format("stage{} {}", stages.size() == 1 ? "" : "s", fmt::join(stages, ", "));
}

// What ran, and of which durations the plans are made.
void print_measured(const MeasuredRun& m) {
  fmt::print(
      "\nmeasured in step {}: {} on {} pipeline ranks, {} micro-batches, in {:.5g} ms\n  {:<8} "
      "{:>8} {:>9} {:>9} {:>9} {:>9}  ms of a micro-batch\n",
      m.step, schedule_name(m.shape.kind), m.shape.ranks, m.shape.micro_batches, m.length, "stage",
      "layers", "F", "B", "W", "F&B");
  for (std::size_t s = 0; s < m.ops.size(); ++s) {
    const StageDurations& d = m.stages.durations[s];
    fmt::print("  {:<8} {:>8} {:>9.4g} {:>9.4g} {:>9.4g} {:>9.4g}\n", s, m.stages.layers[s].count,
               d.forward, d.input_gradient, d.weight_gradient, d.overlapped);
  }
  const std::string alone = stages_without(m, &StageOps::overlapped);
  if (!alone.empty())
    fmt::print("  F&B of {} is F + B + W: the run overlapped none there\n", alone);
  const std::string joined = stages_without(m, &StageOps::parted);
  if (!joined.empty())
    fmt::print("  B and W of {} are a half each of both: the run did not part them there\n",
               joined);
  if (!m.unlike.empty())
    fmt::print("  the run, and so the times, had {}\n", fmt::join(m.unlike, "; "));
  fmt::print(
      "  a layer takes along its part of what its stage took (docs/schedules.md); waiting for\n"
      "  tokens of other ranks is in the times, messages between stages take --communication\n");
}

nlohmann::ordered_json durations_json(const StageDurations& d) {
  return {{"forward_ms", d.forward},
          {"input_gradient_ms", d.input_gradient},
          {"weight_gradient_ms", d.weight_gradient},
          {"overlapped_ms", d.overlapped}};
}

nlohmann::ordered_json measured_json(const std::string& run, const MeasuredRun& m) {
  nlohmann::ordered_json stages = nlohmann::ordered_json::array();
  for (std::size_t s = 0; s < m.ops.size(); ++s) {
    nlohmann::ordered_json stage = durations_json(m.stages.durations[s]);
    stage["overlapped_measured"] = m.ops[s].overlapped;
    stage["gradients_parted"] = m.ops[s].parted;
    stages.push_back(stage);
  }
  return {{"run", run},
          {"step", m.step},
          {"schedule", schedule_name(m.shape.kind)},
          {"pipeline", m.shape.ranks},
          {"micro_batches", m.shape.micro_batches},
          {"stages", to_text(m.stages.layers)},
          {"step_ms", m.length},
          {"waiting_ms", m.waiting},
          {"stage_durations", stages},
          {"unlike", m.unlike}};
}

}  // namespace

void print_times_hint(const Options& options) {
  std::string deck = options.deck;
  for (const std::string& key : options.overrides) deck += " " + key;
  if (options.ranks > 0) deck += fmt::format(" --ranks {}", options.ranks);
  fmt::print(
      "\nno times, no step: moray plan {} --hardware input/hardware/h800-2048.yaml predicts one "
      "for that "
      "machine\n",
      deck);
}

void print_schedules(const ScheduleComparison& c) {
  if (c.plans.empty()) return;
  const ScheduleQuestion& q = c.question;
  const StageDurations& d = q.timed.durations;
  fmt::print(
      "\nschedules on {} pipeline ranks, {} micro-batches of a data rank (times from {}:\n"
      "  F {:.4g}, B {:.4g}, W {:.4g}, F&B {:.4g}, between ranks {:.4g} ms)\n",
      q.ranks, q.micro_batches, c.source, d.forward, d.input_gradient, d.weight_gradient,
      d.overlapped, q.communication);
  fmt::print("  {:<10} {:>10} {:>10} {:>7} {:>11} {:>11} {:>7} {:>7} {:>9}  {}\n", "", "step ms",
             "waiting ms", "%", "published", "activations", "W later", "weights", "GiB",
             "layers of stages");
  for (std::size_t i = 0; i < c.plans.size(); ++i) {
    const SchedulePlan& p = c.plans[i];
    if (!p.problem.empty()) {
      fmt::print("  {:<10} {}\n", schedule_name(p.shape.kind), p.problem);
      continue;
    }
    const double waiting = p.mean().waiting;
    const std::string published =
        p.published_bubble ? fmt::format("{:.4g}", *p.published_bubble) : std::string("none");
    fmt::print("  {:<10} {:>10.5g} {:>10.4g} {:>7.2f} {:>11} {:>11.4g} {:>7} {:>6}x {:>9}  {}\n",
               schedule_name(p.shape.kind), p.step(), waiting, 100 * waiting / p.step(), published,
               p.activations(), p.most_put_off(), p.weight_copies(), gib(c.memory[i]), p.stages);
    if (c.ran(p))
      fmt::print("  {:<10} {:>10.5g} {:>10.4g} {:>7.2f}\n", "  measured", c.measured->length,
                 c.measured->waiting, 100 * c.measured->waiting / c.measured->length);
  }
  fmt::print(
      "  waiting: mean of the ranks; published: the bubble of the formula for equal stages "
      "without\n"
      "  communication, which needs enough micro-batches; activations: most alive on a rank, in\n"
      "  micro-batches of 1/{} of the layers; GiB: memory of the fullest rank, none where the "
      "deck\n"
      "  has no such layout\n",
      q.ranks);
  if (c.measured) print_measured(*c.measured);
  if (c.step) print_step(*c.step, c.hardware->published);
  if (!c.no_step.empty()) fmt::print("\nno step is predicted: {}\n", c.no_step);
}

nlohmann::ordered_json schedules_json(const ScheduleComparison& c) {
  const ScheduleQuestion& q = c.question;
  const StageDurations& d = q.timed.durations;
  nlohmann::ordered_json durations = {{"source", c.source}};
  durations.update(durations_json(d));
  durations["communication_ms"] = q.communication;
  if (c.measured) durations["measured"] = measured_json(c.run, *c.measured);
  nlohmann::ordered_json plans = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < c.plans.size(); ++i) {
    const SchedulePlan& p = c.plans[i];
    nlohmann::ordered_json plan = {{"name", schedule_name(p.shape.kind)}};
    if (!p.problem.empty()) {
      plan["problem"] = p.problem;
      plans.push_back(plan);
      continue;
    }
    nlohmann::ordered_json ranks = nlohmann::ordered_json::array();
    for (int rank = 0; rank < p.shape.ranks; ++rank) {
      const TimeBySort t = time_by_sort(p.timeline, rank);
      const RankNeeds& needs = p.needs[static_cast<std::size_t>(rank)];
      ranks.push_back({{"forward_ms", t.forward},
                       {"backward_ms", t.backward},
                       {"weight_ms", t.weight},
                       {"overlapped_ms", t.overlapped},
                       {"waiting_ms", t.waiting},
                       {"activation_slots", needs.activations},
                       {"weights_put_off", needs.pending_weights}});
    }
    plan.update({{"stages", p.stages},
                 {"step_ms", p.step()},
                 {"waiting_ms", p.mean().waiting},
                 {"published_bubble_ms",
                  p.published_bubble.value_or(std::numeric_limits<double>::quiet_NaN())},
                 {"activations", p.activations()},
                 {"weight_copies", p.weight_copies()},
                 {"ranks", ranks}});
    if (c.memory[i] > 0) plan["bytes"] = c.memory[i];
    for (int stage = 0; stage < p.shape.stages(); ++stage) {
      const auto at = p.durations.size() == 1 ? 0 : static_cast<std::size_t>(stage);
      plan["stage_durations"].push_back(durations_json(p.durations[at]));
    }
    plan["ran"] = c.ran(p);
    plans.push_back(plan);
  }
  nlohmann::ordered_json result = {{"pipeline", q.ranks},
                                   {"micro_batches", q.micro_batches},
                                   {"durations", durations},
                                   {"plans", plans}};
  if (c.step) {
    const auto sorts = [](const TimeBySort& t) {
      return nlohmann::ordered_json{{"forward", t.forward},
                                    {"backward", t.backward},
                                    {"weight", t.weight},
                                    {"overlapped", t.overlapped},
                                    {"waiting", t.waiting}};
    };
    result["step_seconds"] = {{"mean_rank", sorts(c.step->mean)},
                              {"busiest_rank", sorts(c.step->busiest)},
                              {"optimizer", c.step->optimizer},
                              {"step", c.step->step}};
  }
  return result;
}

}  // namespace moray
