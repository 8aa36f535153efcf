#include "inspection/balance.hpp"

#include "catch.hpp"

using namespace moray;

namespace {

using Loads = std::vector<std::int64_t>;

/// Rows of two layers of four experts, at these steps; layer 1 always prefers expert 3.
MetricTable table_of(const std::vector<std::int64_t>& steps) {
  const MetricSchema schema({{"step", "1", Dtype::int64},
                             {"loads", "token", Dtype::int64, {2, 4}, "layer,expert"},
                             {"bias", "1", Dtype::float64, {2, 4}, "layer,expert"}});
  MetricTable table(schema);
  for (const std::int64_t step : steps) {
    const Loads loads =
        step % 2 == 0 ? Loads{14, 6, 10, 10, 10, 10, 5, 15} : Loads{6, 14, 10, 10, 10, 10, 5, 15};
    std::vector<double> bias(8, static_cast<double>(step));
    bias[7] = -1;
    MetricRow row(schema);
    row.set("step", step)
        .set("loads", std::span<const std::int64_t>(loads))
        .set("bias", std::span<const double>(bias));
    table.append(row.words());
  }
  return table;
}

}  // namespace

TEST_CASE("balance over the steps of a window", "[balance]") {
  const Balance all = balance_of(table_of({1, 2, 3, 4}), 100);
  CHECK(all.first_step == 1);
  CHECK(all.last_step == 4);
  CHECK(all.rows == 4);
  REQUIRE(all.layers.size() == 2);
  CHECK(all.layers[0].loads == Loads{40, 40, 40, 40});
  CHECK(all.layers[0].last_violation == Approx(0.4));
  CHECK(all.layers[0].mean_violation == Approx(0.4));
  CHECK(all.layers[0].window_violation == Approx(0).margin(1e-15));
  CHECK(all.layers[1].window_violation == Approx(0.5));
  CHECK(all.layers[1].bias == std::vector<double>{4, 4, 4, -1});

  // The window counts steps, of which only some were logged.
  const Balance some = balance_of(table_of({10, 20, 30, 35}), 10);
  CHECK(some.first_step == 30);
  CHECK(some.rows == 2);
  CHECK(some.layers[1].loads == Loads{20, 20, 10, 30});
  CHECK(balance_of(table_of({10, 20}), 1).layers[0].loads == Loads{14, 6, 10, 10});
}

TEST_CASE("a run without rows or without experts has no balance", "[balance]") {
  CHECK(balance_of(table_of({}), 100).layers.empty());
  MetricTable dense(MetricSchema({{"step", "1", Dtype::int64}}));
  dense.append(MetricRow(dense.schema).set("step", std::int64_t{1}).words());
  CHECK(balance_of(dense, 100).layers.empty());
}

TEST_CASE("an expert is dead below a part of the mean load", "[balance]") {
  const Loads loads = {0, 1, 100, 299};  // mean 100
  CHECK(dead_experts(loads, 0.01) == Loads{0});
  CHECK(dead_experts(loads, 0.011) == Loads{0, 1});
  CHECK(dead_experts(loads, 0).empty());
  CHECK(dead_experts(loads, 1) == Loads{0, 1});
  CHECK(dead_experts({0, 0}, 1).empty());  // nothing was routed at all
}
