#include "planning/parameter_plan.hpp"

#include <array>
#include <string_view>

#include "core/error.hpp"

namespace moray {
namespace {

enum Kind : std::size_t { embedding, attention, dense, gate, shared, routed, norms, head, kinds };
constexpr std::array<std::string_view, kinds> kNames = {
    "embedding",      "attention",      "dense FFN", "gate",
    "shared experts", "routed experts", "norms",     "head"};

/// The norms of the latents are counted with attention, as in the published sums per layer.
Kind kind_of(std::string_view name) {
  const auto holds = [&](std::string_view part) {
    return name.find(part) != std::string_view::npos;
  };
  if (holds("embed_tokens")) return embedding;
  if (holds("lm_head")) return head;
  if (holds(".self_attn.")) return attention;
  if (holds("norm.")) return norms;
  if (holds(".mlp.gate.")) return gate;
  if (holds(".shared_experts.")) return shared;
  if (holds(".experts.")) return routed;
  MORAY_REQUIRE(holds(".mlp."));
  return dense;
}

}  // namespace

ParameterPlan count_parameters(const Model<float>& model) {
  ParameterPlan plan;
  std::array<std::int64_t, kinds> totals = {};
  const std::vector<Parameter>& list = model.parameters().list();
  // Tensors of the MTP modules are declared behind the head, which is the trunk's last.
  bool trunk = true;
  for (const Parameter& p : list) {
    if (trunk) totals[kind_of(p.name)] += p.elements();
    if (!trunk) plan.mtp += p.elements();
    if (p.name == "lm_head.weight") trunk = false;
  }
  const MoeConfig& moe = model.config().moe;
  if (moe.gate == "sigmoid") {
    const auto all = static_cast<std::int64_t>(model.moe_layers().size());
    totals[gate] += model.trunk_moe_layers() * moe.experts;
    plan.mtp += (all - model.trunk_moe_layers()) * moe.experts;
  }
  for (std::size_t k = 0; k < kinds; ++k) {
    if (totals[k] == 0) continue;
    std::int64_t active = totals[k];
    if (k == embedding) active = 0;
    if (k == routed) active = totals[k] / moe.experts * moe.top_k;
    plan.modules.push_back({std::string(kNames[k]), totals[k], active});
    plan.total += totals[k];
    plan.active += active;
  }
  return plan;
}

}  // namespace moray
