#include <optional>
#include <string>

#include "catch.hpp"
#include "config/nearest.hpp"

using namespace moray;

TEST_CASE("edit distance counts the four slips of a typist", "[nearest]") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("lanes", "lanes") == 0);
  CHECK(edit_distance("lane", "lanes") == 1);
  CHECK(edit_distance("lanees", "lanes") == 1);
  CHECK(edit_distance("lames", "lanes") == 1);
  CHECK(edit_distance("lnaes", "lanes") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("abc", "") == 3);
}

TEST_CASE("the nearest name is near, and the first of equals", "[nearest]") {
  CHECK(nearest_name("warmup_step", {"peak", "warmup_steps", "tail"}) ==
        std::optional<std::string>("warmup_steps"));
  CHECK(nearest_name("beta", {"beta1", "beta2"}) == std::optional<std::string>("beta1"));
  CHECK(nearest_name("foo", {"moe", "mtp"}) == std::nullopt);
  CHECK(nearest_name("colour", {"width", "layers"}) == std::nullopt);
  CHECK(nearest_name(std::string(100000, 'a'), {"width"}) == std::nullopt);
}
