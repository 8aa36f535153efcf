#pragma once

#include "kernels/gate/gate.hpp"
#include "kernels/tensor.hpp"

/// One call of the gate with everything that it gives.
namespace moray::test {

template <class Real>
struct Routing {
  Tensor<Real> s, weight;
  Tensor<std::int32_t> selected;
  std::int64_t bad_token = -1;
};

template <class Real>
Routing<Real> route(const GateRule& rule, Tensor<Real>& logits, Tensor<Real>& bias) {
  const ExecSpace exec;
  const std::int64_t tokens = logits.rows();
  Routing<Real> out = {Tensor<Real>(tokens, rule.experts, 1), Tensor<Real>(tokens, rule.top_k, 2),
                       Tensor<std::int32_t>(tokens, rule.top_k, 3)};
  auto bad = vector_tensor<std::int64_t>(1).fill_with(-1);
  gate_forward<Real>(exec, rule, logits.device(), bias.device_vector(), out.s.device(),
                     out.selected.device(), out.weight.device(), bad.device_vector());
  finish(exec);
  out.s.fetch();
  out.weight.fetch();
  out.selected.fetch();
  bad.fetch();
  out.bad_token = bad[0];
  return out;
}

}  // namespace moray::test
