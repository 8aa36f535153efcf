#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "catch.hpp"
#include "core/error.hpp"
#include "planning/hardware.hpp"
#include "planning/plan.hpp"
#include "planning/step_prediction.hpp"
#include "training/deck.hpp"

using namespace moray;

namespace {

ScheduleQuestion question(int ranks, int micro_batches, const std::string& stages = "equal") {
  ScheduleQuestion q;
  q.ranks = ranks;
  q.micro_batches = micro_batches;
  q.costs.layers.assign(static_cast<std::size_t>(2 * ranks), 1.0);
  q.timed = {{1, 1, 1, 2.75}, 2};  // of two layers, 1 / ranks of the model
  q.stages = stages;
  return q;
}

Deck v3() {
  return read_deck(std::string(MORAY_INPUT_FOLDER) + "/deepseek-v3-671b.yaml");
}

}  // namespace

TEST_CASE("schedules are compared for the same model", "[planning]") {
  const ScheduleQuestion q = question(8, 20);
  for (const ScheduleKind kind : kScheduleKinds) {
    CAPTURE(schedule_name(kind));
    const SchedulePlan plan = plan_schedule(kind, q);
    REQUIRE(plan.problem.empty());
    // Work is 20 micro-batches of 3, less what overlapping saves; the rest is waiting.
    for (int rank = 0; rank < 8; ++rank) {
      const TimeBySort t = time_by_sort(plan.timeline, rank);
      CHECK(t.forward + t.backward + t.weight + t.overlapped + t.waiting == Approx(plan.step()));
      CHECK(t.forward + t.backward + t.weight + t.overlapped * 3 / 2.75 == Approx(60));
    }
    CHECK(plan.timeline.longest_idle() == Approx(*plan.published_bubble));
  }
  CHECK(plan_schedule(ScheduleKind::dualpipe, q).activations() == 9);
  CHECK(plan_schedule(ScheduleKind::dualpipev, q).activations() == 8.5);
  CHECK(plan_schedule(ScheduleKind::dualpipe, q).weight_copies() == 2);
  CHECK(plan_schedule(ScheduleKind::zb1p, q).most_put_off() == 8);
}

TEST_CASE("unequal stages take the time of their layers", "[planning]") {
  ScheduleQuestion q = question(2, 1, "3,1");
  const SchedulePlan plan = plan_schedule(ScheduleKind::one_f_one_b, q);
  CHECK(plan.stages == "3,1");
  CHECK(plan.step() == 1.5 + 0.5 + 1 + 3);  // F, F, BW, BW in a row
  q.communication = 0.25;
  CHECK(plan_schedule(ScheduleKind::one_f_one_b, q).step() == 6.5);
  q.stages = "auto";
  CHECK(plan_schedule(ScheduleKind::one_f_one_b, q).stages == "2x2");
  q.costs.last = 1;
  CHECK(plan_schedule(ScheduleKind::one_f_one_b, q).stages == "2x2");
  q.costs.last = 2;
  CHECK(plan_schedule(ScheduleKind::one_f_one_b, q).stages == "3,1");
}

TEST_CASE("a schedule that is not possible says why", "[planning]") {
  CHECK(plan_schedule(ScheduleKind::dualpipe, question(4, 7)).problem ==
        "dualpipe needs an even number of micro-batches: 6 or 8, not 7");
  CHECK(plan_schedule(ScheduleKind::zb1p, question(4, 6, "3,3,1")).problem ==
        "stages '3,3,1' are 3, and there are 4");
}

// What was published of the step stands in the hardware file and must not reach a prediction; what is
// checked here are orders of magnitude, in docs/schedules.md the differences are explained.
TEST_CASE("the published step is predicted from the public profile", "[planning]") {
  const Deck deck = v3();
  Hardware h = read_hardware(std::string(MORAY_INPUT_FOLDER) + "/hardware/h800-2048.yaml");
  const LayerCosts costs = forward_costs(deck.model, 4096);
  CHECK(h.layer.flops == Approx(costs.layers.back()).epsilon(1e-5));
  CHECK(h.layer.overlapped * 4 == Approx(128.5).epsilon(1e-3));
  // The parts by what they belong to are the time in which the profile computes.
  CHECK(4 * (h.layer.forward + h.layer.input_gradient + h.layer.weight_gradient) ==
        Approx(124.3).epsilon(1e-3));
  ScheduleQuestion q;
  q.ranks = 16;
  q.micro_batches = 120;
  q.costs = costs;
  const double exchange = h.layer.dispatch + h.layer.combine;
  q.timed = {{h.layer.forward + exchange, h.layer.input_gradient + exchange,
              h.layer.weight_gradient, h.layer.overlapped},
             h.layer.flops};
  q.communication = h.stage_exchange;
  q.stages = "auto";
  const SchedulePlan plan = plan_schedule(ScheduleKind::dualpipe, q);
  const StepPrediction step = predict_step(plan, optimizer_seconds(plan_links(deck), h));
  // What the report's ranks send weights in is not published.
  Deck wide = deck;
  wide.model.precision.compute = "float32";
  CHECK(optimizer_seconds(plan_links(wide), h) == Approx(h.published.optimizer).epsilon(0.05));
  CHECK(step.optimizer < optimizer_seconds(plan_links(wide), h));
  CHECK(step.step == Approx(h.published.step).epsilon(0.1));
  CHECK(step.mean.overlapped == Approx(h.published.overlapped).epsilon(0.1));
  CHECK(step.mean.backward == Approx(h.published.backward).epsilon(0.1));
  const TimeBySort& m = step.mean;
  CHECK(m.forward + m.backward + m.weight + m.overlapped + m.waiting + step.optimizer ==
        Approx(step.step));
}

TEST_CASE("gradients and weights go at the rates of their links", "[planning]") {
  LinkPlan links;
  // Neither messages of the pipeline nor tokens belong to the optimizer.
  for (LinkPlan::Row& row : links.kinds) row = {{3e9, 0}, {2e9, 0}};
  Hardware h;
  CHECK(optimizer_seconds(links, h) == 0);
  h.link = 50;
  CHECK(optimizer_seconds(links, h) == Approx(7 * (3 + 2) / 50.0));
  h.near_link = 150;
  CHECK(optimizer_seconds(links, h) == Approx(7 * (3 / 150.0 + 2 / 50.0)));
}

TEST_CASE("all sums of the plan are float32, weights what products read, each counted once",
          "[planning]") {
  Deck deck = v3();
  const ParameterPlan p = make_plan(deck).parameters;
  // All 59 MoE layers' experts, over 64 expert ranks; two copies of all are on 16 pipeline ranks, so
  // those of an expert are 4, of all else 256. MTP's uses of the embedding come beside them.
  const double routed = 59.0 * 256 * 44'040'192;
  const double dense = static_cast<double>(p.total + p.mtp) - routed;
  Hardware h;
  h.link = 1e-9;  // seconds are bytes
  const auto bytes = [&] {
    LinkPlan links = plan_links(deck);
    links.kinds[static_cast<std::size_t>(LinkKind::embedding)] = {};
    return optimizer_seconds(links, h);
  };
  const auto sent = [](double of_dense, double of_routed) {
    return of_dense / 8 * 255 / 256 + of_routed / 8 / 64 * 3 / 4;
  };
  // Embedding, head and gates (and norms) are float32, all else is a byte and a scale for each 128 x 128.
  const double fp8 = 1 + 4.0 / (128 * 128);
  const double float32 = 2 * 129'280.0 * 7168 + 59.0 * 256 * 7168;
  CHECK(bytes() ==
        Approx(4 * sent(dense, routed) + fp8 * sent(dense - float32, routed) + 4 * sent(float32, 0))
            .epsilon(1e-3));
  deck.model.precision.compute = "bf16";
  CHECK(bytes() ==
        Approx(4 * sent(dense, routed) + 2 * sent(dense - float32, routed) + 4 * sent(float32, 0))
            .epsilon(1e-3));
  deck.model.precision.compute = "float32";
  CHECK(bytes() == Approx(8 * sent(dense, routed)).epsilon(1e-3));
}

TEST_CASE("a hardware file is read like a deck", "[planning]") {
  const auto path = std::filesystem::temp_directory_path() /
                    ("moray_hardware_" + std::to_string(getpid()) + ".yaml");
  const auto problems = [&](const std::string& text) {
    std::ofstream(path) << text;
    try {
      read_hardware(path.string());
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  const std::string layer =
      "{flops: 1, tokens: 1, forward: 1, input_gradient: 1, weight_gradient: 1";
  CHECK(problems("name: x\nlayer: " + layer + ", overlapped: 2}\n") == "accepted");
  const std::string published =
      "name: x\nlayer: " + layer +
      ", overlapped: 2}\npublished: {deck: y, schedule: zb1p, pipeline: 4";
  CHECK(problems(published + ", micro_batches: 8}\n") == "accepted");
  CHECK(problems(published + "}\n")
            .find("a published step has a schedule, pipeline ranks and micro-batches") !=
        std::string::npos);
  const std::string said = problems("name: x\nlayer: " + layer + "}\nlinc: 3\n");
  CHECK(said.find("overlapped") != std::string::npos);
  CHECK(said.find("did you mean 'link'?") != std::string::npos);
  std::filesystem::remove(path);
  CHECK_THROWS_AS(read_hardware(path.string()), Error);
}
