// same_losses DECK LAYOUTS [key=value...]: trains the deck to its end, through a batch ramp if it has one, on
// each layout of a list such as "d1, p2d2:zb1p", and validates before and after with numbers of windows
// that no layout divides. Every number of every step is that of the first layout, on every rank.
#include <bit>

#include "data/data.hpp"
#include "mpi_program.hpp"
#include "training/trainer.hpp"

namespace moray {
namespace {

/// Named numbers, bit by bit.
struct Numbers {
  std::vector<std::string> names;
  std::vector<std::int64_t> bits;
  void add(std::string name, double value) {
    names.push_back(std::move(name));
    bits.push_back(std::bit_cast<std::int64_t>(value));
  }
};

void validate(Trainer& trainer, TrainingData& data, const std::string& when, Numbers& out) {
  for (const std::int64_t windows : {1, 3, 7, 22}) {
    const Trainer::Evaluation found =
        trainer.evaluate(windows, [&](std::uint64_t i, std::span<std::int32_t> tokens) {
          MORAY_REQUIRE(i < static_cast<std::uint64_t>(windows));
          data.sample(100'000 + i, tokens);
        });
    MORAY_REQUIRE(found.windows == windows);
    out.add(fmt::format("{}: validation of {} windows", when, windows), found.loss);
  }
}

Numbers train(const Deck& deck, const Communicator& ranks) {
  Trainer trainer(deck, ranks);
  Arena plan;
  trainer.allocate(plan);
  Arena arena;
  arena.reserve(plan);
  trainer.allocate(arena);
  trainer.initialize();
  TrainingData data(deck.data,
                    {deck.run.seed, deck.batch.length, deck.model.model.vocabulary, "."});
  Numbers out;
  validate(trainer, data, "before", out);
  for (std::int64_t step = 0; step < trainer.timeline().total(); ++step) {
    const StepReport report = trainer.step(
        step, [&](std::uint64_t g, std::span<std::int32_t> tokens) { data.sample(g, tokens); });
    const auto name = [&](const char* what) { return fmt::format("step {}: {}", step + 1, what); };
    out.add(name("sequences"), static_cast<double>(report.sequences));
    out.add(name("loss"), report.loss);
    for (const double loss : report.mtp) out.add(name("MTP loss"), loss);
    out.add(name("balance loss"), report.balance);
    out.add(name("norm"), report.norm.value);
    MORAY_REQUIRE(report.fp8.empty() == (deck.output.fp8_every.value == 0));
    for (std::size_t i = 0; i < report.fp8.size(); ++i) {
      out.names.push_back(fmt::format("step {}: statistics of FP8, word {}", step + 1, i));
      out.bits.push_back(report.fp8[i]);
    }
    if (step == trainer.timeline().total() / 2) validate(trainer, data, name("then"), out);
  }
  validate(trainer, data, "after", out);
  return out;
}

/// The first number that differs; empty when none does. On rank 0, which alone knows what is expected.
std::string difference(const Numbers& expected, const Numbers& found, const Communicator& ranks) {
  const std::string mine(reinterpret_cast<const char*>(found.bits.data()),
                         found.bits.size() * sizeof(std::int64_t));
  if (!ranks.all(ranks.broadcast(mine, 0) == mine)) return "the ranks differ";
  if (ranks.rank() != 0) return {};
  MORAY_REQUIRE(found.names == expected.names);
  for (std::size_t i = 0; i < found.bits.size(); ++i)
    if (found.bits[i] != expected.bits[i])
      return fmt::format("{}: {:a} there, {:a} here", found.names[i],
                         std::bit_cast<double>(expected.bits[i]),
                         std::bit_cast<double>(found.bits[i]));
  return {};
}

int run(const std::string& path, const std::string& list, const std::vector<std::string>& keys,
        const Communicator& world) {
  std::int64_t wrong = 0;
  Numbers expected;
  test::for_each_layout(
      path, list, keys, world,
      [&](const NamedLayout& layout, const Deck& deck, const Communicator& ranks) {
        const Numbers found = train(deck, ranks);
        if (world.rank() == 0 && expected.names.empty()) expected = found;
        const std::string text = difference(expected, found, ranks);
        if (!text.empty()) ++wrong;
        if (world.rank() == 0)
          fmt::print("{}: {}\n", layout.name,
                     text.empty() ? fmt::format("{} numbers equal", found.bits.size()) : text);
      });
  world.maximum(std::span(&wrong, 1));
  return wrong == 0 ? 0 : 1;
}

}  // namespace
}  // namespace moray

int main(int argc, char** argv) {
  return moray::test::run_on_ranks(argc, argv, [&](const moray::Communicator& world) {
    return moray::run(argv[1], argv[2], {argv + 3, argv + argc}, world);
  });
}
