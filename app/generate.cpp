// moray generate: a trained model continues a text.
#include "inference/generate.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>

#include "commands.hpp"
#include "core/error.hpp"
#include "data/tokenizer.hpp"
#include "data/utf8.hpp"
#include "runtime.hpp"
#include "stored_model.hpp"

namespace moray {
namespace {

std::string read_all(std::istream& stream) {
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

std::string read_prompt(const Options& options) {
  if (!options.prompt.empty() && !options.prompt_file.empty())
    fail(ExitCode::usage, "moray generate: --prompt or --prompt-file, not both");
  std::string prompt = options.prompt;
  const bool from_file = !options.prompt_file.empty() && options.prompt_file != "-";
  if (from_file) {
    std::ifstream file(options.prompt_file, std::ios::binary);
    prompt = read_all(file);
    if (!file) fail(ExitCode::io, "{}: cannot be read", options.prompt_file);
  } else if (prompt.empty()) {
    if (options.prompt_file.empty() && isatty(STDIN_FILENO) != 0)
      fail(ExitCode::usage, "moray generate: no prompt; give --prompt TEXT or --prompt-file FILE");
    prompt = read_all(std::cin);
  }
  if (prompt.empty())
    fail(ExitCode::usage, "moray generate: the prompt is empty; give at least one character");
  return prompt;
}

Sampling sampling_of(const Options& o) {
  if (o.tokens < 0) fail(ExitCode::usage, "moray generate: --tokens must not be negative");
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

/// Prints tokens as they come, whole characters only, up to the end of the document.
void print_continuation(Decoder<float>& decoder, const Tokenizer& tokenizer,
                        const Sampling& sampling, std::int64_t count,
                        std::vector<std::int32_t> prompt) {
  Pass<float> pass;
  Utf8Stream text;
  std::int64_t made = 0;
  const auto begin = std::chrono::steady_clock::now();
  const auto read = static_cast<std::int64_t>(prompt.size());
  generate(decoder, pass, sampling, count, std::span(&prompt, 1),
           [&](std::int64_t, std::int32_t token) {
             ++made;
             put(text.push(tokenizer.bytes(token)));
             return token != tokenizer.special().eos;
           });
  put(text.finish() + "\n");
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  fmt::print(
      stderr, "{} tokens read, {} made in {:.2f} s: {:.0f} tokens/s\n",
      std::min(read, decoder.context()), made, took.count(),
      static_cast<double>(std::min(read, decoder.context()) + made) / std::max(took.count(), 1e-9));
}

}  // namespace

int generate(const Options& options) {
  // 1. What is asked for, and the model's deck: errors first, before anything is started.
  const Sampling sampling = sampling_of(options);
  const StoredModel stored(options.model);
  const Deck& deck = stored.deck();
  const std::string prompt = read_prompt(options);
  const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(deck.data.tokenizer);
  const std::vector<std::int32_t> tokens = tokenizer->encode(prompt);
  const std::int64_t context = deck.batch.length;
  if (static_cast<std::int64_t>(tokens.size()) > context) {
    fmt::print(stderr, "the prompt has {} tokens, the context {}: only the prompt's end is read\n",
               tokens.size(), context);
  }
  // 2. A decoder of one sequence, with weights of its own.
  const KokkosSession kokkos(options);
  select_kernels(deck);
  Decoder<float> decoder(deck.model, 1, context);
  Arena plan;
  decoder.allocate(plan);
  Arena arena;
  arena.reserve(plan);
  decoder.allocate(arena);
  decoder.start();
  stored.load(decoder.model());
  // 3. The text, prompt first.
  put(prompt);
  print_continuation(decoder, *tokenizer, sampling, options.tokens, tokens);
  return static_cast<int>(ExitCode::done);
}

}  // namespace moray
