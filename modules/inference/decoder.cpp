#include "inference/decoder.hpp"

#include "core/error.hpp"

namespace moray {
namespace {

ModelConfig trunk(ModelConfig config, std::int64_t sequences) {
  config.mtp.depth = 0;
  config.moe.sequence_loss = 0;
  config.precision = {};  // generation reads the float32 weights
  config.model.head_chunk = sequences;
  return config;
}

}  // namespace

template <class Real>
Decoder<Real>::Decoder(const ModelConfig& config, std::int64_t sequences, std::int64_t context,
                       std::int64_t chunk, const ExpertShare& share)
    : context_(context),
      chunk_(chunk),
      model_(trunk(config, sequences), share),
      batch_(sequences, share.shares) {
  MORAY_REQUIRE(sequences > 0 && context > 0 && chunk > 0);
  if (chunk > 1) reader_.emplace(trunk(config, sequences), share);
  // The rank with each share has sequences of its own, as far as its experts can tell.
  Deal deal{.lanes = share.shares, .data_ranks = share.shares, .rank = share.share};
  for (std::int64_t other = 0; !share.whole() && other < share.shares; ++other)
    deal.group.push_back(other);
  batch_.assign(deal, 0, sequences);
}

template <class Real>
void Decoder<Real>::allocate(Arena& arena, const Model<Real>* lender) {
  const ModelConfig& config = model_.config();
  model_.allocate(arena, {.sequences = sequences(), .rows = 1, .training = false}, lender);
  if (reader_) {
    reader_->allocate(arena, {.sequences = sequences(), .rows = chunk_, .training = false},
                      &model_);
  }
  table_ = RotaryTable<Real>(arena, config.attention, context_);
  caches_.clear();
  for (std::int64_t layer = 0; layer < config.model.layers; ++layer)
    caches_.emplace_back(arena, config.attention, sequences(), context_, chunk_);
}

template <class Real>
void Decoder<Real>::start() {
  table_.fill(model_.config().attention);
  rewind();
}

template <class Real>
void Decoder<Real>::read(Pass<Real>& pass, std::span<const std::int32_t> tokens) {
  MORAY_REQUIRE(reader_ && position_ + chunk_ <= context_);
  reader_->decode(pass, batch_, tokens, position_, table_, caches_, false);
  position_ += chunk_;
}

template <class Real>
void Decoder<Real>::step(Pass<Real>& pass, std::span<const std::int32_t> tokens, bool head) {
  MORAY_REQUIRE(position_ < context_);
  model_.decode(pass, batch_, tokens, position_, table_, caches_, head);
  ++position_;
}

template <class Real>
void Decoder<Real>::logits(const Pass<Real>& pass, std::int64_t sequence,
                           std::span<Real> out) const {
  fence(pass.exec, "moray::decoder: logits to the host");
  copy_to_host<Real>(model_.logits().row(sequence), out.size(), out.data());
}

template class Decoder<float>;
template class Decoder<double>;

}  // namespace moray
