#include "moe/moe.hpp"

#include "core/error.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/permute/permute.hpp"
#include "kernels/swiglu/swiglu.hpp"

namespace moray {

GateRule gate_rule(const MoeConfig& config) {
  const bool sigmoid = config.gate == "sigmoid";
  return {.score = sigmoid ? GateScore::sigmoid : GateScore::softmax,
          .experts = config.experts,
          .top_k = config.top_k,
          .groups = config.groups,
          .top_groups = config.top_groups,
          .normalize = sigmoid && config.normalize,
          .scale = config.scale};
}

template <class Real>
Moe<Real>::Moe(Parameters<Real>& parameters, const std::string& prefix, std::int64_t width,
               const MoeConfig& config)
    : name_(prefix), config_(config), rule_(gate_rule(config)) {
  gate_ =
      Linear<Real>(parameters, Region::dense, width, {{prefix + "gate.weight", config.experts}});
  for (std::int64_t e = 0; e < config.experts; ++e) {
    const std::string expert = fmt::format("{}experts.{}.", prefix, e);
    gate_up_.emplace_back(
        parameters, Region::expert, width,
        std::vector<typename Linear<Real>::Part>{{expert + "gate_proj.weight", config.width},
                                                 {expert + "up_proj.weight", config.width}});
    down_.emplace_back(
        parameters, Region::expert, config.width,
        std::vector<typename Linear<Real>::Part>{{expert + "down_proj.weight", width}});
  }
  if (has_shared()) {
    shared_ = Ffn<Real>(parameters, prefix + "shared_experts.", width,
                        config.shared_experts * config.width);
  }
}

template <class Real>
void Moe<Real>::allocate_state(Arena& arena) {
  if (rule_.score == GateScore::sigmoid)
    bias_ = arena.vector<Real>(Memory::weights, config_.experts);
  loads_.assign(static_cast<std::size_t>(config_.experts), 0);
}

template <class Real>
typename Moe<Real>::Slot Moe<Real>::make_slot(Arena& arena, std::int64_t sequences,
                                              std::int64_t tokens, bool recompute) const {
  const std::int64_t rows = tokens * config_.top_k;
  const std::int64_t width = gate_.in();
  Slot slot;
  slot.s = arena.matrix<Real>(Memory::activations, tokens, config_.experts);
  slot.selected = arena.matrix<std::int32_t>(Memory::activations, tokens, config_.top_k);
  slot.weight = arena.matrix<Real>(Memory::activations, tokens, config_.top_k);
  if (config_.sequence_loss > 0) {
    slot.counts = arena.matrix<std::int64_t>(Memory::activations, sequences, config_.experts);
    slot.q = arena.matrix<Real>(Memory::activations, sequences, config_.experts);
    slot.balance = arena.vector<Real>(Memory::activations, sequences);
  }
  slot.route = Route<Real>(arena, sequences, tokens, config_.experts, config_.top_k);
  slot.gate_up = arena.matrix<Real>(Memory::activations, rows, 2 * config_.width);
  if (recompute) {
    slot.x = arena.shared_matrix<Real>("moe.x", rows, width);
    slot.act = arena.shared_matrix<Real>("moe.act", rows, config_.width);
  } else {
    slot.x = arena.matrix<Real>(Memory::activations, rows, width);
    slot.act = arena.matrix<Real>(Memory::activations, rows, config_.width);
  }
  slot.y = arena.shared_matrix<Real>("moe.y", rows, width);
  if (has_shared()) slot.shared = shared_.make_slot(arena, "moe.shared", tokens, recompute);
  return slot;
}

template <class Real>
typename Moe<Real>::Deferred Moe<Real>::make_deferred(Arena& arena, std::int64_t tokens) {
  const std::int64_t rows = tokens * config_.top_k;
  const std::int64_t width = gate_.in();
  logits_ = arena.shared_matrix<Real>("moe.logits", tokens, config_.experts);
  bad_token_ = arena.shared_vector<std::int64_t>("moe.bad_token", 1);
  dact_ = arena.shared_matrix<Real>("moe.dact", rows, config_.width);
  dx_ = arena.shared_matrix<Real>("moe.dx", rows, width);
  dweights_ = arena.shared_vector<Real>("moe.dweights", rows);
  dweight_ = arena.shared_matrix<Real>("moe.dweight", tokens, config_.top_k);
  Deferred deferred;
  deferred.dy = arena.shared_matrix<Real>("moe.dy", rows, width);
  deferred.dgate_up = arena.shared_matrix<Real>("moe.dgate_up", rows, 2 * config_.width);
  deferred.dlogit = arena.shared_matrix<Real>("moe.dlogit", tokens, config_.experts);
  if (has_shared()) deferred.shared = shared_.make_deferred(arena, "moe.shared", tokens);
  return deferred;
}

template <class Real>
void Moe<Real>::gate_forward(Pass<Real>& pass, const RowLayout& rows, std::int64_t sample_rows,
                             Matrix<const Real> x2, Slot& slot, Routing routing) {
  gate_.forward(pass, x2, logits_);
  GateRule rule = rule_;
  rule.replay = routing == Routing::replay;
  moray::gate_forward<Real>(pass.exec, rule, logits_, bias_, slot.s, slot.selected, slot.weight,
                            bad_token_);
  std::int64_t bad = 0;
  fence(pass.exec, "moray::moe::gate: bad token to the host");
  copy_to_host(bad_token_.data, 1, &bad);
  if (bad < rows.total()) {
    fail(ExitCode::numerics,
         "{}gate: a logit of position {} of sequence {} of this step is not finite; weights or "
         "activations have "
         "overflowed",
         name_, bad % rows.rows, rows.batch->global()[static_cast<std::size_t>(bad / rows.rows)]);
  }
  if (config_.sequence_loss > 0) {
    if (routing != Routing::replay) {
      zero(pass.exec, slot.counts);
      gate_unlimited_counts<Real>(pass.exec, config_.top_k, slot.s, slot.counts);
    }
    gate_balance_loss<Real>(pass.exec, rule_, sample_rows, static_cast<Real>(config_.sequence_loss),
                            slot.s, slot.counts, slot.q, slot.balance);
    observe(pass, "gate.q", slot.q);
    observe(pass, "gate.balance", matrix(slot.balance.data, slot.balance.size, 1));
  }
  observe(pass, "gate.s", slot.s);
  if (pass.probe != nullptr) pass.probe->choices("gate.selected", slot.selected);
  observe(pass, "gate.w", slot.weight);
  slot.route.build(pass.exec, rows, slot.selected, slot.weight);
  if (routing == Routing::train) {
    for (std::int64_t e = 0; e < config_.experts; ++e) {
      loads_[static_cast<std::size_t>(e)] += slot.route.expert_rows(e).rows;
    }
  }
}

template <class Real>
void Moe<Real>::dispatch_forward(Pass<Real>& pass, const RowLayout&, Matrix<const Real> x2,
                                 Slot& slot) const {
  gather_rows<Real>(pass.exec, x2, slot.route.source(), slot.x);
}

template <class Real>
void Moe<Real>::grouped(Pass<Real>& pass, GemmForm form, const std::vector<Linear<Real>>& experts,
                        const Route<Real>& route, Matrix<const Real> in, Matrix<Real> out) const {
  pass.tasks.clear();
  for (std::int64_t e = 0; e < route.experts(); ++e) {
    const auto range = route.expert_rows(e);
    const Matrix<const Real> weight =
        pass.parameters->weight(experts[static_cast<std::size_t>(e)].weight());
    pass.tasks.push_back({.a = in.row(range.begin),
                          .lda = in.stride,
                          .b = weight.data,
                          .ldb = weight.stride,
                          .c = out.row(range.begin),
                          .ldc = out.stride,
                          .m = range.rows,
                          .n = out.cols,
                          .k = in.cols});
  }
  gemm<Real>(pass.exec, form, pass.tasks);
}

template <class Real>
void Moe<Real>::grouped_weight(Pass<Real>& pass, const RowLayout& rows,
                               const std::vector<Linear<Real>>& experts, const Route<Real>& route,
                               Matrix<const Real> dy, Matrix<const Real> x) const {
  pass.tasks.clear();
  const auto& segments = rows.batch->expert_segments();
  for (std::int64_t e = 0; e < route.experts(); ++e) {
    for (std::size_t s = 0; s < segments.size(); ++s) {
      const auto range = route.lane_rows(e, static_cast<std::int64_t>(s));
      const Matrix<Real> dw = pass.parameters->gradient(
          experts[static_cast<std::size_t>(e)].weight(), segments[s].lane);
      pass.tasks.push_back({.a = dy.row(range.begin),
                            .lda = dy.stride,
                            .b = x.row(range.begin),
                            .ldb = x.stride,
                            .c = dw.data,
                            .ldc = dw.stride,
                            .m = dw.rows,
                            .n = dw.cols,
                            .k = range.rows});
    }
  }
  gemm<Real>(pass.exec, GemmForm::tn, pass.tasks);
}

template <class Real>
void Moe<Real>::experts_forward(Pass<Real>& pass, Matrix<const Real> x2, Slot& slot,
                                Matrix<Real> shared_out) const {
  if (has_shared()) shared_.forward(pass, x2, slot.shared, shared_out);
  grouped(pass, GemmForm::nt, gate_up_, slot.route, slot.x, slot.gate_up);
  observe(pass, "experts.gate_up", slot.route, slot.gate_up);
  swiglu_forward<Real>(pass.exec, slot.gate_up, slot.route.weights(), slot.act);
  observe(pass, "experts.act", slot.route, slot.act);
  grouped(pass, GemmForm::nt, down_, slot.route, slot.act, slot.y);
  observe(pass, "experts.y", slot.route, slot.y);
}

template <class Real>
void Moe<Real>::combine_forward(Pass<Real>& pass, const Slot& slot, Matrix<Real> routed) const {
  tree_combine<Real>(pass.exec, config_.experts, slot.y, slot.selected, slot.route.row_of(),
                     routed);
}

template <class Real>
void Moe<Real>::combine_backward(Pass<Real>& pass, Matrix<const Real> dout, const Slot& slot,
                                 Deferred& deferred) const {
  gather_rows<Real>(pass.exec, dout, slot.route.source(), deferred.dy);
}

template <class Real>
void Moe<Real>::experts_backward(Pass<Real>& pass, Matrix<const Real> dout, Slot& slot,
                                 Deferred& deferred, Matrix<Real> shared_dx) const {
  grouped(pass, GemmForm::nn, down_, slot.route, deferred.dy, dact_);
  observe(pass, "experts.dact", slot.route, dact_);
  swiglu_backward<Real>(pass.exec, dact_, slot.gate_up, slot.route.weights(), deferred.dgate_up,
                        dweights_);
  observe(pass, "experts.dgate_up", slot.route, deferred.dgate_up);
  grouped(pass, GemmForm::nn, gate_up_, slot.route, deferred.dgate_up, dx_);
  observe(pass, "experts.dx", slot.route, dx_);
  if (has_shared()) shared_.backward_input(pass, dout, slot.shared, deferred.shared, shared_dx);
}

template <class Real>
void Moe<Real>::dispatch_backward(Pass<Real>& pass, const Slot& slot,
                                  Matrix<Real> routed_dx) const {
  tree_combine<Real>(pass.exec, config_.experts, dx_, slot.selected, slot.route.row_of(),
                     routed_dx);
  slot.route.collect(pass.exec, dweights_, dweight_);
}

template <class Real>
void Moe<Real>::gate_backward(Pass<Real>& pass, const Slot& slot, Deferred& deferred,
                              Matrix<Real> gate_dx) const {
  moray::gate_backward<Real>(pass.exec, rule_, dweight_, slot.s, slot.selected, slot.q,
                             deferred.dlogit);
  observe(pass, "gate.dw", dweight_);
  observe(pass, "gate.dlogit", deferred.dlogit);
  gate_.backward_input(pass, deferred.dlogit, gate_dx);
  observe(pass, "gate.dx", gate_dx);
}

template <class Real>
void Moe<Real>::experts_backward_weight(Pass<Real>& pass, const RowLayout& rows, bool recompute,
                                        Matrix<const Real> dout, Matrix<const Real> x2, Slot& slot,
                                        const Deferred& deferred) const {
  if (recompute) {
    gather_rows<Real>(pass.exec, x2, slot.route.source(), slot.x);
    swiglu_forward<Real>(pass.exec, slot.gate_up, slot.route.weights(), slot.act);
  }
  grouped_weight(pass, rows, down_, slot.route, deferred.dy, slot.act);
  grouped_weight(pass, rows, gate_up_, slot.route, deferred.dgate_up, slot.x);
  if (has_shared())
    shared_.backward_weight(pass, rows, recompute, dout, x2, slot.shared, deferred.shared);
}

template <class Real>
void Moe<Real>::gate_backward_weight(Pass<Real>& pass, const RowLayout& rows, Matrix<const Real> x2,
                                     const Deferred& deferred) const {
  gate_.backward_weight(pass, rows, deferred.dlogit, x2);
}

template class Moe<float>;
template class Moe<double>;

}  // namespace moray
