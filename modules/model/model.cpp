#include "model/model.hpp"

#include "core/error.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/embedding/embedding.hpp"
#include "kernels/random/random.hpp"

namespace moray {
namespace {

/// Tells the probe, if there is one, where the stages that follow are.
template <class Real>
void enter(const Pass<Real>& pass, const char* place, std::int64_t index,
           const BatchLayout& batch) {
  if (pass.probe != nullptr) pass.probe->enter(place, index, batch);
}

}  // namespace

template <class Real>
Model<Real>::Model(const ModelConfig& config, const ExpertShare& share)
    : config_(config), share_(share) {
  const ModelSizes& sizes = config.model;
  embedding_ = parameters_.declare(Region::dense, sizes.width,
                                   {{"model.embed_tokens.weight", sizes.vocabulary}});
  blocks_.reserve(static_cast<std::size_t>(sizes.layers));
  for (std::int64_t layer = 0; layer < sizes.layers; ++layer) {
    const bool dense = layer < sizes.dense_layers || config.moe.experts == 0;
    blocks_.emplace_back(parameters_, fmt::format("model.layers.{}.", layer), config_, dense,
                         share_);
    if (!dense) moe_layers_.push_back(&blocks_.back().moe());
  }
  trunk_moe_layers_ = static_cast<std::int64_t>(moe_layers_.size());
  norm_ = Norm<Real>(parameters_, "model.norm.weight", sizes.width, sizes.norm_eps);
  head_ = Head<Real>(parameters_, sizes.width, sizes.vocabulary, sizes.head_chunk);
  mtp_.reserve(static_cast<std::size_t>(depth()));
  for (std::int64_t k = 0; k < depth(); ++k) {
    mtp_.emplace_back(parameters_, fmt::format("model.layers.{}.", sizes.layers + k), config_,
                      share_);
    if (mtp_.back().block().has_experts()) moe_layers_.push_back(&mtp_.back().block().moe());
  }
}

template <class Real>
std::int64_t Model<Real>::use_first(std::int64_t use) const {
  return use * use_.rows - use * (use - 1) / 2;
}

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
  const std::int64_t width = config_.model.width;
  const std::int64_t tokens = use.sequences * use.rows;
  const std::int64_t head_tokens = use.sequences * head_rows();
  const auto keep = [&](std::int64_t rows) {
    return arena.matrix<Real>(Memory::activations, rows, width);
  };

  slots_.clear();
  deferred_.clear();
  for (Block<Real>& block : blocks_) {
    slots_.push_back(block.make_slot(arena, keep(tokens), use.sequences, use.rows, use.recompute));
    if (use.training || block.has_experts())
      deferred_.push_back(block.make_deferred(arena, slots_.back(), tokens));
  }
  h_last_ = keep(tokens);
  r_last_ = arena.vector<Real>(Memory::activations, tokens);
  h_all_ = keep(head_tokens);
  head_slot_ = head_.make_slot(arena, head_tokens);
  row_logits_ = arena.vector<Real>(Memory::workspace, config_.model.vocabulary);
  inputs_.clear();
  mtp_slots_.clear();
  mtp_deferred_.clear();
  embedding_uses_.clear();
  head_uses_.clear();
  for (std::int64_t k = 0; k <= depth(); ++k) {
    inputs_.push_back(arena.vector<std::int32_t>(Memory::activations, use.sequences * use_rows(k)));
    head_uses_.push_back({use_first(k), use_rows(k), Real(1)});
  }
  targets_ = arena.vector<std::int32_t>(Memory::activations, head_tokens);
  for (std::int64_t k = 1; k <= depth(); ++k) {
    MtpModule<Real>& module = mtp_[static_cast<std::size_t>(k - 1)];
    mtp_slots_.push_back(module.make_slot(arena, use.sequences, use_rows(k), use.recompute));
    mtp_deferred_.push_back(
        module.make_deferred(arena, mtp_slots_.back(), use.sequences * use_rows(k)));
    if (use.training) {
      embedding_uses_.push_back(
          arena.matrix<Real>(Memory::gradients, use.lanes, embedding_.rows * embedding_.cols));
    }
  }
  if (use.training) {
    dh_ = arena.shared_matrix<Real>("model.dh", tokens, width);
    dh_all_ = arena.shared_matrix<Real>("model.dh_all", head_tokens, width);
    dembedding_ = arena.shared_matrix<Real>("model.dembedding", tokens, width);
    dh_prev_ = arena.shared_matrix<Real>("model.dh_prev", tokens, width);
  }
  if (!arena.counting()) staging_.resize(static_cast<std::size_t>(head_tokens));
}

template <class Real>
void Model<Real>::initialize(const ExecSpace& exec, std::uint64_t seed) {
  std::vector<float> host;
  for (const Parameter& parameter : parameters_.list()) {
    if (!parameter.held) continue;
    const Vector<Real> values = parameters_.values(parameter);
    if constexpr (std::is_same_v<Real, float>) {
      if (!parameter.is_vector) {
        fill_normal(exec, random_key(parameter.name, seed), 0, config_.model.init_std, values);
        continue;
      }
    }
    const std::vector<Real> ones(static_cast<std::size_t>(values.size), Real(1));
    copy_to_device(ones.data(), ones.size(), values.data);
  }
  for (Moe<Real>* moe : moe_layers_) {
    if (moe->bias().size > 0) zero<Real>(exec, matrix(moe->bias().data, 1, moe->bias().size));
  }
  fill_rotary_table();
  fence(exec, "moray::model: weights initialised");
}

template <class Real>
typename Model<Real>::Frame Model<Real>::frame(Pass<Real>& pass, const BatchLayout& batch,
                                               std::int64_t use, const Options& options) const {
  return {pass,           RowLayout{&batch, use_rows(use)}, use_.rows, rotary_, use_.recompute,
          options.routing};
}

/// Inputs of use k are tokens k .. S - 1, their targets the tokens one further.
template <class Real>
void Model<Real>::upload(const BatchLayout& batch, std::span<const std::int32_t> tokens) {
  MORAY_REQUIRE(batch.sequences() == use_.sequences &&
                static_cast<std::int64_t>(tokens.size()) == use_.sequences * (use_.rows + 1));
  const auto token = [&](std::int64_t sequence, std::int64_t i) {
    return tokens[static_cast<std::size_t>(sequence * (use_.rows + 1) + i)];
  };
  for (std::int64_t k = 0; k <= depth(); ++k) {
    std::size_t next = 0;
    for (std::int64_t sequence = 0; sequence < use_.sequences; ++sequence) {
      for (std::int64_t i = 0; i < use_rows(k); ++i) staging_[next++] = token(sequence, i + k);
    }
    copy_to_device(staging_.data(), next, inputs_[static_cast<std::size_t>(k)].data);
  }
  std::size_t next = 0;
  for (std::int64_t sequence = 0; sequence < use_.sequences; ++sequence) {
    for (std::int64_t k = 0; k <= depth(); ++k) {
      for (std::int64_t i = 0; i < use_rows(k); ++i) staging_[next++] = token(sequence, i + k + 1);
    }
  }
  copy_to_device(staging_.data(), next, targets_.data);
}

template <class Real>
void Model<Real>::to_uses(Pass<Real>& pass, std::int64_t use, std::int64_t rows,
                          Matrix<const Real> dense, Matrix<Real> all) const {
  for (std::int64_t s = 0; s < use_.sequences; ++s) {
    copy<Real>(pass.exec, dense.row_range(s * rows, rows),
               all.row_range(s * head_rows() + use_first(use), rows));
  }
}

template <class Real>
void Model<Real>::from_uses(Pass<Real>& pass, std::int64_t use, std::int64_t rows,
                            Matrix<const Real> all, Matrix<Real> dense) const {
  for (std::int64_t s = 0; s < use_.sequences; ++s) {
    copy<Real>(pass.exec, all.row_range(s * head_rows() + use_first(use), rows),
               dense.row_range(s * rows, rows));
  }
}

template <class Real>
void Model<Real>::add_to_uses(Pass<Real>& pass, std::int64_t use, std::int64_t rows,
                              Matrix<const Real> dense, Matrix<Real> all) const {
  for (std::int64_t s = 0; s < use_.sequences; ++s) {
    const Matrix<Real> to = all.row_range(s * head_rows() + use_first(use), rows);
    add<Real>(pass.exec, to, dense.row_range(s * rows, rows), to);
  }
}

template <class Real>
void Model<Real>::forward(Pass<Real>& pass, const BatchLayout& batch,
                          std::span<const std::int32_t> tokens, const Options& options) {
  pass.parameters = &parameters_;
  upload(batch, tokens);
  const Matrix<const Real> table = parameters_.weight(embedding_);
  embedding_forward<Real>(pass.exec, table, inputs_[0], slots_.empty() ? h_last_ : slots_[0].h_in);
  for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
    enter(pass, "layer", static_cast<std::int64_t>(layer), batch);
    const Matrix<Real> out = layer + 1 < blocks_.size() ? slots_[layer + 1].h_in : h_last_;
    blocks_[layer].forward(frame(pass, batch, 0, options), slots_[layer], out);
  }
  if (depth() == 0) {
    norm_.forward(pass, h_last_, h_all_, r_last_);
  } else {
    for (std::int64_t s = 0; s < use_.sequences; ++s) {
      norm_.forward(pass, h_last_.row_range(s * use_.rows, use_.rows),
                    h_all_.row_range(s * head_rows(), use_.rows),
                    r_last_.slice(s * use_.rows, use_.rows));
    }
  }
  for (std::int64_t k = 1; k <= depth(); ++k) {
    auto& slot = mtp_slots_[static_cast<std::size_t>(k - 1)];
    embedding_forward<Real>(pass.exec, table, inputs_[static_cast<std::size_t>(k)], slot.embedding);
    from_uses(pass, k - 1, use_rows(k), h_all_, slot.h_prev);
    enter(pass, "layer", config_.model.layers + k - 1, batch);
    mtp_[static_cast<std::size_t>(k - 1)].forward(frame(pass, batch, k, options), slot);
    to_uses(pass, k, use_rows(k), slot.h, h_all_);
  }
  head_.forward(pass, h_all_, targets_, head_slot_);
  enter(pass, "head", -1, batch);
  observe(pass, "h", h_all_);
  observe(pass, "loss", matrix(head_slot_.loss.data, head_slot_.loss.size, 1));
}

template <class Real>
void Model<Real>::decode(Pass<Real>& pass, const BatchLayout& batch,
                         std::span<const std::int32_t> tokens, std::int64_t position,
                         const RotaryTable<Real>& table, std::span<const LatentCache<Real>> caches,
                         bool head) {
  MORAY_REQUIRE(depth() == 0 && caches.size() == blocks_.size() &&
                static_cast<std::int64_t>(tokens.size()) == use_.sequences * use_.rows);
  pass.parameters = &parameters_;
  copy_to_device(tokens.data(), tokens.size(), inputs_[0].data);
  const Frame f{
      pass, RowLayout{&batch, use_.rows}, use_.rows, table, use_.recompute, Routing::evaluate};
  embedding_forward<Real>(pass.exec, parameters_.weight(embedding_), inputs_[0], slots_[0].h_in);
  for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
    Block<Real>& block = blocks_[layer];
    block.attention_decode(f, slots_[layer], caches[layer], position);
    block.dispatch_forward(f, slots_[layer]);
    block.experts_forward(f, slots_[layer]);
    block.combine_forward(f, slots_[layer],
                          layer + 1 < blocks_.size() ? slots_[layer + 1].h_in : h_last_);
  }
  if (!head) return;
  norm_.forward(pass, h_last_, h_all_, r_last_);
  MORAY_REQUIRE(use_.rows == 1 && head_slot_.logits.rows == use_.sequences);
  head_.linear().forward(pass, h_all_, head_slot_.logits);
}

template <class Real>
void Model<Real>::backward_embedding(Pass<Real>& pass, const BatchLayout& batch, std::int64_t use,
                                     Matrix<const Real> dy) {
  const std::int64_t rows = use_rows(use);
  for (const LaneSegment& segment : batch.segments()) {
    const std::int64_t first = segment.first * rows;
    const std::int64_t count = segment.sequences * rows;
    const Matrix<Real> gradient =
        use == 0 ? parameters_.gradient(embedding_, segment.lane)
                 : matrix(embedding_uses_[static_cast<std::size_t>(use - 1)].row(segment.lane),
                          embedding_.rows, embedding_.cols);
    const Vector<std::int32_t> tokens = inputs_[static_cast<std::size_t>(use)];
    embedding_backward<Real>(pass.exec, dy.row_range(first, count), tokens.slice(first, count),
                             gradient);
  }
}

template <class Real>
void Model<Real>::backward_mtp(Pass<Real>& pass, const BatchLayout& batch, const Options& options) {
  for (std::int64_t k = depth(); k >= 1; --k) {
    const auto at = static_cast<std::size_t>(k - 1);
    const std::int64_t tokens = use_.sequences * use_rows(k);
    const Matrix<Real> dh = dh_.row_range(0, tokens);
    const Matrix<Real> dembedding = dembedding_.row_range(0, tokens);
    const Matrix<Real> dh_prev = dh_prev_.row_range(0, tokens);
    from_uses(pass, k, use_rows(k), dh_all_, dh);
    enter(pass, "layer", config_.model.layers + k - 1, batch);
    const Frame f = frame(pass, batch, k, options);
    mtp_[at].backward_input(f, mtp_slots_[at], mtp_deferred_[at], dh, dembedding, dh_prev);
    mtp_[at].backward_weight(f, mtp_slots_[at], mtp_deferred_[at]);
    backward_embedding(pass, batch, k, dembedding);
    add_to_uses(pass, k - 1, use_rows(k), dh_prev, dh_all_);  // head first, then MTP
  }
}

template <class Real>
void Model<Real>::backward(Pass<Real>& pass, const BatchLayout& batch, const Options& options) {
  pass.parameters = &parameters_;
  for (std::size_t k = 1; k < head_uses_.size(); ++k) head_uses_[k].lambda = options.mtp_lambda;
  const RowLayout head_layout{&batch, head_rows()};
  enter(pass, "head", -1, batch);
  head_.backward_input(pass, head_layout, head_uses_, h_all_, targets_, head_slot_, dh_all_);
  observe(pass, "dh", dh_all_);
  head_.backward_weight(pass, head_layout, h_all_, head_slot_);
  backward_mtp(pass, batch, options);
  enter(pass, "end", -1, batch);
  observe(pass, "dh", dh_all_);
  from_uses(pass, 0, use_.rows, dh_all_, dh_);
  const Frame f = frame(pass, batch, 0, options);
  norm_.backward(pass, f.rows, dh_, h_last_, r_last_, dh_);
  observe(pass, "norm.dx", dh_);
  for (std::size_t layer = blocks_.size(); layer-- > 0;) {
    enter(pass, "layer", static_cast<std::int64_t>(layer), batch);
    blocks_[layer].backward_input(f, slots_[layer], deferred_[layer], dh_);
    blocks_[layer].backward_weight(f, slots_[layer], deferred_[layer]);
  }
  backward_embedding(pass, batch, 0, dh_);
}

template <class Real>
void Model<Real>::clear_gradients(const ExecSpace& exec) {
  for (int r = 0; r < kRegions; ++r)
    zero<Real>(exec, parameters_.gradients(static_cast<Region>(r)));
  for (const Matrix<Real>& uses : embedding_uses_) zero<Real>(exec, uses);
}

template <class Real>
void Model<Real>::row_logits(Pass<Real>& pass, std::int64_t sequence, std::int64_t position,
                             std::span<Real> out) const {
  const Matrix<const Real> h = h_all_.row_range(sequence * head_rows() + position, 1);
  head_.linear().forward(pass, h, matrix(row_logits_.data, 1, row_logits_.size));
  fence(pass.exec, "moray::model: logits to the host");
  copy_to_host<Real>(row_logits_.data, out.size(), out.data());
}

template <class Real>
Vector<const Real> Model<Real>::losses(std::int64_t sequence, std::int64_t use) const {
  return head_slot_.loss.slice(sequence * head_rows() + use_first(use), use_rows(use));
}

template <class Real>
Vector<const Real> Model<Real>::balance_losses(std::int64_t moe_layer) const {
  std::int64_t seen = 0;
  for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
    if (blocks_[layer].has_experts() && seen++ == moe_layer) return slots_[layer].moe.balance;
  }
  return mtp_slots_[static_cast<std::size_t>(moe_layer - seen)].block.moe.balance;
}

template class Model<float>;
template class Model<double>;

}  // namespace moray
