#include "optimizer/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/exact_sum.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/functions/functions.hpp"

namespace moray {
bool matches(const std::string& pattern, const std::string& name) {
  // Greedy with one point to come back to: the last *.
  std::size_t p = 0, n = 0, star = std::string::npos, mark = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string::npos) {
      p = star + 1;
      n = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Optimizer::Optimizer(const OptimizerConfig& config, const Parameters<float>& parameters)
    : config_(config) {
  for (const Parameter& p : parameters.list()) {
    bool decay = true;
    for (const std::string& pattern : config.no_decay) {
      if (pattern == "1d" ? p.is_vector : matches(pattern, p.name)) decay = false;
    }
    decays_.push_back(decay);
  }
}

void Optimizer::allocate(Arena& arena, const Parameters<float>& parameters,
                         const ModelShards& shards) {
  pieces_.clear();
  std::int64_t sizes[kRegions] = {};
  std::int64_t blocks = 0;
  for (std::size_t tensor = 0; tensor < parameters.list().size(); ++tensor) {
    const Parameter& p = parameters.list()[tensor];
    if (!p.held) continue;
    const ElementRange owned = shards[p.region].owned();
    const std::int64_t begin = std::max(owned.begin - p.offset, std::int64_t{0});
    const std::int64_t end = std::min(owned.end - p.offset, p.elements());
    if (begin >= end) continue;
    std::int64_t& size = sizes[static_cast<std::size_t>(p.region)];
    pieces_.push_back({tensor, begin, end - begin, p.region, size});
    size += whole_lines<float>(end - begin);
    blocks += block_count(end - begin);
  }
  for (int r = 0; r < kRegions; ++r) {
    if (bf16_moments()) {
      m16_[r] = arena.vector<std::uint16_t>(Memory::optimizer, sizes[r]);
      v16_[r] = arena.vector<std::uint16_t>(Memory::optimizer, sizes[r]);
    } else {
      m_[r] = arena.vector<float>(Memory::optimizer, sizes[r]);
      v_[r] = arena.vector<float>(Memory::optimizer, sizes[r]);
    }
    if (has_ema()) ema_[r] = arena.vector<float>(Memory::optimizer, sizes[r]);
  }
  block_sums_ = arena.vector<double>(Memory::workspace, blocks);
  if (!arena.counting()) host_sums_.resize(static_cast<std::size_t>(blocks));
}

Optimizer::Norm Optimizer::norm(const ExecSpace& exec, const Parameters<float>& parameters,
                                std::int64_t tokens, const Communicator& ranks) {
  std::int64_t block = 0;
  for (const Piece& piece : pieces_) {
    const std::int64_t count = block_count(piece.count);
    const Vector<float> gradient = parameters.gradient(parameters.list()[piece.tensor], 0);
    block_sums_of_squares(exec, gradient.slice(piece.begin, piece.count),
                          block_sums_.slice(block, count));
    block += count;
  }
  fence(exec, "moray::optimizer: block sums to the host");
  copy_to_host(block_sums_.data, host_sums_.size(), host_sums_.data());

  ExactSum total;
  std::int64_t first_bad = std::numeric_limits<std::int64_t>::min();  // minus the tensor
  visit_block_sums([&](std::size_t tensor, std::int64_t, double sum) {
    total.add(sum);
    if (!std::isfinite(sum)) first_bad = std::max(first_bad, -static_cast<std::int64_t>(tensor));
  });
  ranks.sum(total);
  ranks.maximum(std::span(&first_bad, 1));
  Norm norm;
  norm.finite = first_bad == std::numeric_limits<std::int64_t>::min();
  if (!norm.finite) norm.bad_tensor = parameters.list()[static_cast<std::size_t>(-first_bad)].name;
  norm.sum_of_squares = total.value();
  norm.value = std::sqrt(norm.sum_of_squares) / static_cast<double>(tokens);
  const double clipped =
      config_.clip > 0 && norm.value > config_.clip ? config_.clip / norm.value : 1.0;
  norm.k = static_cast<float>(clipped / static_cast<double>(tokens));
  return norm;
}

void Optimizer::visit_block_sums(
    const std::function<void(std::size_t, std::int64_t, double)>& visit) const {
  std::size_t next = 0;
  for (const Piece& piece : pieces_) {
    for (std::int64_t i = 0; i < block_count(piece.count); ++i)
      visit(piece.tensor, piece.begin / kBlockElements + i, host_sums_[next++]);
  }
}

AdamwStep Optimizer::factors(const Norm& norm, std::int64_t step, double learning_rate) const {
  AdamwStep scalars;
  scalars.k = norm.k;
  scalars.beta1 = static_cast<float>(config_.beta1);
  scalars.one_minus_beta1 = static_cast<float>(1 - config_.beta1);
  scalars.beta2 = static_cast<float>(config_.beta2);
  scalars.one_minus_beta2 = static_cast<float>(1 - config_.beta2);
  const auto t = static_cast<std::uint64_t>(step);
  scalars.correction1 = static_cast<float>(1 / (1 - power(config_.beta1, t)));
  scalars.correction2 = static_cast<float>(1 / (1 - power(config_.beta2, t)));
  scalars.learning_rate = static_cast<float>(learning_rate);
  scalars.eps = static_cast<float>(config_.eps);
  scalars.decay = static_cast<float>(1 - learning_rate * config_.weight_decay);
  return scalars;
}

void Optimizer::update(const ExecSpace& exec, const Parameters<float>& parameters, const Norm& norm,
                       std::int64_t step, double learning_rate) {
  AdamwStep scalars = factors(norm, step, learning_rate);
  const float decay = scalars.decay;
  for (const Piece& piece : pieces_) {
    const Parameter& p = parameters.list()[piece.tensor];
    scalars.decay = decays_[piece.tensor] ? decay : 1.0f;
    const Vector<float> gradient = parameters.gradient(p, 0).slice(piece.begin, piece.count);
    const Vector<float> w = parameters.values(p, piece.elements());
    if (bf16_moments()) {
      adamw_update(exec, scalars, gradient, m_bf16(piece), v_bf16(piece), w);
    } else {
      adamw_update(exec, scalars, gradient, m(piece), v(piece), w);
    }
    if (has_ema()) ema_update(exec, static_cast<float>(1 - config_.ema), w, ema(piece));
  }
}

void Optimizer::start_ema(const ExecSpace& exec, const Parameters<float>& parameters) {
  if (!has_ema()) return;
  for (const Piece& piece : pieces_) {
    const Vector<float> w = parameters.values(parameters.list()[piece.tensor], piece.elements());
    copy<float>(exec, matrix(w.data, 1, w.size), matrix(ema(piece).data, 1, w.size));
  }
}

}  // namespace moray
