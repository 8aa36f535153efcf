// exp, log, sin and cos against MPFR: a million arguments by default, all of them in [long] cases.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "kernels/functions/functions.hpp"
#include "tests/kernels/functions/mpfr_reference.hpp"

namespace {

using moray::double_bits;
using moray::float_bits;
using moray::float_of;
using moray_test::MpfrReference;

struct Function {
  const char* name;
  float (*single)(float);
  double (*wide)(double);
  moray_test::MpfrFunction reference;
  std::uint64_t arguments;  // the float32 with bits below this are walked
  std::int64_t table_size;  // how many of these the float64 polynomial alone misrounds
  double low, high;         // for float64 arguments
};
const Function kFunctions[] = {
    {"exp", [](float x) { return moray::exp_exact(x); },
     [](double x) { return moray::exp_exact(x); }, mpfr_exp, std::uint64_t{1} << 32, 0, -708,
     709.7},
    {"log", [](float x) { return moray::log_exact(x); },
     [](double x) { return moray::log_exact(x); }, mpfr_log, std::uint64_t{1} << 32, 5, 1e-3, 1e3},
    {"sin", [](float x) { return moray::sin_exact(x); },
     [](double x) { return moray::sin_exact(x); }, mpfr_sin, 0x4b800000u, 1, -16777215, 16777215},
    {"cos", [](float x) { return moray::cos_exact(x); },
     [](double x) { return moray::cos_exact(x); }, mpfr_cos, 0x4b800000u, 0, -16777215, 16777215},
};

bool same(float a, float b) {
  return float_bits(a) == float_bits(b) || (a != a && b != b);
}

/// Whether a boundary of rounding to float32 (the middle of two neighbours) lies within 2^-44 |y| of
/// y. The float64 polynomials err by less than 2^-50 (docs/numerics/functions.md has the proof), so
/// that elsewhere the float32 nearest to y is the one nearest to the function's value.
bool near_boundary(double y) {
  const double size = y < 0 ? -y : y;
  if (size < 0x1p-126) {
    const double units = size * 0x1p149;  // of the smallest denormal; exact
    const double rest = units - static_cast<double>(static_cast<std::int64_t>(units));
    return rest > 0.5 - 0x1p-20 && rest < 0.5 + 0x1p-20;
  }
  const auto rest = static_cast<std::int64_t>(double_bits(size) & 0x1fffffffu);
  return rest > (1 << 28) - 513 && rest < (1 << 28) + 513;
}

struct Walk {
  std::atomic<std::uint64_t> next{0};
  std::atomic<std::int64_t> asked{0};  // arguments for which MPFR decided
  std::atomic<std::int64_t> table{0};  // of these, misrounded by the polynomial alone
  std::atomic<std::int64_t> wrong{0};
  std::mutex mutex;
  std::vector<std::uint32_t> examples;  // some wrong ones
};

void walk_block(const Function& f, std::uint64_t begin, std::uint64_t end, MpfrReference& mpfr,
                Walk& walk) {
  for (std::uint64_t bits = begin; bits < end; ++bits) {
    const float x = float_of(static_cast<std::uint32_t>(bits));
    const double wide = f.wide(static_cast<double>(x));
    float right = static_cast<float>(wide);
    if (near_boundary(wide)) {
      right = mpfr.rounded(f.reference, x);
      ++walk.asked;
      walk.table += !same(right, static_cast<float>(wide));
    }
    if (same(f.single(x), right)) continue;
    ++walk.wrong;
    const std::lock_guard lock(walk.mutex);
    if (walk.examples.size() < 20) walk.examples.push_back(static_cast<std::uint32_t>(bits));
  }
}

void walk_all(const Function& f) {
  Walk walk;
  constexpr std::uint64_t kBlock = 1 << 20;
  const auto work = [&] {
    MpfrReference mpfr;
    for (;;) {
      const std::uint64_t begin = walk.next.fetch_add(kBlock);
      if (begin >= f.arguments) return;
      walk_block(f, begin, std::min(begin + kBlock, f.arguments), mpfr, walk);
    }
  };
  std::vector<std::thread> threads(std::max(1u, std::thread::hardware_concurrency()));
  for (std::thread& thread : threads) thread = std::thread(work);
  for (std::thread& thread : threads) thread.join();
  for (const std::uint32_t bits : walk.examples)
    UNSCOPED_INFO(fmt::format("wrong at {:08x}", bits));
  WARN(fmt::format("{}: {} arguments, {} decided by MPFR, {} of them in the table", f.name,
                   f.arguments, walk.asked.load(), walk.table.load()));
  CHECK(walk.wrong == 0);
  CHECK(walk.table == f.table_size);
  CHECK(walk.asked > 100);  // the filter lets some through
}

}  // namespace

TEST_CASE("a million float32 arguments are rounded correctly") {
  for (const Function& f : kFunctions) {
    INFO(f.name);
    std::mt19937 random(20240229);
    MpfrReference mpfr;
    std::int64_t wrong = 0;
    for (int i = 0; i < 250000; ++i) {
      // exp: half of them where the result is neither 0 nor infinite; sin and cos: below 2^24.
      std::uint32_t bits = random();
      if (f.arguments < (std::uint64_t{1} << 32)) {
        bits =
            (bits & 0x80000000u) | (bits & 0x7fffffffu) % static_cast<std::uint32_t>(f.arguments);
      } else if (i % 2 == 0) {
        bits = (bits & 0x807fffffu) | (113u + bits % 21u) << 23;
      }
      const float x = float_of(bits);
      wrong += !same(f.single(x), mpfr.rounded(f.reference, x));
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("hard cases are rounded correctly") {
  // The arguments of the tables, those whose value lies nearest to a boundary among all float32,
  // and the ends of ranges; each with its neighbours.
  const std::uint32_t hard[] = {
      0xc16912cd, 0xbbf0edf1, 0xc2b2e798, 0x377eff81, 0xbae0e25c,  // exp
      0x65d890d3, 0x4c5d65a5, 0x4d604ebe, 0x41178feb, 0x1f116ab8,  // log
      0x3c413d3a, 0x6f31a8ec,                                      //
      0x46199998, 0xc6199998, 0x4371ade3, 0x3ef3830f, 0x45a8abb3,  // sin
      0x3c107fe6, 0x39800000, 0x424790ce, 0x3a544395, 0x4a01dca4,  // cos
      0x42b17217, 0x42b17218, 0xc2aeac50, 0xc2ce8ed0, 0xc2cff1b4,  // ends of exp's range
      0x42b20000, 0xc2d00000, 0x33000000, 0xb3000000, 0x32ffffff,  //
      0x00000001, 0x007fffff, 0x00800000, 0x80000000, 0x7f7fffff,  // denormals, zeros, the largest
      0x3f800000, 0x3f7fffff, 0x3f3504f3, 0x3fc90fdb, 0x40490fdb, 0x4b7fffff};
  MpfrReference mpfr;
  for (const Function& f : kFunctions) {
    for (const std::uint32_t place : hard) {
      for (std::uint32_t bits = place - 50; bits != place + 51; ++bits) {
        const float x = float_of(bits);
        if (f.arguments < (std::uint64_t{1} << 32) && (bits & 0x7fffffffu) >= f.arguments) continue;
        INFO(fmt::format("{} {:08x}", f.name, bits));
        if (!same(f.single(x), mpfr.rounded(f.reference, x))) FAIL_CHECK("misrounded");
      }
    }
  }
}

TEST_CASE("float64 functions are within 1e-15") {
  for (const Function& f : kFunctions) {
    INFO(f.name);
    std::mt19937_64 random(7);
    MpfrReference mpfr;
    double worst = 0;
    const auto look = [&](double x) {
      worst = std::max(worst, mpfr.relative_error(f.reference, x, f.wide(x)));
    };
    for (int i = 0; i < 40000; ++i) {
      const double unit = static_cast<double>(random() >> 11) * 0x1p-53;
      look(f.low + (f.high - f.low) * unit);
      look(f.low > 0 ? 1.0 + (unit - 0.5) * 0x1p-6 : unit - 0.5);  // near 1 for log, near 0 else
      // The float64 next to multiples of pi / 2, where sin or cos almost vanishes.
      const double quarters = static_cast<double>(random() % 10000000);
      if (f.low < -1e6) look(quarters * 0x1.921fb54442d18p+0);
    }
    INFO(fmt::format("{}: worst relative error {:.3g}", f.name, worst));
    CHECK(worst < 1e-15);
    CHECK(worst > 1e-17);  // the comparison measures something
  }
}

TEST_CASE("exp over all float32", "[long]") {
  walk_all(kFunctions[0]);
}
TEST_CASE("log over all float32", "[long]") {
  walk_all(kFunctions[1]);
}
TEST_CASE("sin over [0, 2^24)", "[long]") {
  walk_all(kFunctions[2]);
}
TEST_CASE("cos over [0, 2^24)", "[long]") {
  walk_all(kFunctions[3]);
}
