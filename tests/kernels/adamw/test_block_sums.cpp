#include <algorithm>

#include "catch.hpp"
#include "kernels/adamw/adamw.hpp"
#include "kernels/tensor.hpp"

using namespace moray;
using namespace moray::test;

TEST_CASE("a block's sum of squares is a float64 row reduction", "[adamw]") {
  const ExecSpace exec;
  REQUIRE(block_count(0) == 0);
  REQUIRE(block_count(kBlockElements + 1) == 2);
  for_each_variant(Op::adamw, [&] {
    for (const std::int64_t size :
         {std::int64_t{0}, std::int64_t{1}, std::int64_t{7}, std::int64_t{15}, std::int64_t{17},
          std::int64_t{33}, kBlockElements - 1, kBlockElements, kBlockElements + 1,
          2 * kBlockElements + 37}) {
      INFO("size " << size);
      std::mt19937 random(3);
      auto x = vector_tensor<float>(size).fill(random);
      auto sums = vector_tensor<double>(block_count(size));
      auto expected = sums;
      for (std::int64_t block = 0; block < block_count(size); ++block) {
        const std::int64_t begin = block * kBlockElements;
        expected[block] = plain_row_reduction<double>(std::min(kBlockElements, size - begin),
                                                      [&](std::int64_t i, double c) {
                                                        const double value = x[begin + i];
                                                        return std::fma(value, value, c);
                                                      });
      }
      block_sums_of_squares(exec, x.device_vector(), sums.device_vector());
      finish(exec);
      sums.fetch();
      CHECK(sums.same_bits(expected));
    }
  });
}
