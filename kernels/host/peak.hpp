#pragma once

namespace moray {

/// The most that a core of this instruction set computes: fused multiply-adds between registers,
/// enough independent ones to hide their latency. What `moray bench` counts percent of.
struct HostPeak {
  double operations_per_round;  ///< float32 additions and multiplications
  float (*run)(long rounds, float factor, float summand);
};

}  // namespace moray
