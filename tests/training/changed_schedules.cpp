// changed_schedules RUNS DECK [--expect-difference] [key=value...]: trains two steps with as many schedules
// that nobody planned, made from the four kinds by legal changes, and compares losses, norm, loads and
// every weight with those of the unchanged schedule, bit by bit. All ranks are one pipeline, unless the deck
// has one. A program with a fault must find a difference.
#include <algorithm>
#include <bit>
#include <cstdlib>

#include "data/data.hpp"
#include "io/digest.hpp"
#include "mpi_program.hpp"
#include "pipeline/check.hpp"
#include "pipeline/legal_move.hpp"
#include "training/layout_rules.hpp"
#include "training/trainer.hpp"

namespace moray {
namespace {

/// All that a run computed, as integers: of the steps, and of this rank's weights after them.
struct Outcome {
  std::vector<std::int64_t> steps;
  std::vector<Digest> weights;
  bool operator==(const Outcome&) const = default;
};

/// With the deck's own schedule if there is none.
Outcome train(const Deck& deck, const PipelineSchedule* schedule, const Communicator& ranks) {
  Trainer trainer(deck, ranks);
  if (schedule != nullptr) trainer.use_schedule(*schedule);
  Arena plan;
  trainer.allocate(plan);
  Arena arena;
  arena.reserve(plan);
  trainer.allocate(arena);
  trainer.initialize();
  TrainingData data(deck.data,
                    {deck.run.seed, deck.batch.length, deck.model.model.vocabulary, "."});
  Outcome outcome;
  const auto number = [&](double value) {
    outcome.steps.push_back(std::bit_cast<std::int64_t>(value));
  };
  for (std::int64_t step = 0; step < 2; ++step) {
    const StepReport report = trainer.step(
        step, [&](std::uint64_t g, std::span<std::int32_t> tokens) { data.sample(g, tokens); });
    number(report.loss);
    for (const double loss : report.mtp) number(loss);
    number(report.balance);
    number(report.norm.value);
    for (const auto& loads : report.loads)
      outcome.steps.insert(outcome.steps.end(), loads.begin(), loads.end());
  }
  const Parameters<float>& parameters = trainer.model().parameters();
  std::vector<float> host;
  for (const Parameter& p : parameters.list()) {
    if (!p.held) continue;
    const ElementRange present = parameters.present(p);
    host.resize(static_cast<std::size_t>(present.size()));
    copy_to_host(parameters.values(p, present).data, host.size(), host.data());
    outcome.weights.push_back(digest_of(host.data(), host.size() * sizeof(float)));
  }
  return outcome;
}

/// Legal changes, every second time with more memory to make them in.
PipelineSchedule changed(const PipelineSchedule& from, unsigned seed) {
  std::mt19937 random(seed);
  PipelineSchedule schedule = from;
  for (int& slots : schedule.slots) slots += seed / 4 % 2 == 0 ? 4 : 0;
  remake(schedule, 8, random);
  walk(schedule, 40, random);
  return schedule;
}

int positions_that_differ(const PipelineSchedule& a, const PipelineSchedule& b) {
  int count = 0;
  for (std::size_t rank = 0; rank < a.ops.size(); ++rank) {
    const std::size_t size = std::max(a.ops[rank].size(), b.ops[rank].size());
    for (std::size_t i = 0; i < size; ++i)
      if (i >= a.ops[rank].size() || i >= b.ops[rank].size() || a.ops[rank][i] != b.ops[rank][i])
        ++count;
  }
  return count;
}

/// A schedule with a fault, or of another kind, never gets to a step.
bool refuses_faults(const Deck& deck, PipelineSchedule schedule, const Communicator& ranks) {
  const auto refused = [&] {
    Trainer trainer(deck, ranks);
    try {
      trainer.use_schedule(schedule);
    } catch (const Error& error) {
      return error.code() == ExitCode::usage;
    }
    return false;
  };
  schedule.ops[1].pop_back();
  if (!refused()) return false;
  schedule = make_schedule({ScheduleKind::zb1p, schedule.shape.ranks + 1, 8});
  return refused();
}

/// Where ranks that share experts are given different schedules, all ranks refuse.
bool refuses_differences(const Deck& deck, const PipelineSchedule& schedule,
                         const Communicator& ranks) {
  Trainer trainer(deck, ranks);
  const Communicator& group = trainer.mesh().expert_group();
  const bool differs = group.rank() == group.size() - 1 && trainer.mesh().place().pipeline == 0;
  try {
    trainer.use_schedule(differs ? changed(schedule, 1) : schedule);
  } catch (const Error& error) {
    return group.size() > 1 && error.code() == ExitCode::usage &&
           std::string(error.what())
               .starts_with("ranks that share experts were given different schedules: rank ");
  }
  return group.size() == 1;
}

/// One kind of schedule as it is made, and what it computes.
struct Planned {
  Planned(ScheduleKind kind, const std::string& path, std::vector<std::string> overrides,
          const Communicator& ranks) {
    const bool given = std::any_of(overrides.begin(), overrides.end(), [](const std::string& key) {
      return key.starts_with("parallel.pipeline=");
    });
    if (!given) overrides.push_back(fmt::format("parallel.pipeline={}", ranks.size()));
    overrides.push_back(fmt::format("parallel.schedule={}", schedule_name(kind)));
    deck = read_deck(path, overrides, nullptr, ranks.size());
    schedule = make_schedule(
        pipeline_shape(deck, deck.batch.sequences, ranks.size() / deck.parallel.pipeline));
    outcome = train(deck, nullptr, ranks);
  }
  Deck deck;
  PipelineSchedule schedule;
  Outcome outcome;
};

/// How many comparisons failed, on the rank where most did.
std::int64_t run(const std::string& path, int runs, const std::vector<std::string>& overrides,
                 const Communicator& ranks) {
  std::int64_t wrong = 0;
  const auto check = [&](bool right, const char* otherwise) {
    if (right) return;
    ++wrong;
    fmt::print("rank {}: {}\n", ranks.rank(), otherwise);
  };
  std::vector<Planned> planned;
  for (const ScheduleKind kind : kScheduleKinds) {
    planned.emplace_back(kind, path, overrides, ranks);
    check(planned.back().outcome.steps == planned[0].outcome.steps, "two kinds differ");
    check(refuses_faults(planned.back().deck, planned.back().schedule, ranks),
          "a schedule with a fault was accepted");
    check(refuses_differences(planned.back().deck, planned.back().schedule, ranks),
          "different schedules of ranks that share experts were accepted, or equal ones refused");
  }
  for (int i = 0; i < runs; ++i) {
    const Planned& p = planned[static_cast<std::size_t>(i) % planned.size()];
    const PipelineSchedule other = changed(p.schedule, static_cast<unsigned>(i) + 1);
    const int differ = positions_that_differ(p.schedule, other);
    check(differ >= 10, "that is hardly a change");
    check(train(p.deck, &other, ranks) == p.outcome, "the bits differ");
    if (ranks.rank() == 0)
      fmt::print("{}: {} positions differ, {} buffers a channel are needed\n",
                 schedule_name(other.shape.kind), differ, fewest_buffers(other));
  }
  ranks.maximum(std::span(&wrong, 1));
  return wrong;
}

}  // namespace
}  // namespace moray

int main(int argc, char** argv) {
  return moray::test::run_on_ranks(argc, argv, [&](const moray::Communicator& ranks) {
    std::vector<std::string> overrides(argv + 3, argv + argc);
    const bool fault = std::erase(overrides, "--expect-difference") > 0;
    const std::int64_t wrong = moray::run(argv[2], std::atoi(argv[1]), overrides, ranks);
    return (wrong > 0) == fault ? 0 : 1;
  });
}
