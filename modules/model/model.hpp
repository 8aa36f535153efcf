#pragma once

#include <span>
#include <vector>

#include "model/block.hpp"
#include "model/head.hpp"
#include "model/model_config.hpp"
#include "mtp/mtp.hpp"

namespace moray {

/// How a model is used: extents of a micro-batch and of the gradient lanes.
struct ModelUse {
  std::int64_t sequences = 1;  ///< b
  std::int64_t rows = 1;       ///< S
  bool training = true;        ///< false: weights and forward buffers only
  bool recompute = true;
  std::int64_t lanes = 1;         ///< of this rank
  std::int64_t expert_lanes = 1;  ///< of this rank
  int slots = 1;                  ///< micro-batches whose activations are kept at once
  int deferred = 0;               ///< micro-batches whose weight gradients are put off at once
  bool statistics = false;        ///< of values in FP8 may be counted
};

/// Consecutive parts of a model that a rank has: a stage of a pipeline.
struct ModelChunk {
  std::int64_t first = 0;   ///< layer of the trunk
  std::int64_t layers = 0;  ///< of the trunk
  bool embedding = true;
  bool head = true;  ///< and final norm and MTP modules
  bool has(std::int64_t layer) const { return layer >= first && layer < first + layers; }
};

/// A micro-batch in one chunk: where its activations are, and what it leaves for its weight gradients.
struct ModelUnit {
  int chunk = 0;
  int slot = 0;
  int deferred = -1;  ///< -1: weight gradients follow each layer's input gradient at once
};

template <class Real>
class ChunkPass;
template <class Real>
class ForwardPass;
template <class Real>
class BackwardPass;

/// A DeepSeek-V3-style model: embedding, blocks, final norm, MTP modules, head. Experts may be spread
/// over a group of ranks that run the same micro-batches together; layers over the stages of a
/// pipeline, of which a rank has one or two. chunk_pass.hpp runs a micro-batch through a chunk.
template <class Real>
class Model {
 public:
  /// `share`: the experts that this rank has of every layer; `chunks`: its layers, all if empty.
  explicit Model(const ModelConfig& config, const ExpertShare& share = {},
                 std::vector<ModelChunk> chunks = {});

  /// Takes every buffer from the arena; a counting arena makes this the plan. With a lender, an
  /// allocated model of the same sizes, the weights and selection biases are the lender's (inference
  /// only).
  void allocate(Arena& arena, const ModelUse& use, const Model* lender = nullptr);
  /// Seeded initial weights (docs/numerics.md, random numbers), norm gains 1, biases 0, and the
  /// rotary table.
  void initialize(const ExecSpace& exec, std::uint64_t seed);
  void fill_rotary_table() { rotary_.fill(config_.attention); }

  struct Options {
    Real mtp_lambda = 0;  ///< lambda / depth: the weight of each MTP loss
    Routing routing = Routing::train;
  };

  /// The whole model, whose only chunk it is, with one micro-batch in flight.
  /// tokens (b, S + 1) on the host, sequences in the order of `batch`. Fills the losses.
  void forward(Pass<Real>& pass, const BatchLayout& batch, std::span<const std::int32_t> tokens,
               const Options& options);
  /// Gradients of the weighted sum of token losses of the last forward, into this rank's lanes.
  void backward(Pass<Real>& pass, const BatchLayout& batch, const Options& options);
  /// The S positions from `position` on of each sequence, whose earlier ones are in `caches` (one a
  /// layer): the forward of a model without MTP. tokens (b, S) on the host. With `head`, of a model
  /// that was allocated with one row a sequence, logits() then holds (b, V). `table` covers the
  /// positions.
  void decode(Pass<Real>& pass, const BatchLayout& batch, std::span<const std::int32_t> tokens,
              std::int64_t position, const RotaryTable<Real>& table,
              std::span<const LatentCache<Real>> caches, bool head);
  /// tokens (b, S + 1) on the host for a unit of a chunk with the embedding or the head.
  void upload(const ModelUnit& unit, std::span<const std::int32_t> tokens);
  /// Activations that a chunk without the embedding starts from, (b S, D).
  Matrix<Real> input(const ModelUnit& unit) const;
  /// Gradient buffer (b S, D) for a chunk that sends none on.
  Matrix<Real> gradient_buffer() const { return dh_; }
  /// Sets all gradients to zero.
  void clear_gradients(const ExecSpace& exec);

  /// A stored sequence has S rows of the trunk in the head, then S - k of each MTP module k: the
  /// number of rows of a use, and the first one.
  std::int64_t use_rows(std::int64_t use) const { return use_.rows - use; }
  std::int64_t use_first(std::int64_t use) const;
  std::int64_t head_rows() const { return use_first(depth() + 1); }
  /// Logits (V) of a head row of a stored sequence after a forward, to the host.
  void row_logits(Pass<Real>& pass, std::int64_t sequence, std::int64_t position,
                  std::span<Real> out) const;
  /// Logits (b S, V) of the trunk, for inference and tests; needs head_chunk >= rows of the head.
  Matrix<const Real> logits() const { return slot({}).head.logits; }
  /// Token losses of use k (0: trunk) of a stored sequence, (S - k).
  Vector<const Real> losses(std::int64_t sequence, std::int64_t use,
                            const ModelUnit& unit = {}) const;
  /// Balance losses of layer `moe_layer` (MTP modules last), (b); empty when the chunk has it not.
  Vector<const Real> balance_losses(std::int64_t moe_layer, const ModelUnit& unit = {}) const;

  const ModelConfig& config() const { return config_; }
  const ExpertShare& share() const { return share_; }
  const ModelUse& use() const { return use_; }
  const std::vector<ModelChunk>& chunks() const { return chunks_; }
  Parameters<Real>& parameters() { return parameters_; }
  const Parameters<Real>& parameters() const { return parameters_; }
  std::int64_t depth() const { return config_.mtp.depth; }
  /// MoE layers in order, those of MTP modules last.
  const std::vector<Moe<Real>*>& moe_layers() const { return moe_layers_; }
  std::int64_t trunk_moe_layers() const { return trunk_moe_layers_; }
  /// Gradients of the embedding's uses by MTP modules 1..D: (lanes, V D) each, to be folded on
  /// their own and then added to the trunk's in order.
  std::vector<Matrix<Real>>& embedding_uses() { return embedding_uses_; }
  const WeightRef& embedding() const { return embedding_; }
  /// Where MTP modules are not on the embedding's rank: their copy of it, (V, D); else empty.
  Matrix<Real> embedding_copy() const { return embedding_copy_; }
  const std::vector<Block<Real>>& blocks() const { return blocks_; }
  Fp8Statistics& statistics() { return statistics_; }
  const Fp8Statistics& statistics() const { return statistics_; }

 private:
  friend class ChunkPass<Real>;
  friend class ForwardPass<Real>;
  friend class BackwardPass<Real>;
  using Frame = typename Block<Real>::Frame;

  /// Activations of a micro-batch in a chunk.
  struct Slot {
    std::vector<typename Block<Real>::Slot> layers;
    std::vector<typename MtpModule<Real>::Slot> mtp;
    typename Head<Real>::Slot head;
    Matrix<Real> h_last;  ///< (b S, D) output of the last block
    Vector<Real> r_last;
    Matrix<Real> h_all;                        ///< (b head rows, D) h^0, h^1, ... of each sequence
    std::vector<Vector<std::int32_t>> inputs;  ///< per use, (b (S - k))
    Vector<std::int32_t> targets;              ///< (b head rows)
  };
  struct Deferred {
    std::vector<typename Block<Real>::Deferred> layers;
    std::vector<typename MtpModule<Real>::Deferred> mtp;
  };

  void allocate_embedding_uses(Arena& arena);
  void allocate_workspace(Arena& arena);
  Slot make_slot(Arena& arena, const ModelChunk& chunk);
  Deferred make_deferred(Arena& arena, std::size_t chunk, bool own);
  const Slot& slot(const ModelUnit& unit) const {
    return slots_[static_cast<std::size_t>(unit.slot)][static_cast<std::size_t>(unit.chunk)];
  }
  Slot& slot(const ModelUnit& unit) {
    return slots_[static_cast<std::size_t>(unit.slot)][static_cast<std::size_t>(unit.chunk)];
  }
  /// Shared ones first.
  Deferred& deferred(const ModelUnit& unit) {
    return deferred_[static_cast<std::size_t>(unit.deferred + 1)]
                    [static_cast<std::size_t>(unit.chunk)];
  }
  Frame frame(Pass<Real>& pass, const BatchLayout& batch, std::int64_t use,
              const Options& options) const;
  Matrix<const Real> embedding_table() const {
    return embedding_copy_.data != nullptr ? embedding_copy_ : parameters_.weight(embedding_);
  }
  /// Rows of use k between a (b, head rows) buffer and a dense (b (S - k)) one.
  void to_uses(Pass<Real>& pass, std::int64_t use, std::int64_t rows, Matrix<const Real> dense,
               Matrix<Real> all) const;
  void from_uses(Pass<Real>& pass, std::int64_t use, std::int64_t rows, Matrix<const Real> all,
                 Matrix<Real> dense) const;
  void add_to_uses(Pass<Real>& pass, std::int64_t use, std::int64_t rows, Matrix<const Real> dense,
                   Matrix<Real> all) const;
  void backward_embedding(Pass<Real>& pass, const BatchLayout& batch, std::int64_t use,
                          const Slot& slot, Matrix<const Real> dy);

  ModelConfig config_;
  ExpertShare share_;
  std::vector<ModelChunk> chunks_;
  ModelUse use_;
  Parameters<Real> parameters_;
  WeightRef embedding_;
  std::vector<Block<Real>> blocks_;
  Norm<Real> norm_;
  Head<Real> head_;
  std::vector<MtpModule<Real>> mtp_;
  std::vector<Moe<Real>*> moe_layers_;
  std::int64_t trunk_moe_layers_ = 0;
  std::vector<Matrix<Real>> embedding_uses_;
  Matrix<Real> embedding_copy_;
  RotaryTable<Real> rotary_;
  Fp8Statistics statistics_;

  std::vector<std::vector<Slot>> slots_;         ///< [slot][chunk]; the chunks share memory
  std::vector<std::vector<Deferred>> deferred_;  ///< [deferred + 1][chunk]
  Matrix<Real> dh_all_;
  Matrix<Real> dh_, dembedding_, dh_prev_;
  Vector<Real> row_logits_;  ///< (V)
  std::vector<std::int32_t> staging_;
  std::vector<typename Head<Real>::Use> head_uses_;
};

}  // namespace moray
