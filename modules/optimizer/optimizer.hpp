#pragma once

#include <functional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "core/arena.hpp"
#include "kernels/adamw/adamw.hpp"
#include "model/parameters.hpp"
#include "optimizer/optimizer_config.hpp"
#include "optimizer/shards.hpp"

namespace moray {

/// AdamW with decoupled decay, global-norm clipping and a moving average of the weights
/// (docs/numerics.md, optimizer), its state split over the ranks that hold a tensor (ZeRO stage 1):
/// a rank norms, updates and saves the blocks that it owns. Gradients are sums over the tokens of a
/// step; the division by their number and the clip factor are one float32 factor k.
class Optimizer {
 public:
  Optimizer(const OptimizerConfig& config, const Parameters<float>& parameters);

  void allocate(Arena& arena, const Parameters<float>& parameters, const ModelShards& shards);

  /// Consecutive elements of a tensor that this rank owns, from the border of a block.
  struct Piece {
    std::size_t tensor = 0;  ///< index in Parameters::list()
    std::int64_t begin = 0;  ///< within the tensor
    std::int64_t count = 0;
    Region region = Region::dense;
    std::int64_t place = 0;  ///< of its state, behind that of the pieces of its region before it
    ElementRange elements() const { return {begin, begin + count}; }
  };
  /// In the order of the tensors.
  const std::vector<Piece>& pieces() const { return pieces_; }

  struct Norm {
    double sum_of_squares = 0;
    double value = 0;  ///< sqrt(sum of squares) / tokens
    float k = 0;       ///< the factor that each gradient is multiplied with
    bool finite = true;
    std::string bad_tensor;  ///< the first tensor with a value that is not finite
  };
  /// Of the summed gradients in lane 0, each block on the rank that owns it; the same on all ranks.
  /// `ranks` are all of the job, which own every block once. Copies block sums to the host, so it
  /// waits for `exec`.
  Norm norm(const ExecSpace& exec, const Parameters<float>& parameters, std::int64_t tokens,
            const Communicator& ranks);
  /// Shows the sums of squares of the last norm: (tensor, block within it, sum).
  void visit_block_sums(const std::function<void(std::size_t, std::int64_t, double)>& visit) const;

  /// The factors of update number `step` (1 is the first); decay is that of tensors that decay.
  AdamwStep factors(const Norm& norm, std::int64_t step, double learning_rate) const;
  /// Update number `step` of every owned block; the others' weights come by LaneReducer::gather.
  void update(const ExecSpace& exec, const Parameters<float>& parameters, const Norm& norm,
              std::int64_t step, double learning_rate);

  bool bf16_moments() const { return config_.moments == "bf16"; }
  bool has_ema() const { return config_.ema > 0; }
  /// Moments of a piece: float32 (Vector<float>), or bf16 as 16 bits.
  Vector<float> m(const Piece& p) const { return slice(m_, p); }
  Vector<float> v(const Piece& p) const { return slice(v_, p); }
  Vector<std::uint16_t> m_bf16(const Piece& p) const { return slice(m16_, p); }
  Vector<std::uint16_t> v_bf16(const Piece& p) const { return slice(v16_, p); }
  Vector<float> ema(const Piece& p) const { return slice(ema_, p); }
  /// The moving average starts from the weights.
  void start_ema(const ExecSpace& exec, const Parameters<float>& parameters);

  bool decays(std::size_t tensor) const { return decays_[tensor]; }

 private:
  template <class T>
  static Vector<T> slice(const Vector<T> (&all)[kRegions], const Piece& p) {
    return all[static_cast<std::size_t>(p.region)].slice(p.place, p.count);
  }

  OptimizerConfig config_;
  std::vector<bool> decays_;
  std::vector<Piece> pieces_;
  Vector<float> m_[kRegions], v_[kRegions], ema_[kRegions];
  Vector<std::uint16_t> m16_[kRegions], v16_[kRegions];
  Vector<double> block_sums_;
  std::vector<double> host_sums_;
};

/// True if `name` matches `pattern`, in which * stands for any text.
bool matches(const std::string& pattern, const std::string& name);

}  // namespace moray
