#pragma once

#include <optional>
#include <span>
#include <vector>

#include "model/model.hpp"

namespace moray {

/// Reads sequences: the model with the latent caches of its layers. A few sequences go side by side,
/// all at the same position; none changes a bit of another. Text that is there already is read a
/// chunk at a time, new text a token at a time: the bits are the same.
template <class Real>
class Decoder {
 public:
  /// `context`: positions that the caches hold. `chunk`: positions that read() takes, 1: it is not
  /// used and costs no memory. MTP modules are left out. The ranks of a `share` step together, all
  /// with the same sequences.
  Decoder(const ModelConfig& config, std::int64_t sequences, std::int64_t context,
          std::int64_t chunk = 1, const ExpertShare& share = {});

  /// Takes caches and chunk + 1 rows of activations a sequence, and the weights unless `lender` is an
  /// allocated model that has them. Call start() once the arena is real.
  void allocate(Arena& arena, const Model<Real>* lender = nullptr);
  void start();

  std::int64_t sequences() const { return batch_.sequences(); }
  std::int64_t context() const { return context_; }
  std::int64_t chunk() const { return chunk_; }
  /// Tokens of each sequence read since start() or rewind().
  std::int64_t position() const { return position_; }
  void rewind() { position_ = 0; }

  /// Reads the next chunk() tokens of each sequence, (sequences, chunk); they fit the context.
  void read(Pass<Real>& pass, std::span<const std::int32_t> tokens);
  /// Reads the next token of each sequence; position() < context(). With `head` it computes logits.
  void step(Pass<Real>& pass, std::span<const std::int32_t> tokens, bool head);
  /// Logits (V) behind the last token of a sequence, after a step with head.
  void logits(const Pass<Real>& pass, std::int64_t sequence, std::span<Real> out) const;

  Model<Real>& model() { return model_; }
  const Model<Real>& model() const { return model_; }

 private:
  std::int64_t context_;
  std::int64_t chunk_;
  std::int64_t position_ = 0;
  Model<Real> model_;
  std::optional<Model<Real>> reader_;  ///< the same weights, with activations for a chunk
  BatchLayout batch_;
  RotaryTable<Real> table_;
  std::vector<LatentCache<Real>> caches_;
};

}  // namespace moray
