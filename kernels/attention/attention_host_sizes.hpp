#pragma once

/// Sizes that the host kernels and their launch (and `moray plan`, on any processor) agree on: none
/// depends on the instruction set. As in polynomials.hpp, a host micro-kernel's copy of the
/// functions lives in the namespace of its instruction set.

#include "kernels/functions/polynomials.hpp"

namespace MORAY_FUNCTIONS_NAMESPACE {

/// Keys of a block: their packed rows stay in the second-level cache while all query rows of a
/// block use them. At most kGemmBlockDepth, so that a product over a block's keys is one piece.
constexpr long kKeyBlock = 256;
/// Query rows of a block of the forward: so many share the reading of packed keys and values.
constexpr long kForwardRows = 48;
/// Query rows of a block of the backward: the steps of the products that give dk and dv.
constexpr long kBackwardRows = 96;

MORAY_FUNCTION long round_up(long value, long unit) {
  return (value + unit - 1) / unit * unit;
}

/// Floats that an operand (k, n) is given once packed: columns in whole vectors of any width.
MORAY_FUNCTION long operand_floats(long n, long k) {
  return round_up(n, 16) * round_up(k, 16);
}

/// Row stride of a buffer of scores: whole vectors, and not a multiple of 1 KiB, whose rows would
/// meet in few sets of the first-level cache.
MORAY_FUNCTION long score_stride(long keys) {
  return round_up(keys, 32) + 16;
}

MORAY_FUNCTION long forward_key_floats(long keys, long nope, long rope, long value) {
  return operand_floats(keys, nope) + operand_floats(keys, rope) + operand_floats(value, keys);
}
MORAY_FUNCTION long backward_key_floats(long keys, long nope, long rope, long value) {
  return forward_key_floats(keys, nope, rope, value) + operand_floats(nope, keys) +
         operand_floats(rope, keys);
}
MORAY_FUNCTION long query_floats(long nope, long rope, long value) {
  return kBackwardRows * value + operand_floats(nope, kBackwardRows) +
         operand_floats(rope, kBackwardRows) + operand_floats(value, kBackwardRows);
}

/// Floats of scratch of one head.
MORAY_FUNCTION long forward_scratch(long rows, long nope, long rope, long value) {
  const long keys = rows < kKeyBlock ? rows : kKeyBlock;
  const long blocks = (rows + kKeyBlock - 1) / kKeyBlock;
  return kForwardRows * score_stride(rows) + blocks * forward_key_floats(keys, nope, rope, value);
}
MORAY_FUNCTION long backward_scratch(long rows, long nope, long rope, long value) {
  const long keys = rows < kKeyBlock ? rows : kKeyBlock;
  const long blocks = (rows + kKeyBlock - 1) / kKeyBlock;
  return 2 * kBackwardRows * score_stride(keys) + query_floats(nope, rope, value) +
         blocks * backward_key_floats(keys, nope, rope, value);
}

}  // namespace MORAY_FUNCTIONS_NAMESPACE
