#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/arena.hpp"
#include "kernels/adamw/adamw.hpp"
#include "model/parameters.hpp"
#include "optimizer/optimizer_config.hpp"

namespace moray {

/// AdamW with decoupled decay, global-norm clipping and a moving average of the weights
/// (docs/numerics.md, optimizer). Gradients are sums over the tokens of a step; the division by
/// their number and the clip factor are one float32 factor k.
class Optimizer {
 public:
  Optimizer(const OptimizerConfig& config, const Parameters<float>& parameters);

  void allocate(Arena& arena, const Parameters<float>& parameters);

  struct Norm {
    double sum_of_squares = 0;
    double value = 0;  ///< sqrt(sum of squares) / tokens
    float k = 0;       ///< the factor that each gradient is multiplied with
    bool finite = true;
    std::string bad_tensor;  ///< the first tensor with a value that is not finite
  };
  /// Of the summed gradients in lane 0. Copies block sums to the host, so it waits for `exec`.
  Norm norm(const ExecSpace& exec, const Parameters<float>& parameters, std::int64_t tokens);

  /// Of the last norm: each block's sum of squares, tensors in their order.
  std::span<const double> block_sums() const { return host_sums_; }

  /// The factors of update number `step` (1 is the first); decay is that of tensors that decay.
  AdamwStep factors(const Norm& norm, std::int64_t step, double learning_rate) const;
  /// Update number `step` of every tensor.
  void update(const ExecSpace& exec, const Parameters<float>& parameters, const Norm& norm,
              std::int64_t step, double learning_rate);

  bool bf16_moments() const { return config_.moments == "bf16"; }
  bool has_ema() const { return config_.ema > 0; }
  /// Moments of a tensor: float32 (Vector<float>), or bf16 as 16 bits.
  Vector<float> m(const Parameter& p) const { return slice(m_[index(p)], p); }
  Vector<float> v(const Parameter& p) const { return slice(v_[index(p)], p); }
  Vector<std::uint16_t> m_bf16(const Parameter& p) const { return slice(m16_[index(p)], p); }
  Vector<std::uint16_t> v_bf16(const Parameter& p) const { return slice(v16_[index(p)], p); }
  Vector<float> ema(const Parameter& p) const { return slice(ema_[index(p)], p); }
  /// The moving average starts from the weights.
  void start_ema(const ExecSpace& exec, const Parameters<float>& parameters);

  bool decays(std::size_t tensor) const { return decays_[tensor]; }

 private:
  static std::size_t index(const Parameter& p) { return static_cast<std::size_t>(p.region); }
  template <class T>
  static Vector<T> slice(const Vector<T>& all, const Parameter& p) {
    return all.slice(p.offset, p.elements());
  }

  OptimizerConfig config_;
  std::vector<bool> decays_;
  Vector<float> m_[kRegions], v_[kRegions], ema_[kRegions];
  Vector<std::uint16_t> m16_[kRegions], v16_[kRegions];
  Vector<double> block_sums_;
  std::vector<double> host_sums_;
};

/// True if `name` matches `pattern`, in which * stands for any text.
bool matches(const std::string& pattern, const std::string& name);

}  // namespace moray
