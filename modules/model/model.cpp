#include "model/model.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/embedding/embedding.hpp"
#include "kernels/random/random.hpp"
#include "model/chunk_pass.hpp"

namespace moray {
template <class Real>
Model<Real>::Model(const ModelConfig& config, const ExpertShare& share,
                   std::vector<ModelChunk> chunks)
    : config_(config), share_(share), chunks_(std::move(chunks)) {
  const ModelSizes& sizes = config.model;
  parameters_.set_precision(config.precision);
  if (chunks_.empty()) chunks_ = {{0, sizes.layers, true, true}};
  const auto in_chunk = [&](auto has) {
    const auto found = std::find_if(chunks_.begin(), chunks_.end(), has);
    parameters_.set_chunk(found == chunks_.end() ? -1 : static_cast<int>(found - chunks_.begin()));
  };
  in_chunk([](const ModelChunk& c) { return c.embedding; });
  embedding_ = parameters_.declare(Region::dense, sizes.width,
                                   {{"model.embed_tokens.weight", sizes.vocabulary}});
  blocks_.reserve(static_cast<std::size_t>(sizes.layers));
  for (std::int64_t layer = 0; layer < sizes.layers; ++layer) {
    in_chunk([&](const ModelChunk& c) { return c.has(layer); });
    const bool dense = layer < sizes.dense_layers || config.moe.experts == 0;
    blocks_.emplace_back(parameters_, fmt::format("model.layers.{}.", layer), config_, dense,
                         share_);
    if (!dense) moe_layers_.push_back(&blocks_.back().moe());
  }
  trunk_moe_layers_ = static_cast<std::int64_t>(moe_layers_.size());
  in_chunk([](const ModelChunk& c) { return c.head; });
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
void Model<Real>::initialize(const ExecSpace& exec, std::uint64_t seed) {
  std::vector<float> host;
  for (const Parameter& parameter : parameters_.list()) {
    if (!parameter.held) continue;
    const ElementRange present = parameters_.present(parameter);
    if (present.size() == 0) continue;
    const Vector<Real> values = parameters_.values(parameter, present);
    if constexpr (std::is_same_v<Real, float>) {
      if (!parameter.is_vector) {
        fill_normal(exec, random_key(parameter.name, seed),
                    static_cast<std::uint64_t>(present.begin), config_.model.init_std, values);
        continue;
      }
    }
    const std::vector<Real> ones(static_cast<std::size_t>(values.size), Real(1));
    copy_to_device(ones.data(), ones.size(), values.data);
  }
  if (embedding_copy_.data != nullptr) {
    if constexpr (std::is_same_v<Real, float>) {
      fill_normal(exec, random_key("model.embed_tokens.weight", seed), 0, config_.model.init_std,
                  {embedding_copy_.data, embedding_copy_.rows * embedding_copy_.cols});
    }
  }
  for (Moe<Real>* moe : moe_layers_) {
    if (moe->bias().size > 0) zero<Real>(exec, matrix(moe->bias().data, 1, moe->bias().size));
  }
  parameters_.update_copies(exec);
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
void Model<Real>::upload(const ModelUnit& unit, std::span<const std::int32_t> tokens) {
  MORAY_REQUIRE(static_cast<std::int64_t>(tokens.size()) == use_.sequences * (use_.rows + 1));
  Slot& slot = this->slot(unit);
  const bool head = chunks_[static_cast<std::size_t>(unit.chunk)].head;
  const auto token = [&](std::int64_t sequence, std::int64_t i) {
    return tokens[static_cast<std::size_t>(sequence * (use_.rows + 1) + i)];
  };
  for (std::int64_t k = 0; k <= depth(); ++k) {
    const Vector<std::int32_t> inputs = slot.inputs[static_cast<std::size_t>(k)];
    if (inputs.size == 0) continue;
    std::size_t next = 0;
    for (std::int64_t sequence = 0; sequence < use_.sequences; ++sequence) {
      for (std::int64_t i = 0; i < use_rows(k); ++i) staging_[next++] = token(sequence, i + k);
    }
    copy_to_device(staging_.data(), next, inputs.data);
  }
  if (!head) return;
  std::size_t next = 0;
  for (std::int64_t sequence = 0; sequence < use_.sequences; ++sequence) {
    for (std::int64_t k = 0; k <= depth(); ++k) {
      for (std::int64_t i = 0; i < use_rows(k); ++i) staging_[next++] = token(sequence, i + k + 1);
    }
  }
  copy_to_device(staging_.data(), next, slot.targets.data);
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
Matrix<Real> Model<Real>::input(const ModelUnit& unit) const {
  const Slot& slot = this->slot(unit);
  return slot.layers.empty() ? slot.h_last : slot.layers.front().h_in;
}

template <class Real>
void Model<Real>::forward(Pass<Real>& pass, const BatchLayout& batch,
                          std::span<const std::int32_t> tokens, const Options& options) {
  MORAY_REQUIRE(chunks_.size() == 1 && chunks_[0].embedding && chunks_[0].head);
  upload({}, tokens);
  ForwardPass<Real>(*this, pass, {}, batch, options, {}).run();
}

template <class Real>
void Model<Real>::backward(Pass<Real>& pass, const BatchLayout& batch, const Options& options) {
  BackwardPass<Real>(*this, pass, {}, batch, options, dh_).run();
}

template <class Real>
void Model<Real>::decode(Pass<Real>& pass, const BatchLayout& batch,
                         std::span<const std::int32_t> tokens, std::int64_t position,
                         const RotaryTable<Real>& table, std::span<const LatentCache<Real>> caches,
                         bool head) {
  MORAY_REQUIRE(depth() == 0 && caches.size() == blocks_.size() &&
                static_cast<std::int64_t>(tokens.size()) == use_.sequences * use_.rows);
  pass.parameters = &parameters_;
  Slot& slot = this->slot({});
  copy_to_device(tokens.data(), tokens.size(), slot.inputs[0].data);
  const Frame f{
      pass, RowLayout{&batch, use_.rows}, use_.rows, table, use_.recompute, Routing::evaluate};
  embedding_forward<Real>(pass.exec, embedding_table(), slot.inputs[0], input({}));
  for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
    blocks_[layer].attention_decode(f, slot.layers[layer], caches[layer], position);
    blocks_[layer].after_gate(
        f, slot.layers[layer],
        layer + 1 < blocks_.size() ? slot.layers[layer + 1].h_in : slot.h_last);
  }
  pass.throw_error();
  if (!head) return;
  norm_.forward(pass, slot.h_last, slot.h_all, slot.r_last);
  MORAY_REQUIRE(use_.rows == 1 && slot.head.logits.rows == use_.sequences);
  head_.linear().forward(pass, slot.h_all, slot.head.logits);
}

template <class Real>
void Model<Real>::backward_embedding(Pass<Real>& pass, const BatchLayout& batch, std::int64_t use,
                                     const Slot& slot, Matrix<const Real> dy) {
  const std::int64_t rows = use_rows(use);
  for (const LaneSegment& segment : batch.segments()) {
    const std::int64_t first = segment.first * rows;
    const std::int64_t count = segment.sequences * rows;
    const Matrix<Real> gradient =
        use == 0 ? parameters_.gradient(embedding_, segment.lane)
                 : matrix(embedding_uses_[static_cast<std::size_t>(use - 1)].row(segment.lane),
                          embedding_.rows, embedding_.cols);
    const Vector<std::int32_t> tokens = slot.inputs[static_cast<std::size_t>(use)];
    embedding_backward<Real>(pass.exec, dy.row_range(first, count), tokens.slice(first, count),
                             gradient);
  }
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
  const Matrix<const Real> h = slot({}).h_all.row_range(sequence * head_rows() + position, 1);
  head_.linear().forward(pass, h, matrix(row_logits_.data, 1, row_logits_.size));
  fence(pass.exec, "moray::model: logits to the host");
  copy_to_host<Real>(row_logits_.data, out.size(), out.data());
}

template <class Real>
Vector<const Real> Model<Real>::losses(std::int64_t sequence, std::int64_t use,
                                       const ModelUnit& unit) const {
  return slot(unit).head.loss.slice(sequence * head_rows() + use_first(use), use_rows(use));
}

template <class Real>
Vector<const Real> Model<Real>::balance_losses(std::int64_t moe_layer,
                                               const ModelUnit& unit) const {
  const ModelChunk& chunk = chunks_[static_cast<std::size_t>(unit.chunk)];
  const Slot& slot = this->slot(unit);
  if (moe_layer >= trunk_moe_layers_) {
    if (!chunk.head) return {};
    return slot.mtp[static_cast<std::size_t>(moe_layer - trunk_moe_layers_)].block.moe.balance;
  }
  const auto dense = static_cast<std::int64_t>(blocks_.size()) - trunk_moe_layers_;
  const std::int64_t layer = dense + moe_layer;
  if (!chunk.has(layer)) return {};
  return slot.layers[static_cast<std::size_t>(layer - chunk.first)].moe.balance;
}

template class Model<float>;
template class Model<double>;

}  // namespace moray
