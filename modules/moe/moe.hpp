#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/arena.hpp"
#include "kernels/gate/gate.hpp"
#include "model/ffn.hpp"
#include "model/linear.hpp"
#include "moe/expert_share.hpp"
#include "moe/moe_config.hpp"
#include "moe/route.hpp"
#include "moe/token_traffic.hpp"

namespace moray {

GateRule gate_rule(const MoeConfig& config);

/// What a forward does with the routing.
enum class Routing {
  train,     ///< selects, and counts the loads that move the selection bias
  evaluate,  ///< selects and counts nothing
  replay,    ///< keeps the experts selected by the forward before, so that a derivative is smooth
};

/// Mixture of experts with shared experts and auxiliary-loss-free balancing (DeepSeek-V3 report,
/// section 2.1.2), in the phases of a layer:
///
///   gate      logits, scores, selection, balance loss           (with attention)
///   dispatch  rows to their experts, also of other ranks        start / finish
///   experts   the shared FFN over all tokens, the routed ones over their rows
///   combine   the sum of a token's rows along the expert tree   start / finish
///
/// Rows are dispatched as what the experts' products read: x as gate_proj and up_proj compute, the
/// gradients of outputs as down_proj does. In bf16 and FP8 each row that is combined is a bf16 value
/// and each sum is rounded to one (docs/fp8.md section 4).
///
/// The routing weight is multiplied in before down_proj, so that combine is a plain sum. R below is
/// the number of rows of this rank's experts: T K where it has all of them.
template <class Real>
class Moe {
 public:
  struct Slot {
    Matrix<Real> s;                 ///< (T, E)
    Matrix<std::int32_t> selected;  ///< (T, K)
    Matrix<Real> weight;            ///< (T, K)
    Matrix<Real> q;                 ///< (B, E) alpha f
    Matrix<std::int64_t> counts;    ///< (B, E) choices without bias and group limit
    Vector<Real> balance;           ///< (B)
    Route<Real> route;
    TokenTraffic<Real> traffic;  ///< where experts are spread over ranks
    std::int64_t planned_rows = 0;
    Rows<std::byte> received;  ///< (received, D) there, in the forward's format
    Rows<std::byte> x;         ///< (R, D) dispatched rows likewise, shared under recompute
    Rows<Real> gate_up;        ///< (R, 2 F)
    Kept kept;                 ///< of gate_up, for the backward
    Rows<Real> act;            ///< (R, F), shared under recompute
    Rows<Real> y;              ///< (R, D), shared
    typename Ffn<Real>::Slot shared;
  };
  struct Deferred {
    Rows<std::byte> received;  ///< (received, D) gradients of outputs, where experts are spread
    Rows<std::byte> dy;        ///< (R, D), both in the backward's format
    Rows<Real> dgate_up;       ///< (R, 2 F)
    Matrix<Real> dlogit;       ///< (T, E)
    typename Ffn<Real>::Deferred shared;
  };

  Moe() = default;
  /// `prefix` is "model.layers.3.mlp.".
  Moe(Parameters<Real>& parameters, const std::string& prefix, std::int64_t width,
      const MoeConfig& config, const ExpertShare& share = {});

  /// The selection bias and its loads live with the weights; bias is empty for a softmax gate.
  void allocate_state(Arena& arena);
  /// Takes the selection bias of another model's layer instead of memory of its own.
  void share_state(const Moe& lender) {
    bias_ = lender.bias_;
    loads_.assign(static_cast<std::size_t>(config_.experts), 0);
    uncounted_ = loads_;
  }
  Slot make_slot(Arena& arena, std::int64_t sequences, std::int64_t tokens, bool recompute) const;
  Deferred make_deferred(Arena& arena, const Slot& slot, std::int64_t tokens, bool own = false);

  /// x2 (T, D): the normed input of the FFN. sample_rows is T of the sample (balance loss).
  /// Throws Error(numerics) for a logit that is not finite.
  void gate_forward(Pass<Real>& pass, const RowLayout& rows, std::int64_t sample_rows,
                    Matrix<const Real> x2, Slot& slot, Routing routing);
  /// Dispatch and combine, forward and backward, start and finish: between the two, communication
  /// runs under whatever else is computed. With all experts on this rank nothing is started.
  void dispatch_start(Pass<Real>& pass, const RowLayout& rows, Matrix<const Real> x2,
                      Slot& slot) const;
  void dispatch_finish(Pass<Real>& pass, Slot& slot) const;
  /// shared_out (T, D) is written when there are shared experts.
  void experts_forward(Pass<Real>& pass, Matrix<const Real> x2, Slot& slot,
                       Matrix<Real> shared_out) const;
  void combine_start(Pass<Real>& pass, Slot& slot) const;
  /// routed (T, D).
  void combine_finish(Pass<Real>& pass, Slot& slot, Matrix<Real> routed) const;

  /// Backward of combine: rows of dout (T, D) to the experts.
  void combine_backward_start(Pass<Real>& pass, Matrix<const Real> dout, Slot& slot,
                              Deferred& deferred) const;
  void combine_backward_finish(Pass<Real>& pass, Matrix<const Real> dout, Slot& slot,
                               Deferred& deferred) const;
  /// Input gradients of the experts' rows and of the shared experts (shared_dx, (T, D)).
  void experts_backward(Pass<Real>& pass, Matrix<const Real> dout, Slot& slot, Deferred& deferred,
                        Matrix<Real> shared_dx) const;
  /// Backward of dispatch: routed_dx (T, D) along the expert tree.
  void dispatch_backward_start(Pass<Real>& pass, Slot& slot) const;
  void dispatch_backward_finish(Pass<Real>& pass, Slot& slot, Matrix<Real> routed_dx) const;
  /// gate_dx (T, D).
  void gate_backward(Pass<Real>& pass, const Slot& slot, Deferred& deferred,
                     Matrix<Real> gate_dx) const;

  void experts_backward_weight(Pass<Real>& pass, const RowLayout& rows, bool recompute,
                               Matrix<const Real> dout, Matrix<const Real> x2, Slot& slot,
                               const Deferred& deferred) const;
  void gate_backward_weight(Pass<Real>& pass, const RowLayout& rows, Matrix<const Real> x2,
                            const Deferred& deferred) const;

  const MoeConfig& config() const { return config_; }
  const ExpertShare& share() const { return share_; }
  bool has_shared() const { return config_.shared_experts > 0; }
  bool has_bias() const { return rule_.score == GateScore::sigmoid; }
  /// (E); empty for a softmax gate.
  Vector<Real> bias() const { return bias_; }
  const std::string& name() const { return name_; }
  /// Tokens that each expert got since clear_loads(), over this rank's micro-batches.
  std::vector<std::int64_t>& loads() { return loads_; }
  const std::vector<std::int64_t>& loads() const { return loads_; }

  /// The sum over lanes of one expert's products needs its weights.
  const Linear<Real>& expert_gate_up(std::int64_t e) const {
    return gate_up_[static_cast<std::size_t>(e)];
  }
  const Linear<Real>& expert_down(std::int64_t e) const {
    return down_[static_cast<std::size_t>(e)];
  }
  const Linear<Real>& gate() const { return gate_; }
  const Ffn<Real>& shared() const { return shared_; }

 private:
  /// One product an expert: in (R, .) times its weight into out (R, .).
  void grouped(Pass<Real>& pass, GemmForm form, const std::vector<Linear<Real>>& experts,
               Slot& slot, Matrix<const Real> in, Matrix<Real> out) const;
  /// The same from packed rows (R, D) in a format.
  void grouped(Pass<Real>& pass, GemmForm form, const std::vector<Linear<Real>>& experts,
               Slot& slot, RowFormat format, Matrix<std::byte> in, Matrix<Real> out) const;
  void grouped_low(Pass<Real>& pass, GemmForm form, const std::vector<Linear<Real>>& experts,
                   const Route<Real>& route, const MixedOperand& in, std::int64_t k,
                   Matrix<Real> out) const;
  void grouped_weight(Pass<Real>& pass, const RowLayout& rows,
                      const std::vector<Linear<Real>>& experts, const Route<Real>& route,
                      Matrix<const Real> dy, Matrix<const Real> x) const;
  /// Of operands with blocks as expert_blocks() left them.
  void grouped_low_weight(Pass<Real>& pass, const RowLayout& rows,
                          const std::vector<Linear<Real>>& experts, const Route<Real>& route,
                          const MixedOperand& dy, const MixedOperand& x,
                          Vector<const RowBlock> blocks) const;
  void make_low_workspace(Arena& arena, std::int64_t sequences, std::int64_t tokens,
                          std::int64_t rows) const;
  /// Packed rows as an operand of a weight gradient.
  MixedOperand packed_channels(Pass<Real>& pass, RowFormat format, Matrix<std::byte> rows,
                               Vector<const RowBlock> blocks,
                               const LowScratch::Buffer& buffer) const;
  /// Blocks of the rows of a route, in the memory of the backend.
  Vector<const RowBlock> expert_blocks(Pass<Real>& pass, Slot& slot) const;
  const Linear<Real>& any(const std::vector<Linear<Real>>& experts) const {
    return experts.front();
  }
  /// x (T, D) as rows to dispatch: itself, or packed into a workspace.
  Matrix<const std::byte> packed(Pass<Real>& pass, RowFormat format, Operand what,
                                 Matrix<const Real> x) const;
  TreeSums tree_sums(RowFormat format) const {
    return format == RowFormat::real ? TreeSums::exact : TreeSums::bf16;
  }

  std::string name_;
  /// Says that more rows came than was planned for.
  void report_growth(std::int64_t bytes, std::int64_t rows) const;
  /// The rows that a route's sources point into.
  Matrix<const std::byte> dispatched(Pass<Real>& pass, Matrix<const Real> x2,
                                     const Slot& slot) const;

  MoeConfig config_;
  PrecisionConfig precision_;
  ExpertShare share_;
  GateRule rule_;
  RowFormat forward_ = RowFormat::real, backward_ = RowFormat::real;
  Linear<Real> gate_;
  std::vector<Linear<Real>> gate_up_, down_;
  Ffn<Real> shared_;
  Vector<Real> bias_;
  std::vector<std::int64_t> loads_, uncounted_;  ///< of training; of everything else
  // Workspace, shared by all layers.
  mutable Matrix<Real> logits_;                               ///< (T, E)
  mutable Vector<std::int64_t> bad_token_;                    ///< (1)
  mutable Rows<Real> dact_;                                   ///< (R, F)
  mutable Rows<Real> dx_;                                     ///< (R, D)
  mutable Rows<Real> dweights_;                               ///< (R, 1)
  mutable LowScratch scratch_;                                ///< of the experts' products
  mutable std::int64_t sequence_rows_ = 0;                    ///< of own tokens
  mutable Rows<std::byte> packed_forward_, packed_backward_;  ///< (T, D)
  mutable Rows<float> token_scales_, row_scales_;  ///< (T, .), (R, .) scales before they are bytes
  mutable std::vector<std::int64_t> first_block_;  ///< of each (expert, segment)
  mutable Matrix<Real> dweight_;                   ///< (T, K)
};

}  // namespace moray
