#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/arena.hpp"
#include "model/parameters.hpp"
#include "training/state.hpp"

/// FP8 forms of the weights in a checkpoint: docs/checkpoint-format.md.
namespace moray {

/// Whether a matrix of the model is that of a Linear, which may compute in FP8.
bool is_linear(std::string_view weight);

/// Deck key checkpoint.fp8_weights: which weights a checkpoint holds in FP8 too, and the memory to
/// quantise some rows of one.
struct Fp8Saving {
  std::string which = "none";  ///< none | fp8_linears | all_linears
  Vector<std::uint8_t> codes;  ///< in the memory of the backend
  Vector<float> scales;

  bool holds(const PrecisionConfig& precision, const Parameter& parameter) const;
  /// Whether its owners must have all of its float32 values: scales of files are those of a whole tensor,
  /// which one rank saves, and a copy in FP8 has them only if no block of it is another tensor's too.
  bool needs_whole(const Parameters<float>& parameters, const Parameter& parameter) const;
};

Fp8Saving allocate_fp8_saving(Arena& arena, const std::string& which,
                              const Parameters<float>& parameters);

/// Adds codes and scales of the weights among `tensors`, which have the pieces that this rank owns.
/// The rank that owns an element of a weight makes its code. The one that owns the first saves the
/// scales: it makes them of the whole weight or, of a split one, has them as every rank that computes
/// with it.
void add_fp8_state(const Parameters<float>& parameters, const Fp8Saving& fp8,
                   std::vector<StateTensor>& tensors);
/// Bytes of what add_fp8_state adds for elements [begin, begin + count) of a weight.
std::int64_t fp8_bytes(const Parameter& parameter, std::int64_t begin, std::int64_t count);

}  // namespace moray
