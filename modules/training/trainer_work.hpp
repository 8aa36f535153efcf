#pragma once

#include "training/trainer.hpp"

namespace moray {

// What the pipeline's runtime asks of a trainer.

/// The micro-batches of a step.
class TrainingWork : public MicroBatches {
 public:
  TrainingWork(Trainer& trainer, const StepReport& report, const Trainer::Sample& sample);
  void load(const Unit& unit, BatchLayout& batch, std::span<std::int32_t> tokens) override;
  /// Token and balance losses into exact sums, so that no order is left to define.
  void forwarded(const ModelUnit& unit, const BatchLayout& batch) override;
  /// Its gradients set out for their owners while the other chunk goes on.
  void gradients_complete(int chunk) override;

 private:
  void add_token_losses(const ModelUnit& unit, const BatchLayout& batch);
  void add_balance_losses(const ModelUnit& unit);

  Trainer& trainer_;
  const StepReport& report_;
  const Trainer::Sample& sample_;
  std::uint64_t first_;
};

/// Validation windows, dealt like sequences: micro-batch m of J has windows (m R + J) b and on.
class ValidationWork : public MicroBatches {
 public:
  ValidationWork(Trainer& trainer, std::int64_t count, const Trainer::Sample& window)
      : trainer_(trainer), count_(count), window_(window) {}
  void load(const Unit& unit, BatchLayout& batch, std::span<std::int32_t> tokens) override;
  void forwarded(const ModelUnit& unit, const BatchLayout& batch) override;

  ExactSum total;  ///< of token losses

 private:
  Trainer& trainer_;
  std::int64_t count_;
  const Trainer::Sample& window_;
  std::int64_t loaded_ = 0;
};

}  // namespace moray
