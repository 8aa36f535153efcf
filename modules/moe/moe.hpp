#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/arena.hpp"
#include "kernels/gate/gate.hpp"
#include "model/ffn.hpp"
#include "model/linear.hpp"
#include "moe/expert_share.hpp"
#include "moe/experts.hpp"
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

/// Tokens of a rank that were dispatched where experts are spread over ranks, once for each layer, and the
/// copies that it sent: of them and, in two hops, of those that it handed on.
struct FanOut {
  std::int64_t tokens = 0;
  TokenCopies copies;
  void add(const FanOut& other) {
    tokens += other.tokens;
    copies.add(other.copies);
  }
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
  /// Dispatch and combine, forward and backward, start, relay and finish: between them, communication
  /// runs under whatever else is computed. A relay begins the second of two hops; without one there is
  /// nothing to do. With all experts on this rank nothing is started.
  void dispatch_start(Pass<Real>& pass, const RowLayout& rows, Matrix<const Real> x2,
                      Slot& slot) const;
  void dispatch_relay(Pass<Real>& pass, Slot& slot) const;
  void dispatch_finish(Pass<Real>& pass, Slot& slot);
  /// shared_out (T, D) is written when there are shared experts.
  void experts_forward(Pass<Real>& pass, Matrix<const Real> x2, Slot& slot,
                       Matrix<Real> shared_out) const;
  void combine_start(Pass<Real>& pass, Slot& slot) const;
  /// Of combine and of the backward of dispatch.
  void combine_relay(Pass<Real>& pass, Slot& slot) const;
  /// routed (T, D).
  void combine_finish(Pass<Real>& pass, Slot& slot, Matrix<Real> routed) const;

  /// Backward of combine: rows of dout (T, D) to the experts.
  void combine_backward_start(Pass<Real>& pass, Matrix<const Real> dout, Slot& slot,
                              Deferred& deferred) const;
  void combine_backward_relay(Pass<Real>& pass, Slot& slot, Deferred& deferred) const;
  void combine_backward_finish(Pass<Real>& pass, Matrix<const Real> dout, Slot& slot,
                               Deferred& deferred) const;
  /// Input gradients of the experts' rows: those of the down projections and of SwiGLU; then those of the
  /// gate and up projections, and of the shared experts (shared_dx, (T, D)).
  void experts_backward_down(Pass<Real>& pass, Slot& slot, Deferred& deferred) const;
  void experts_backward_gate_up(Pass<Real>& pass, Matrix<const Real> dout, Slot& slot,
                                Deferred& deferred, Matrix<Real> shared_dx) const;
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

  /// Of all forwards since clear_fan_out().
  const FanOut& fan_out() const { return fan_out_; }
  void clear_fan_out() { fan_out_ = {}; }

  /// The sum over lanes of one expert's products needs its weights.
  const Linear<Real>& expert_gate_up(std::int64_t e) const { return experts_.gate_up(e); }
  const Linear<Real>& expert_down(std::int64_t e) const { return experts_.down(e); }
  const Linear<Real>& gate() const { return gate_; }
  const Ffn<Real>& shared() const { return shared_; }

 private:
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
  Linear<Real> gate_;
  Experts<Real> experts_;
  Ffn<Real> shared_;
  Vector<Real> bias_;
  std::vector<std::int64_t> loads_, uncounted_;  ///< of training; of everything else
  FanOut fan_out_;
  // Workspace, shared by all layers.
  mutable Matrix<Real> logits_;             ///< (T, E)
  mutable Vector<std::int64_t> bad_token_;  ///< (1)
  mutable Rows<Real> dact_;                 ///< (R, F)
  mutable Rows<Real> dx_;                   ///< (R, D)
  mutable Rows<Real> dweights_;             ///< (R, 1)
  mutable Matrix<Real> dweight_;            ///< (T, K)
};

}  // namespace moray
