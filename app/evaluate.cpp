// moray evaluate: how well a trained model predicts texts.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "core/error.hpp"
#include "core/exact_sum.hpp"
#include "data/tokenizer.hpp"
#include "runtime.hpp"
#include "stored_model.hpp"
#include "texts.hpp"

namespace moray {
namespace {

struct Score {
  std::string file;
  std::int64_t bytes = 0;
  std::int64_t tokens = 0;
  double nats = 0;  ///< of all tokens together

  double loss() const { return nats / static_cast<double>(tokens); }
  double bits_per_byte() const { return nats / std::log(2.0) / static_cast<double>(bytes); }
};

std::string read_text(const std::string& path) {
  std::string text = read_bytes(path);
  if (text.empty()) fail(ExitCode::io, "{}: is empty", path);
  return text;
}

/// One window after the other, none overlapping: every token is predicted once, the first of a file
/// from the end of a document before it, the first of a later window from the token before alone.
Score score(Model<float>& model, Pass<float>& pass, const Tokenizer& tokenizer,
            const std::string& path, const std::string& text) {
  std::vector<std::int32_t> tokens = {tokenizer.special().eos};
  tokenizer.encode(text, tokens);
  const auto last = static_cast<std::int64_t>(tokens.size()) - 1;
  const std::int64_t rows = model.use().rows;
  BatchLayout batch(1);
  batch.assign(Deal{}, 0, 1);
  std::vector<std::int32_t> window(static_cast<std::size_t>(rows) + 1);
  std::vector<float> losses(static_cast<std::size_t>(rows));
  ExactSum nats;
  for (std::int64_t first = 0; first < last; first += rows) {
    // Behind the end of the text the window repeats its last token, which nothing counts.
    for (std::int64_t i = 0; i <= rows; ++i) {
      window[static_cast<std::size_t>(i)] =
          tokens[static_cast<std::size_t>(std::min(first + i, last))];
    }
    model.forward(pass, batch, window, {0, Routing::evaluate});
    pass.throw_error();
    fence(pass.exec, "moray::evaluate: losses to the host");
    const auto count = static_cast<std::size_t>(std::min(rows, last - first));
    copy_to_host(model.losses(0, 0).data, count, losses.data());
    for (std::size_t i = 0; i < count; ++i) nats.add(static_cast<double>(losses[i]));
  }
  return {path, static_cast<std::int64_t>(text.size()), last, nats.value()};
}

void print_text(const std::vector<Score>& scores) {
  fmt::print("{:<40} {:>12} {:>10} {:>12} {:>10}\n", "text", "tokens", "loss", "perplexity",
             "bits/byte");
  for (const Score& s : scores) {
    fmt::print("{:<40} {:>12} {:>10.4f} {:>12.3f} {:>10.4f}\n", s.file, s.tokens, s.loss(),
               std::exp(s.loss()), s.bits_per_byte());
  }
}

void print_json(const std::string& checkpoint, const std::vector<Score>& scores) {
  nlohmann::ordered_json result = {{"checkpoint", checkpoint}};
  result["texts"] = nlohmann::ordered_json::array();
  for (const Score& s : scores) {
    result["texts"].push_back({{"text", s.file},
                               {"bytes", s.bytes},
                               {"tokens", s.tokens},
                               {"loss", s.loss()},
                               {"perplexity", std::exp(s.loss())},
                               {"bits_per_byte", s.bits_per_byte()}});
  }
  fmt::print("{}\n", result.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace

int evaluate(const Options& options) {
  const StoredModel stored(options.model);
  const Deck& deck = stored.deck();
  std::vector<std::string> texts;  // all of them first: errors before the work
  for (const std::string& file : options.files) texts.push_back(read_text(file));
  const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(deck.data.tokenizer);
  const KokkosSession kokkos(options);
  select_kernels(deck);
  ModelConfig config = deck.model;
  config.mtp.depth = 0;
  config.moe.sequence_loss = 0;
  Model<float> model(config);
  const ModelUse use{.sequences = 1, .rows = deck.batch.length, .training = false};
  Arena plan;
  model.allocate(plan, use);
  Arena arena;
  arena.reserve(plan);
  model.allocate(arena, use);
  model.fill_rotary_table();
  stored.load(model);

  Pass<float> pass;
  std::vector<Score> scores;
  Score all{.file = "all"};
  for (std::size_t i = 0; i < texts.size(); ++i) {
    scores.push_back(score(model, pass, *tokenizer, options.files[i], texts[i]));
    all.bytes += scores.back().bytes;
    all.tokens += scores.back().tokens;
    all.nats += scores.back().nats;
  }
  if (scores.size() > 1) scores.push_back(all);
  if (options.json) {
    print_json(stored.checkpoint().path(), scores);
  } else {
    print_text(scores);
  }
  return static_cast<int>(ExitCode::done);
}

}  // namespace moray
