#pragma once

namespace moray {

/// Scalars of one update (docs/numerics.md, optimizer), already rounded to float32.
struct AdamwStep {
  float k = 1;  ///< clip factor over tokens: g = k G
  float beta1 = 0;
  float one_minus_beta1 = 0;
  float beta2 = 0;
  float one_minus_beta2 = 0;
  float correction1 = 1;  ///< a1 = 1 / (1 - beta1^t)
  float correction2 = 1;
  float learning_rate = 0;
  float decay = 1;  ///< 1 - lr wd, or exactly 1 for tensors without decay
  float eps = 0;
};

}  // namespace moray
