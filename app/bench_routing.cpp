#include "bench_routing.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "data/data.hpp"
#include "io/checkpoint_folder.hpp"
#include "model/probe.hpp"
#include "training/state.hpp"

namespace moray {
namespace {

/// Keeps what the first gate of a forward chose.
class FirstGate final : public Probe<float> {
 public:
  explicit FirstGate(const ExecSpace& exec) : exec_(exec) {}

  void enter(const char*, std::int64_t, const BatchLayout&) override {}
  void rows(const char*, Matrix<const float>, std::int64_t, std::int64_t) override {}
  void choices(const char*, Matrix<const std::int32_t> values) override {
    if (seen_) return;
    seen_ = true;
    fence(exec_, "bench: choices to the host");
    chosen_.resize(static_cast<std::size_t>(values.rows * values.cols));
    copy_to_host(values.data, chosen_.size(), chosen_.data());
  }
  void expert_rows(const char*, const Route<float>&, Matrix<const float>) override {}
  void lanes(Model<float>&) override {}
  void folded(const Fold&, Vector<const float>) override {}

  /// (T, K) of the forward since the last call.
  const std::vector<std::int32_t>& take() {
    seen_ = false;
    return chosen_;
  }

 private:
  const ExecSpace& exec_;
  bool seen_ = false;
  std::vector<std::int32_t> chosen_;
};

}  // namespace

RecordedRouting record_routing(const Deck& deck, const std::string& folder, Collective& ranks,
                               std::int64_t tokens) {
  ModelConfig config = deck.model;
  config.mtp.depth = 0;
  config.moe.sequence_loss = 0;
  Model<float> model(config);
  if (model.moe_layers().empty())
    fail(ExitCode::usage, "the model has no layer of experts, so no tokens travel to them");
  const std::int64_t length = deck.batch.length;
  const ModelUse use{.sequences = 1, .rows = length, .training = false};
  Arena plan, arena;
  model.allocate(plan, use);
  arena.reserve(plan);
  model.allocate(arena, use);
  Pass<float> pass;
  model.initialize(pass.exec, deck.run.seed);
  if (!deck.init.from.empty()) {
    const Checkpoint checkpoint(ranks, resolve_checkpoint(deck.init.from));
    load_state(checkpoint, model_state(model));
    model.parameters().update_copies(pass.exec);
  }

  TrainingData data(deck.data, {deck.run.seed, length, deck.model.model.vocabulary, folder});
  FirstGate gate(pass.exec);
  pass.probe = &gate;
  BatchLayout batch(1);
  batch.assign(Deal{}, 0, 1);
  const Moe<float>& first = *model.moe_layers().front();
  RecordedRouting routing{first.name() + "gate", config.moe.experts, config.moe.top_k, {}};
  const auto wanted = static_cast<std::size_t>(tokens * routing.choices);
  const std::int64_t windows = (tokens + length - 1) / length;
  std::vector<std::int32_t> window(static_cast<std::size_t>(length) + 1);
  for (std::int64_t i = 0; i < windows; ++i) {
    data.sample(static_cast<std::uint64_t>(ranks.rank() * windows + i), window);
    model.forward(pass, batch, window, {0, Routing::evaluate});
    pass.throw_error();
    const std::vector<std::int32_t>& chosen = gate.take();
    const std::size_t left = std::min(wanted - routing.selected.size(), chosen.size());
    routing.selected.insert(routing.selected.end(), chosen.begin(),
                            chosen.begin() + static_cast<std::ptrdiff_t>(left));
  }
  return routing;
}

}  // namespace moray
