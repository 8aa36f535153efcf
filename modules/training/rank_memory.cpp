#include "training/rank_memory.hpp"

#include <algorithm>

#include "optimizer/lane_reducer.hpp"
#include "training/fp8_state.hpp"
#include "training/layout_rules.hpp"

namespace moray {
namespace {

/// The layers of one of a rank's chunks.
ModelChunk model_chunk(const RankLayout& layout, int stage) {
  const StageLayers& layers = layout.stages[static_cast<std::size_t>(stage)];
  return {layers.first, layers.count, stage == 0, stage == layout.pipeline.stages() - 1};
}

/// How the sequences of a chunk are dealt.
Deal chunk_deal(const Deck& deck, const MeshShape& shape, const MeshPlace& place,
                const StreamShare& share) {
  Deal deal{deck.parallel.lanes, deck.parallel.expert_lanes, share.ranks, share.rank, {}};
  const std::int64_t streams = share.ranks / shape.data;
  const std::int64_t direction = share.rank - streams * place.data;
  for (std::int64_t s = 0; shape.expert > 1 && s < shape.expert; ++s)
    deal.group.push_back(streams * group_member(shape, place, s) + direction);
  // Any number of ranks: one lane each.
  if (!shape.exact) {
    deal.lanes = deal.data_ranks;
    deal.expert_lanes = deal.replicas();
  }
  // Without experts their lanes hold nothing, and no rule ties them to the ranks.
  if (deck.model.moe.experts == 0) deal.expert_lanes = deal.data_ranks;
  return deal;
}

/// The chunk whose last weight gradient comes first.
int early_chunk(const PipelineSchedule& schedule, int rank) {
  if (schedule.shape.chunks() == 1) return -1;
  const std::vector<PipelineOp>& ops = schedule.ops[static_cast<std::size_t>(rank)];
  const auto last = std::find_if(ops.rbegin(), ops.rend(),
                                 [](const PipelineOp& op) { return op.has_weight_gradient(); });
  return 1 - last->backward.chunk;
}

}  // namespace

MeshShape mesh_shape(const Deck& deck, std::int64_t ranks) {
  return {.data = ranks / deck.parallel.pipeline,
          .expert = deck.parallel.expert,
          .nodes = deck.parallel.nodes,
          .exact = deck.run.determinism == "exact",
          .pipeline = deck.parallel.pipeline,
          .mirrored = pipeline_shape(deck, 0, 1).streams() == 2};
}

/// Of a batch ramp's steps the last one needs most: the programs of fewer micro-batches are parts of
/// those of more.
PipelineLayout pipeline_layout(const Deck& deck, std::int64_t data) {
  PipelineLayout layout;
  layout.stages = stage_layers(deck);
  layout.schedule = make_schedule(pipeline_shape(deck, deck.batch.sequences, data));
  std::vector<PipelineSchedule> schedules = {layout.schedule};
  if (deck.batch.ramp_from > 0)
    schedules.push_back(make_schedule(pipeline_shape(deck, deck.batch.ramp_from, data)));
  PipelineShape validation = layout.schedule.shape;
  validation.micro_batches = 2 * validation.stages();
  schedules.push_back(make_forward_schedule(validation));
  layout.needs = runtime_needs(schedules);
  return layout;
}

RankLayout rank_layout(const Deck& deck, const MeshShape& shape, const MeshPlace& place,
                       const PipelineLayout& common) {
  RankLayout layout;
  layout.pipeline = common.schedule.shape;
  layout.stages = common.stages;
  const int rank = static_cast<int>(place.pipeline);
  for (int chunk = 0; chunk < layout.pipeline.chunks(); ++chunk) {
    layout.chunks.push_back(model_chunk(layout, layout.pipeline.stage(rank, chunk)));
    layout.deals.push_back(chunk_deal(
        deck, shape, place,
        stream_share(layout.pipeline, place.data, shape.data, layout.pipeline.stream(chunk))));
  }
  layout.needs = common.needs[static_cast<std::size_t>(rank)];
  if (layout.deals[0].data_ranks > 1 && shape.exact)
    layout.early_chunk = early_chunk(common.schedule, rank);
  layout.use = {.sequences = micro_batch(deck, shape.data),
                .rows = deck.batch.length,
                .training = true,
                .recompute = deck.run.recompute,
                .lanes = layout.deals[0].local_lanes(),
                .expert_lanes = layout.deals[0].local_expert_lanes(),
                .slots = layout.needs.slots,
                .deferred = layout.needs.deferred,
                .statistics = deck.output.fp8_every.value > 0};
  layout.generates = deck.samples.tokens > 0;
  layout.saved_fp8 = deck.checkpoint.fp8_weights;
  const bool apart =
      deck.model.mtp.depth > 0 && layout.pipeline.ranks > 1 && layout.pipeline.chunks() == 1;
  layout.lends_embedding = apart && rank == 0;
  layout.borrows_embedding = apart && rank == layout.pipeline.ranks - 1;
  layout.share.shares = shape.expert;
  layout.share.share = place.share;
  layout.share.headroom = deck.parallel.headroom;
  if (shape.nodes > 0) layout.share.node_ranks = group_node_ranks(shape, shape.data / shape.nodes);
  layout.share.two_hops = deck.parallel.traffic != "flat" && layout.share.node_ranks > 0;
  return layout;
}

ModelShards rank_shards(const RankLayout& layout, const Model<float>& model) {
  ModelShards shards;
  for (int r = 0; r < kRegions; ++r) {
    const auto region = static_cast<Region>(r);
    const Deal& deal = layout.deal(region);
    const std::int64_t ranks = is_expert(region) ? deal.replicas() : deal.data_ranks;
    shards.regions[r] = Shards::of(model.parameters(), region, ranks, deal.rank % ranks);
  }
  return shards;
}

Shards embedding_shards(const RankLayout& layout, const ModelShards& shards,
                        const Model<float>& model) {
  const auto within = [](const ModelShards& all, const WeightRef& tensor) {
    return all[tensor.region].within(tensor.offset, tensor.offset + tensor.rows * tensor.cols);
  };
  if (!layout.borrows_embedding) return within(shards, model.embedding());
  RankLayout first = layout;
  first.chunks = {model_chunk(layout, 0)};
  const Model<float> lender(model.config(), layout.share, first.chunks);
  return within(rank_shards(first, lender), lender.embedding());
}

void split_weights(const RankLayout& layout, const ModelShards& shards, Model<float>& model) {
  Parameters<float>& parameters = model.parameters();
  if (layout.generates) return;
  Fp8Saving saving;
  saving.which = layout.saved_fp8;
  for (const Parameter& p : parameters.list())
    if (saving.needs_whole(parameters, p)) parameters.keep_whole(p.matrix);
  for (int r = 0; r < kRegions; ++r) {
    const auto region = static_cast<Region>(r);
    if (shards[region].ranks() > 1) parameters.split(region, shards[region].owned());
  }
}

std::vector<GatheredShards> gathered_shards(const Parameters<float>& parameters, Region region,
                                            const Shards& shards) {
  std::vector<GatheredShards> result;
  for (int what = 0; what < kGathered; ++what) {
    const auto gathered = static_cast<Gathered>(what);
    const Shards bytes = shards.mapped(
        [&](std::int64_t border) { return parameters.gathered_place(region, gathered, border); });
    if (bytes.all().size() > 0) result.push_back({region, gathered, bytes});
  }
  return result;
}

bool saves_gate(const RankLayout& layout, const Model<float>& model, std::size_t moe_layer) {
  const auto dense = model.config().model.layers - model.trunk_moe_layers();
  const auto layer = static_cast<std::int64_t>(moe_layer);
  for (std::size_t c = 0; c < layout.chunks.size(); ++c) {
    const ModelChunk& chunk = layout.chunks[c];
    const bool has = layer < model.trunk_moe_layers() ? chunk.has(dense + layer) : chunk.head;
    if (has) return layout.deals[c].rank == 0;
  }
  return false;
}

GradientBuffers allocate_rank(Arena& arena, const RankLayout& layout, const ModelShards& shards,
                              Model<float>& model, Optimizer& optimizer, PipelineRuntime* runtime) {
  split_weights(layout, shards, model);
  model.allocate(arena, layout.use);
  optimizer.allocate(arena, model.parameters(), shards);
  if (runtime != nullptr) {
    runtime->allocate(arena, layout.needs);
  } else {
    PipelineRuntime::count(arena, layout.needs, model);
  }
  std::int64_t size = 0;
  for (const Shards& region : shards.regions)
    size = std::max(size, LaneReducer::buffer_size(region));
  // A sum of an embedding's use comes from the last stage, too.
  if (layout.lends_embedding)
    size = std::max(size, embedding_shards(layout, shards, model).owned().size());
  GradientBuffers buffers;
  buffers.shared = arena.vector<float>(Memory::communication, size);
  for (int r = 2 * layout.early_chunk; layout.early_chunk >= 0 && r < 2 * layout.early_chunk + 2;
       ++r) {
    buffers.early[r % 2] =
        arena.vector<float>(Memory::communication, LaneReducer::buffer_size(shards.regions[r]));
  }
  return buffers;
}

}  // namespace moray
