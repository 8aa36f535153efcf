#include <bit>

#include "catch.hpp"
#include "core/error.hpp"
#include "inspection/fp8_report.hpp"
#include "inspection/run_report.hpp"
#include "io/files.hpp"
#include "kernels/quantize/quantize_statistics.hpp"
#include "tests/io/sample.hpp"
#include "training/fp8_metrics.hpp"

using namespace moray;
using namespace moray::testing;
using Json = nlohmann::ordered_json;

namespace {

constexpr std::size_t kTensors = 2, kRoles = 3;

/// Tensor i as role r, in every step: 1000 values, of which some are lost in the last step.
std::vector<std::int64_t> words_of(std::int64_t lost) {
  std::vector<std::int64_t> all;
  for (std::size_t i = 0; i < kTensors * kRoles; ++i) {
    std::vector<std::int64_t> words(static_cast<std::size_t>(kStatisticWords), 0);
    words[QuantizationWord::values] = 1000;
    words[QuantizationWord::blocks] = 8;
    words[QuantizationWord::underflow] = lost * static_cast<std::int64_t>(i);
    words[QuantizationWord::saturated] = 8;
    words[QuantizationWord::clamped] = 1;
    words[QuantizationWord::least_amax] = std::bit_cast<std::int32_t>(0.5F);
    words[QuantizationWord::largest_amax] = std::bit_cast<std::int32_t>(static_cast<float>(i + 2));
    words[QuantizationWord::scales + 10 + i] = 3;
    words[QuantizationWord::scales + 12 + i] = 5;
    if (i == 4) {  // what was not counted
      std::fill(words.begin(), words.end(), 0);
      words[QuantizationWord::least_amax] = kNoAmax;
    }
    all.insert(all.end(), words.begin(), words.end());
  }
  return all;
}

void write_run(const std::string& run, std::int64_t rows) {
  const auto writer = fp8_metrics::open(run, {"m.a+b", "m.c"}, 0);
  for (std::int64_t i = 1; i <= rows; ++i) {
    MetricRow row = writer->row();
    fp8_metrics::fill(row, 10 * i, 1000 * i, words_of(i == rows ? 10 : 0));
    writer->append(row);
    if (i == 2) writer->close_segment();
  }
}

}  // namespace

TEST_CASE("the newest statistics of FP8 of a run", "[fp8]") {
  TemporaryFolder run;
  CHECK_THROWS_AS(fp8_statistics(run.path()), Error);
  write_run(run.path(), 0);
  CHECK(fp8_statistics(run.path())["tensors"].empty());
  for (const std::int64_t rows : {1, 2, 3}) {  // in a segment or not
    TemporaryFolder other;
    write_run(other.path(), rows);
    const Json found = fp8_statistics(other.path());
    CHECK(found["step"] == 10 * rows);
    CHECK(found["counted_steps"] == rows);
    REQUIRE(found["tensors"].size() == 2);
    const Json& tensor = found["tensors"][1];
    CHECK(tensor["name"] == "m.c");
    CHECK_FALSE(tensor.contains("dy"));
    const Json& w = tensor["w"];  // number 5
    CHECK(w["values"] == 1000);
    CHECK(w["underflow"] == 50);
    CHECK(w["saturated"] == 8);
    CHECK(w["clamped"] == 1);
    CHECK(w["least_amax"] == 0.5);
    CHECK(w["largest_amax"] == 7);
    CHECK(w["scales"]["exponent"] == kLeastScaleExponent + 15);
    CHECK(w["scales"]["blocks"] == Json({3, 0, 5}));
  }
}

TEST_CASE("a page gets statistics of FP8 over steps, if there are any", "[fp8]") {
  TemporaryFolder run;
  Json report;
  add_fp8(run.path(), {}, report);
  CHECK(report.is_null());
  write_run(run.path(), 3);
  report["grids"]["rows"] = {{"step", {1, 20, 25}}, {"seconds", {0.5, 10.0, 12.5}}};
  add_fp8(run.path(), {}, report);
  CHECK(report["fp8"] == fp8_statistics(run.path()));
  const Json& grid = report["grids"]["fp8"];
  CHECK(grid["step"] == Json({10, 20, 30}));
  CHECK(grid["tokens"] == Json({1000, 2000, 3000}));
  CHECK(grid["seconds"] == Json({10, 10, 12.5}));
  // x is number 0 and 3, dy 1 (4 was not counted), w 2 and 5; the last step lost 1 % a number.
  const Json& x = report["series"]["fp8_underflow_x"];
  CHECK(x["grid"] == "fp8");
  CHECK(x["mean"] == Json({0, 0, 0.015}));
  CHECK(x["low"] == Json({0, 0, 0}));
  CHECK(x["high"] == Json({0, 0, 0.03}));
  CHECK(report["series"]["fp8_underflow_dy"]["mean"][2] == 0.01);
  CHECK(report["series"]["fp8_saturated_w"]["mean"][0] == 0.008);
  CHECK(report["series"]["fp8_amax_w"]["mean"] == Json({7, 7, 7}));
  CHECK_FALSE(report["series"]["fp8_amax_w"].contains("low"));
  Json two;
  add_fp8(run.path(), {.points = 2}, two);
  CHECK(two["grids"]["fp8"]["step"].size() == 2);
  CHECK(two["grids"]["fp8"].contains("first"));
}

TEST_CASE("names and rows of another number of tensors are an error", "[fp8]") {
  TemporaryFolder run;
  write_run(run.path(), 1);
  replace_text(fp8_metrics::folder(run.path()) + "/tensors.txt", "m.a+b\n");
  CHECK_THROWS_WITH(
      fp8_statistics(run.path()),
      fp8_metrics::folder(run.path()) + ": tensors.txt names 1 tensors, but the rows have 2");
}
