#pragma once

#include <string>

#include "io/checkpoint_reader.hpp"

/// Weights in FP8, as Hugging Face's FP8 checkpoints have them: to a weight (out, in) belong codes of
/// E4M3 (out, in) and float32 scales (ceil(out / 128), ceil(in / 128)), and
///
///   weight(i, j) = code(i, j) weight_scale_inv(i / 128, j / 128)
///
/// Here they are datasets of the group `fp8`, named as the weight: fp8/model/norm/weight and
/// fp8/model/norm/weight_scale_inv; the experts of a layer are stacked in both.
namespace moray {

/// The datasets of the codes and scales of `weight`, a dataset with the axes "out,in" or
/// "expert,out,in".
DatasetSpec fp8_codes_spec(const DatasetSpec& weight);
DatasetSpec fp8_scales_spec(const DatasetSpec& weight);

/// Whether a dataset is codes or scales.
bool of_fp8_weights(const std::string& dataset);
/// The weight whose codes a dataset is by its name.
std::string weight_of_fp8_codes(const std::string& codes);
/// Whether a dataset is a matrix, or matrices, that has an FP8 form.
bool is_matrix(const DatasetSpec& spec);

/// Whether the checkpoint has codes or scales of `weight`.
bool has_fp8_weights(const Checkpoint& checkpoint, const std::string& weight);
/// Error(io) naming dataset and both shapes unless codes and scales are those of `weight`.
void require_fp8_weights(const Checkpoint& checkpoint, const DatasetSpec& weight);
/// Elements [offset, offset + count) of `weight`, decode(code) times scale, rounded to float32.
void read_fp8_weights(const Checkpoint& checkpoint, const DatasetSpec& weight, std::int64_t offset,
                      std::int64_t count, float* out);

}  // namespace moray
