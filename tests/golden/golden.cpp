// golden DECK [key=value...] [--write] [--expect-difference] [--only-default]: the bits of a golden run on the
// ranks that it is started on, for every micro-batch size, with and without recomputation, and with
// each exact kernel variant, against the committed record beside the deck (README.md).
#include <Kokkos_Core.hpp>
#include <cstdlib>
#include <set>

#include "comm/communicator.hpp"
#include "core/error.hpp"
#include "golden/run.hpp"
#include "kernels/functions/self_check.hpp"
#include "kernels/variants.hpp"

namespace moray::golden {
namespace {

struct Arguments {
  std::string deck;
  std::vector<std::string> overrides;  ///< of the layout, such as parallel.expert=2
  bool write = false;
  bool expect_difference = false;  ///< of a program with a fault: the record must catch it
  bool only_default = false;       ///< one layout
};

/// One way to compute the same bits.
struct Way {
  std::int64_t micro = 4;
  bool recompute = true;
  std::string variant;  ///< forced for every op that has it; empty: the default of each
  std::string name() const {
    return fmt::format("micro-batch {}, recompute {}, {}", micro, recompute ? "on" : "off",
                       variant.empty() ? "default kernels" : variant);
  }
};

/// The exact variants of this build and processor, of any op.
std::set<std::string> variants() {
  std::set<std::string> names;
  for (const Op op : kOps) {
    for (const Variant v : available_variants(op))
      if (is_exact(v)) names.emplace(variant_name(v));
  }
  return names;
}

void select(const std::string& variant) {
  reset_variants();
  for (const Op op : kOps) {
    for (const Variant v : available_variants(op))
      if (variant_name(v) == variant) force_variant(op, v);
  }
}

/// Each dimension once; with MORAY_TEST_LONG all combinations.
std::vector<Way> ways(const Arguments& arguments) {
  if (arguments.only_default || arguments.write || arguments.expect_difference) return {Way{}};
  std::vector<Way> list;
  if (std::getenv("MORAY_TEST_LONG") == nullptr) {
    list = {{4, true, ""}, {1, false, ""}, {2, true, ""}};
    for (const std::string& variant : variants()) list.push_back({4, false, variant});
    return list;
  }
  std::set<std::string> names = variants();
  names.emplace();
  for (const std::int64_t micro : {1, 2, 4}) {
    for (const bool recompute : {true, false}) {
      for (const std::string& name : names) list.push_back({micro, recompute, name});
    }
  }
  return list;
}

int compare(const Arguments& arguments, const Communicator& ranks) {
  const bool root = ranks.rank() == 0;
  const std::string file = arguments.deck.substr(0, arguments.deck.rfind('.')) + ".golden";
  Record expected;
  if (!arguments.write) expected = Record::read(file);
  std::int64_t differences = 0;  // found by rank 0
  for (const Way& way : ways(arguments)) {
    select(way.variant);
    std::vector<std::string> overrides = arguments.overrides;
    overrides.push_back(fmt::format("batch.micro={}", way.micro));
    overrides.push_back(fmt::format("run.recompute={}", way.recompute));
    const Deck deck = read_deck(arguments.deck, overrides, nullptr, ranks.size());
    if (arguments.write && deck.parallel.pipeline > 1)
      fail(ExitCode::usage,
           "golden: a record is in the order of one rank; write it without a pipeline");
    const Record found = run(deck, ranks);
    if (!root) continue;
    if (arguments.write) {
      found.write(file, arguments.deck.substr(arguments.deck.rfind('/') + 1));
      continue;
    }
    const std::string difference = expected.first_difference(found);
    fmt::print("{} ranks, {}: {}\n", ranks.size(), way.name(),
               difference.empty() ? fmt::format("{} values equal", found.size()) : difference);
    if (!difference.empty()) ++differences;
  }
  ranks.maximum(std::span(&differences, 1));
  return (differences > 0) == arguments.expect_difference ? 0 : 1;
}

Arguments parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word == "--write") {
      arguments.write = true;
    } else if (word == "--expect-difference") {
      arguments.expect_difference = true;
    } else if (word == "--only-default") {
      arguments.only_default = true;
    } else if (word.find('=') != std::string::npos) {
      arguments.overrides.push_back(word);
    } else if (word.ends_with(".yaml") && arguments.deck.empty()) {
      arguments.deck = word;
    } else {
      fail(ExitCode::usage, "golden: '{}' is not understood", word);
    }
  }
  if (arguments.deck.empty()) fail(ExitCode::usage, "golden: which deck?");
  return arguments;
}

}  // namespace
}  // namespace moray::golden

int main(int argc, char** argv) {
  const moray::MpiSession mpi(argc, argv);
  Kokkos::initialize(argc, argv);
  int code = 2;
  {
    const moray::Communicator ranks = moray::Communicator::world();
    try {
      moray::require_exact_arithmetic();
      code = moray::golden::compare(moray::golden::parse(argc, argv), ranks);
    } catch (const std::exception& error) {
      fmt::print(stderr, "rank {}: {}\n", ranks.rank(), error.what());
      ranks.abort(2);
    }
  }
  Kokkos::finalize();
  return code;
}
