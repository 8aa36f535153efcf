#pragma once

#include <array>
#include <string>
#include <vector>

#include "core/arena.hpp"
#include "model/model.hpp"
#include "planning/link_plan.hpp"
#include "planning/parameter_plan.hpp"
#include "training/training_config.hpp"

namespace moray {

/// Floating-point operations of a token: two for each active parameter and, in attention, two for
/// each element of the causal half of the scores and their values. Backward is twice the forward.
/// MTP and recomputation are not counted, so that MFU compares with published numbers
/// (DeepSeek-V3: 250 GFLOP a token, 38.9 % of 989.5 TFLOPS; arXiv 2505.09343, table 4).
struct FlopPlan {
  double attention = 0;  ///< scores and values, of the forward; positions of a sequence / 2 each
  double forward = 0;
  double training() const { return 3 * forward; }
};

/// Tokens on their way to experts of other ranks, of one micro-batch and layer, when experts are even
/// (even_flows()).
struct TrafficPlan {
  std::int64_t shares = 1;      ///< ranks of an expert group
  std::int64_t node_ranks = 0;  ///< of a node, where a group spans nodes
  bool two_hops = false;
  double across = 0;           ///< copies of a token to other nodes
  double inside = 0;           ///< copies of a token to other ranks of a node
  std::int64_t row_bytes = 0;  ///< of a copy: its row, and for each choice expert and weight
  std::int64_t mean_rows = 0, planned_rows = 0, most_rows = 0;  ///< that a rank's experts receive
};

/// The memory of one rank.
struct RankMemory {
  std::array<std::int64_t, kMemoryNames.size()> bytes = {};  ///< of the arena, by category
  std::int64_t owned_elements = 0;                           ///< of the weights
  /// The optimizer's part if the rank had that of all that it holds (no ZeRO).
  std::int64_t optimizer_unsplit = 0;
  std::int64_t total_bytes() const;
};
/// What a training run takes from the arena of the rank with this layout.
RankMemory plan_rank_memory(const Deck& deck, const RankLayout& layout);

/// What a deck will need, before anything is allocated: the code that allocates, with an arena that
/// counts. Starts neither MPI nor Kokkos and takes seconds for 671 billion parameters.
struct Plan {
  ParameterPlan parameters;
  FlopPlan flops;
  std::int64_t cache_elements = 0;  ///< of a token in the latent cache: layers (c + rope)

  /// The first data rank of a pipeline place.
  struct Place {
    std::vector<ModelChunk> chunks;  ///< what this one has
    int slots = 1;                   ///< micro-batches whose activations it keeps
    int put_off = 0;                 ///< micro-batches whose weight gradients it puts off
    RankMemory memory;
    std::int64_t bytes() const { return memory.total_bytes(); }
  };
  std::vector<Place> places;
  std::string stages;       ///< layers of each stage
  std::size_t largest = 0;  ///< the place with the most memory

  // The first data rank of that place; the others write no samples.
  std::int64_t data_ranks = 1;
  std::int64_t micro = 1;          ///< sequences of a micro-batch
  std::int64_t micro_batches = 1;  ///< of a step, at the full batch
  std::int64_t lanes = 1;          ///< gradient lanes of dense tensors
  std::int64_t expert_lanes = 1;
  std::array<std::int64_t, kMemoryNames.size()> bytes = {};  ///< of the arena, by category
  /// The optimizer's part if every rank had that of all that it holds (no ZeRO), and the elements that
  /// it owns.
  std::int64_t optimizer_unsplit = 0, owned_elements = 0;
  /// The same bytes if every product computed in float32; those of a float32 deck are its own.
  std::array<std::int64_t, kMemoryNames.size()> float32_bytes = {};
  std::int64_t product_bytes = 0;  ///< packed operands, outside the arena; grows with the threads
  std::int64_t total_bytes() const;
  TrafficPlan traffic;
  LinkPlan links;  ///< of a step at the full batch

  std::int64_t steps = 0;            ///< of the run
  std::int64_t tokens_per_step = 0;  ///< at the full batch
  double run_tokens = 0;
  double run_flops() const { return run_tokens * flops.training(); }
};

/// Plans a deck for its own number of data ranks. Throws Error(usage) when a buffer does not fit
/// 64-bit sizes.
Plan make_plan(const Deck& deck);

}  // namespace moray
