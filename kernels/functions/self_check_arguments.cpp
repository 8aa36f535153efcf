#include "kernels/functions/self_check_arguments.hpp"

namespace moray {
namespace {

/// The high half of a 64-bit linear congruential generator (Knuth's multiplier).
class Generator {
 public:
  explicit Generator(std::uint64_t seed) : state_(seed) {}
  std::uint32_t next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>(state_ >> 32);
  }

 private:
  std::uint64_t state_;
};

/// A random sign and mantissa with an exponent in [low, high).
float with_exponent(Generator& random, int low, int high) {
  const auto range = static_cast<std::uint32_t>(high - low);
  const std::uint32_t exponent = static_cast<std::uint32_t>(127 + low) + random.next() % range;
  return float_of((random.next() & 0x807fffffu) | exponent << 23);
}

}  // namespace

CheckArguments check_arguments() {
  volatile std::uint64_t seed = 1;
  Generator random(seed);
  CheckArguments in;
  // Table entries, then signed zeros, infinities, a NaN, the ends of exp's range, denormals.
  const std::uint32_t special[] = {0x3c413d3a, 0x41178feb, 0x4c5d65a5, 0x65d890d3, 0x6f31a8ec,
                                   0x00000000, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000,
                                   0x42b17217, 0x42b17218, 0xc2aeac50, 0xc2cff1b4, 0xc2cff1b5,
                                   0x00000001, 0x007fffff, 0x80000001, 0x7f7fffff, 0xff7fffff};
  for (const std::uint32_t bits : special) in.any.push_back(float_of(bits));
  for (const std::uint32_t bits :
       {0x46199998u, 0xc6199998u, 0x80000000u, 0x4b7fffffu, 0x3fc90fdbu}) {
    in.angle.push_back(float_of(bits));
  }
  while (in.any.size() < kCheckArguments) {
    // Half of all float32, half where exp and sigmoid are neither 0 nor infinite.
    in.any.push_back(in.any.size() % 2 == 0 ? float_of(random.next())
                                            : with_exponent(random, -8, 7));
  }
  while (in.moderate.size() < kCheckArguments) in.moderate.push_back(with_exponent(random, -20, 6));
  while (in.angle.size() < kCheckArguments) in.angle.push_back(with_exponent(random, -12, 24));
  return in;
}

}  // namespace moray
