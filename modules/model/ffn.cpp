#include "model/ffn.hpp"

namespace moray {

template <class Real>
Ffn<Real>::Ffn(Parameters<Real>& parameters, const std::string& prefix, std::int64_t width,
               std::int64_t hidden)
    : precision_(parameters.precision()),
      gate_up_(parameters, Region::dense, width,
               {{prefix + "gate_proj.weight", hidden}, {prefix + "up_proj.weight", hidden}}),
      down_(parameters, Region::dense, hidden, {{prefix + "down_proj.weight", width}}) {}

template <class Real>
typename Ffn<Real>::Slot Ffn<Real>::make_slot(Arena& arena, const std::string& name,
                                              std::int64_t sequences, std::int64_t rows,
                                              bool recompute) const {
  const std::int64_t tokens = sequences * rows;
  gate_up_.make_workspace(arena, precision_, sequences, rows);
  down_.make_workspace(arena, precision_, sequences, rows);
  Slot slot;
  slot.kept = Kept(arena, precision_.swiglu_cache(down_.compute()), tokens, gate_up_.out());
  slot.gate_up = slot.kept.low()
                     ? arena.shared_matrix<Real>(name + ".gate_up", tokens, gate_up_.out())
                     : arena.matrix<Real>(Memory::activations, tokens, gate_up_.out());
  // What is kept in fewer bits gives the backward another activation than the forward had.
  slot.act = recompute || slot.kept.low()
                 ? arena.shared_matrix<Real>(name + ".act", tokens, down_.in())
                 : arena.matrix<Real>(Memory::activations, tokens, down_.in());
  return slot;
}

template <class Real>
typename Ffn<Real>::Deferred Ffn<Real>::make_deferred(Arena& arena, const std::string& name,
                                                      std::int64_t tokens, bool own) {
  dact_ = arena.shared_matrix<Real>(name + ".dact", tokens, down_.in());
  return {arena.deferred_matrix<Real>(name + ".dgate_up", tokens, gate_up_.out(), own)};
}

template <class Real>
void Ffn<Real>::forward(Pass<Real>& pass, Matrix<const Real> x, Slot& slot,
                        Matrix<Real> out) const {
  gate_up_.forward(pass, x, slot.gate_up);
  observe(pass, "ffn.gate_up", slot.gate_up);
  const CodeRoom room = slot.kept.low() ? down_.room(pass, x.rows) : CodeRoom();
  const Input<Real> act = swiglu_for_product<Real>(pass.exec, slot.gate_up, {}, slot.act, room);
  observe(pass, "ffn.act", slot.act);
  slot.kept.keep(pass.exec, precision_.scale_rule(), slot.gate_up);
  down_.forward(pass, act, out);
  observe(pass, "ffn.y", out);
}

template <class Real>
void Ffn<Real>::backward_input(Pass<Real>& pass, Matrix<const Real> dout, const Slot& slot,
                               Deferred& deferred, Matrix<Real> dx) const {
  down_.backward_input(pass, dout, dact_);
  observe(pass, "ffn.dact", dact_);
  slot.kept.template swiglu_backward<Real>(pass.exec, dact_, slot.gate_up, {}, deferred.dgate_up,
                                           {});
  observe(pass, "ffn.dgate_up", deferred.dgate_up);
  gate_up_.backward_input(pass, deferred.dgate_up, dx);
  observe(pass, "ffn.dx", dx);
}

template <class Real>
void Ffn<Real>::backward_weight(Pass<Real>& pass, const RowLayout& rows, bool recompute,
                                Matrix<const Real> dout, Matrix<const Real> x, Slot& slot,
                                const Deferred& deferred) const {
  Input<Real> act = slot.act;
  if (recompute || slot.kept.low()) {
    act = slot.kept.template swiglu<Real>(pass.exec, slot.gate_up, {}, slot.act,
                                          down_.room(pass, x.rows));
  }
  down_.backward_weight(pass, rows, dout, act);
  gate_up_.backward_weight(pass, rows, deferred.dgate_up, x);
}

template class Ffn<float>;
template class Ffn<double>;

}  // namespace moray
