#include <cmath>
#include <limits>

#include "catch.hpp"
#include "inspection/envelope.hpp"

using namespace moray;

namespace {
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
}

TEST_CASE("buckets cover all rows once, evenly", "[report]") {
  for (const std::int64_t rows : {0, 1, 7, 100, 1999, 2000, 2001, 100000}) {
    const Buckets buckets(rows, 2000);
    REQUIRE(buckets.begin.front() == 0);
    REQUIRE(buckets.begin.back() == rows);
    CHECK(buckets.count() == std::min<std::int64_t>(rows, 2000));
    CHECK(buckets.one_row_each() == (rows <= 2000));
    for (std::int64_t b = 0; b < buckets.count(); ++b) {
      const std::int64_t size = buckets.last(b) + 1 - buckets.begin[static_cast<std::size_t>(b)];
      REQUIRE(size >= rows / buckets.count());
      REQUIRE(size <= rows / buckets.count() + 1);
    }
  }
}

TEST_CASE("an envelope keeps the spike that a mean would hide", "[report]") {
  std::vector<double> values(1000, 1.0);
  values[437] = 1000;
  values[438] = -5;
  const Envelope e = envelope(values, Buckets(1000, 10));
  REQUIRE(e.mean.size() == 10);
  CHECK(e.high[4] == 1000);
  CHECK(e.low[4] == -5);
  CHECK(e.mean[4] == Approx((98.0 + 1000 - 5) / 100));
  CHECK(e.low[3] == 1);
  CHECK(e.high[3] == 1);
}

TEST_CASE("missing values count for nothing, and a bucket of them is missing", "[report]") {
  const Envelope e = envelope(std::vector<double>{kNone, 2, 4, kNone, kNone, kNone}, Buckets(6, 2));
  CHECK(e.mean[0] == 3);
  CHECK(e.low[0] == 2);
  CHECK(e.high[0] == 4);
  CHECK(std::isnan(e.mean[1]));
  CHECK(std::isnan(e.low[1]));
}

TEST_CASE("packed values are base64 of little-endian 16-bit levels", "[report]") {
  CHECK(pack_values({}, 0, 1).empty());
  CHECK(pack_values(std::vector<double>{0}, 0, 1) == "AAA=");            // 00 00
  CHECK(pack_values(std::vector<double>{1}, 0, 1) == "/v8=");            // fe ff: 65534
  CHECK(pack_values(std::vector<double>{kNone}, 0, 1) == "//8=");        // ff ff
  CHECK(pack_values(std::vector<double>{0, 1, 0}, 0, 1) == "AAD+/wAA");  // no padding
  CHECK(pack_values(std::vector<double>{-9, 9}, 0, 1) == "AAD+/w==");    // clamped
  CHECK(pack_values(std::vector<double>{5, 5}, 5, 5) == "AAAAAA==");     // no range
  CHECK(pack_values(std::vector<double>{0.5}, 0, 1) == "/38=");          // ff 7f: 32767
}

TEST_CASE("seven digits are short and near", "[report]") {
  CHECK(seven_digits(1.0 / 3) == 0.3333333);
  CHECK(seven_digits(123456789.0) == 123456800.0);
  CHECK(seven_digits(0) == 0);
  CHECK(std::isinf(seven_digits(HUGE_VAL)));
}
