// Every rule between keys can be broken, and says so where a key was changed.
#include "catch.hpp"
#include "deck_text.hpp"

namespace {

// The one error that the good deck has after these changes on the command line.
std::string broken(const std::vector<std::string>& overrides, std::int64_t ranks = 0) {
  const Lines lines = errors_of(kGoodDeck, overrides, ranks);
  CAPTURE(lines);
  REQUIRE(lines.size() == 1);
  return lines[0].substr(0, lines[0].find(" ("));
}

}  // namespace

TEST_CASE("rules of the model", "[rules]") {
  CHECK(broken({"model.dense_layers=3"}) ==
        "command line: model.dense_layers is at most model.layers");
  CHECK(broken({"model.dense_width=0"}) ==
        "command line: model.dense_width is given when there is a dense layer");
  CHECK(broken({"mtp.depth=32"}) == "command line: mtp.depth is less than batch.length");
  CHECK(broken({"moe.experts=0", "moe.top_k=0", "moe.width=0", "mtp.depth=1"}) ==
        "command line: mtp.depth needs moe.experts: the block of a module is a mixture of experts");
  CHECK(broken({"attention.max_length=16"}) ==
        "command line: batch.length is at most attention.max_length");
  CHECK(broken({"attention.yarn.factor=4"}) ==
        "command line: attention.yarn.factor above 1 needs attention.yarn.original_length");
  CHECK(broken({"attention.yarn.beta_slow=40"}) ==
        "command line: attention.yarn.beta_fast is more than attention.yarn.beta_slow");
  CHECK(broken({"model.vocabulary=259"}) ==
        "command line: model.vocabulary is at least 260 for the byte tokenizer");
}

TEST_CASE("rules of the mixture of experts", "[rules]") {
  CHECK(broken({"moe.top_k=5"}) ==
        "command line: moe.top_k is at most moe.experts / moe.groups * moe.top_groups");
  CHECK(broken({"moe.experts=10", "moe.groups=4", "moe.top_groups=4"}) ==
        "command line: moe.groups divides moe.experts");
  CHECK(broken({"moe.top_groups=2"}) == "command line: moe.top_groups is at most moe.groups");
  CHECK(broken({"moe.groups=2", "moe.top_k=3"}) ==
        "command line: moe.top_k is at most moe.experts / moe.groups * moe.top_groups");
  CHECK(broken({"moe.groups=4", "moe.top_groups=4"}) ==
        "command line: a sigmoid gate with moe.groups above 1 has at least 2 experts a group");
  CHECK(broken({"moe.top_k=0"}) ==
        "command line: moe.top_k and moe.width are at least 1 with experts, and 0 without");
  CHECK(broken({"moe.experts=0", "moe.top_k=0", "moe.width=0", "moe.shared_experts=1"}) ==
        "command line: moe.shared_experts needs moe.experts");
  CHECK(broken({"moe.gate=softmax", "moe.normalize=false"}) ==
        "command line: a softmax gate has no selection bias: set moe.bias_rate to 0");
  CHECK(broken({"moe.gate=softmax", "moe.bias_rate=0"}) ==
        "command line: a softmax gate does not normalise again: set moe.normalize to false");
  CHECK(errors_of(kGoodDeck, {"moe.gate=softmax", "moe.bias_rate=0", "moe.normalize=false"}) ==
        Lines{});
  CHECK(broken({"moe.normalize=false"}) ==
        "command line: a sigmoid gate always normalises: leave moe.normalize true");
}

TEST_CASE("rules of low precision", "[rules]") {
  const auto error = [](const std::vector<std::string>& overrides) {
    const Lines lines = errors_of(kGoodDeck, overrides);
    CAPTURE(lines);
    REQUIRE(lines.size() == 1);
    return lines[0];
  };
  // Of the good deck no product sums over 128 values.
  CHECK(broken({"precision.compute=fp8"}) ==
        "command line: a product in FP8 sums over at least 128 values");
  CHECK(error({"precision.compute=fp8"}).find("self_attn.q_proj' sums over 32") !=
        std::string::npos);
  CHECK(errors_of(kGoodDeck, {"precision.compute=bf16"}) == Lines{});
  CHECK(error({"precision.overrides={'*.down_porj': bf16}"})
            .find("'*.down_porj' matches no module; modules are named like 'model.layers.0.") !=
        std::string::npos);
  CHECK(error({"precision.overrides={'*.gate_proj': bf16}"}).find("are one product") !=
        std::string::npos);
  CHECK(error({"precision.overrides={'*.experts.1.*': bf16}"}).find("are one product") !=
        std::string::npos);
  CHECK(errors_of(kGoodDeck, {"precision.overrides={'*.down_proj': bf16}"}) == Lines{});
  CHECK(error({"precision.overrides={'*.down_proj': fp4}"}).find("fp4") != std::string::npos);
  CHECK(error({"precision.overrides=bf16"}).find("is no map") != std::string::npos);
  CHECK(broken({"precision.gradient_scales=block"}) ==
        "command line: coarser scales of an ablation need precision.scales = power_of_two");
}

TEST_CASE("a rule that the deck itself breaks is reported at the first key given", "[rules]") {
  CHECK(errors_of(changed("top_k: 2", "top_k: 5")) ==
        Lines{"deck.yaml:9:26: moe.top_k is at most moe.experts / moe.groups * moe.top_groups "
              "(moe.top_k = 5, moe.experts = 4, moe.groups = 1 by default, moe.top_groups = 1 by "
              "default)"});
  CHECK(errors_of(changed("  dense_layers: 1", "  dense_layers: 3")) ==
        Lines{"deck.yaml:6:17: model.dense_layers is at most model.layers (model.dense_layers = 3, "
              "model.layers = 2)"});
  CHECK(
      errors_of(changed("{synthetic: keyed}", "{}")) ==
      Lines{"deck.yaml:11:1: either data.sources or data.synthetic is given (data.sources = a list "
            "of 0 by default, data.synthetic = \"\" by default)"});
  // A key that could not be read breaks no rule besides.
  CHECK(errors_of(changed("top_k: 2", "top_k: -5")).size() == 1);
}

TEST_CASE("rules of schedules, data and samples", "[rules]") {
  CHECK(broken({"learning_rate.final=1"}) ==
        "command line: learning_rate.final is at most learning_rate.peak");
  CHECK(broken({"learning_rate.decay_end=1000"}) ==
        "command line: learning_rate.warmup, constant, decay_end and tail_start are in this order");
  CHECK(errors_of(kGoodDeck, {"learning_rate.decay_end=1000 tokens"}) == Lines{});
  CHECK(broken({"learning_rate.tail_start=5000"}) ==
        "command line: learning_rate.tail_start belongs to schedule deepseek");
  CHECK(broken({"data.synthetic="}) ==
        "command line: either data.sources or data.synthetic is given");
  CHECK(broken({"data.sources=[{paths: a}]"}) ==
        "command line: either data.sources or data.synthetic is given");
  CHECK(broken({"data.validation=a"}) == "command line: data.synthetic has no data.validation");
  CHECK(broken({"samples.every=10"}) == "command line: samples.every needs samples.tokens");
  CHECK(broken({"run.length=0"}) == "command line: run.length is more than 0");
}

TEST_CASE("rules of the batch", "[rules]") {
  CHECK(
      broken({"batch.ramp_from=4"}) ==
      "command line: batch.ramp_from, batch.ramp_over and batch.ramp_multiple are given together");
  const std::vector<std::string> ramp = {"batch.ramp_over=10", "batch.ramp_multiple=4"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = ramp;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  CHECK(errors_of(kGoodDeck, with({"batch.ramp_from=4"})) == Lines{});
  CHECK(broken(with({"batch.ramp_from=12"})) ==
        "command line: batch.ramp_from is at most batch.sequences");
  CHECK(broken(with({"batch.ramp_from=6"})) ==
        "command line: batch.ramp_multiple divides batch.ramp_from and batch.sequences");
  CHECK(broken({"batch.micro=3"}) == "command line: under run.determinism exact");
  CHECK(broken(with({"batch.ramp_from=4", "batch.micro=8"})) ==
        "command line: under run.determinism exact");
  CHECK(errors_of(kGoodDeck, {"batch.micro=3", "run.determinism=run"}) == Lines{});
}

TEST_CASE("rules of the layout", "[rules]") {
  const std::vector<std::string> lanes = {"parallel.lanes=8", "parallel.expert_lanes=8"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = lanes;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  for (const int ranks : {1, 2, 4, 8}) CHECK(errors_of(kGoodDeck, lanes, ranks) == Lines{});
  CHECK(broken(with({"parallel.lanes=4"}), 8) ==
        "command line: under run.determinism exact the data ranks divide parallel.lanes");
  CHECK(broken(with({"parallel.expert_lanes=4"}), 8) ==
        "command line: under run.determinism exact");
  CHECK(errors_of(kGoodDeck, with({"parallel.expert_lanes=4", "parallel.expert=2"}), 8) == Lines{});
  CHECK(broken(with({"batch.sequences=12"}), 8) == "command line: under run.determinism exact");
  CHECK(errors_of(kGoodDeck, with({"batch.sequences=12"}), 4) == Lines{});
  CHECK(broken(with({"parallel.data=4"}), 8) ==
        "command line: parallel.data x parallel.pipeline is the number of ranks");
  CHECK(errors_of(kGoodDeck,
                  with({"parallel.data=4", "parallel.pipeline=2", "parallel.schedule=zb1p"}),
                  8) == Lines{});
  // Any even number of micro-batches will do for DualPipe; one would leave a direction without.
  CHECK(errors_of(kGoodDeck, with({"parallel.data=4", "parallel.pipeline=2"}), 8) == Lines{});
  CHECK(errors_of(kGoodDeck,
                  {"parallel.pipeline=2", "run.determinism=run", "batch.sequences=12",
                   "batch.ramp_from=4", "batch.ramp_over=9", "batch.ramp_multiple=2"},
                  4)[0]
            .find("dualpipe needs an even number of micro-batches: 2 or 4, not 3") !=
        std::string::npos);
  // Each direction of DualPipe is a data rank.
  CHECK(errors_of(kGoodDeck, {"parallel.pipeline=2"}, 2)[0].find(
            "data ranks = 2, one for each direction of dualpipe") != std::string::npos);
  CHECK(broken(with({"parallel.expert=8"}), 4) ==
        "command line: parallel.expert is a power of two that divides the data ranks and "
        "moe.experts");
  // Where there is no number of nodes, the machines say whether two hops are possible.
  const std::string two_hop =
      "command line: parallel.traffic two_hop needs an expert group that spans nodes of a power of "
      "two of ranks";
  for (const char* nodes : {"parallel.nodes=0", "parallel.nodes=auto", "parallel.nodes=2"}) {
    const Lines wrong = errors_of(kGoodDeck, with({"parallel.traffic=two_hop", nodes}), 2);
    REQUIRE(wrong.size() == 1);
    CHECK(wrong[0].substr(0, wrong[0].find(" (")) == two_hop);
    CHECK(wrong[0].find("an expert group is one rank") != std::string::npos);
    CHECK(wrong[0].find("parallel.traffic = auto or flat") != std::string::npos);
    CHECK(errors_of(kGoodDeck, with({"parallel.traffic=two_hop", "parallel.expert=2", nodes}), 2) ==
          Lines{});
  }
  CHECK(errors_of(kGoodDeck,
                  with({"parallel.traffic=two_hop", "parallel.expert=2", "parallel.nodes=1"}), 2)[0]
            .find("the 2 ranks of an expert group are on one node") != std::string::npos);
  // auto is 0, in another spelling.
  for (const char* all : {"0", "auto"}) {
    const std::string value = all;
    CHECK(errors_of(
              kGoodDeck,
              with({"parallel.data=" + value, "parallel.nodes=" + value, "batch.micro=" + value}),
              4) == Lines{});
  }
  CHECK(broken({"parallel.pipeline=4", "parallel.schedule=1f1b", "run.ranks=4"}) ==
        "command line: every stage of the pipeline has layers");
  CHECK(errors_of(kGoodDeck, lanes, 3).size() == 4);  // power of two, both lanes, sequences
  CHECK(errors_of(kGoodDeck, {"run.determinism=run"}, 3) == Lines{});
  CHECK(broken({"kernels.gemm=blas"}) ==
        "command line: the variants blas, onednn and kokkos_kernels need run.determinism run");
  CHECK(broken({"kernels.mixed_gemm=onednn"}) ==
        "command line: the variants blas, onednn and kokkos_kernels need run.determinism run");
  CHECK(errors_of(kGoodDeck, {"kernels.gemm=blas", "run.determinism=run"}) == Lines{});
}
