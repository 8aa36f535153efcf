#include "moe/moe.hpp"

#include "core/error.hpp"
#include "core/log.hpp"
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
               const MoeConfig& config, const ExpertShare& share)
    : name_(prefix),
      config_(config),
      precision_(parameters.precision()),
      share_(share),
      rule_(gate_rule(config)) {
  const std::int64_t first = share.first(config.experts);
  const std::int64_t end = first + share.count(config.experts);
  gate_ =
      Linear<Real>(parameters, Region::dense, width, {{prefix + "gate.weight", config.experts}});
  for (std::int64_t e = 0; e < config.experts; ++e) {
    const std::string expert = fmt::format("{}experts.{}.", prefix, e);
    const bool held = e >= first && e < end;
    gate_up_.emplace_back(
        parameters, Region::expert, width,
        std::vector<typename Linear<Real>::Part>{{expert + "gate_proj.weight", config.width},
                                                 {expert + "up_proj.weight", config.width}},
        held);
    down_.emplace_back(
        parameters, Region::expert, config.width,
        std::vector<typename Linear<Real>::Part>{{expert + "down_proj.weight", width}}, held);
  }
  forward_ = row_format(any(gate_up_).compute());
  backward_ = row_format(any(down_).compute());
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

namespace {
/// Layers that pack rows alike share a buffer.
std::string row_key(const char* name, std::int64_t bytes) {
  return fmt::format("{}.{}", name, bytes);
}
}  // namespace

template <class Real>
typename Moe<Real>::Slot Moe<Real>::make_slot(Arena& arena, std::int64_t sequences,
                                              std::int64_t tokens, bool recompute) const {
  std::int64_t rows = tokens * config_.top_k;
  const std::int64_t width = gate_.in();
  const std::int64_t forward_bytes = row_bytes<Real>(forward_, width);
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
    slot.traffic = TokenTraffic<Real>(arena, share_, sequences, tokens, config_.experts,
                                      config_.top_k, width, forward_, backward_);
    rows = slot.traffic.planned_rows();
    slot.route = Route<Real>(arena, share_.first(config_.experts), share_.count(config_.experts),
                             slot.traffic.planned_tokens(), rows, slot.traffic.local_choices());
    slot.received =
        arena.rows<std::byte>(Memory::activations, slot.traffic.planned_tokens(), forward_bytes);
  }
  slot.planned_rows = rows;
  slot.kept = Kept(arena, precision_.swiglu_cache(any(down_).compute()), rows, 2 * config_.width);
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
  make_low_workspace(arena, sequences, tokens, rows);
  return slot;
}

template <class Real>
void Moe<Real>::make_low_workspace(Arena& arena, std::int64_t sequences, std::int64_t tokens,
                                   std::int64_t rows) const {
  if (forward_ == RowFormat::real && backward_ == RowFormat::real) return;
  const std::int64_t width = gate_.in();
  const std::int64_t runs = share_.count(config_.experts) * sequences * share_.shares;
  for (const Linear<Real>* linear : {&any(gate_up_), &any(down_)}) {
    scratch_ =
        LowScratch(arena, precision_, linear->compute(), rows, runs, linear->in(), linear->out());
  }
  sequence_rows_ = tokens / sequences;
  const auto pack = [&](const char* key, RowFormat format) {
    const std::int64_t bytes = row_bytes<Real>(format, width);
    return arena.shared_rows<std::byte>(row_key(key, bytes), format == RowFormat::real ? 0 : tokens,
                                        bytes);
  };
  packed_forward_ = pack("moe.packed", forward_);
  packed_backward_ = pack("moe.packed_gradients", backward_);
  token_scales_ = arena.shared_rows<float>("moe.token_scales", tokens, scale_blocks(width));
  row_scales_ = arena.shared_rows<float>("moe.row_scales", rows, scale_blocks(width));
}

template <class Real>
typename Moe<Real>::Deferred Moe<Real>::make_deferred(Arena& arena, const Slot& slot,
                                                      std::int64_t tokens, bool own) {
  const std::int64_t rows = slot.planned_rows;
  const std::int64_t width = gate_.in();
  const std::int64_t backward_bytes = row_bytes<Real>(backward_, width);
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
  slot.traffic.dispatch_start(pass.exec, packed(pass, forward_, Operand::value, x2), slot.received);
  std::int64_t grown = slot.traffic.grown() + slot.route.build(*rows.batch, slot.traffic.received(),
                                                               slot.traffic.sequences());
  const std::int64_t needed = slot.route.rows();
  for (const Rows<Real>& buffer : {slot.gate_up, slot.act, slot.y, dact_, dx_, dweights_}) {
    if (buffer != nullptr) grown += buffer->require(needed);
  }
  grown += slot.x->require(needed) + slot.kept.require(needed);
  if (row_scales_ != nullptr) grown += row_scales_->require(needed);
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
Matrix<const std::byte> Moe<Real>::packed(Pass<Real>& pass, RowFormat format, Operand what,
                                          Matrix<const Real> x) const {
  if (format == RowFormat::real) return as_bytes<Real>(x);
  const Matrix<std::byte> rows =
      (what == Operand::value ? packed_forward_ : packed_backward_)->first(x.rows);
  const Matrix<const Real> values = x;
  if constexpr (std::is_same_v<Real, float>) {
    if (format == RowFormat::e4m3 && precision_.coarse()) {
      pass.blocks.clear();
      for (std::int64_t begin = 0; begin < x.rows; begin += sequence_rows_)
        append_row_blocks(begin, sequence_rows_, pass.blocks);
      x = coarse_values(pass.exec, precision_, what, x, upload_blocks(pass.blocks, scratch_),
                        scratch_);
    }
  }
  const Matrix<float> scales = token_scales_->first(x.rows);
  pack_rows<Real>(pass.exec, format, x, scales, rows);
  if constexpr (std::is_same_v<Real, float>) {
    // Each token once, however many experts read it and wherever they are.
    if (pass.statistics != nullptr && format == RowFormat::e4m3) {
      const bool gradient = what == Operand::gradient;
      pass.statistics->add(pass.exec, any(gradient ? down_ : gate_up_).weight().tensor,
                           gradient ? Fp8Role::dy : Fp8Role::x, values,
                           packed_codes(rows, x.cols, scales), 1);
    }
  }
  return rows;
}

template <class Real>
Matrix<const std::byte> Moe<Real>::dispatched(Pass<Real>& pass, Matrix<const Real> x2,
                                              const Slot& slot) const {
  if (share_.whole()) return packed(pass, forward_, Operand::value, x2);
  return slot.received->first(slot.traffic.received().tokens);
}

template <class Real>
void Moe<Real>::dispatch_finish(Pass<Real>& pass, Slot& slot) const {
  if (!share_.whole()) slot.traffic.dispatch_finish(pass.exec, slot.received);
}

template <class Real>
void Moe<Real>::grouped(Pass<Real>& pass, GemmForm form, const std::vector<Linear<Real>>& experts,
                        Slot& slot, Matrix<const Real> in, Matrix<Real> out) const {
  const Route<Real>& route = slot.route;
  if constexpr (std::is_same_v<Real, float>) {
    if (any(experts).low()) {
      Vector<const RowBlock> blocks;
      if (precision_.coarse()) blocks = expert_blocks(pass, slot);
      const Operand what = form == GemmForm::nt ? Operand::value : Operand::gradient;
      const MixedOperand rows = row_operand(pass.exec, precision_, any(experts).compute(), what, in,
                                            blocks, scratch_, scratch_.tokens);
      count_codes(pass, any(experts).weight(), what, in, rows);
      return grouped_low(pass, form, experts, route, rows, in.cols, out);
    }
  }
  pass.tasks.clear();
  for (std::int64_t e = 0; e < route.experts(); ++e) {
    const auto range = route.expert_rows(e);
    const Matrix<const Real> weight = pass.parameters->weight(
        experts[static_cast<std::size_t>(route.first_expert() + e)].weight());
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
void Moe<Real>::grouped(Pass<Real>& pass, GemmForm form, const std::vector<Linear<Real>>& experts,
                        Slot& slot, RowFormat format, Matrix<std::byte> in,
                        Matrix<Real> out) const {
  const std::int64_t width = gate_.in();
  if (format == RowFormat::real) {
    grouped(pass, form, experts, slot, as_numbers<Real>(in), out);
  } else if (format == RowFormat::bf16) {
    grouped_low(pass, form, experts, slot.route, bf16_rows(in, width), width, out);
  } else {
    const Quantized codes = row_codes(pass.exec, in, width, row_scales_->first(in.rows));
    grouped_low(pass, form, experts, slot.route, operand(codes, 1, ScaleRule::power_of_two), width,
                out);
  }
}

template <class Real>
void Moe<Real>::grouped_low(Pass<Real>& pass, GemmForm form,
                            const std::vector<Linear<Real>>& experts, const Route<Real>& route,
                            const MixedOperand& in, std::int64_t k, Matrix<Real> out) const {
  if constexpr (std::is_same_v<Real, float>) {
    pass.mixed_tasks.clear();
    for (std::int64_t e = 0; e < route.experts(); ++e) {
      const auto range = route.expert_rows(e);
      pass.mixed_tasks.push_back(
          {.a = rows_from(in, range.begin),
           .b = pass.parameters->low_weight(
               experts[static_cast<std::size_t>(route.first_expert() + e)].weight()),
           .c = out.row(range.begin),
           .rounds = true,
           .ldc = out.stride,
           .m = range.rows,
           .n = out.cols,
           .k = k});
    }
    mixed_gemm(pass.exec, form, pass.mixed_tasks,
               in.scales != nullptr ? precision_.accumulation() : Accumulation::exact);
  }
}

template <class Real>
Vector<const RowBlock> Moe<Real>::expert_blocks(Pass<Real>& pass, Slot& slot) const {
  fence(pass.exec, "moray::moe: the order of rows to the host");
  slot.route.row_blocks(pass.blocks, first_block_);
  return upload_blocks(pass.blocks, scratch_);
}

template <class Real>
MixedOperand Moe<Real>::packed_channels(Pass<Real>& pass, RowFormat format, Matrix<std::byte> rows,
                                        Vector<const RowBlock> blocks,
                                        const LowScratch::Buffer& buffer) const {
  const std::int64_t width = gate_.in();
  if (format == RowFormat::bf16) return bf16_rows(rows, width);
  const Quantized codes = row_codes(pass.exec, rows, width, row_scales_->first(rows.rows));
  return channel_operand(pass.exec, precision_, codes, width, blocks, buffer);
}

template <class Real>
void Moe<Real>::grouped_low_weight(Pass<Real>& pass, const RowLayout& rows,
                                   const std::vector<Linear<Real>>& experts,
                                   const Route<Real>& route, const MixedOperand& dy,
                                   const MixedOperand& x, Vector<const RowBlock> blocks) const {
  if constexpr (std::is_same_v<Real, float>) {
    const auto& segments = rows.batch->expert_segments();
    const bool fp8 = dy.scales != nullptr;
    pass.mixed_tasks.clear();
    for (std::int64_t e = 0; e < route.experts(); ++e) {
      for (std::size_t s = 0; s < segments.size(); ++s) {
        const Matrix<float> dw = pass.parameters->gradient(
            experts[static_cast<std::size_t>(route.first_expert() + e)].weight(), segments[s].lane);
        const auto range = route.lane_rows(e, static_cast<std::int64_t>(s));
        MixedGemmTask task = {
            .a = dy, .b = x, .c = dw.data, .ldc = dw.stride, .m = dw.rows, .n = dw.cols};
        if (fp8) {
          const std::size_t run = static_cast<std::size_t>(e) * segments.size() + s;
          const std::int64_t first = first_block_[run];
          task.blocks = blocks.slice(first, first_block_[run + 1] - first);
          task.a.scales += first * task.a.scale_stride;
          task.b.scales += first * task.b.scale_stride;
        } else {
          task.a = rows_from(dy, range.begin);
          task.b = rows_from(x, range.begin);
          task.k = range.rows;
        }
        pass.mixed_tasks.push_back(task);
      }
    }
    mixed_gemm(pass.exec, GemmForm::tn, pass.mixed_tasks,
               fp8 ? precision_.accumulation() : Accumulation::exact);
  }
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
          experts[static_cast<std::size_t>(route.first_expert() + e)].weight(), segments[s].lane);
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
  const Route<Real>& route = slot.route;
  const Matrix<Real> gate_up = slot.gate_up->first(route.rows());
  const Matrix<Real> act = slot.act->first(route.rows());
  const Matrix<Real> y = slot.y->first(route.rows());
  const Matrix<std::byte> x = slot.x->first(route.rows());
  if (has_shared()) shared_.forward(pass, x2, slot.shared, shared_out);
  // Here and not in dispatch_finish: under recompute another micro-batch uses x between the two.
  gather_row_bytes(pass.exec, dispatched(pass, x2, slot), route.source(), x);
  grouped(pass, GemmForm::nt, gate_up_, slot, forward_, x, gate_up);
  observe(pass, "experts.gate_up", route, gate_up);
  swiglu_forward<Real>(pass.exec, gate_up, route.weights(), act);
  observe(pass, "experts.act", route, act);
  slot.kept.keep(pass.exec, precision_.scale_rule(), gate_up);
  grouped(pass, GemmForm::nt, down_, slot, act, y);
  observe(pass, "experts.y", route, y);
}

template <class Real>
void Moe<Real>::combine_start(Pass<Real>& pass, Slot& slot) const {
  if (share_.whole()) return;
  const Matrix<Real> sums = slot.traffic.sums();
  tree_combine<Real>(pass.exec, slot.route.experts(), slot.y->first(slot.route.rows()),
                     slot.route.selected(), slot.route.row_of(), sums, tree_sums(backward_));
  slot.traffic.combine_start(pass.exec, sums, {}, tree_sums(backward_));
}

template <class Real>
void Moe<Real>::combine_finish(Pass<Real>& pass, Slot& slot, Matrix<Real> routed) const {
  if (!share_.whole()) return slot.traffic.combine_finish(pass.exec, routed, {});
  tree_combine<Real>(pass.exec, config_.experts, slot.y->first(slot.route.rows()),
                     slot.route.selected(), slot.route.row_of(), routed, tree_sums(backward_));
}

template <class Real>
void Moe<Real>::combine_backward_start(Pass<Real>& pass, Matrix<const Real> dout, Slot& slot,
                                       Deferred& deferred) const {
  if (share_.whole()) return;
  slot.traffic.dispatch_start(pass.exec, packed(pass, backward_, Operand::gradient, dout),
                              deferred.received);
  deferred.dy->require(slot.route.rows());
  deferred.dgate_up->require(slot.route.rows());
}

template <class Real>
void Moe<Real>::combine_backward_finish(Pass<Real>& pass, Matrix<const Real> dout, Slot& slot,
                                        Deferred& deferred) const {
  Matrix<const std::byte> rows;
  if (share_.whole()) {
    rows = packed(pass, backward_, Operand::gradient, dout);
  } else {
    slot.traffic.dispatch_finish(pass.exec, deferred.received);
    rows = deferred.received->first(slot.traffic.received().tokens);
  }
  gather_row_bytes(pass.exec, rows, slot.route.source(), deferred.dy->first(slot.route.rows()));
}

template <class Real>
void Moe<Real>::experts_backward(Pass<Real>& pass, Matrix<const Real> dout, Slot& slot,
                                 Deferred& deferred, Matrix<Real> shared_dx) const {
  const Route<Real>& route = slot.route;
  const Matrix<Real> dact = dact_->first(route.rows());
  const Matrix<Real> dgate_up = deferred.dgate_up->first(route.rows());
  const Matrix<Real> dx = dx_->first(route.rows());
  slot.kept.restore(pass.exec, slot.gate_up->first(route.rows()));
  grouped(pass, GemmForm::nn, down_, slot, backward_, deferred.dy->first(route.rows()), dact);
  observe(pass, "experts.dact", route, dact);
  swiglu_backward<Real>(pass.exec, dact, slot.gate_up->first(route.rows()), route.weights(),
                        dgate_up, {dweights_->first(route.rows()).data, route.rows()});
  observe(pass, "experts.dgate_up", route, dgate_up);
  grouped(pass, GemmForm::nn, gate_up_, slot, dgate_up, dx);
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
                     route.row_of(), sums, tree_sums(forward_));
  route.collect(pass.exec, {dweights_->first(route.rows()).data, route.rows()}, dweights);
  slot.traffic.combine_start(pass.exec, sums, dweights, tree_sums(forward_));
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
                     route.row_of(), routed_dx, tree_sums(forward_));
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
  const Matrix<Real> act = slot.act->first(route.rows());
  const Matrix<Real> dgate_up = deferred.dgate_up->first(route.rows());
  slot.kept.restore(pass.exec, slot.gate_up->first(route.rows()));
  const Uncounted<Real> again(pass);
  if (recompute) gather_row_bytes(pass.exec, dispatched(pass, x2, slot), route.source(), x);
  if (recompute || slot.kept.low())
    swiglu_forward<Real>(pass.exec, slot.gate_up->first(route.rows()), route.weights(), act);
  Vector<const RowBlock> blocks;
  if (forward_ != RowFormat::real || backward_ != RowFormat::real)
    blocks = expert_blocks(pass, slot);
  if constexpr (std::is_same_v<Real, float>) {
    if (backward_ != RowFormat::real) {
      const MixedOperand left = packed_channels(pass, backward_, dy, blocks, scratch_.left);
      grouped_low_weight(pass, rows, down_, route, left,
                         channel_operand(pass.exec, precision_, any(down_).compute(),
                                         Operand::value, act, blocks, scratch_, scratch_.right),
                         blocks);
    }
    if (forward_ != RowFormat::real) {
      const MixedOperand left =
          channel_operand(pass.exec, precision_, any(gate_up_).compute(), Operand::gradient,
                          dgate_up, blocks, scratch_, scratch_.left);
      grouped_low_weight(pass, rows, gate_up_, route, left,
                         packed_channels(pass, forward_, x, blocks, scratch_.right), blocks);
    }
  }
  if (backward_ == RowFormat::real)
    grouped_weight(pass, rows, down_, route, as_numbers<Real>(dy), act);
  if (forward_ == RowFormat::real)
    grouped_weight(pass, rows, gate_up_, route, dgate_up, as_numbers<Real>(x));
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
