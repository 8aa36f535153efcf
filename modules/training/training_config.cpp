#include "training/training_config.hpp"

#include <algorithm>

#include "config/section.hpp"
#include "training/layout_rules.hpp"

namespace moray {

void declare(Section& section, RunConfig& config) {
  section.key("name", config.name, "Name of the run; empty: that of the deck's file.").free();
  section.key("seed", config.seed, "Seed of the initial weights, the data order and the samples.");
  section
      .key("determinism", config.determinism,
           "exact: every bit is that of docs/numerics.md on any layout; run: vendor libraries, the "
           "same bits for the same layout and machine only.")
      .one_of({"exact", "run"});
  section
      .key("recompute", config.recompute,
           "Compute norms, MLA up-projections and SwiGLU again in the backward instead of storing "
           "them; no bit depends on it.")
      .free()
      .source("DeepSeek-V3 report, section 3.2.3");
  section.key("ranks", config.ranks, "Ranks that the launcher starts.").at_least(1).free();
  section.key("threads", config.threads, "Threads of each rank.").at_least(1).free();
}

void declare(Section& section, BatchConfig& config) {
  section.key("sequences", config.sequences, "Sequences N of a step, over all ranks.")
      .required()
      .at_least(1);
  section.key("length", config.length, "Positions S of a sequence.")
      .required()
      .at_least(1)
      .unit("positions");
  section
      .key("micro", config.micro,
           "Sequences b of a micro-batch; auto (0): all that a rank has in a step, in a pipeline "
           "one. "
           "No bit depends on it.")
      .at_least(0)
      .automatic()
      .free();
  section.key("ramp_from", config.ramp_from, "Sequences of the first step of a ramp; 0: no ramp.")
      .at_least(0);
  section
      .key("ramp_over", config.ramp_over,
           "N grows linearly, in multiples of batch.ramp_multiple, over this.")
      .at_least(0);
  section.key("ramp_multiple", config.ramp_multiple, "Sequences by which N grows at a time.")
      .at_least(0);
  section.rule({"batch.ramp_from", "batch.ramp_over", "batch.ramp_multiple"},
               "batch.ramp_from, batch.ramp_over and batch.ramp_multiple are given together", [&] {
                 const int given = (config.ramp_from > 0) + (config.ramp_over.value > 0) +
                                   (config.ramp_multiple > 0);
                 return given == 0 || given == 3;
               });
  section
      .rule({"batch.ramp_from", "batch.sequences"}, "batch.ramp_from is at most batch.sequences",
            [&] { return config.ramp_from <= config.sequences; })
      .mended_by({{"batch.ramp_from"}, {"batch.sequences"}});
  section
      .rule({"batch.ramp_multiple", "batch.ramp_from", "batch.sequences"},
            "batch.ramp_multiple divides batch.ramp_from and batch.sequences",
            [&] {
              return config.ramp_multiple == 0 || (config.ramp_from % config.ramp_multiple == 0 &&
                                                   config.sequences % config.ramp_multiple == 0);
            })
      .mended_by({{"batch.ramp_multiple"}, {"batch.ramp_from"}, {"batch.sequences"}});
}

void declare(Section& section, ParallelConfig& config) {
  section
      .key("data", config.data,
           "Data-parallel ranks of each pipeline place; auto (0): all that there are.")
      .at_least(0)
      .automatic();
  section.key("pipeline", config.pipeline, "Pipeline ranks P.").at_least(1);
  section
      .key("schedule", config.schedule,
           "In which order a pipeline's ranks do the forwards and backwards of micro-batches "
           "(docs/schedules.md); `auto`: dualpipe where P is even, else zb1p. Without a pipeline "
           "it says nothing. No bit depends on it.")
      .one_of({"auto", "1f1b", "zb1p", "dualpipe", "dualpipev"});
  section.key(
      "stages", config.stages,
      "Layers of the trunk in each stage, as `4x15,1`; `auto`: so that the busiest rank has "
      "as little to do as possible.");
  section
      .key("expert", config.expert,
           "Data ranks over which a layer's experts are spread: a power of two that divides them "
           "and "
           "moe.experts.")
      .at_least(1);
  section
      .key("nodes", config.nodes,
           "Nodes that the data ranks are on, in equal parts; auto (0): as the machines are. "
           "More than there are is a rehearsal of traffic between nodes.")
      .at_least(0)
      .automatic();
  section
      .key("traffic", config.traffic,
           "How tokens go to the ranks of their experts: `flat`, to each such rank; `two_hop`, "
           "once to "
           "each such node and on inside it; `auto`: two_hop where an expert group spans nodes. No "
           "bit "
           "depends on it.")
      .one_of({"auto", "flat", "two_hop"});
  section
      .key("headroom", config.headroom,
           "Rows that a rank's experts may receive in a micro-batch before buffers grow, as a "
           "multiple "
           "of their mean. No token is dropped.")
      .at_least(1);
  section
      .key("lanes", config.lanes,
           "Lanes L in which gradients of dense tensors are added: a part of the definition of the "
           "bits, so that up to L data ranks give the same ones.")
      .at_least(1)
      .power_of_two()
      .fixed();
  section.key("expert_lanes", config.expert_lanes, "Lanes X of the gradients of each expert.")
      .at_least(1)
      .power_of_two()
      .fixed();
}

void declare(Section& section, ValidationConfig& config) {
  section.key("every", config.every, "Validate at this interval; 0: only at the end.").at_least(0);
  section.key("windows", config.windows, "Validate on so many windows; 0: on all.").at_least(0);
}

void declare(Section& section, SamplesConfig& config) {
  section
      .key("every", config.every,
           "Generate text at this interval; 0: only at the end, when samples.tokens is above 0.")
      .at_least(0);
  section.key("tokens", config.tokens, "Tokens of a sample; 0: no samples.")
      .at_least(0)
      .unit("tokens");
  section.key("temperature", config.temperature, "Of the sampling; 0: always the likeliest token.")
      .at_least(0);
  section.key("prompt", config.prompt, "Text that a sample starts from.");
  section.rule({"samples.every", "samples.tokens"}, "samples.every needs samples.tokens",
               [&] { return config.every.value == 0 || config.tokens > 0; });
}

void declare(Section& section, OutputConfig& config) {
  section
      .key("log_every", config.log_every,
           "A progress line and a row of metrics every so many steps.")
      .at_least(1)
      .unit("steps");
  section
      .key("trace_every", config.trace_every,
           "Record when each op of a step ran on all ranks, and what they waited for "
           "(docs/schedules.md): in the second step of each start, and at this interval; 0: only "
           "then.")
      .at_least(0);
  section
      .key("fp8_every", config.fp8_every,
           "Count at this interval what quantisation to FP8 does to each tensor in a step: range, "
           "underflow, saturation and scales (docs/fp8.md, section 4); 0: never.")
      .at_least(0);
}

void declare(Section& section, CheckpointConfig& config) {
  section.key("every", config.every, "Save at this interval; 0: not by progress.").at_least(0);
  section.key("every_minutes", config.every_minutes, "Save after so much time; 0: not by time.")
      .at_least(0)
      .unit("minutes");
  section.key("keep_last", config.keep_last, "The newest so many checkpoints are kept.")
      .at_least(1);
  section
      .key("keep_every", config.keep_every,
           "Checkpoints at multiples of this are kept for good; 0: none.")
      .at_least(0);
  section.key("asynchronous", config.asynchronous,
              "A save at an interval copies the state into host memory, and a thread writes the "
              "copy behind the next steps; false: steps wait for the write. Saves at the end of a "
              "start, all saves where no interval is set, and those by mpiio always wait.");
  section
      .key("io", config.io,
           "posix: each rank writes its blocks by itself; mpiio: MPI-IO, for file systems that "
           "need it; MPI is called by one thread, so steps then wait for each save.")
      .one_of({"posix", "mpiio"});
  section
      .key(
          "fp8_weights", config.fp8_weights,
          "Weights that a checkpoint holds in FP8 too, beside the float32 ones: E4M3 and "
          "weight_scale_inv as Hugging Face has them, with scales as precision.scales says. "
          "fp8_linears: those that compute in FP8; all_linears: all but embedding, head and gates.")
      .one_of({"none", "fp8_linears", "all_linears"});
}

void declare(Section& section, InitConfig& config) {
  section
      .key("from", config.from,
           "Start from the weights and routing bias of this checkpoint, at step 0 with a fresh "
           "optimizer; empty: random weights.")
      .path();
}

void declare(Section& section, KernelsConfig& config) {
  const auto op = [&](const char* name, std::string& variant, const char* doc) {
    section.key(name, variant, doc)
        .one_of({"", "portable", "host_generic", "host_v3", "host_v4", "blas", "onednn",
                 "kokkos_kernels"});
  };
  op("gemm", config.gemm, "Matrix products; empty: the fastest exact variant.");
  op("attention", config.attention, "Attention; empty: the fastest exact variant.");
  op("rmsnorm", config.rmsnorm, "RMSNorm; empty: the fastest exact variant.");
  op("swiglu", config.swiglu, "SwiGLU; empty: the fastest exact variant.");
  op("cross_entropy", config.cross_entropy, "Cross-entropy; empty: the fastest exact variant.");
  op("adamw", config.adamw, "AdamW; empty: the fastest exact variant.");
  op("elementwise", config.elementwise,
     "Element-wise operations; empty: the fastest exact variant.");
  op("quantize", config.quantize, "Quantisation to FP8; empty: the fastest exact variant.");
  op("mixed_gemm", config.mixed_gemm,
     "Products of bf16 and FP8 operands; empty: the fastest exact variant.");
}

Section declare_deck(Deck& deck) {
  Section root("", "", Resume::fixed);
  Section& run = root.section("run", "The run as a whole.", Resume::fixed);
  declare(run, deck.run);
  run.key("length", deck.length, "Length of the run; extend it and resume to go on.")
      .required()
      .free();
  declare(root, deck.model);
  declare(root.section("batch", "What a step works on.", Resume::fixed), deck.batch);
  declare(root.section("parallel", "How ranks and gradient lanes are laid out.", Resume::free),
          deck.parallel);
  declare(root.section("data", "Text, tokens and their order.", Resume::fixed), deck.data);
  declare(root.section("optimizer", "AdamW with decoupled weight decay.", Resume::fixed),
          deck.optimizer);
  declare(root.section("learning_rate", "The schedule of the learning rate.", Resume::free),
          deck.learning_rate);
  declare(root.section("validation", "The loss on text that is not trained on.", Resume::free),
          deck.validation);
  declare(root.section("samples", "Text generated during training.", Resume::free), deck.samples);
  declare(root.section("output", "What is printed and recorded.", Resume::free), deck.output);
  declare(root.section("checkpoint", "When to save and what to keep.", Resume::free),
          deck.checkpoint);
  declare(root.section("init", "Where the weights come from.", Resume::free), deck.init);
  declare(root.section("kernels", "Force a variant of an operation.", Resume::free), deck.kernels);
  root.free_form("user", "Anything: copied through to the resolved deck, never read.");
  root.rule({"output.fp8_every", "precision.compute"},
            "output.fp8_every needs products in FP8: precision.compute, or an override", [&] {
              const PrecisionConfig& precision = deck.model.precision;
              const auto fp8 = [](const auto& entry) { return entry.second == "fp8"; };
              return deck.output.fp8_every.value == 0 || precision.compute == "fp8" ||
                     std::any_of(precision.overrides.begin(), precision.overrides.end(), fp8);
            });
  declare_layout_rules(root, deck);
  return root;
}

}  // namespace moray
