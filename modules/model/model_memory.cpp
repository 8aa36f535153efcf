// What a model takes from an arena: everything that `moray plan` counts of it.
#include <algorithm>

#include "core/error.hpp"
#include "model/model.hpp"

namespace moray {

template <class Real>
void Model<Real>::allocate(Arena& arena, const ModelUse& use, const Model* lender) {
  use_ = use;
  MORAY_REQUIRE(lender == nullptr || !use.training);
  if (lender != nullptr) {
    parameters_.share_weights(lender->parameters_);
  } else if (use.training) {
    parameters_.allocate(arena, use.lanes, use.expert_lanes);
  } else {
    parameters_.allocate_weights(arena);
  }
  for (std::size_t i = 0; i < moe_layers_.size(); ++i) {
    if (lender != nullptr) moe_layers_[i]->share_state(*lender->moe_layers_[i]);
    if (lender == nullptr) moe_layers_[i]->allocate_state(arena);
  }
  rotary_ = RotaryTable<Real>(arena, config_.attention, use.rows);
  allocate_embedding_uses(arena);
  if (use.statistics) statistics_.allocate(arena, parameters_.fp8_tensors().size());

  const auto overlaid = [&](auto make) {
    std::vector<decltype(make(std::size_t{0}))> all;
    const Arena::Mark begin = arena.mark();
    Arena::Mark end = begin;
    for (std::size_t chunk = 0; chunk < chunks_.size(); ++chunk) {
      arena.rewind(begin);
      all.push_back(make(chunk));
      arena.advance(end);
      end = arena.mark();
    }
    return all;
  };
  slots_.clear();
  deferred_.clear();
  for (int i = 0; i < use.slots; ++i) {
    slots_.push_back(overlaid([&](std::size_t chunk) { return make_slot(arena, chunks_[chunk]); }));
  }
  for (int i = 0; i <= use.deferred; ++i) {
    deferred_.push_back(
        overlaid([&](std::size_t chunk) { return make_deferred(arena, chunk, i > 0); }));
  }
  allocate_workspace(arena);
}

/// Gradients of the embedding's uses by MTP modules, and, on another rank than the embedding, its copy.
template <class Real>
void Model<Real>::allocate_embedding_uses(Arena& arena) {
  embedding_uses_.clear();
  embedding_copy_ = {};
  const auto has_head = [](const ModelChunk& c) { return c.head; };
  if (depth() == 0 || std::none_of(chunks_.begin(), chunks_.end(), has_head)) return;
  if (embedding_.offset < 0) {
    embedding_copy_ = arena.matrix<Real>(Memory::weights, embedding_.rows, embedding_.cols);
  }
  for (std::int64_t k = 1; use_.training && k <= depth(); ++k) {
    embedding_uses_.push_back(
        arena.matrix<Real>(Memory::gradients, use_.lanes, embedding_.rows * embedding_.cols));
  }
}

template <class Real>
typename Model<Real>::Slot Model<Real>::make_slot(Arena& arena, const ModelChunk& chunk) {
  const std::int64_t width = config_.model.width;
  const std::int64_t tokens = use_.sequences * use_.rows;
  const auto keep = [&](std::int64_t rows) {
    return arena.matrix<Real>(Memory::activations, rows, width);
  };
  Slot slot;
  for (std::int64_t layer = chunk.first; layer < chunk.first + chunk.layers; ++layer) {
    slot.layers.push_back(blocks_[static_cast<std::size_t>(layer)].make_slot(
        arena, keep(tokens), use_.sequences, use_.rows, use_.recompute));
  }
  for (std::int64_t k = 0; k <= depth(); ++k) {
    const bool read = k == 0 ? chunk.embedding : chunk.head;
    slot.inputs.push_back(
        arena.vector<std::int32_t>(Memory::activations, read ? use_.sequences * use_rows(k) : 0));
  }
  if (!chunk.head) return slot;
  slot.h_last = keep(tokens);
  slot.r_last = arena.vector<Real>(Memory::activations, tokens);
  slot.h_all = keep(use_.sequences * head_rows());
  slot.head = head_.make_slot(arena, use_.sequences * head_rows());
  slot.targets = arena.vector<std::int32_t>(Memory::activations, use_.sequences * head_rows());
  for (std::int64_t k = 1; k <= depth(); ++k) {
    slot.mtp.push_back(mtp_[static_cast<std::size_t>(k - 1)].make_slot(
        arena, use_.sequences, use_rows(k), use_.recompute));
  }
  return slot;
}

template <class Real>
typename Model<Real>::Deferred Model<Real>::make_deferred(Arena& arena, std::size_t chunk,
                                                          bool own) {
  const ModelChunk& part = chunks_[chunk];
  Slot& slot = slots_[0][chunk];
  Deferred deferred;
  for (std::int64_t i = 0; i < part.layers; ++i) {
    Block<Real>& block = blocks_[static_cast<std::size_t>(part.first + i)];
    if (!use_.training && !block.has_experts()) continue;  // the gate's workspace is there
    deferred.layers.push_back(block.make_deferred(arena, slot.layers[static_cast<std::size_t>(i)],
                                                  use_.sequences * use_.rows, own));
  }
  for (std::int64_t k = 1; part.head && k <= depth(); ++k) {
    const auto at = static_cast<std::size_t>(k - 1);
    deferred.mtp.push_back(
        mtp_[at].make_deferred(arena, slot.mtp[at], use_.sequences * use_rows(k), own));
  }
  return deferred;
}

template <class Real>
void Model<Real>::allocate_workspace(Arena& arena) {
  const std::int64_t width = config_.model.width;
  const std::int64_t tokens = use_.sequences * use_.rows;
  const std::int64_t head_tokens = use_.sequences * head_rows();
  row_logits_ = arena.vector<Real>(Memory::workspace, config_.model.vocabulary);
  head_uses_.clear();
  for (std::int64_t k = 0; k <= depth(); ++k)
    head_uses_.push_back({use_first(k), use_rows(k), Real(1)});
  if (use_.training) {
    dh_ = arena.shared_matrix<Real>("model.dh", tokens, width);
    dh_all_ = arena.shared_matrix<Real>("model.dh_all", head_tokens, width);
    dembedding_ = arena.shared_matrix<Real>("model.dembedding", tokens, width);
    dh_prev_ = arena.shared_matrix<Real>("model.dh_prev", tokens, width);
  }
  if (!arena.counting()) staging_.resize(static_cast<std::size_t>(head_tokens));
}

template void Model<float>::allocate(Arena&, const ModelUse&, const Model*);
template void Model<double>::allocate(Arena&, const ModelUse&, const Model*);

}  // namespace moray
