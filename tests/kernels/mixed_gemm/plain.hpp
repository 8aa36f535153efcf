#pragma once

/// The definition of a product of bf16 or FP8 operands (docs/fp8.md section 3) in plain scalar code, and
/// operands for it: what every exact variant must equal by memcmp.

#include <vector>

#include "catch.hpp"
#include "kernels/mixed_gemm/mixed_gemm.hpp"
#include "kernels/tensor.hpp"

namespace moray::test {

inline const std::vector<NumberType> kNumberTypes = {NumberType::bf16, NumberType::e4m3,
                                                     NumberType::e5m2, NumberType::e5m6};
inline const std::vector<GemmForm> kForms = {GemmForm::nt, GemmForm::nn, GemmForm::tn};

/// What a product is made of.
struct MixedShape {
  GemmForm form = GemmForm::nt;
  NumberType a = NumberType::e4m3;
  NumberType b = NumberType::e4m3;
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;                 ///< of form tn with scales: the sum of `lengths`
  std::vector<std::int64_t> lengths;  ///< of the sequences along k, form tn with scales
  std::int64_t shared = 128;          ///< columns of c with one scale of b, forms nt and nn
  bool powers = false;                ///< scales are powers of two
  bool rounded = false;               ///< the result is bf16
  bool rounds = false;                ///< or float32, rounded to bf16
  std::int64_t gap = 0;               ///< elements between rows
};

/// Numbers and scales of one operand, random codes of every size.
struct MixedStored {
  MixedStored(NumberType type, std::int64_t rows, std::int64_t cols, std::int64_t scale_rows,
              std::int64_t scale_cols, std::int64_t shared, std::int64_t gap);
  void fill(std::mt19937& random, bool powers);
  MixedOperand host();
  MixedOperand device();

  NumberType type;
  std::int64_t cols, shared;
  ScaleRule rule = ScaleRule::float32;  ///< of what `fill` wrote
  Tensor<std::uint8_t> numbers;
  Tensor<float> scales;
};

/// One product: operands, a result filled with the same numbers for the variant and the definition.
class MixedProblem {
 public:
  MixedProblem(const MixedShape& shape, std::mt19937& random);

  /// The task of a launch, its operands on the backend.
  MixedGemmTask task();
  /// Takes back the result and says whether it has the bits of the definition. Gaps count.
  bool matches();
  /// The same with `expected` computed by the caller.
  bool is_as_expected();
  /// The product of both scales of element (i, j) and block q.
  float scale(std::int64_t i, std::int64_t j, std::int64_t q);
  /// The result as float32, whatever its type.
  float result(std::int64_t i, std::int64_t j);

  MixedShape shape;
  MixedStored a, b;
  Tensor<float> c, expected;
  Tensor<std::uint16_t> rounded, expected_rounded;
  Tensor<RowBlock> blocks;

 private:
  void run_plain();
};

/// The blocks of a sum; all of k without scales.
std::vector<RowBlock> sum_of(const MixedShape& s);

/// Number j of row i.
float plain_number(const MixedOperand& x, std::int64_t i, std::int64_t j);

/// Runs the products as one launch of the variant that is selected and compares each.
void check_products(std::vector<MixedProblem>& problems);

std::string describe(const MixedShape& shape);

}  // namespace moray::test
