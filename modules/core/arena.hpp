#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/kokkos.hpp"
#include "core/matrix.hpp"

namespace moray {

/// What a buffer is for. `moray plan` prints bytes by these names.
enum class Memory : int { weights, gradients, optimizer, activations, communication, workspace };
inline constexpr std::array<std::string_view, 6> kMemoryNames = {
    "weights", "gradients", "optimizer", "activations", "communication", "workspace"};

/// All memory that lives across a step, sized before the run: the plan is the allocator.
///
/// The same code that builds a model runs twice. A counting arena hands out null pointers and adds
/// up bytes: that is `moray plan`, for any deck, without Kokkos. After `reserve()` an arena of that
/// size hands out the same buffers for real, zeroed. Buffers start at multiples of 64 bytes and
/// live until the arena dies. Nothing is ever given back: a buffer that several phases can share
/// is taken once by whoever knows that.
class Arena {
 public:
  /// A counting arena.
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Turns an empty arena into a real one with room for what `plan` counted.
  void reserve(const Arena& plan);
  bool counting() const { return !reserved_; }

  template <class T>
  Vector<T> vector(Memory memory, std::int64_t size) {
    return {reinterpret_cast<T*>(take(memory, size, sizeof(T))), size};
  }
  template <class T>
  Matrix<T> matrix(Memory memory, std::int64_t rows, std::int64_t cols) {
    return {vector<T>(memory, checked_product(rows, cols)).data, rows, cols, cols};
  }

  /// A buffer that several phases or layers share by name, because no two of them need it at the
  /// same time: the largest request counts. Always workspace.
  template <class T>
  Matrix<T> shared_matrix(std::string_view key, std::int64_t rows, std::int64_t cols) {
    const std::int64_t bytes = checked_product(checked_product(rows, cols), sizeof(T));
    return {reinterpret_cast<T*>(share(key, bytes)), rows, cols, cols};
  }
  template <class T>
  Vector<T> shared_vector(std::string_view key, std::int64_t size) {
    return {shared_matrix<T>(key, 1, size).data, size};
  }

  std::int64_t bytes(Memory memory) const;
  std::int64_t total_bytes() const;

 private:
  struct Pool {
    std::int64_t used = 0;
    View1<std::byte> storage;
  };
  std::byte* take(Memory memory, std::int64_t count, std::size_t element);
  std::byte* share(std::string_view key, std::int64_t bytes);
  static std::int64_t checked_product(std::int64_t a, std::int64_t b);

  struct Shared {
    std::int64_t bytes = 0;
    std::byte* data = nullptr;
  };
  bool reserved_ = false;
  std::map<std::string, Shared, std::less<>> shared_;
  std::array<Pool, kMemoryNames.size()> pools_;
};

}  // namespace moray
