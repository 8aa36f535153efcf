#include "inference/generate.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace moray {
namespace {

/// One sequence on its way through the decoder.
struct Reader {
  std::vector<std::int32_t>* tokens;
  std::int64_t first = 0;  ///< index of the token at position 0
  std::int64_t left = 0;   ///< tokens still to make

  std::int64_t size() const { return static_cast<std::int64_t>(tokens->size()); }
  /// Begins again with the newest tokens, at most `count`.
  void keep(std::int64_t count) { first = std::max<std::int64_t>(size() - count, 0); }
  /// A sequence that has ended repeats its last token, which nothing reads.
  std::int32_t at(std::int64_t position) const {
    return (*tokens)[static_cast<std::size_t>(std::min(first + position, size() - 1))];
  }
  bool wants(std::int64_t position) const { return left > 0 && first + position == size() - 1; }
  /// Whether it wants nothing before `position`.
  bool only_reads_before(std::int64_t position) const {
    return left == 0 || first + position <= size() - 1;
  }
};

/// Reads text a chunk at a time as long as no sequence has to choose a token within.
void read_chunks(Decoder<float>& decoder, Pass<float>& pass, const std::vector<Reader>& readers) {
  const std::int64_t chunk = decoder.chunk();
  std::vector<std::int32_t> tokens(readers.size() * static_cast<std::size_t>(chunk));
  while (chunk > 1 && decoder.position() + chunk <= decoder.context()) {
    const std::int64_t position = decoder.position();
    for (const Reader& r : readers)
      if (!r.only_reads_before(position + chunk)) return;
    for (std::size_t s = 0, to = 0; s < readers.size(); ++s)
      for (std::int64_t i = 0; i < chunk; ++i) tokens[to++] = readers[s].at(position + i);
    decoder.read(pass, tokens);
  }
}

}  // namespace

void generate(Decoder<float>& decoder, Pass<float>& pass, const Sampling& sampling,
              std::int64_t count, std::span<std::vector<std::int32_t>> prompts, const Emit& emit) {
  MORAY_REQUIRE(static_cast<std::int64_t>(prompts.size()) == decoder.sequences());
  std::vector<Reader> readers;
  for (std::vector<std::int32_t>& prompt : prompts) {
    MORAY_REQUIRE(!prompt.empty());
    readers.push_back({&prompt, 0, count});
    readers.back().keep(decoder.context());
  }
  std::vector<std::int32_t> tokens(prompts.size());
  std::vector<float> logits(static_cast<std::size_t>(decoder.model().config().model.vocabulary));
  decoder.rewind();
  const auto busy = [](const Reader& r) { return r.left > 0; };
  while (std::any_of(readers.begin(), readers.end(), busy)) {
    if (decoder.position() == decoder.context()) {
      for (Reader& r : readers) r.keep(std::max<std::int64_t>(decoder.context() / 2, 1));
      decoder.rewind();
    }
    if (decoder.position() == 0) read_chunks(decoder, pass, readers);
    const std::int64_t position = decoder.position();
    const auto wants = [&](const Reader& r) { return r.wants(position); };
    for (std::size_t s = 0; s < readers.size(); ++s) tokens[s] = readers[s].at(position);
    const bool head = std::any_of(readers.begin(), readers.end(), wants);
    decoder.step(pass, tokens, head);
    for (std::size_t s = 0; head && s < readers.size(); ++s) {
      Reader& r = readers[s];
      if (!r.wants(position)) continue;
      decoder.logits(pass, static_cast<std::int64_t>(s), logits);
      const std::int32_t next = choose_token(logits, sampling, r.size());
      r.tokens->push_back(next);
      --r.left;
      if (!emit(static_cast<std::int64_t>(s), next)) r.left = 0;
    }
  }
}

}  // namespace moray
