#include <cstdint>
#include <limits>
#include <string>

#include "catch.hpp"
#include "config/amount.hpp"
#include "config/number.hpp"

using namespace moray;

namespace {
template <class T>
std::string error_of(const char* text) {
  T value{};
  return parse_number(text, value);
}
template <class T>
T value_of(const char* text) {
  T value{};
  REQUIRE(parse_number(text, value) == "");
  return value;
}
}  // namespace

TEST_CASE("integers are decimal and may be written as integral floats", "[number]") {
  CHECK(value_of<std::int64_t>("0") == 0);
  CHECK(value_of<std::int64_t>("-17") == -17);
  CHECK(value_of<std::int64_t>("1e5") == 100000);
  CHECK(value_of<std::int64_t>("4096.0") == 4096);
  CHECK(value_of<std::int64_t>("9223372036854775807") == std::numeric_limits<std::int64_t>::max());
  CHECK(value_of<std::uint64_t>("18446744073709551615") ==
        std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("what is no integer is refused with the reason", "[number]") {
  CHECK(error_of<std::int64_t>("0777") ==
        "'0777' has a leading zero (octal elsewhere); write it without");
  CHECK(error_of<std::int64_t>("-007") ==
        "'-007' has a leading zero (octal elsewhere); write it without");
  CHECK(error_of<std::int64_t>("0x10") ==
        "'0x10' has a leading zero (octal elsewhere); write it without");
  CHECK(error_of<std::int64_t>("1.5") == "1.5 is not an integer");
  CHECK(error_of<std::int64_t>("12a") == "'12a' is not an integer");
  CHECK(error_of<std::int64_t>("") == "'' is not an integer");
  CHECK(error_of<std::int64_t>("+3") == "'+3' is not an integer");
  CHECK(error_of<std::int64_t>("1_000") == "'1_000' is not an integer");
  CHECK(error_of<std::int64_t>("9223372036854775808") ==
        "9223372036854775808 does not fit into 64 bits");
  CHECK(error_of<std::int64_t>("1e16") == "1e16 is more than 2^53; write it as an integer");
  CHECK(error_of<std::uint64_t>("-1") == "-1 is negative");
}

TEST_CASE("real numbers are finite", "[number]") {
  CHECK(value_of<double>("2.2e-4") == 2.2e-4);
  CHECK(value_of<double>(".5") == 0.5);
  CHECK(value_of<double>("0") == 0.0);
  CHECK(error_of<double>("inf") == "inf is not a finite number");
  CHECK(error_of<double>("nan") == "nan is not a finite number");
  CHECK(error_of<double>("1e999") == "1e999 does not fit into a float64");
  CHECK(error_of<double>("012.5") ==
        "'012.5' has a leading zero (octal elsewhere); write it without");
  CHECK(error_of<double>("1.5x") == "'1.5x' is not a number");
  CHECK(error_of<double>(".inf") == "'.inf' is not a number");
}

TEST_CASE("amounts carry their unit", "[amount]") {
  const auto read = [](const char* text) {
    Amount amount;
    REQUIRE(parse_amount(text, amount) == "");
    return amount;
  };
  CHECK(read("2000") == Amount{2000, Amount::Unit::steps});
  CHECK(read("1 step") == Amount{1, Amount::Unit::steps});
  CHECK(read("3e6 samples") == Amount{3e6, Amount::Unit::samples});
  CHECK(read("469e9   tokens") == Amount{469e9, Amount::Unit::tokens});
  CHECK(to_string(read("14.8e12 tokens")) == "14800000000000 tokens");

  Amount amount{7, Amount::Unit::samples};
  CHECK(parse_amount("20 stps", amount) == "'stps' is not a unit; write steps, samples or tokens");
  CHECK(parse_amount("1.5 tokens", amount) == "1.5 is not an integer");
  CHECK(parse_amount("9007199254740993", amount) == "9007199254740993 is more than 2^53");
  CHECK(parse_amount("20 ", amount) == "'' is not a unit; write steps, samples or tokens");
  CHECK(amount == Amount{7, Amount::Unit::samples});
}
