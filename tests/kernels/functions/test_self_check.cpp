// The self check passes here, and fails when the processor's state is wrong.
#include <algorithm>
#include <cfenv>

#include "catch.hpp"
#include "core/error.hpp"
#include "kernels/functions/self_check.hpp"
#include "kernels/variants.hpp"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace {

constexpr std::uint64_t kDigest = 0x5c0d9fe9cb4e4418u;  // docs/numerics/functions.md

/// Restores the exact state at the end of a test, whatever it did.
struct ExactStateAgain {
  ~ExactStateAgain() { moray::set_exact_float_state(); }
};

/// Names of the groups whose bits differ.
std::vector<std::string> different() {
  std::vector<std::string> names;
  for (const auto& group : moray::check_arithmetic()) {
    if (group.digest != group.expected) names.push_back(group.name);
  }
  return names;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string refusal() {
  try {
    moray::require_exact_arithmetic();
  } catch (const moray::Error& error) {
    CHECK(error.code() == moray::ExitCode::numerics);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("the arithmetic of this build is exact") {
  for (const auto& group : moray::check_arithmetic()) {
    INFO(fmt::format("{} 0x{:016x}", group.name, group.digest));
    CHECK(group.digest == group.expected);
  }
  INFO(fmt::format("all 0x{:016x}", moray::arithmetic_digest()));
  CHECK(moray::arithmetic_digest() == kDigest);
  CHECK_NOTHROW(moray::require_exact_arithmetic());
}

TEST_CASE("the backend is exact with each variant of the product") {
  for (const moray::Variant variant : moray::available_variants(moray::Op::gemm)) {
    INFO(moray::variant_name(variant));
    moray::force_variant(moray::Op::gemm, variant);
    CHECK_NOTHROW(moray::require_exact_arithmetic(moray::ExecSpace()));
  }
  moray::reset_variants();
}

#if defined(__x86_64__)
TEST_CASE("flushed denormals are refused") {
  const ExactStateAgain again;
  _mm_setcsr(_mm_getcsr() | 0x8000u);
  CHECK(refusal().find("FTZ") != std::string::npos);
  CHECK(contains(different(), "denormals"));
  CHECK(moray::arithmetic_digest() != kDigest);
  moray::set_exact_float_state();
  CHECK(refusal().empty());
  _mm_setcsr(_mm_getcsr() | 0x0040u);
  CHECK(refusal().find("DAZ") != std::string::npos);
  CHECK(contains(different(), "denormals"));
}

TEST_CASE("the backend's threads are set to the exact state") {
  const ExactStateAgain again;
  _mm_setcsr(_mm_getcsr() | 0x8040u);
  CHECK_NOTHROW(moray::require_exact_arithmetic(moray::ExecSpace()));
  CHECK(moray::float_state_problem().empty());
}
#endif

TEST_CASE("another rounding mode is refused") {
  const ExactStateAgain again;
  for (const int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
    std::fesetround(mode);
    const std::string message = refusal();
    const auto names = different();
    moray::set_exact_float_state();
    CHECK(message.find("rounding mode") != std::string::npos);
    CHECK(contains(names, "fused multiply-add"));
    CHECK(contains(names, "separate multiply and add"));
    CHECK(contains(names, "division and square root"));
    CHECK(contains(names, "float32 functions"));
    CHECK(std::fegetround() == FE_TONEAREST);
  }
}
