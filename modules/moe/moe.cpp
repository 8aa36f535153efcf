#include "moe/moe.hpp"

#include "core/error.hpp"
#include "core/log.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/permute/permute.hpp"

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
               const MoeConfig& config, const ExpertShare& share)
    : name_(prefix),
      config_(config),
      precision_(parameters.precision()),
      share_(share),
      rule_(gate_rule(config)) {
  gate_ =
      Linear<Real>(parameters, Region::dense, width, {{prefix + "gate.weight", config.experts}});
  experts_ = Experts<Real>(parameters, prefix, width, config, share);
  if (has_shared()) {
    shared_ = Ffn<Real>(parameters, prefix + "shared_experts.", width,
                        config.shared_experts * config.width);
  }
}

template <class Real>
void Moe<Real>::allocate_state(Arena& arena) {
  if (has_bias()) bias_ = arena.vector<Real>(Memory::weights, config_.experts);
  loads_.assign(static_cast<std::size_t>(config_.experts), 0);
  uncounted_ = loads_;
}

template <class Real>
typename Moe<Real>::Slot Moe<Real>::make_slot(Arena& arena, std::int64_t sequences,
                                              std::int64_t tokens, bool recompute) const {
  std::int64_t rows = tokens * config_.top_k;
  const std::int64_t width = gate_.in();
  const std::int64_t forward_bytes = experts_.x_bytes();
  Slot slot;
  slot.s = arena.matrix<Real>(Memory::activations, tokens, config_.experts);
  slot.selected = arena.matrix<std::int32_t>(Memory::activations, tokens, config_.top_k);
  slot.weight = arena.matrix<Real>(Memory::activations, tokens, config_.top_k);
  if (config_.sequence_loss > 0) {
    slot.counts = arena.matrix<std::int64_t>(Memory::activations, sequences, config_.experts);
    slot.q = arena.matrix<Real>(Memory::activations, sequences, config_.experts);
    slot.balance = arena.vector<Real>(Memory::activations, sequences);
  }
  if (share_.whole()) {
    slot.route = Route<Real>(arena, sequences, tokens, config_.experts, config_.top_k);
  } else {
    slot.traffic =
        TokenTraffic<Real>(arena, share_, sequences, tokens, config_.experts, config_.top_k, width,
                           experts_.x_format(), experts_.dy_format());
    rows = slot.traffic.planned_rows();
    slot.route = Route<Real>(arena, share_.first(config_.experts), share_.count(config_.experts),
                             slot.traffic.planned_tokens(), rows, slot.traffic.local_choices());
    slot.received =
        arena.rows<std::byte>(Memory::activations, slot.traffic.planned_tokens(), forward_bytes);
  }
  slot.planned_rows = rows;
  slot.kept =
      Kept(arena, precision_.swiglu_cache(experts_.down(0).compute()), rows, 2 * config_.width);
  slot.gate_up = slot.kept.low() ? arena.shared_rows<Real>("moe.gate_up", rows, 2 * config_.width)
                                 : arena.rows<Real>(Memory::activations, rows, 2 * config_.width);
  slot.x = recompute
               ? arena.shared_rows<std::byte>(row_key("moe.x", forward_bytes), rows, forward_bytes)
               : arena.rows<std::byte>(Memory::activations, rows, forward_bytes);
  // What is kept in fewer bits gives the backward another activation than the forward had.
  slot.act = recompute || slot.kept.low()
                 ? arena.shared_rows<Real>("moe.act", rows, config_.width)
                 : arena.rows<Real>(Memory::activations, rows, config_.width);
  slot.y = arena.shared_rows<Real>("moe.y", rows, width);
  if (has_shared())
    slot.shared = shared_.make_slot(arena, "moe.shared", sequences, tokens / sequences, recompute);
  experts_.make_workspace(arena, sequences, tokens, rows,
                          share_.count(config_.experts) * share_.shares);
  return slot;
}

template <class Real>
typename Moe<Real>::Deferred Moe<Real>::make_deferred(Arena& arena, const Slot& slot,
                                                      std::int64_t tokens, bool own) {
  const std::int64_t rows = slot.planned_rows;
  const std::int64_t width = gate_.in();
  const std::int64_t backward_bytes = experts_.dy_bytes();
  logits_ = arena.shared_matrix<Real>("moe.logits", tokens, config_.experts);
  bad_token_ = arena.shared_vector<std::int64_t>("moe.bad_token", 1);
  dact_ = arena.shared_rows<Real>("moe.dact", rows, config_.width);
  dx_ = arena.shared_rows<Real>("moe.dx", rows, width);
  dweights_ = arena.shared_rows<Real>("moe.dweights", rows, 1);
  dweight_ = arena.shared_matrix<Real>("moe.dweight", tokens, config_.top_k);
  Deferred deferred;
  if (!share_.whole()) {
    deferred.received = arena.shared_rows<std::byte>(row_key("moe.received_dy", backward_bytes),
                                                     slot.received->capacity(), backward_bytes);
  }
  deferred.dy =
      arena.deferred_rows<std::byte>(row_key("moe.dy", backward_bytes), rows, backward_bytes, own);
  deferred.dgate_up = arena.deferred_rows<Real>("moe.dgate_up", rows, 2 * config_.width, own);
  deferred.dlogit = arena.deferred_matrix<Real>("moe.dlogit", tokens, config_.experts, own);
  if (has_shared()) deferred.shared = shared_.make_deferred(arena, "moe.shared", tokens, own);
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
  if (bad < rows.total() && !pass.error) {
    pass.error = Error(
        ExitCode::numerics,
        fmt::format("{}gate: a logit of position {} of sequence {} of this step is not finite; "
                    "weights or activations have overflowed",
                    name_, bad % rows.rows,
                    rows.batch->global()[static_cast<std::size_t>(bad / rows.rows)]));
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
  std::vector<std::int64_t>& counted = routing == Routing::train ? loads_ : uncounted_;
  if (!share_.whole()) {
    slot.traffic.plan(pass.exec, rows, slot.selected, slot.weight, counted);
    return;
  }
  slot.route.build(pass.exec, rows, slot.selected, slot.weight);
  for (std::int64_t e = 0; e < config_.experts; ++e)
    counted[static_cast<std::size_t>(e)] += slot.route.expert_rows(e).rows;
}

template <class Real>
void Moe<Real>::dispatch_start(Pass<Real>& pass, const RowLayout& rows, Matrix<const Real> x2,
                               Slot& slot) const {
  if (share_.whole()) return;
  slot.traffic.announce();
  slot.traffic.dispatch_start(pass.exec, experts_.packed(pass, Operand::value, x2), slot.received);
  std::int64_t grown = slot.traffic.grown() + slot.route.build(*rows.batch, slot.traffic.received(),
                                                               slot.traffic.sequences());
  const std::int64_t needed = slot.route.rows();
  for (const Rows<Real>& buffer : {slot.gate_up, slot.act, slot.y, dact_, dx_, dweights_}) {
    if (buffer != nullptr) grown += buffer->require(needed);
  }
  grown += slot.x->require(needed) + slot.kept.require(needed) + experts_.require(needed);
  if (grown > 0) report_growth(grown, needed);
}

template <class Real>
void Moe<Real>::report_growth(std::int64_t bytes, std::int64_t rows) const {
  // Layers grow one after the other: only what is clearly more than before is news.
  static std::int64_t most = 0;
  if (rows <= most + most / 4) return;
  most = rows;
  Log::global().warn(
      "{}experts of share {} got {} rows in one micro-batch, more than planned: {:.1f} MB "
      "allocated (parallel.headroom)",
      name_, share_.share, rows, static_cast<double>(bytes) / 1e6);
}

template <class Real>
Matrix<const std::byte> Moe<Real>::dispatched(Pass<Real>& pass, Matrix<const Real> x2,
                                              const Slot& slot) const {
  if (share_.whole()) return experts_.packed(pass, Operand::value, x2);
  return slot.received->first(slot.traffic.received().tokens);
}

template <class Real>
void Moe<Real>::dispatch_relay(Pass<Real>& pass, Slot& slot) const {
  if (!share_.whole()) slot.traffic.dispatch_relay(pass.exec, slot.received);
}

template <class Real>
void Moe<Real>::dispatch_finish(Pass<Real>& pass, Slot& slot) {
  if (share_.whole()) return;
  slot.traffic.dispatch_finish(pass.exec, slot.received);
  fan_out_.add({slot.selected.rows, slot.traffic.copies()});
}

template <class Real>
void Moe<Real>::experts_forward(Pass<Real>& pass, Matrix<const Real> x2, Slot& slot,
                                Matrix<Real> shared_out) const {
  const Route<Real>& route = slot.route;
  const Matrix<Real> gate_up = slot.gate_up->first(route.rows());
  const Matrix<Real> values = slot.act->first(route.rows());
  const Matrix<Real> y = slot.y->first(route.rows());
  const Matrix<std::byte> x = slot.x->first(route.rows());
  if (has_shared()) shared_.forward(pass, x2, slot.shared, shared_out);
  // Here and not in dispatch_finish: under recompute another micro-batch uses x between the two.
  gather_row_bytes(pass.exec, dispatched(pass, x2, slot), route.source(), x);
  experts_.forward_gate_up(pass, route, x, gate_up);
  observe(pass, "experts.gate_up", route, gate_up);
  const CodeRoom room = slot.kept.low() ? experts_.act_room(pass, route.rows()) : CodeRoom();
  const Input<Real> act =
      swiglu_for_product<Real>(pass.exec, gate_up, route.weights(), values, room);
  observe(pass, "experts.act", route, values);
  slot.kept.keep(pass.exec, precision_.scale_rule(), gate_up);
  experts_.forward_down(pass, route, act, y);
  observe(pass, "experts.y", route, y);
}

template <class Real>
void Moe<Real>::combine_start(Pass<Real>& pass, Slot& slot) const {
  if (share_.whole()) return;
  const Matrix<Real> sums = slot.traffic.sums();
  tree_combine<Real>(pass.exec, slot.route.experts(), slot.y->first(slot.route.rows()),
                     slot.route.selected(), slot.route.row_of(), sums, experts_.y_sums());
  slot.traffic.combine_start(pass.exec, false, experts_.y_sums());
}

template <class Real>
void Moe<Real>::combine_relay(Pass<Real>& pass, Slot& slot) const {
  if (!share_.whole()) slot.traffic.combine_relay(pass.exec);
}

template <class Real>
void Moe<Real>::combine_finish(Pass<Real>& pass, Slot& slot, Matrix<Real> routed) const {
  if (!share_.whole()) return slot.traffic.combine_finish(pass.exec, routed, {});
  tree_combine<Real>(pass.exec, config_.experts, slot.y->first(slot.route.rows()),
                     slot.route.selected(), slot.route.row_of(), routed, experts_.y_sums());
}

template <class Real>
void Moe<Real>::combine_backward_start(Pass<Real>& pass, Matrix<const Real> dout, Slot& slot,
                                       Deferred& deferred) const {
  if (share_.whole()) return;
  slot.traffic.dispatch_start(pass.exec, experts_.packed(pass, Operand::gradient, dout),
                              deferred.received);
  deferred.dy->require(slot.route.rows());
  deferred.dgate_up->require(slot.route.rows());
}

template <class Real>
void Moe<Real>::combine_backward_relay(Pass<Real>& pass, Slot& slot, Deferred& deferred) const {
  if (!share_.whole()) slot.traffic.dispatch_relay(pass.exec, deferred.received);
}

template <class Real>
void Moe<Real>::combine_backward_finish(Pass<Real>& pass, Matrix<const Real> dout, Slot& slot,
                                        Deferred& deferred) const {
  Matrix<const std::byte> rows;
  if (share_.whole()) {
    rows = experts_.packed(pass, Operand::gradient, dout);
  } else {
    slot.traffic.dispatch_finish(pass.exec, deferred.received);
    rows = deferred.received->first(slot.traffic.received().tokens);
  }
  gather_row_bytes(pass.exec, rows, slot.route.source(), deferred.dy->first(slot.route.rows()));
}

template <class Real>
void Moe<Real>::experts_backward_down(Pass<Real>& pass, Slot& slot, Deferred& deferred) const {
  const Route<Real>& route = slot.route;
  const Matrix<Real> dact = dact_->first(route.rows());
  const Matrix<Real> dgate_up = deferred.dgate_up->first(route.rows());
  experts_.backward_down(pass, route, deferred.dy->first(route.rows()), dact);
  observe(pass, "experts.dact", route, dact);
  slot.kept.template swiglu_backward<Real>(pass.exec, dact, slot.gate_up->first(route.rows()),
                                           route.weights(), dgate_up,
                                           {dweights_->first(route.rows()).data, route.rows()});
  observe(pass, "experts.dgate_up", route, dgate_up);
}

template <class Real>
void Moe<Real>::experts_backward_gate_up(Pass<Real>& pass, Matrix<const Real> dout, Slot& slot,
                                         Deferred& deferred, Matrix<Real> shared_dx) const {
  const Route<Real>& route = slot.route;
  const Matrix<Real> dx = dx_->first(route.rows());
  experts_.backward_gate_up(pass, route, deferred.dgate_up->first(route.rows()), dx);
  observe(pass, "experts.dx", route, dx);
  if (has_shared()) shared_.backward_input(pass, dout, slot.shared, deferred.shared, shared_dx);
}

template <class Real>
void Moe<Real>::dispatch_backward_start(Pass<Real>& pass, Slot& slot) const {
  if (share_.whole()) return;
  const Route<Real>& route = slot.route;
  const Matrix<Real> sums = slot.traffic.sums();
  const Matrix<Real> dweights = slot.traffic.dweights();
  tree_combine<Real>(pass.exec, route.experts(), dx_->first(route.rows()), route.selected(),
                     route.row_of(), sums, experts_.dx_sums());
  route.collect(pass.exec, {dweights_->first(route.rows()).data, route.rows()}, dweights);
  slot.traffic.combine_start(pass.exec, true, experts_.dx_sums());
}

template <class Real>
void Moe<Real>::dispatch_backward_finish(Pass<Real>& pass, Slot& slot,
                                         Matrix<Real> routed_dx) const {
  const Matrix<Real> dweight = dweight_.row_range(0, routed_dx.rows);
  if (!share_.whole()) {
    slot.traffic.combine_finish(pass.exec, routed_dx, dweight);
    return;
  }
  const Route<Real>& route = slot.route;
  tree_combine<Real>(pass.exec, config_.experts, dx_->first(route.rows()), route.selected(),
                     route.row_of(), routed_dx, experts_.dx_sums());
  route.collect(pass.exec, {dweights_->first(route.rows()).data, route.rows()}, dweight);
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
  const Route<Real>& route = slot.route;
  const Matrix<std::byte> x = slot.x->first(route.rows());
  const Matrix<std::byte> dy = deferred.dy->first(route.rows());
  const Matrix<Real> values = slot.act->first(route.rows());
  const Matrix<Real> dgate_up = deferred.dgate_up->first(route.rows());
  const Uncounted<Real> again(pass);
  if (recompute) gather_row_bytes(pass.exec, dispatched(pass, x2, slot), route.source(), x);
  Input<Real> act = values;
  if (recompute || slot.kept.low()) {
    act = slot.kept.template swiglu<Real>(pass.exec, slot.gate_up->first(route.rows()),
                                          route.weights(), values,
                                          experts_.act_room(pass, route.rows()));
  }
  experts_.backward_weight(pass, rows, route, dy, act, dgate_up, x);
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
