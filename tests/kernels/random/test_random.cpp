#include <array>
#include <cstdint>
#include <vector>

#include "catch.hpp"
#include "kernels/functions/functions.hpp"
#include "kernels/random/random.hpp"

namespace {

using Words = std::array<std::uint32_t, 4>;

/// Philox4x32-10 once more, from the definition of Salmon et al. (2011), table 2 and section 5.
Words plain_philox(Words c, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c[2];
    const auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
    c = {high(p1) ^ c[1] ^ key0, static_cast<std::uint32_t>(p1), high(p0) ^ c[3] ^ key1,
         static_cast<std::uint32_t>(p0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return c;
}

Words words(std::uint64_t key, std::uint64_t index) {
  const moray::RandomWords w = moray::random_words(key, index);
  return {w.word[0], w.word[1], w.word[2], w.word[3]};
}

std::vector<float> normals(std::uint64_t key, std::uint64_t first, std::int64_t n,
                           double deviation) {
  moray::View1<float> device("moray::test::normals", static_cast<std::size_t>(n));
  const moray::ExecSpace exec;
  moray::fill_normal(exec, key, first, deviation, {device.data(), n});
  moray::fence(exec, "test reads the normals");
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), device);
  return std::vector<float>(host.data(), host.data() + n);
}

}  // namespace

TEST_CASE("Philox gives the published known answers") {
  // Random123's kat_vectors, philox4x32 with 10 rounds.
  CHECK(plain_philox({0, 0, 0, 0}, 0, 0) ==
        Words{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
  const std::uint32_t ones = 0xffffffffu;
  CHECK(plain_philox({ones, ones, ones, ones}, ones, ones) ==
        Words{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
  CHECK(plain_philox({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, 0xa4093822u,
                     0x299f31d0u) == Words{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u});
  CHECK(words(0, 0) == plain_philox({0, 0, 0, 0}, 0, 0));
}

TEST_CASE("words come from key and index, low words first") {
  const std::uint64_t keys[] = {0, 1, 0x0123456789abcdefu, ~std::uint64_t{0}};
  const std::uint64_t indices[] = {0, 1, 0xffffffffu, 0x100000000u, 0xfedcba9876543210u};
  for (const std::uint64_t key : keys) {
    for (const std::uint64_t index : indices) {
      const Words counter = {static_cast<std::uint32_t>(index),
                             static_cast<std::uint32_t>(index >> 32), 0, 0};
      CHECK(words(key, index) == plain_philox(counter, static_cast<std::uint32_t>(key),
                                              static_cast<std::uint32_t>(key >> 32)));
    }
  }
}

TEST_CASE("the key of a tensor is XXH3_64 of its name xor the seed") {
  CHECK(moray::random_key("", 0) == 0x2d06800538d394c2u);  // the published hash of nothing
  CHECK(moray::random_key("model.embed_tokens.weight", 1234) == 0x07878fab87475c1cu);
  CHECK(moray::random_key("model.embed_tokens.weight", 1235) == (0x07878fab87475c1cu ^ 1u));
}

TEST_CASE("normals have golden bits, across the 2^32 boundary of the index too") {
  // The float32 nearest to the formula evaluated with 200 bits, for key 0x07878fab87475c1c.
  const std::uint32_t low[] = {0x3960b83cu, 0x3bbfafebu, 0x3c16d3b6u, 0xb8e88ea8u,
                               0x3bfed449u, 0x3bf17929u, 0x3b8652bbu, 0xba39551bu};
  const std::uint32_t high[] = {0x3bceca3du, 0x3b13f18cu, 0x3b4f30b6u, 0xbab1ed97u,
                                0xbbad9533u, 0x3b91e85du, 0x37efffafu, 0x3a5956c5u};
  const auto a = normals(0x07878fab87475c1cu, 0, 8, 0.006);
  const auto b = normals(0x07878fab87475c1cu, 0xffffffffu, 8, 0.006);
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(moray::float_bits(a[i]) == low[i]);
    CHECK(moray::float_bits(b[i]) == high[i]);
  }
}

TEST_CASE("normals are normal, and do not depend on where a range starts") {
  constexpr std::int64_t n = 1 << 20;
  const auto x = normals(42, 7, n, 1.0);
  double moment[5] = {};
  for (const float value : x) {
    double power = 1;
    for (double& m : moment) {
      m += power / double(n);
      power *= double(value);
    }
  }
  // Five standard errors of each sample moment: sqrt(1, 2, 15, 96) / sqrt(n).
  CHECK(std::abs(moment[1]) < 5 * 1.0 / 1024);
  CHECK(std::abs(moment[2] - 1) < 5 * 1.42 / 1024);
  CHECK(std::abs(moment[3]) < 5 * 3.88 / 1024);
  CHECK(std::abs(moment[4] - 3) < 5 * 9.8 / 1024);
  const auto tail = normals(42, 7 + 1000, 100, 1.0);
  for (std::size_t i = 0; i < 100; ++i) CHECK(tail[i] == x[1000 + i]);
}

TEST_CASE("bounded integers are below their bound and use the draws that they say") {
  std::uint64_t index = 5;
  CHECK(moray::random_below(99, index, 7) == 3);
  CHECK(moray::random_below(99, index, 1) == 0);
  CHECK(index == 7);
  // With 2^63 + 1 nearly half of the draws are refused.
  std::uint64_t refused = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t before = index;
    const std::uint64_t bound = (std::uint64_t{1} << 63) + 1;
    CHECK(moray::random_below(99, index, bound) < bound);
    refused += index - before - 1;
  }
  CHECK(refused > 800);
  CHECK(refused < 1200);
  std::int64_t count[5] = {};
  for (int i = 0; i < 50000; ++i) ++count[moray::random_below(3, index, 5)];
  for (const std::int64_t c : count) CHECK(std::abs(double(c) - 10000) < 5 * 90);
}
