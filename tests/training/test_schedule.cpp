#include <cmath>

#include "catch.hpp"
#include "optimizer/optimizer.hpp"
#include "optimizer/schedule.hpp"

using namespace moray;

TEST_CASE("DeepSeek-V3's schedule", "[schedule]") {
  // Report, section 4.2, in steps of a thousandth: warm-up 2, constant to 100, cosine to 143, tails.
  LearningRateConfig rate;
  rate.schedule = "deepseek";
  rate.peak = 2.2e-4;
  rate.final = 2.2e-5;
  rate.tail = 7.3e-6;
  const ScheduleSteps steps{2, 100, 143, 147, 150};
  CHECK(learning_rate(rate, steps, 1) == 1.1e-4);
  CHECK(learning_rate(rate, steps, 2) == 2.2e-4);
  CHECK(learning_rate(rate, steps, 100) == 2.2e-4);
  CHECK(learning_rate(rate, steps, 143) == 2.2e-5);
  CHECK(learning_rate(rate, steps, 147) == 2.2e-5);
  CHECK(learning_rate(rate, steps, 148) == 7.3e-6);
  for (int step = 100; step <= 143; ++step) {
    const double cosine =
        2.2e-5 + (2.2e-4 - 2.2e-5) * 0.5 * (1 + std::cos(M_PI * (step - 100) / 43.0));
    CHECK(learning_rate(rate, steps, step) == Approx(cosine).epsilon(1e-12));
  }
}

TEST_CASE("cosine, wsd and constant", "[schedule]") {
  LearningRateConfig rate;
  rate.peak = 1;
  rate.final = 0.1;
  rate.schedule = "cosine";
  CHECK(learning_rate(rate, {10, 0, 0, 0, 110}, 60) == Approx(0.55).epsilon(1e-12));
  CHECK(learning_rate(rate, {10, 0, 0, 0, 110}, 110) == 0.1);
  CHECK(learning_rate(rate, {0, 0, 0, 0, 110}, 1) < 1);
  rate.schedule = "wsd";
  CHECK(learning_rate(rate, {10, 50, 0, 0, 100}, 50) == 1);
  CHECK(learning_rate(rate, {10, 50, 0, 0, 100}, 75) == Approx(0.55));
  CHECK(learning_rate(rate, {10, 50, 0, 0, 100}, 100) == 0.1);
  rate.schedule = "constant";
  CHECK(learning_rate(rate, {10, 0, 0, 0, 100}, 100) == 1);
}

TEST_CASE("name patterns", "[optimizer]") {
  CHECK(matches("*", "anything"));
  CHECK(matches("*.embed_tokens.*", "model.embed_tokens.weight"));
  CHECK(matches("*norm*", "model.norm.weight"));
  CHECK(matches("a*b*c", "a-b-b-c"));
  CHECK_FALSE(matches("a*b*c", "a-b-b-d"));
  CHECK_FALSE(matches("model", "model.norm"));
  CHECK_FALSE(matches("", "x"));
}
