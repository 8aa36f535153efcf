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
};

/// A DeepSeek-V3-style model: embedding, blocks, final norm, MTP modules, head; the experts may be
/// spread over a group of ranks that run the same micro-batches together.
/// One micro-batch is in flight at a time.
template <class Real>
class Model {
 public:
  /// `share`: the experts that this rank has of every layer.
  explicit Model(const ModelConfig& config, const ExpertShare& share = {});

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
  Matrix<const Real> logits() const { return head_slot_.logits; }
  /// Token losses of use k (0: trunk) of a stored sequence, (S - k).
  Vector<const Real> losses(std::int64_t sequence, std::int64_t use) const;
  /// Balance losses of layer `moe_layer` (MTP modules last), (b).
  Vector<const Real> balance_losses(std::int64_t moe_layer) const;

  const ModelConfig& config() const { return config_; }
  const ExpertShare& share() const { return share_; }
  const ModelUse& use() const { return use_; }
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
  const std::vector<Block<Real>>& blocks() const { return blocks_; }

 private:
  using Frame = typename Block<Real>::Frame;
  Frame frame(Pass<Real>& pass, const BatchLayout& batch, std::int64_t use,
              const Options& options) const;
  void upload(const BatchLayout& batch, std::span<const std::int32_t> tokens);
  /// Rows of use k between a (b, head rows) buffer and a dense (b (S - k)) one.
  void to_uses(Pass<Real>& pass, std::int64_t use, std::int64_t rows, Matrix<const Real> dense,
               Matrix<Real> all) const;
  void from_uses(Pass<Real>& pass, std::int64_t use, std::int64_t rows, Matrix<const Real> all,
                 Matrix<Real> dense) const;
  void add_to_uses(Pass<Real>& pass, std::int64_t use, std::int64_t rows, Matrix<const Real> dense,
                   Matrix<Real> all) const;
  void backward_mtp(Pass<Real>& pass, const BatchLayout& batch, const Options& options);
  void backward_embedding(Pass<Real>& pass, const BatchLayout& batch, std::int64_t use,
                          Matrix<const Real> dy);

  ModelConfig config_;
  ExpertShare share_;
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
  RotaryTable<Real> rotary_;

  // One micro-batch.
  std::vector<typename Block<Real>::Slot> slots_;
  std::vector<typename Block<Real>::Deferred> deferred_;
  std::vector<typename MtpModule<Real>::Slot> mtp_slots_;
  std::vector<typename MtpModule<Real>::Deferred> mtp_deferred_;
  typename Head<Real>::Slot head_slot_;
  Matrix<Real> h_last_;  ///< (b S, D) output of the last block
  Vector<Real> r_last_;
  Matrix<Real> h_all_;  ///< (b head rows, D) h^0, h^1, ... of each sequence
  Matrix<Real> dh_all_;
  Matrix<Real> dh_, dembedding_, dh_prev_;
  std::vector<Vector<std::int32_t>> inputs_;  ///< per use, (b (S - k))
  Vector<std::int32_t> targets_;              ///< (b head rows)
  Vector<Real> row_logits_;                   ///< (V)
  std::vector<std::int32_t> staging_;
  std::vector<typename Head<Real>::Use> head_uses_;
};

}  // namespace moray
