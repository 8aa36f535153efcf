// moray generate: a trained model continues texts.
#include "inference/generate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "core/error.hpp"
#include "data/tokenizer.hpp"
#include "data/utf8.hpp"
#include "runtime.hpp"
#include "stored_model.hpp"
#include "texts.hpp"

namespace moray {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kChunk = 32;  // positions of a prompt that are read at a time

Sampling sampling_of(const Options& o) {
  if (o.tokens < 0) fail(ExitCode::usage, "moray generate: --tokens must not be negative");
  if (o.batch < 1) fail(ExitCode::usage, "moray generate: --batch must be at least 1");
  if (!(o.temperature >= 0)) fail(ExitCode::usage, "moray generate: --temperature must be >= 0");
  if (o.top_k < 0) fail(ExitCode::usage, "moray generate: --top-k must not be negative");
  if (!(o.top_p > 0 && o.top_p <= 1))
    fail(ExitCode::usage, "moray generate: --top-p must be above 0 and at most 1");
  return {.temperature = o.greedy ? 0 : o.temperature,
          .seed = static_cast<std::uint64_t>(o.seed),
          .top_k = o.top_k,
          .top_p = o.top_p};
}

void put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

/// One prompt and what became of it.
struct Continuation {
  std::string prompt;
  std::vector<std::int32_t> tokens;  ///< of the prompt, then the new ones
  std::int64_t read = 0;             ///< tokens of the prompt that fit the context
  std::int64_t made = 0;
  bool ended = false;  ///< the model ended the document
  Utf8Stream characters;
  std::string text;  ///< the new text, whole characters
};

/// The decoder with its memory, and the prompts that it goes through, a batch after the other.
class Generation {
 public:
  Generation(const StoredModel& stored, const Tokenizer& tokenizer, std::int64_t batch)
      : tokenizer_(tokenizer),
        decoder_(stored.deck().model, batch, stored.deck().batch.length,
                 std::min(kChunk, stored.deck().batch.length)) {
    Arena plan;
    decoder_.allocate(plan);
    arena_.reserve(plan);
    decoder_.allocate(arena_);
    decoder_.start();
    stored.load(decoder_.model());
  }

  /// Continues all of them; `show` gets each piece of text as it comes.
  template <class Show>
  void run(std::vector<Continuation>& all, const Sampling& sampling, std::int64_t count,
           const Show& show) {
    const auto begin = std::chrono::steady_clock::now();
    const auto batch = static_cast<std::size_t>(decoder_.sequences());
    for (std::size_t first = 0; first < all.size(); first += batch)
      run_batch(std::span(all).subspan(first, std::min(batch, all.size() - first)), sampling, count,
                show);
    seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

  const Decoder<float>& decoder() const { return decoder_; }
  double seconds() const { return std::max(seconds_, 1e-9); }

 private:
  template <class Show>
  void run_batch(std::span<Continuation> some, const Sampling& sampling, std::int64_t count,
                 const Show& show) {
    std::vector<std::vector<std::int32_t>> prompts;
    for (const Continuation& c : some) prompts.push_back(c.tokens);
    // Sequences without a prompt of their own read one token and end.
    const std::int32_t end = tokenizer_.special().eos;
    prompts.resize(static_cast<std::size_t>(decoder_.sequences()), {end});
    const auto emit = [&](std::int64_t sequence, std::int32_t token) {
      if (sequence >= static_cast<std::int64_t>(some.size())) return false;
      Continuation& c = some[static_cast<std::size_t>(sequence)];
      ++c.made;
      c.ended = token == end;
      const std::string piece = c.characters.push(tokenizer_.bytes(token));
      c.text += piece;
      show(piece);
      return !c.ended;
    };
    generate(decoder_, pass_, sampling, count, prompts, emit);
    for (std::size_t i = 0; i < some.size(); ++i) {
      some[i].tokens = std::move(prompts[i]);
      const std::string rest = some[i].characters.finish();
      some[i].text += rest;
      show(rest);
    }
  }

  const Tokenizer& tokenizer_;
  Arena arena_;
  Decoder<float> decoder_;
  Pass<float> pass_;
  double seconds_ = 0;
};

/// What the latent caches hold (DeepSeek-V3 report, section 2.1.1: c + rope a token and layer).
struct CacheSize {
  explicit CacheSize(const Decoder<float>& decoder)
      : latent(decoder.model().config().attention.latent),
        rope(decoder.model().config().attention.rope_width),
        layers(decoder.model().config().model.layers),
        sequences(decoder.sequences()),
        positions(decoder.context()) {}
  std::int64_t elements() const { return latent + rope; }
  std::int64_t bytes() const {
    return elements() * layers * sequences * positions * std::int64_t{sizeof(float)};
  }
  std::int64_t latent, rope, layers, sequences, positions;
};

/// Tokens of all prompts together.
std::int64_t sum_of(const std::vector<Continuation>& all, std::int64_t Continuation::*count) {
  std::int64_t sum = 0;
  for (const Continuation& c : all) sum += c.*count;
  return sum;
}

void print_summary(const std::vector<Continuation>& all, const Generation& generation) {
  const CacheSize cache(generation.decoder());
  fmt::print(
      stderr,
      "latent cache: {} + {} = {} elements a token and layer; {} layers, {} sequence{} of {} "
      "positions: {:.1f} KiB\n",
      cache.latent, cache.rope, cache.elements(), cache.layers, cache.sequences,
      cache.sequences == 1 ? "" : "s", cache.positions, static_cast<double>(cache.bytes()) / 1024);
  const std::int64_t read = sum_of(all, &Continuation::read);
  const std::int64_t made = sum_of(all, &Continuation::made);
  fmt::print(stderr, "{} prompt{}: {} tokens read, {} made in {:.2f} s: {:.0f} tokens/s\n",
             all.size(), all.size() == 1 ? "" : "s", read, made, generation.seconds(),
             static_cast<double>(read + made) / generation.seconds());
}

void print_json(const std::string& checkpoint, const Sampling& sampling,
                const std::vector<Continuation>& all, const Generation& generation) {
  const CacheSize cache(generation.decoder());
  Json results = Json::array();
  for (const Continuation& c : all) {
    results.push_back({{"prompt", c.prompt},
                       {"text", c.text},
                       {"tokens_read", c.read},
                       {"tokens_made", c.made},
                       {"ended", c.ended}});
  }
  const double tokens =
      static_cast<double>(sum_of(all, &Continuation::read) + sum_of(all, &Continuation::made));
  const Json result = {{"checkpoint", checkpoint},
                       {"sampling",
                        {{"temperature", sampling.temperature},
                         {"top_k", sampling.top_k},
                         {"top_p", sampling.top_p},
                         {"seed", sampling.seed}}},
                       {"results", results},
                       {"seconds", generation.seconds()},
                       {"tokens_per_second", tokens / generation.seconds()},
                       {"cache",
                        {{"elements_per_token_and_layer", cache.elements()},
                         {"latent", cache.latent},
                         {"rope", cache.rope},
                         {"layers", cache.layers},
                         {"sequences", cache.sequences},
                         {"positions", cache.positions},
                         {"bytes", cache.bytes()}}}};
  fmt::print("{}\n", result.dump(2, ' ', false, Json::error_handler_t::replace));
}

/// `reads` is false when no token is to be made: then none is read.
std::vector<Continuation> encode(const std::vector<std::string>& prompts,
                                 const Tokenizer& tokenizer, std::int64_t context, bool reads) {
  std::vector<Continuation> all;
  for (const std::string& prompt : prompts) {
    Continuation c;
    c.prompt = prompt;
    c.tokens = tokenizer.encode(prompt);
    const auto size = static_cast<std::int64_t>(c.tokens.size());
    c.read = reads ? std::min(size, context) : 0;
    if (size > context && reads) {
      fmt::print(stderr, "prompt {} of {} has {} tokens, the context {}: only its end is read\n",
                 all.size() + 1, prompts.size(), size, context);
    }
    all.push_back(std::move(c));
  }
  return all;
}

}  // namespace

int generate(const Options& options) {
  // 1. What is asked for, and the model's deck: errors first, before anything is started.
  const Sampling sampling = sampling_of(options);
  const StoredModel stored(options.model);
  const Deck& deck = stored.deck();
  const std::vector<std::string> prompts = read_prompts(options);
  const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(deck.data.tokenizer);
  std::vector<Continuation> all =
      encode(prompts, *tokenizer, deck.batch.length, options.tokens > 0);
  // 2. A decoder of as many sequences as there are prompts, with weights of its own.
  const KokkosSession kokkos(options);
  select_kernels(deck);
  Generation generation(stored, *tokenizer,
                        std::min(options.batch, static_cast<std::int64_t>(all.size())));
  // 3. The text: of one prompt as it comes, of several when all are done.
  const bool stream = all.size() == 1 && !options.json;
  if (stream) put(all[0].prompt);
  generation.run(all, sampling, options.tokens, [&](const std::string& piece) {
    if (stream) put(piece);
  });
  if (options.json) {
    print_json(stored.checkpoint().path(), sampling, all, generation);
  } else if (stream) {
    put("\n");
  } else {
    for (std::size_t i = 0; i < all.size(); ++i) {
      put(fmt::format("=== prompt {} of {}\n{}{}\n", i + 1, all.size(), all[i].prompt,
                      all[i].text));
    }
  }
  if (!options.json) print_summary(all, generation);
  return static_cast<int>(ExitCode::done);
}

}  // namespace moray
