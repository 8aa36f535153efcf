#include <cstdint>

#include "catch.hpp"
#include "core/arena.hpp"
#include "core/error.hpp"

using namespace moray;

TEST_CASE("an arena hands out for real what it counted", "[arena]") {
  const auto build = [](Arena& arena) {
    auto a = arena.vector<float>(Memory::weights, 3);
    auto b = arena.matrix<double>(Memory::weights, 5, 7);
    auto c = arena.vector<std::byte>(Memory::workspace, 1);
    return std::tuple(a, b, c);
  };
  Arena plan;
  auto [pa, pb, pc] = build(plan);
  CHECK(pa.data == nullptr);
  CHECK(plan.bytes(Memory::weights) == 64 + 320);
  CHECK(plan.bytes(Memory::workspace) == 64);
  Arena real;
  real.reserve(plan);
  auto [a, b, c] = build(real);
  CHECK(real.total_bytes() == plan.total_bytes());
  CHECK(reinterpret_cast<std::uintptr_t>(a.data) % 64 == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(b.data) % 64 == 0);
  a[2] = 1.0f;
  CHECK(b(4, 6) == 0.0);
  b(4, 6) = 2.0;
  CHECK(a[2] == 1.0f);
  CHECK(*c.data == std::byte{0});
  CHECK_THROWS_AS(real.vector<float>(Memory::weights, 1000), std::logic_error);
}

TEST_CASE("sizes that overflow are refused", "[arena]") {
  Arena plan;
  CHECK_THROWS_AS(plan.matrix<float>(Memory::weights, std::int64_t{1} << 40, std::int64_t{1} << 40),
                  Error);
  CHECK_THROWS_AS(plan.vector<float>(Memory::weights, -1), Error);
}

TEST_CASE("rows grow when nobody uses them, and live as long as somebody does", "[arena]") {
  Arena plan, arena;
  plan.rows<float>(Memory::activations, 4, 3);
  arena.reserve(plan);
  Rows<float> rows = arena.rows<float>(Memory::activations, 4, 3);
  RowPin pin(rows);
  CHECK(rows->require(4) == 0);
  CHECK_THROWS_AS(rows->require(5), std::logic_error);
  RowPin moved(std::move(pin));
  CHECK_THROWS_AS(rows->require(5), std::logic_error);
  moved = RowPin();
  CHECK(rows->require(5) == 6 * 3 * 4);  // and a quarter more
  moved = RowPin(rows);
  const std::weak_ptr<RowBuffer<float>> watched = rows;
  rows.reset();
  CHECK(!watched.expired());
  moved = RowPin();
  CHECK(watched.expired());
}
