#include <algorithm>
#include <functional>
#include <numeric>
#include <random>

#include "catch.hpp"
#include "core/error.hpp"
#include "pipeline/stages.hpp"
#include "training/deck.hpp"

using namespace moray;

namespace {

using Stages = std::vector<StageLayers>;

ModelConfig v3() {
  return read_deck(std::string(MORAY_INPUT_FOLDER) + "/deepseek-v3-671b.yaml").model;
}

double largest(const std::vector<double>& costs) {
  return *std::max_element(costs.begin(), costs.end());
}

/// Cost of the busiest rank, the largest stage and the sum of squares: what is made least, in turn.
std::array<double, 3> quality(const LayerCosts& costs, const Stages& stages, bool two_chunks) {
  const std::vector<double> c = stage_costs(costs, stages);
  std::array<double, 3> q = {0, largest(c), 0};
  for (std::size_t s = 0; s < c.size(); ++s) {
    if (two_chunks) q[0] = std::max(q[0], c[s] + c[c.size() - 1 - s]);
    q[2] += c[s] * c[s];
  }
  return q;
}

void each_placement(std::int64_t layers, int stages, Stages& so_far,
                    const std::function<void(const Stages&)>& visit) {
  const std::int64_t first = so_far.empty() ? 0 : so_far.back().first + so_far.back().count;
  if (static_cast<int>(so_far.size()) + 1 == stages) {
    so_far.push_back({first, layers - first});
    visit(so_far);
    so_far.pop_back();
    return;
  }
  for (std::int64_t count = 1; first + count <= layers; ++count) {
    so_far.push_back({first, count});
    each_placement(layers, stages, so_far, visit);
    so_far.pop_back();
  }
}

std::string refusal(const std::function<void()>& what) {
  try {
    what();
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::usage);
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("61 layers and MTP over 32 half-stages and over 16 stages", "[pipeline]") {
  const LayerCosts costs = forward_costs(v3(), 4096);
  REQUIRE(costs.layers.size() == 61);
  // MTP and two passes through the head cost nearly four layers: they fill the last half-stage.
  CHECK(costs.last / costs.layers.back() == Approx(3.923).epsilon(1e-3));
  CHECK(to_text(place_layers(costs, {ScheduleKind::dualpipev, 16, 32})) == "1,2x30,0");
  CHECK(to_text(place_layers(costs, {ScheduleKind::dualpipe, 16, 120})) == "4x15,1");
  CHECK(to_text(place_layers(costs, {ScheduleKind::one_f_one_b, 16, 120})) == "4x15,1");
}

TEST_CASE("costs are the FLOPs of the published model", "[pipeline]") {
  // Without MTP: 2 x 36.626e9 active parameters with the head, and 10.23e9 of attention. Norms have no
  // matrices.
  ModelConfig model = v3();
  model.mtp.depth = 0;
  const LayerCosts costs = forward_costs(model, 4096);
  const double total = std::accumulate(costs.layers.begin(), costs.layers.end(), costs.last);
  CHECK(total == Approx(2 * 36.626e9 + 10.23e9).epsilon(1e-3));
}

TEST_CASE("a placement is the best of all", "[pipeline]") {
  std::mt19937 random(5);
  for (int i = 0; i < 60; ++i) {
    const ScheduleKind kind = kScheduleKinds[static_cast<std::size_t>(i % 4)];
    const int ranks = kind == ScheduleKind::dualpipe ? 2 + 2 * static_cast<int>(random() % 2)
                                                     : 1 + static_cast<int>(random() % 3);
    const PipelineShape shape{kind, ranks, 2 * ranks};
    LayerCosts costs;
    const auto layers = static_cast<std::size_t>(shape.stages() - 1) + random() % 6 + 1;
    for (std::size_t l = 0; l < layers; ++l)
      costs.layers.push_back(static_cast<double>(1 + random() % 9));
    costs.embedding = static_cast<double>(random() % 4);
    costs.last = static_cast<double>(random() % 12);
    const Stages stages = place_layers(costs, shape);
    const bool two = shape.chunks() == 2;
    const auto found = quality(costs, stages, two);
    CAPTURE(schedule_name(kind), ranks, layers, to_text(stages));
    std::array<double, 3> best = {1e300, 1e300, 1e300};
    Stages so_far;
    each_placement(static_cast<std::int64_t>(layers), shape.stages(), so_far,
                   [&](const Stages& s) { best = std::min(best, quality(costs, s, two)); });
    CHECK(found == best);
  }
}

TEST_CASE("more stages than layers are refused", "[pipeline]") {
  LayerCosts costs;
  costs.layers.assign(6, 1.0);
  costs.last = 2;
  CHECK(to_text(place_layers(costs, {ScheduleKind::one_f_one_b, 7, 14})) == "1x6,0");
  CHECK(
      refusal([&] {
        place_layers(costs, {ScheduleKind::dualpipe, 8, 16});
      }) ==
      "dualpipe on 8 pipeline ranks has 8 stages, more than 6 layers fill (each but the last needs "
      "one): at most 6 pipeline ranks");
  CHECK(refusal([&] {
          place_layers(costs, {ScheduleKind::dualpipev, 4, 16});
        }) ==
        "dualpipev on 4 pipeline ranks has 8 stages, more than 6 layers fill (each but the last "
        "needs one): at most 3 pipeline ranks");
}

TEST_CASE("explicit stages are read and written", "[pipeline]") {
  const Stages stages = parse_stages("3,4x2,2", 13, 4);
  CHECK(stages == Stages{{0, 3}, {3, 4}, {7, 4}, {11, 2}});
  CHECK(to_text(stages) == "3,4x2,2");
  CHECK(to_text(parse_stages("4,4,4,1", 13, 4)) == "4x3,1");
  CHECK(parse_stages("4x15,1", 61, 16).back() == StageLayers{60, 1});
  CHECK(parse_stages("13,0", 13, 2).back() == StageLayers{13, 0});

  const auto said = [](std::string_view text, std::int64_t layers, int count) {
    return refusal([&] { parse_stages(text, layers, count); });
  };
  CHECK(said("4x2,3", 13, 3) == "stages '4x2,3' have 11 layers together, and the model has 13");
  CHECK(said("4x2,5", 13, 4) == "stages '4x2,5' are 3, and there are 4");
  CHECK(said("1x99999999999,5", 13, 4) ==
        "stages '1x99999999999,5' are more than the 4 that there are");
  CHECK(said("9e14,4,4", 13, 3) == "stages '9e14,4,4' have more layers than the model's 13");
  CHECK(said("4,0,9", 13, 3) ==
        "stages '4,0,9': stage 1 has no layer; only the last one may have none");
  for (const char* text : {"", "4,", "4x", "x4", "4x0,13", "4 4 5", "-1,14", "4,a,5"}) {
    CAPTURE(text);
    CHECK(said(text, 13, 3).find("is not a number of layers") != std::string::npos);
  }
}
