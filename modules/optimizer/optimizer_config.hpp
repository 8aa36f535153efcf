#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/amount.hpp"

namespace moray {

class Section;

/// Deck section `optimizer`: AdamW with decoupled decay.
struct OptimizerConfig {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  std::vector<std::string> no_decay = {"1d"};  ///< name patterns with *; "1d": every 1-D tensor
  double clip = 1.0;                           ///< global norm; 0: off
  std::string moments = "float32";             ///< float32 | bf16
  double ema = 0;                   ///< coefficient c; 0: no moving average of the weights
  std::string non_finite = "stop";  ///< stop | skip
  friend bool operator==(const OptimizerConfig&, const OptimizerConfig&) = default;
};
void declare(Section& section, OptimizerConfig& config);

/// Deck section `learning_rate`.
struct LearningRateConfig {
  std::string schedule = "cosine";  ///< deepseek | cosine | wsd | constant
  double peak = 2.2e-4;
  double final = 2.2e-5;  ///< end of the cosine, or of wsd's decay; first tail of deepseek
  double tail = 7.3e-6;   ///< deepseek: second tail
  Amount warmup{2000};
  Amount constant{0};    ///< deepseek: end of the constant part; wsd: start of the decay
  Amount decay_end{0};   ///< deepseek: end of the cosine; 0: the end of the run
  Amount tail_start{0};  ///< deepseek: start of the second tail; 0: no second tail
  friend bool operator==(const LearningRateConfig&, const LearningRateConfig&) = default;
};
void declare(Section& section, LearningRateConfig& config);

}  // namespace moray
