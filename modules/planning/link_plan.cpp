#include "planning/link_plan.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "training/layout_rules.hpp"

namespace moray {
namespace {

constexpr auto kFloat = static_cast<std::int64_t>(sizeof(float));

SentBytes rounded(const TokenBytes& bytes) {
  return {std::llround(bytes.inside), std::llround(bytes.across)};
}

}  // namespace

LinkPlanner::LinkPlanner(const Deck& deck)
    : deck_(deck),
      shape_(mesh_shape(deck, data_ranks(deck) * deck.parallel.pipeline)),
      common_(pipeline_layout(deck, shape_.data)) {
  for (std::int64_t p = 0; p < shape_.pipeline; ++p) {
    const RankLayout layout = this->layout(mesh_place(shape_, p * shape_.data));
    Model<float> model(deck.model, layout.share, layout.chunks);
    split_weights(layout, rank_shards(layout, model), model);
    Held& held = held_.emplace_back();
    held.embedding = model.embedding();
    for (int r = 0; r < kRegions; ++r) {
      const auto region = static_cast<Region>(r);
      Borders& borders = held.borders[static_cast<std::size_t>(r)];
      borders.elements = Shards::borders(model.parameters(), region);
      for (const std::int64_t border : borders.elements) {
        std::int64_t bytes = 0;
        for (int what = 0; what < kGathered; ++what)
          bytes += model.parameters().gathered_place(region, static_cast<Gathered>(what), border);
        borders.gathered.push_back(bytes);
      }
    }
    if (p == 0 && !layout.share.whole() && deck.model.moe.experts > 0)
      even_ = even_flows(layout.share, deck.model.moe);
  }
}

RankLayout LinkPlanner::layout(const MeshPlace& place) const {
  return rank_layout(deck_, shape_, place, common_);
}

/// One message or half: from a rank to that of pipeline place `pipeline` with j = `data`.
void LinkPlanner::add(const MeshPlace& from, std::int64_t pipeline, std::int64_t data,
                      std::int64_t bytes, SentBytes& to) const {
  const std::int64_t ranks = shape_.nodes > 0 ? shape_.data / shape_.nodes : shape_.ranks();
  const std::int64_t here = mesh_index(shape_, from.pipeline, from.data) / ranks;
  (mesh_index(shape_, pipeline, data) / ranks == here ? to.inside : to.across) += bytes;
}

void LinkPlanner::add_messages(const MeshPlace& place, LinkBytes& bytes) const {
  const PipelineSchedule& schedule = common_.schedule;
  const int rank = static_cast<int>(place.pipeline);
  const std::int64_t message =
      kFloat * micro_batch(deck_, shape_.data) * deck_.batch.length * deck_.model.model.width;
  for (const PipelineOp& op : schedule.ops[static_cast<std::size_t>(rank)]) {
    for (const Transfer& t : sends(schedule.shape, rank, op)) {
      if (t.peer == rank) continue;
      add(place, t.peer, place.data, message,
          bytes[t.payload == Payload::activation ? LinkKind::activations : LinkKind::gradients]);
    }
  }
}

Shards LinkPlanner::shards(const Held& held, const RankLayout& layout, Region region) const {
  const Deal& deal = layout.deal(region);
  const std::int64_t ranks = is_expert(region) ? deal.replicas() : deal.data_ranks;
  return {held.borders[static_cast<std::size_t>(region)].elements, ranks, deal.rank % ranks};
}

/// With whom a level of a halving is. Ranks with a tensor are counted by J, those with the experts of a share by
/// J mod (R / expert). Under DualPipe J = 2 j + direction: the copy of chunk c of place p that is of
/// direction c is on the same place, the other one on the mirrored place.
MeshPlace LinkPlanner::partner(const MeshPlace& place, const Halving& halving,
                               std::size_t level) const {
  std::int64_t other = halving.shards.rank() ^ halving.shards.distance(level);
  MeshPlace result = place;
  if (shape_.mirrored) {
    if (other % 2 != halving.chunk) result.pipeline = shape_.pipeline - 1 - place.pipeline;
    other /= 2;
  }
  result.data = other;
  if (halving.experts) {
    result.replica = other;
    result.data = group_member(shape_, result, place.share);
  }
  return result;
}

void LinkPlanner::add_region(const MeshPlace& place, const RankLayout& layout, Region region,
                             LinkBytes& bytes) const {
  const Held& held = held_[static_cast<std::size_t>(place.pipeline)];
  const Halving halving{shards(held, layout, region), chunk_of(region), is_expert(region)};
  const std::vector<ElementRange>& path = halving.shards.path();
  if (!halving.shards.pieces().empty()) return;
  const Shards gathered = halving.shards.mapped([&](std::int64_t border) {
    const Borders& borders = held.borders[static_cast<std::size_t>(region)];
    const auto at = std::lower_bound(borders.elements.begin(), borders.elements.end(), border);
    return borders.gathered[static_cast<std::size_t>(at - borders.elements.begin())];
  });
  for (std::size_t level = 0; level + 1 < path.size(); ++level) {
    const MeshPlace to = partner(place, halving, level);
    const bool directions = shape_.mirrored && halving.shards.distance(level) == 1;
    const std::int64_t kept = path[level + 1].size();
    add(place, to.pipeline, to.data, kFloat * (path[level].size() - kept),
        bytes[directions        ? LinkKind::direction_sums
              : halving.experts ? LinkKind::expert_sums
                                : LinkKind::dense_sums]);
    add(place, to.pipeline, to.data, gathered.path()[level + 1].size(),
        bytes[directions        ? LinkKind::direction_weights
              : halving.experts ? LinkKind::expert_weights
                                : LinkKind::dense_weights]);
  }
}

/// The sums of its uses by MTP modules and, where these are on other ranks than it, messages with those and
/// their copies' gather.
void LinkPlanner::add_embedding(const MeshPlace& place, const RankLayout& layout,
                                LinkBytes& bytes) const {
  const std::int64_t depth = deck_.model.mtp.depth;
  const bool head = std::any_of(layout.chunks.begin(), layout.chunks.end(),
                                [](const ModelChunk& c) { return c.head; });
  if (depth == 0 || (!head && !layout.lends_embedding)) return;
  const Held& held = held_[static_cast<std::size_t>(layout.borrows_embedding ? 0 : place.pipeline)];
  const WeightRef& e = held.embedding;
  const Halving halving{shards(held, layout, e.region).within(e.offset, e.offset + e.rows * e.cols),
                        chunk_of(e.region), false};
  SentBytes& sent = bytes[LinkKind::embedding];
  const std::int64_t owned = kFloat * halving.shards.owned().size();
  if (layout.lends_embedding) {
    add(place, shape_.pipeline - 1, place.data, owned, sent);
    return;
  }
  if (layout.borrows_embedding) add(place, 0, place.data, depth * owned, sent);
  const std::vector<ElementRange>& path = halving.shards.path();
  if (!halving.shards.pieces().empty()) return;
  for (std::size_t level = 0; level + 1 < path.size(); ++level) {
    const MeshPlace to = partner(place, halving, level);
    const std::int64_t kept = path[level + 1].size();
    add(place, to.pipeline, to.data, kFloat * depth * (path[level].size() - kept), sent);
    if (layout.borrows_embedding) add(place, to.pipeline, to.data, kFloat * kept, sent);
  }
}

LinkBytes LinkPlanner::links(const MeshPlace& place) const {
  const RankLayout layout = this->layout(place);
  LinkBytes bytes;
  add_messages(place, bytes);
  for (int r = 0; r < 2 * layout.pipeline.chunks(); ++r)
    add_region(place, layout, static_cast<Region>(r), bytes);
  add_embedding(place, layout, bytes);
  return bytes;
}

LinkPlanner::Exchanges LinkPlanner::exchanges(const RankLayout& layout) const {
  const ModelConfig& model = deck_.model;
  Exchanges result;
  if (model.moe.experts == 0 || layout.share.whole()) return result;
  for (const ModelChunk& chunk : layout.chunks) {
    const std::int64_t trunk =
        chunk.first + chunk.layers -
        std::clamp(model.model.dense_layers, chunk.first, chunk.first + chunk.layers);
    result.count += trunk;
    result.tokens += trunk * layout.use.rows;
    for (std::int64_t k = 1; chunk.head && k <= model.mtp.depth; ++k) {
      ++result.count;
      result.tokens += layout.use.rows - k;
    }
  }
  result.count *= layout.pipeline.stream_micro_batches();
  result.tokens *= layout.pipeline.stream_micro_batches() * layout.use.sequences;
  return result;
}

SentBytes LinkPlanner::tokens(const MeshPlace& place, const TokenFlow& flow) const {
  const RankLayout layout = this->layout(place);
  return rounded(
      token_bytes(layout.share, deck_.model, layout.use.sequences, exchanges(layout).count, flow));
}

TokenFlow LinkPlanner::even_flow(const MeshPlace& place) const {
  if (even_.empty()) return {};
  TokenFlow flow = even_[static_cast<std::size_t>(place.share)];
  const auto tokens = static_cast<double>(exchanges(layout(place)).tokens);
  flow.inside_out *= tokens;
  flow.inside_in *= tokens;
  flow.across_out *= tokens;
  flow.across_in *= tokens;
  return flow;
}

namespace {

void add_to(LinkPlan::Row& row, const SentBytes& bytes, std::int64_t ranks) {
  const auto add = [&](LinkPlan::Spread& spread, std::int64_t value) {
    spread.mean += static_cast<double>(value) / static_cast<double>(ranks);
    spread.most = std::max(spread.most, value);
  };
  add(row.inside, bytes.inside);
  add(row.across, bytes.across);
}

}  // namespace

LinkPlan plan_links(const Deck& deck) {
  const LinkPlanner planner(deck);
  const MeshShape& shape = planner.shape();
  LinkPlan plan;
  plan.node_ranks = shape.nodes > 0 ? shape.data / shape.nodes : 0;
  plan.sums_unknown = !std::has_single_bit(static_cast<std::uint64_t>(shape.data));
  plan.places.resize(static_cast<std::size_t>(shape.pipeline));
  for (std::int64_t index = 0; index < shape.ranks(); ++index) {
    const MeshPlace place = mesh_place(shape, index);
    LinkBytes bytes = planner.links(place);
    bytes[LinkKind::tokens] = planner.tokens(place, planner.even_flow(place));
    for (std::size_t kind = 0; kind < bytes.kinds.size(); ++kind)
      add_to(plan.kinds[kind], bytes.kinds[kind], shape.ranks());
    add_to(plan.total, bytes.total(), shape.ranks());
    add_to(plan.places[static_cast<std::size_t>(place.pipeline)], bytes.total(), shape.data);
  }
  return plan;
}

}  // namespace moray
