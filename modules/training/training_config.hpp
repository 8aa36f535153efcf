#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/amount.hpp"
#include "data/data_config.hpp"
#include "model/model_config.hpp"
#include "optimizer/optimizer_config.hpp"

namespace moray {

class Section;

/// Deck section `run`.
struct RunConfig {
  std::string name;  ///< default: the deck's file name
  std::uint64_t seed = 1234;
  std::string determinism = "exact";  ///< exact | run
  bool recompute = true;   ///< activations again in the backward, as DeepSeek does; no bit changes
  std::int64_t ranks = 1;  ///< ranks that the launcher starts
  std::int64_t threads = 1;  ///< threads a rank
  friend bool operator==(const RunConfig&, const RunConfig&) = default;
};
void declare(Section& section, RunConfig& config);

/// Deck section `batch`.
struct BatchConfig {
  std::int64_t sequences = 0;      ///< N of a step, over all ranks
  std::int64_t length = 0;         ///< S, positions of a sequence
  std::int64_t micro = 0;          ///< b, sequences of a micro-batch; 0: all of a rank's
  std::int64_t ramp_from = 0;      ///< N at the start of a ramp; 0: no ramp
  Amount ramp_over{0};             ///< N grows linearly, in multiples of `ramp_multiple`, over this
  std::int64_t ramp_multiple = 0;  ///< needed by a ramp
  friend bool operator==(const BatchConfig&, const BatchConfig&) = default;
};
void declare(Section& section, BatchConfig& config);

/// Deck section `parallel`.
struct ParallelConfig {
  std::int64_t data = 0;  ///< 0: all ranks
  std::int64_t pipeline = 1;
  std::string schedule = "auto";  ///< auto | 1f1b | zb1p | dualpipe | dualpipev
  std::string stages = "auto";    ///< trunk layers of each stage, "4x15,1"; auto: by cost
  std::int64_t expert = 1;
  std::int64_t nodes = 0;         ///< that ranks are on; 0: as the machines are
  std::string traffic = "auto";   ///< of tokens: auto | flat | two_hop
  double headroom = 1.5;          ///< of rows that experts of a rank may receive, times their mean
  std::int64_t lanes = 1;         ///< L: gradient lanes of dense tensors
  std::int64_t expert_lanes = 1;  ///< X: of each expert
  friend bool operator==(const ParallelConfig&, const ParallelConfig&) = default;
};
void declare(Section& section, ParallelConfig& config);

/// Deck section `validation`.
struct ValidationConfig {
  Amount every{0};           ///< 0: only at the end
  std::int64_t windows = 0;  ///< 0: all
  friend bool operator==(const ValidationConfig&, const ValidationConfig&) = default;
};
void declare(Section& section, ValidationConfig& config);

/// Deck section `samples`: text generated during training.
struct SamplesConfig {
  Amount every{0};  ///< 0: only at the end when `tokens` > 0
  std::int64_t tokens = 0;
  double temperature = 0.8;
  std::string prompt = "\n";
  friend bool operator==(const SamplesConfig&, const SamplesConfig&) = default;
};
void declare(Section& section, SamplesConfig& config);

/// Deck section `output`.
struct OutputConfig {
  std::int64_t log_every = 1;  ///< steps
  Amount trace_every{0};       ///< 0: only the second step of a start
  Amount fp8_every{0};         ///< 0: never
  friend bool operator==(const OutputConfig&, const OutputConfig&) = default;
};
void declare(Section& section, OutputConfig& config);

/// Deck section `checkpoint`.
struct CheckpointConfig {
  Amount every{0};  ///< 0: only at the end
  double every_minutes = 0;
  std::int64_t keep_last = 3;
  Amount keep_every{0};
  bool asynchronous = true;          ///< saves that are not the last go on behind the next steps
  std::string io = "posix";          ///< posix | mpiio
  std::string fp8_weights = "none";  ///< none | fp8_linears | all_linears
  friend bool operator==(const CheckpointConfig&, const CheckpointConfig&) = default;
};
void declare(Section& section, CheckpointConfig& config);

/// Deck section `init`: start from the weights of a checkpoint.
struct InitConfig {
  std::string from;
  friend bool operator==(const InitConfig&, const InitConfig&) = default;
};
void declare(Section& section, InitConfig& config);

/// Deck section `kernels`: force a variant of an op; empty: the fastest exact one.
struct KernelsConfig {
  std::string gemm, attention, rmsnorm, swiglu, cross_entropy, adamw, elementwise, quantize,
      mixed_gemm;
  friend bool operator==(const KernelsConfig&, const KernelsConfig&) = default;
};
void declare(Section& section, KernelsConfig& config);

/// A whole deck.
struct Deck {
  RunConfig run;
  ModelConfig model;  ///< sections model, attention, moe, mtp
  BatchConfig batch;
  Amount length{0};  ///< run.length
  ParallelConfig parallel;
  DataConfig data;
  OptimizerConfig optimizer;
  LearningRateConfig learning_rate;
  ValidationConfig validation;
  SamplesConfig samples;
  OutputConfig output;
  CheckpointConfig checkpoint;
  InitConfig init;
  KernelsConfig kernels;
  friend bool operator==(const Deck&, const Deck&) = default;
};

/// All sections of a deck and the rules between them, bound to `deck`.
Section declare_deck(Deck& deck);

}  // namespace moray
