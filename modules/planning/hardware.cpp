#include "planning/hardware.hpp"

#include <filesystem>

#include "config/reader.hpp"
#include "config/section.hpp"
#include "core/error.hpp"

namespace moray {
namespace {

void declare(Section& section, LayerTimes& t) {
  section.key("flops", t.flops, "Forward FLOP of a token in the layer that was timed.")
      .required()
      .above(0);
  section.key("tokens", t.tokens, "Tokens of the micro-batch that was timed.").required().above(0);
  const auto time = [&section](const char* name, double& member, const char* doc) -> Key& {
    return section.key(name, member, doc).at_least(0).unit("ms");
  };
  time("forward", t.forward, "Computation of a forward.").required();
  time("input_gradient", t.input_gradient, "Computation of the gradient of the input.").required();
  time("weight_gradient", t.weight_gradient, "Computation of the gradient of the weights.")
      .required();
  time("dispatch", t.dispatch, "Sending tokens to their experts with nothing to hide behind.");
  time("combine", t.combine, "Bringing them back with nothing to hide behind.");
  time("overlapped", t.overlapped,
       "A forward and both gradients of another micro-batch together, exchanges included.")
      .required();
}

void declare(Section& section, PublishedStep& p) {
  section.key("deck", p.deck, "run.name of the deck; empty: nothing was published.");
  section.key("schedule", p.schedule, "Of the pipeline that ran: no other is compared with it.")
      .one_of({"1f1b", "zb1p", "dualpipe", "dualpipev"});
  section.key("pipeline", p.pipeline, "Pipeline ranks.").at_least(0);
  section.key("micro_batches", p.micro_batches, "Of a data rank.").at_least(0);
  section.key("source", p.source, "Where.");
  const auto time = [&section](const char* name, double& member, const char* doc) {
    section.key(name, member, doc).at_least(0).unit("s");
  };
  time("forward", p.forward, "Forwards that overlap with nothing.");
  time("backward", p.backward, "Backwards that overlap with nothing.");
  time("weight", p.weight, "Weight gradients on their own.");
  time("overlapped", p.overlapped, "Overlapped pairs.");
  time("bubble", p.bubble, "Waiting.");
  time("optimizer", p.optimizer, "The optimizer.");
  time("step", p.step, "The step.");
}

}  // namespace

void declare(Section& root, Hardware& h) {
  root.key("name", h.name, "The machine.").required();
  declare(root.section("layer", "Times of one layer.", Resume::free), h.layer);
  root.key("stage_exchange", h.stage_exchange, "From one pipeline rank to the next.")
      .at_least(0)
      .unit("ms");
  root.key("link", h.link, "What a rank sends to other nodes.").at_least(0).unit("GB/s");
  root.key("near_link", h.near_link, "What a rank sends to ranks of its node; 0: as link.")
      .at_least(0)
      .unit("GB/s");
  root.key("memory", h.memory, "Memory of a rank.").at_least(0).unit("GB");
  declare(root.section("published", "A step that was published.", Resume::free), h.published);
  const PublishedStep& p = h.published;
  root.rule(
      {"published.deck", "published.schedule", "published.pipeline", "published.micro_batches"},
      "a published step has a schedule, pipeline ranks and micro-batches", [&p] {
        return p.deck.empty() || (!p.schedule.empty() && p.pipeline > 0 && p.micro_batches > 0);
      });
}

Hardware read_hardware(const std::string& path) {
  Hardware hardware;
  Problems problems;
  const Node tree = parse_yaml(read_deck_file(path, "the hardware file"), problems);
  Section root("", "", Resume::free);
  declare(root, hardware);
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  read_sections(root, tree, folder.empty() ? "." : folder.string(), problems);
  check_rules(root, problems);
  if (!problems.empty()) throw Error(ExitCode::usage, problems.report(path));
  return hardware;
}

}  // namespace moray
