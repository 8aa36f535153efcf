#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moray {

/// The tokens that stand for no text. A tokenizer without one of them says kNoToken.
struct SpecialTokens {
  std::int32_t bos;
  std::int32_t eos;  ///< ends each document of a packed stream
  std::int32_t fim_begin;
  std::int32_t fim_hole;
  std::int32_t fim_end;
};
inline constexpr std::int32_t kNoToken = -1;

/// Text to tokens and back. Stateless: one object serves every reader.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::string_view name() const = 0;
  /// Tokens are 0 to vocabulary() - 1; a model's vocabulary is at least this.
  virtual std::int32_t vocabulary() const = 0;
  virtual const SpecialTokens& special() const = 0;

  /// Appends the tokens of `text`. Text never yields a special token, whatever it spells: a document
  /// cannot end itself or open a hole.
  virtual void encode(std::string_view text, std::vector<std::int32_t>& tokens) const = 0;
  /// The bytes of one token, not always whole characters: pass them through Utf8Stream to print
  /// them. Empty for a special token. Error(usage) when the token is outside the vocabulary.
  virtual std::string_view bytes(std::int32_t token) const = 0;
  /// `<|eos|>` and the like; empty for a token of text.
  virtual std::string_view special_name(std::int32_t token) const = 0;

  std::vector<std::int32_t> encode(std::string_view text) const;
  /// The bytes of all tokens, special ones left out: decode(encode(text)) == text for any bytes.
  std::string decode(std::span<const std::int32_t> tokens) const;
};

/// Tokens 0 to 255 are the bytes; 256 eos, 257 fim_begin, 258 fim_hole, 259 fim_end; no bos.
class ByteTokenizer final : public Tokenizer {
 public:
  static constexpr std::int32_t kVocabulary = 260;

  std::string_view name() const override { return "bytes"; }
  std::int32_t vocabulary() const override { return kVocabulary; }
  const SpecialTokens& special() const override;
  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<std::int32_t>& tokens) const override;
  std::string_view bytes(std::int32_t token) const override;
  std::string_view special_name(std::int32_t token) const override;
};

/// The tokenizer that `data.tokenizer` names. Error(usage) for an unknown name.
std::unique_ptr<Tokenizer> make_tokenizer(std::string_view name);

}  // namespace moray
