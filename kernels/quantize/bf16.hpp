#pragma once

#include <cstdint>

#include "core/matrix.hpp"

/// bf16 (core/bf16.hpp), elementwise: rounded to nearest, ties to even.
namespace moray {

/// codes = x, rounded. Same shapes.
void to_bf16(const ExecSpace& exec, Matrix<const float> x, Matrix<std::uint16_t> codes);
/// x = codes, exactly. Same shapes.
void from_bf16(const ExecSpace& exec, Matrix<const std::uint16_t> codes, Matrix<float> x);
/// x = x rounded to bf16, still stored as float32.
void round_to_bf16(const ExecSpace& exec, Matrix<float> x);

}  // namespace moray
