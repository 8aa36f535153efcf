#include "training/layout_rules.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "comm/mesh.hpp"
#include "core/error.hpp"
#include "data/data_config.hpp"
#include "pipeline/stages.hpp"

namespace moray {

namespace {

bool exact(const Deck& deck) {
  return deck.run.determinism == "exact";
}

/// R in a message.
std::string named(const Deck& deck) {
  const std::int64_t ranks = data_ranks(deck);
  if (copies(deck) == ranks) return fmt::format("data ranks = {}", ranks);
  return fmt::format("data ranks = {}, one for each direction of dualpipe", copies(deck));
}

bool is_power_of_two(std::int64_t n) {
  return n > 0 && (n & (n - 1)) == 0;
}

/// Keys whose values mend a rule, and after them the ranks in the directions of the mesh. Where a
/// deck gives the data ranks, the number of all ranks has to follow.
std::vector<Remedy> remedies(const Deck& deck, std::vector<std::string> keys) {
  const auto ranks = [&deck] { return deck.parallel.data * deck.parallel.pipeline; };
  std::vector<Remedy> result;
  for (std::string& key : keys) result.push_back({std::move(key)});
  result.push_back({"run.ranks"});
  result.push_back({"parallel.data", "run.ranks", ranks});
  result.push_back({"parallel.pipeline", "run.ranks", ranks});
  return result;
}

// Sums have the same bits on every layout only when the ranks' shares are nodes of the trees of
// docs/numerics.md. `determinism: run` takes any.
void declare_exact_rules(Section& root, const Deck& deck) {
  root.detailed_rule({"run.ranks", "parallel.data", "parallel.pipeline"},
                     "under run.determinism exact the number of data ranks is a power of two",
                     [&] {
                       const std::int64_t ranks = data_ranks(deck);
                       if (!exact(deck) || is_power_of_two(ranks)) return std::string();
                       return fmt::format("data ranks = {}", ranks);
                     })
      .mended_by(remedies(deck, {}));
  root.detailed_rule({"parallel.lanes", "run.ranks", "parallel.data", "parallel.pipeline"},
                     "under run.determinism exact the data ranks divide parallel.lanes",
                     [&] {
                       if (!exact(deck) || deck.parallel.lanes % copies(deck) == 0)
                         return std::string();
                       return named(deck);
                     })
      .mended_by(remedies(deck, {"parallel.lanes", "parallel.schedule"}));
  Rule& expert_lanes = root.detailed_rule(
      {"parallel.expert_lanes", "parallel.expert", "run.ranks", "parallel.data",
       "parallel.pipeline"},
      "under run.determinism exact (data ranks / parallel.expert) divides parallel.expert_lanes",
      [&] {
        const std::int64_t ranks = copies(deck);
        if (!exact(deck) || deck.model.moe.experts == 0 || ranks % deck.parallel.expert != 0 ||
            deck.parallel.expert_lanes % (ranks / deck.parallel.expert) == 0)
          return std::string();
        return named(deck);
      });
  expert_lanes.mended_by(
      remedies(deck, {"parallel.expert_lanes", "parallel.expert", "parallel.schedule"}));
  Rule& sequences = root.detailed_rule(
      {"batch.sequences", "batch.micro", "batch.ramp_from", "batch.ramp_multiple", "run.ranks",
       "parallel.data", "parallel.pipeline"},
      "under run.determinism exact (data ranks x batch.micro) divides the sequences of "
      "every step of the run",
      [&] {
        const std::int64_t share = copies(deck) * std::max<std::int64_t>(deck.batch.micro, 1);
        if (!exact(deck)) return std::string();
        // A ramp visits every multiple of ramp_multiple between its ends.
        for (const std::int64_t n :
             {deck.batch.sequences, deck.batch.ramp_from, deck.batch.ramp_multiple})
          if (n % share != 0) return fmt::format("data ranks x batch.micro = {}", share);
        return std::string();
      });
  sequences.mended_by(remedies(deck, {"batch.sequences", "batch.micro", "batch.ramp_from",
                                      "batch.ramp_multiple", "parallel.schedule"}));
  const auto vendor = [](const std::string& variant) {
    return variant == "blas" || variant == "onednn" || variant == "kokkos_kernels";
  };
  root.rule({"run.determinism", "kernels.gemm", "kernels.attention", "kernels.rmsnorm",
             "kernels.swiglu", "kernels.cross_entropy", "kernels.adamw", "kernels.elementwise",
             "kernels.quantize", "kernels.mixed_gemm"},
            "the variants blas, onednn and kokkos_kernels need run.determinism run",
            [&deck, vendor] {
              const KernelsConfig& k = deck.kernels;
              return !exact(deck) ||
                     !(vendor(k.gemm) || vendor(k.attention) || vendor(k.rmsnorm) ||
                       vendor(k.swiglu) || vendor(k.cross_entropy) || vendor(k.adamw) ||
                       vendor(k.elementwise) || vendor(k.quantize) || vendor(k.mixed_gemm));
            });
}

}  // namespace

std::int64_t data_ranks(const Deck& deck) {
  if (deck.parallel.data > 0) return deck.parallel.data;
  return std::max<std::int64_t>(deck.run.ranks / deck.parallel.pipeline, 1);
}

std::int64_t copies(const Deck& deck) {
  return data_ranks(deck) * pipeline_shape(deck, 0, 1).streams();
}

std::int64_t micro_batch(const Deck& deck, std::int64_t data) {
  if (deck.batch.micro > 0) return deck.batch.micro;
  if (deck.parallel.pipeline > 1) return 1;
  const std::int64_t all =
      deck.batch.ramp_from > 0 ? deck.batch.ramp_multiple : deck.batch.sequences;
  return std::max<std::int64_t>(all / data, 1);
}

PipelineShape pipeline_shape(const Deck& deck, std::int64_t sequences, std::int64_t data) {
  const ParallelConfig& p = deck.parallel;
  PipelineShape shape;
  shape.ranks = static_cast<int>(p.pipeline);
  shape.kind = p.pipeline == 1        ? ScheduleKind::one_f_one_b
               : p.schedule != "auto" ? *schedule_kind(p.schedule)
               : p.pipeline % 2 == 0  ? ScheduleKind::dualpipe
                                      : ScheduleKind::zb1p;
  if (sequences > 0)
    shape.micro_batches = static_cast<int>(sequences / data / micro_batch(deck, data));
  return shape;
}

namespace {

/// Why the deck's layers are not on its stages; empty when they are. Places none: that takes time.
std::string stages_problem(const Deck& deck) {
  const PipelineShape shape = pipeline_shape(deck, 0, 1);
  if (shape.ranks == 1 && shape.stages() == 1) return {};
  if (deck.parallel.stages == "auto") return placement_problem(deck.model.model.layers, shape);
  try {
    parse_stages(deck.parallel.stages, deck.model.model.layers, shape.stages());
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

/// The stages that `auto` would give; empty when there are none.
std::string stages_by_cost(const Deck& deck) {
  const PipelineShape shape = pipeline_shape(deck, 0, 1);
  if (!placement_problem(deck.model.model.layers, shape).empty()) return {};
  return to_text(place_layers(forward_costs(deck.model, deck.batch.length), shape));
}

void declare_pipeline_rules(Section& root, const Deck& deck) {
  Rule& schedule = root.detailed_rule(
      {"parallel.pipeline", "parallel.schedule", "batch.sequences", "batch.micro",
       "batch.ramp_from", "batch.ramp_multiple", "run.ranks", "parallel.data"},
      "the schedule exists for the pipeline's ranks and the micro-batches of every step", [&] {
        // Of the steps of a ramp every second one is like its first.
        const std::int64_t first = deck.batch.ramp_from;
        const std::int64_t second = first > 0 ? first + deck.batch.ramp_multiple : 0;
        for (const std::int64_t n : {deck.batch.sequences, first, second}) {
          if (n <= 0 || deck.parallel.pipeline == 1) continue;
          const std::string problem = shape_problem(pipeline_shape(deck, n, data_ranks(deck)));
          if (!problem.empty()) return problem;
        }
        return std::string();
      });
  schedule.mended_by(remedies(deck, {"parallel.schedule", "batch.sequences", "batch.micro",
                                     "batch.ramp_from", "batch.ramp_multiple"}));
  Rule& stages = root.detailed_rule(
      {"parallel.pipeline", "parallel.schedule", "parallel.stages", "model.layers"},
      "every stage of the pipeline has layers", [&] { return stages_problem(deck); });
  std::vector<Remedy> mends = remedies(deck, {"parallel.stages", "parallel.schedule"});
  mends.front().text = [&deck] { return stages_by_cost(deck); };
  stages.mended_by(std::move(mends));
  root.rule({"parallel.pipeline", "samples.tokens"},
            "text is generated during training without a pipeline alone: samples.tokens is 0",
            [&] { return deck.parallel.pipeline == 1 || deck.samples.tokens == 0; });
}

}  // namespace

std::vector<StageLayers> stage_layers(const Deck& deck) {
  const PipelineShape shape = pipeline_shape(deck, 0, 1);
  const std::int64_t layers = deck.model.model.layers;
  if (shape.ranks == 1 && shape.stages() == 1) return {{0, layers}};
  if (deck.parallel.stages != "auto")
    return parse_stages(deck.parallel.stages, layers, shape.stages());
  return place_layers(forward_costs(deck.model, deck.batch.length), shape);
}

void declare_layout_rules(Section& root, const Deck& deck) {
  Rule& ranks = root.rule({"run.ranks", "parallel.data", "parallel.pipeline"},
                          "parallel.data x parallel.pipeline is the number of ranks", [&] {
                            const ParallelConfig& p = deck.parallel;
                            return p.data > 0 ? deck.run.ranks % p.pipeline == 0 &&
                                                    deck.run.ranks / p.pipeline == p.data
                                              : deck.run.ranks % p.pipeline == 0;
                          });
  ranks.mended_by(remedies(deck, {}));
  Rule& expert = root.detailed_rule(
      {"parallel.expert", "moe.experts", "run.ranks", "parallel.data", "parallel.pipeline"},
      "parallel.expert is a power of two that divides the data ranks and moe.experts", [&] {
        const std::int64_t data = data_ranks(deck);
        const std::int64_t share = deck.parallel.expert;
        const bool fits = deck.model.moe.experts == 0
                              ? share == 1
                              : is_power_of_two(share) && deck.model.moe.experts % share == 0;
        if (fits && data % share == 0) return std::string();
        return fmt::format("data ranks = {}", data);
      });
  expert.mended_by(remedies(deck, {"parallel.expert"}));
  Rule& nodes =
      root.detailed_rule({"parallel.nodes", "run.ranks", "parallel.data", "parallel.pipeline"},
                         "parallel.nodes divides the data ranks", [&] {
                           const std::int64_t data = data_ranks(deck);
                           if (deck.parallel.nodes == 0 || data % deck.parallel.nodes == 0)
                             return std::string();
                           return fmt::format("data ranks = {}", data);
                         });
  nodes.mended_by(remedies(deck, {"parallel.nodes"}));
  Rule& traffic = root.detailed_rule(
      {"parallel.traffic", "parallel.nodes", "parallel.expert", "run.ranks", "parallel.data",
       "parallel.pipeline"},
      "parallel.traffic two_hop needs an expert group that spans nodes of a power of "
      "two of ranks",
      [&] {
        const ParallelConfig& p = deck.parallel;
        // Without a number of nodes the machines decide, but a group of one rank is on one of any.
        if (p.traffic != "two_hop" || (p.nodes == 0 && p.expert > 1)) return std::string();
        const MeshShape shape{.data = data_ranks(deck), .expert = p.expert};
        return two_hop_problem(shape, p.nodes > 0 ? data_ranks(deck) / p.nodes : 0);
      });
  traffic.mended_by(remedies(deck, {"parallel.traffic", "parallel.nodes", "parallel.expert"}));
  root.rule({"batch.length", "attention.max_length"},
            "batch.length is at most attention.max_length",
            [&] { return deck.batch.length <= deck.model.attention.max_length; });
  root.rule({"mtp.depth", "batch.length"}, "mtp.depth is less than batch.length",
            [&] { return deck.model.mtp.depth < deck.batch.length; });
  root.rule({"run.length"}, "run.length is more than 0", [&] { return deck.length.value > 0; });
  declare_tokenizer_rules(root, deck.data, deck.model.model.vocabulary);
  declare_exact_rules(root, deck);
  declare_pipeline_rules(root, deck);
}

}  // namespace moray
