// The executable from outside: exit codes and what is said.
#include <sys/wait.h>

#include <cstdio>
#include <string>

#include "catch.hpp"

namespace {

struct Run {
  int code;
  std::string text;  ///< standard output and standard error
};

Run moray(const std::string& arguments) {
  const std::string command = std::string(MORAY_EXECUTABLE) + " " + arguments + " 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  Run run{};
  char buffer[4096];
  for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
    run.text.append(buffer, n);
  const int status = pclose(pipe);
  run.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return run;
}

const std::string kTiny = std::string(MORAY_INPUT_FOLDER) + "/tiny.yaml";

bool contains(const Run& run, const std::string& text) {
  return run.text.find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("what was asked for and done is 0", "[app]") {
  for (const std::string& arguments :
       {std::string(""), std::string("--help"), std::string("--version"), std::string("help"),
        std::string("help check"), std::string("help deck"),
        std::string("help deck attention.yarn"), std::string("check --help"), std::string("info"),
        std::string("info --json"), "plan " + kTiny, "plan --json " + kTiny, "check " + kTiny,
        "check --json " + kTiny, "check --kokkos-num-threads=1 " + kTiny}) {
    CAPTURE(arguments);
    const Run run = moray(arguments);
    CHECK(run.code == 0);
    CHECK(!run.text.empty());
  }
  CHECK(contains(moray("--version"), "moray 0."));
  CHECK(contains(moray("help check"), "--ranks N"));
  CHECK(moray("check " + kTiny).text == kTiny + ": no errors\n");
}

TEST_CASE("a wrong command line is 2, with the nearest name", "[app]") {
  const auto refused = [](const std::string& arguments, const std::string& message) {
    CAPTURE(arguments);
    const Run run = moray(arguments);
    CHECK(run.code == 2);
    CHECK(run.text == message + "\n");
  };
  refused("chek x.yaml",
          "unknown subcommand 'chek'; did you mean 'check'? (`moray --help` lists them)");
  refused("--versoin",
          "unknown option '--versoin'; did you mean '--version'? (`moray --help` lists them)");
  refused("check --jsn " + kTiny, "moray check: unknown option '--jsn'; did you mean '--json'?");
  refused("check --jsn=3", "moray check: unknown option '--jsn'; did you mean '--json'?");
  refused("check", "moray check: deck is required; see `moray help check`");
  refused("info more", "moray info: 'more' is one argument too many");
  refused("help deck mo", "a deck has no section 'mo'; did you mean 'moe'?");
  refused("help chek",
          "unknown subcommand 'chek'; did you mean 'check'? (`moray --help` lists them)");
  refused("help check moe", "only `moray help deck` has sections ('moe')");
  refused("check no.yaml", "no.yaml: cannot open the deck: No such file or directory");
  CHECK(moray("check --ranks many " + kTiny).code == 2);
}

TEST_CASE("schedules are planned from a deck and options", "[app]") {
  const std::string plan = "plan " + kTiny + " --schedule ";
  const std::string sizes = " --pipeline 4 --micro-batches 8";
  const Run all = moray(plan + "all --durations 1,1,1,2.75" + sizes);
  CHECK(all.code == 0);
  // By the formulas: 3 x 3, 3 x 1, 2.75 + 2 - 3, and 3 times that of stages half as large.
  CHECK(contains(all, "\n  1f1b               33          9   27.27           9           4"));
  CHECK(contains(all, "\n  zb1p               27          3   11.11           3           4"));
  CHECK(contains(all, "\n  dualpipe           25"));
  CHECK(contains(all, "\n  dualpipev"));
  // In a pipeline a micro-batch is one sequence where the deck does not say.
  CHECK(contains(
      moray(plan + "1f1b --durations 1,1,1,2.75 parallel.pipeline=2 run.ranks=2 batch.micro=0"),
      "\nschedules on 2 pipeline ranks, 4 micro-batches of a data rank ("));
  const auto refused = [&](const std::string& arguments, const std::string& message) {
    CAPTURE(arguments);
    const Run run = moray(plan + arguments);
    CHECK(run.code == 2);
    CHECK(run.text == message + "\n");
  };
  const std::string v3 = "plan " MORAY_INPUT_FOLDER "/deepseek-v3-671b.yaml";
  const std::string h800 = " --hardware " MORAY_INPUT_FOLDER "/hardware/h800-2048.yaml";
  const Run machine = moray(v3 + h800);
  CHECK(contains(machine, "DOES NOT FIT the 74.51 GiB of a rank of 2048 H800"));
  CHECK(contains(machine, "total             192,052,812,032         178.86 GiB"));
  const std::string hint =
      "\nno times, no step: moray " + v3 +
      " --hardware input/hardware/h800-2048.yaml predicts one for that machine\n";
  CHECK(contains(moray(v3), hint));
  CHECK(!contains(moray(v3 + h800), "no times"));
  CHECK(!contains(moray("plan " + kTiny), "no times"));  // no pipeline
  const Run missing = moray(v3 + " --hardware no.yaml");
  CHECK(missing.code == 2);
  CHECK(missing.text == "no.yaml: cannot open the hardware file: No such file or directory\n");
  const Run large = moray(v3 + " precision.compute=float32 run.recompute=false" + h800);
  CHECK(contains(large, "\n    with run.recompute=true     "));
  CHECK(
      contains(large, "\n    with run.recompute=true precision.compute=fp8         178.86 GiB\n"));
  const Run narrow = moray("plan " + kTiny + " batch.sequences=8000000 batch.micro=8000000" + h800);
  CHECK(contains(narrow, "DOES NOT FIT"));
  CHECK(!contains(narrow, "fp8"));  // its products are too small for it
  CHECK(contains(machine, " 17 micro-batches alive, 8 put off; layers 28-31, layers 32-35\n"));
  CHECK(contains(machine, "\n  dualpipe "));  // the deck's, as none was named
  CHECK(contains(machine,
                 "\n  optimizer           0.193          0.193        0.290          -33.5 %"));
  const Run narrower = moray(v3 + h800 + " --schedule dualpipe --pipeline 8 --micro-batches 60");
  CHECK(contains(narrower,
                 "\nno step is predicted: the deck has no layout with parallel.pipeline=8\n"));
  // What was published is a step of the report's own layout, and stands beside no other.
  CHECK(contains(machine, "published: arXiv 2505.09343, table 4"));
  const Run other = moray(v3 + h800 + " --schedule zb1p");
  CHECK(contains(other, "\nstep, seconds     mean rank   busiest rank\n"));
  CHECK(contains(other, "\n  optimizer           0.082"));
  CHECK(!contains(other, "2505.09343"));
  const Run shorter = moray(v3 + h800 + " --micro-batches 60");
  CHECK(contains(shorter, "\nstep, seconds     mean rank   busiest rank\n"));
  CHECK(!contains(shorter, "2505.09343"));
  const Run compared = moray(v3 + h800 + " --schedule all");
  CHECK(contains(compared, "      1x     93.89  "));
  CHECK(contains(compared, "      1x    233.72  "));
  CHECK(contains(compared, "      2x    178.86  4x15,1\n"));
  CHECK(contains(compared, "      1x    172.83  "));
  // The stages of a deck that gives them, where a schedule has as many.
  const Run given = moray("plan " MORAY_INPUT_FOLDER "/dualpipe.yaml parallel.stages=3,2,2,1" +
                          h800 + " --schedule all");
  CHECK(contains(given, "      2x      0.04  3,2x2,1\n"));
  CHECK(contains(given, "      1x      0.04  1x4,2,1x2,0\n"));
  refused("dualpip --durations 1,1,1,2" + sizes,
          "--schedule dualpip: one of 1f1b, zb1p, dualpipe, dualpipev, all");
  refused("all" + sizes,
          "--schedule needs one of --durations F,B,W,FB, --hardware FILE and --measured RUN");
  refused(
      "zb1p --durations 1,1,x,2" + sizes,
      "--durations 1,1,x,2: give four times in ms, forward, input gradient, weight gradient and "
      "overlapped pair, such as 50,75,32,128");
  refused("zb1p --durations 0,0,0,2" + sizes, "--durations 0,0,0,2: a micro-batch takes some time");
  refused("zb1p --durations 1,1,1,2 --pipeline 64 --micro-batches 999999",
          "64 pipeline ranks and 999999 micro-batches are too many to plan");
  refused("dualpipe --durations 1,1,1,2 --pipeline 4 --micro-batches 7",
          "dualpipe needs an even number of micro-batches: 6 or 8, not 7");
  refused("1f1b --durations 1,1,1,2 --micro-batches 4 --pipeline 2 --stages 1,2",
          "stages '1,2' have more layers than the model's 2");
}

TEST_CASE("the launcher learns that a command runs on one rank", "[app]") {
  const Run run = moray("launch-info check " + kTiny);
  CHECK(run.code == 2);
  CHECK(run.text == "moray check runs on one rank\n");
}

TEST_CASE("a wrong deck is 2, with every error", "[app]") {
  const Run run = moray("check " + kTiny + " model.widht=3 moe.top_k=9");
  CHECK(run.code == 2);
  CHECK(contains(run, "command line: unknown key 'model.widht'; did you mean 'width'?"));
  CHECK(contains(run, "moe.top_k is at most moe.experts / moe.groups * moe.top_groups"));
  CHECK(contains(run, "2 errors. Nothing was started.\n"));

  const Run ranks = moray("check --ranks 8 " + kTiny);
  CHECK(ranks.code == 2);
  CHECK(contains(ranks, "the data ranks divide parallel.lanes"));

  const Run json = moray("check --json --ranks 8 " + kTiny);
  CHECK(json.code == 2);
  CHECK(contains(json, "\"valid\": false"));
}
