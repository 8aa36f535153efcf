#include "data/tokenizer.hpp"

#include <array>

#include "core/error.hpp"

namespace moray {

namespace {

constexpr SpecialTokens kByteSpecial{kNoToken, 256, 257, 258, 259};
constexpr std::array<std::string_view, 4> kByteSpecialNames{"<|eos|>", "<|fim_begin|>",
                                                            "<|fim_hole|>", "<|fim_end|>"};

const std::array<char, 256>& all_bytes() {
  static const std::array<char, 256> bytes = [] {
    std::array<char, 256> values{};
    for (std::size_t b = 0; b < values.size(); ++b) {
      values[b] = static_cast<char>(static_cast<unsigned char>(b));
    }
    return values;
  }();
  return bytes;
}

void check_byte_token(std::int32_t token) {
  if (token < 0 || token >= ByteTokenizer::kVocabulary) {
    fail(ExitCode::usage, "tokenizer 'bytes': token {} is outside its vocabulary of {}", token,
         ByteTokenizer::kVocabulary);
  }
}

}  // namespace

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> tokens;
  encode(text, tokens);
  return tokens;
}

std::string Tokenizer::decode(std::span<const std::int32_t> tokens) const {
  std::string text;
  for (const std::int32_t token : tokens) text += bytes(token);
  return text;
}

const SpecialTokens& ByteTokenizer::special() const {
  return kByteSpecial;
}

void ByteTokenizer::encode(std::string_view text, std::vector<std::int32_t>& tokens) const {
  tokens.reserve(tokens.size() + text.size());
  for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
}

std::string_view ByteTokenizer::bytes(std::int32_t token) const {
  check_byte_token(token);
  if (token >= 256) return {};
  return {all_bytes().data() + token, 1};
}

std::string_view ByteTokenizer::special_name(std::int32_t token) const {
  check_byte_token(token);
  return token < 256 ? std::string_view{}
                     : kByteSpecialNames[static_cast<std::size_t>(token) - 256];
}

std::unique_ptr<Tokenizer> make_tokenizer(std::string_view name) {
  if (name == "bytes") return std::make_unique<ByteTokenizer>();
  fail(ExitCode::usage, "data.tokenizer: there is no '{}'; this build has: bytes", name);
}

}  // namespace moray
