#pragma once

#include "config/section.hpp"
#include "pipeline/stages.hpp"
#include "training/training_config.hpp"

namespace moray {

/// The rules that hold between sections: sizes of batch, ranks and lanes (docs/numerics.md, section
/// 3: "The batch" and "Experts of a token"), lengths, kernels.
void declare_layout_rules(Section& root, const Deck& deck);

/// The data ranks R of a deck: parallel.data, or run.ranks / parallel.pipeline.
std::int64_t data_ranks(const Deck& deck);
/// R: copies of the dense tensors of a stage. Under DualPipe each direction has one.
std::int64_t copies(const Deck& deck);
/// The schedule's kind, size and number of micro-batches for a step of `sequences`, which may be 0, on
/// `data` data ranks.
PipelineShape pipeline_shape(const Deck& deck, std::int64_t sequences, std::int64_t data);
/// The layers of each of its stages. Throws Error(usage) when there is no such placement.
std::vector<StageLayers> stage_layers(const Deck& deck);
/// b: the deck's, or one sequence in a pipeline, else all sequences that a rank has in every step.
std::int64_t micro_batch(const Deck& deck, std::int64_t data);

}  // namespace moray
