#include "training/run_metrics.hpp"

#include <algorithm>

namespace moray {

MetricSchema metric_schema(const ModelConfig& config, std::int64_t moe_layers) {
  std::vector<MetricColumn> columns = {
      {"step", "1", Dtype::int64},
      {"samples", "sequence", Dtype::int64},
      {"tokens", "token", Dtype::int64},
      {"sequences", "sequence", Dtype::int64},
      {"loss", "nat/token"},
      {"validation_loss", "nat/token"},
      {"gradient_norm", "1"},
      {"learning_rate", "1"},
      {"balance_loss", "1"},
      {"seconds", "s"},
      {"tokens_per_second", "token/s"},
      {"skipped", "1", Dtype::int64},
  };
  if (config.mtp.depth > 0) {
    columns.push_back({"mtp_loss", "nat/token", Dtype::float64, {config.mtp.depth}, "module"});
    columns.push_back({"mtp_weight", "1"});
  }
  if (moe_layers > 0) {
    columns.push_back({"bias_rate", "1"});
    columns.push_back({"max_violation", "1", Dtype::float64, {moe_layers}, "layer"});
    columns.push_back(
        {"loads", "token", Dtype::int64, {moe_layers, config.moe.experts}, "layer,expert"});
    if (config.moe.gate == "sigmoid") {
      columns.push_back(
          {"bias", "1", Dtype::float64, {moe_layers, config.moe.experts}, "layer,expert"});
    }
  }
  return MetricSchema(std::move(columns));
}

double mean_violation(const StepReport& report, std::int64_t trunk_layers) {
  double sum = 0;
  for (std::int64_t i = 0; i < trunk_layers; ++i)
    sum += max_violation(report.loads[static_cast<std::size_t>(i)]);
  return trunk_layers > 0 ? sum / static_cast<double>(trunk_layers) : 0.0;
}

void fill_row(MetricRow& row, const StepReport& report, const StepTiming& timing, double validation,
              Model<float>& model) {
  row.set("step", report.step)
      .set("samples", timing.samples)
      .set("tokens", timing.tokens)
      .set("sequences", report.sequences)
      .set("loss", report.loss)
      .set("validation_loss", validation)
      .set("gradient_norm", report.norm.value)
      .set("learning_rate", report.learning_rate)
      .set("balance_loss", report.balance)
      .set("seconds", timing.seconds)
      .set("tokens_per_second", static_cast<double>(report.sequences * model.use().rows) /
                                    std::max(timing.seconds, 1e-9))
      .set("skipped", std::int64_t{report.skipped ? 1 : 0});
  if (!report.mtp.empty()) {
    row.set("mtp_loss", std::span<const double>(report.mtp)).set("mtp_weight", report.mtp_weight);
  }
  if (report.loads.empty()) return;
  std::vector<double> violations;
  std::vector<std::int64_t> loads;
  std::vector<double> biases;
  for (std::size_t layer = 0; layer < report.loads.size(); ++layer) {
    const auto& load = report.loads[layer];
    violations.push_back(max_violation(load));
    loads.insert(loads.end(), load.begin(), load.end());
    const Vector<float> device = model.moe_layers()[layer]->bias();
    std::vector<float> bias(static_cast<std::size_t>(device.size));
    copy_to_host(device.data, bias.size(), bias.data());
    biases.insert(biases.end(), bias.begin(), bias.end());
  }
  row.set("bias_rate", report.bias_rate)
      .set("max_violation", std::span<const double>(violations))
      .set("loads", std::span<const std::int64_t>(loads));
  if (!biases.empty()) row.set("bias", std::span<const double>(biases));
}

}  // namespace moray
