#include "kernels/functions/self_check.hpp"

#include <xxhash.h>

#include "core/error.hpp"
#include "kernels/functions/functions.hpp"
#include "kernels/functions/probes.hpp"
#include "kernels/functions/self_check_arguments.hpp"

namespace moray {
namespace {

constexpr std::int64_t kCount = kCheckArguments;

/// Results of one group. A NaN is hashed as one pattern, since its sign and payload are not defined.
class Results {
 public:
  void add(float x) { words_.push_back(x == x ? float_bits(x) : 0x7fc00000u); }
  void add(double x) { words_.push_back(x == x ? double_bits(x) : 0x7ff8000000000000u); }
  void add(const std::vector<float>& x) {
    for (const float value : x) add(value);
  }
  std::uint64_t digest() const {
    return XXH3_64bits(words_.data(), words_.size() * sizeof(std::uint64_t));
  }

 private:
  std::vector<std::uint64_t> words_;
};

std::uint64_t digest_fma(const CheckArguments& in) {
  Results results;
  for (std::size_t i = 0; i < kCount; ++i) {
    const float a = in.moderate[i], b = in.moderate[kCount - 1 - i],
                c = in.moderate[(i * 7) % kCount];
    results.add(fused(a, b, c));
    results.add(fused(a, b, -(a * b)));  // the rounding error of the product
    results.add(fused(double{a}, double{c}, double{b}));
  }
  return results.digest();
}

std::uint64_t digest_separate(const CheckArguments& in) {
  Results results;
  for (std::size_t i = 0; i < kCount; ++i) {
    const float a = in.moderate[i], b = in.moderate[kCount - 1 - i],
                c = in.moderate[(i * 7) % kCount];
    results.add(a * b + c);
    results.add(a - b * c);
    results.add(double{a} * double{b} * (1.0 / 3.0) - double{c});
  }
  return results.digest();
}

std::uint64_t digest_division(const CheckArguments& in) {
  Results results;
  for (std::size_t i = 0; i < kCount; ++i) {
    const float a = in.moderate[i], b = in.moderate[kCount - 1 - i];
    results.add(a / b);
    results.add(double{a} / double{b});
    results.add(1.0f / square_root(__builtin_fabsf(a)));
    results.add(square_root(double{a} * double{a} + 1.0));
  }
  return results.digest();
}

std::uint64_t digest_denormals(const CheckArguments& in) {
  Results results;
  for (std::size_t i = 0; i < kCount; ++i) {
    const float small = in.moderate[i] * 0x1p-120f;  // about half of these are denormal
    results.add(small);
    results.add(small * 0x1p24f);
    results.add(small + 0x1p-149f);
    results.add(fused(small, 0.7f, 0x1p-149f));
    results.add(square_root(__builtin_fabsf(small)));
    results.add(static_cast<float>(double{in.moderate[i]} * 0x1p-125));
  }
  return results.digest();
}

std::uint64_t digest_float_functions(const CheckArguments& in) {
  std::vector<float> results(kCount * kFloatFunctions);
  for (std::int64_t i = 0; i < kCount; ++i) {
    float_functions(in.any[static_cast<std::size_t>(i)], in.angle[static_cast<std::size_t>(i)],
                    results.data() + i * kFloatFunctions);
  }
  return digest_of(results);
}

std::uint64_t digest_double_functions(const CheckArguments& in) {
  Results results;
  for (std::size_t i = 0; i < kCount; ++i) {
    const double x = double{in.moderate[i]} * (1.0 + 0x1p-30);
    results.add(exp_exact(x));
    results.add(log_exact(x * x));
    results.add(sin_exact(x));
    results.add(cos_exact(x));
    results.add(power(1.0 - 0x1p-10 * (x - static_cast<double>(static_cast<int>(x))), i));
  }
  return results.digest();
}

std::uint64_t digest_vectors(const VectorProbe& probe, const CheckArguments& in) {
  Results results;
  const float *x = in.any.data(), *a = in.moderate.data(), *b = in.angle.data();
  std::vector<float> y(kCount), s(kCount);
  const auto keep = [&](const std::vector<float>& values) { results.add(values); };
  probe.exp(x, y.data(), kCount), keep(y);
  probe.sigmoid(x, s.data(), kCount), keep(s);
  probe.silu(x, y.data(), kCount), keep(y);
  probe.dsilu(x, s.data(), y.data(), kCount), keep(y);
  probe.fma(a, b, x, y.data(), kCount), keep(y);
  probe.divide(a, b, y.data(), kCount), keep(y);
  probe.square_root(x, y.data(), kCount), keep(y);
  std::vector<std::uint16_t> half(kCount);
  probe.to_bf16(a, half.data(), kCount);
  probe.from_bf16(half.data(), y.data(), kCount), keep(y);
  for (const std::int64_t n : {1, 7, 16, 33, 1001}) {
    results.add(probe.row_product_sum(n, a, b));
    results.add(probe.row_sum(n, a));
    results.add(probe.row_sum_of_squares(n, a));
    results.add(probe.row_max(n, a));
  }
  return results.digest();
}

}  // namespace

std::uint64_t digest_of(const std::vector<float>& values) {
  Results results;
  results.add(values);
  return results.digest();
}

std::vector<ArithmeticGroup> check_arithmetic() {
  const CheckArguments in = check_arguments();
  std::vector<ArithmeticGroup> groups = {
      {"fused multiply-add", digest_fma(in), 0x0560d31a03d6e6ceu},
      {"separate multiply and add", digest_separate(in), 0xbd6cb87fdc5f89ecu},
      {"division and square root", digest_division(in), 0x6c9e1193c35f8457u},
      {"denormals", digest_denormals(in), 0xdc7c0a4cb99141c6u},
      {"float32 functions", digest_float_functions(in), kFloatFunctionsDigest},
      {"float64 functions", digest_double_functions(in), 0xbc378bdaedf0506fu},
  };
  for (const VectorProbe* probe : runnable_probes()) {
    groups.push_back(
        {std::string("vectors of ") + probe->isa, digest_vectors(*probe, in), 0x35a0ca8e33eafb15u});
  }
  return groups;
}

std::uint64_t arithmetic_digest() {
  std::vector<std::uint64_t> words;
  for (const ArithmeticGroup& group : check_arithmetic()) {
    // Which instruction sets there are must not show, only whether one of them is wrong.
    const bool vectors = group.name.starts_with("vectors");
    if (!vectors || group.digest != group.expected) words.push_back(group.digest);
  }
  return XXH3_64bits(words.data(), words.size() * sizeof(std::uint64_t));
}

void require_exact_arithmetic() {
  const std::string problem = float_state_problem();
  if (!problem.empty()) {
    fail(ExitCode::numerics,
         "this thread's floating-point state is not exact: {}. A library built with -Ofast or "
         "-ffast-math sets this when it is loaded; `determinism: run` does not mind it",
         problem);
  }
  std::string names;
  for (const ArithmeticGroup& group : check_arithmetic()) {
    if (group.digest == group.expected) continue;
    names += fmt::format("{}{} ({:016x} instead of {:016x})", names.empty() ? "" : ", ", group.name,
                         group.digest, group.expected);
  }
  if (!names.empty()) {
    fail(ExitCode::numerics,
         "this processor or build does not compute the bits of docs/numerics.md: {}. Build without "
         "fast-math flags for a processor with IEEE fused multiply-add, or set `determinism: run`",
         names);
  }
}

}  // namespace moray
