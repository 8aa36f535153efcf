#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct XXH3_state_s;

namespace moray {

/// An XXH3-128 digest in its canonical (big-endian) bytes.
struct Digest {
  std::array<std::uint8_t, 16> bytes{};

  bool operator==(const Digest&) const = default;
  /// 32 lower-case hexadecimal digits, as `xxhsum -H2` prints them.
  std::string hex() const;
  /// The inverse of hex(); empty for anything else.
  static std::optional<Digest> parse(std::string_view hex);
};

/// Digest of `size` bytes.
Digest digest_of(const void* data, std::size_t size);
inline Digest digest_of(std::string_view text) {
  return digest_of(text.data(), text.size());
}

/// Digest of bytes that arrive in pieces.
class DigestStream {
 public:
  DigestStream();
  void add(const void* data, std::size_t size);
  void add(const Digest& digest) { add(digest.bytes.data(), digest.bytes.size()); }
  Digest value() const;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

}  // namespace moray
