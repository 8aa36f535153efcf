#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "core/kokkos.hpp"
#include "core/matrix.hpp"

namespace moray {

/// What a buffer is for. `moray plan` prints bytes by these names. `snapshot`, what an asynchronous
/// save writes behind the next steps, is memory of the host on every backend.
enum class Memory : int {
  weights,
  gradients,
  optimizer,
  activations,
  communication,
  workspace,
  snapshot
};
inline constexpr std::array<std::string_view, 7> kMemoryNames = {
    "weights", "gradients", "optimizer", "activations", "communication", "workspace", "snapshot"};

/// A matrix of as many rows as tokens happen to be routed to a rank: the one kind of buffer that may
/// grow during a run, when the counts of a micro-batch ask for more than the planned headroom.
template <class T>
class RowBuffer {
 public:
  explicit RowBuffer(Matrix<T> planned) : matrix_(planned) {}
  RowBuffer(const RowBuffer&) = delete;
  RowBuffer& operator=(const RowBuffer&) = delete;

  std::int64_t capacity() const { return matrix_.rows; }
  std::int64_t cols() const { return matrix_.cols; }
  Matrix<T> first(std::int64_t rows) const {
    MORAY_REQUIRE(rows <= matrix_.rows);
    return matrix_.row_range(0, rows);
  }
  /// Makes room for `rows`; what was there is lost when it grows. Returns the bytes that it took. While
  /// the buffer is pinned it must not grow.
  std::int64_t require(std::int64_t rows) {
    if (rows <= matrix_.rows) return 0;
    MORAY_REQUIRE(pins_ == 0);
    rows += rows / 4;  // so that it rarely happens again
    grown_ = View1<T>("moray::arena::grown", static_cast<std::size_t>(rows * matrix_.cols));
    matrix_ = {grown_.data(), rows, matrix_.cols, matrix_.cols};
    return rows * matrix_.cols * static_cast<std::int64_t>(sizeof(T));
  }

 private:
  friend class RowPin;
  Matrix<T> matrix_;
  View1<T> grown_;
  int pins_ = 0;
};
template <class T>
using Rows = std::shared_ptr<RowBuffer<T>>;

/// Keeps a buffer where and what it is for as long as an exchange reads or writes it.
class RowPin {
 public:
  RowPin() = default;
  template <class T>
  explicit RowPin(const Rows<T>& rows) : buffer_(rows), pins_(&rows->pins_) {
    ++*pins_;
  }
  RowPin(RowPin&& other) noexcept { swap(other); }
  RowPin& operator=(RowPin&& other) noexcept {
    RowPin(std::move(other)).swap(*this);
    return *this;
  }
  RowPin(const RowPin&) = delete;
  RowPin& operator=(const RowPin&) = delete;
  ~RowPin() {
    if (pins_ != nullptr) --*pins_;
  }

 private:
  void swap(RowPin& other) noexcept {
    buffer_.swap(other.buffer_);
    std::swap(pins_, other.pins_);
  }
  std::shared_ptr<void> buffer_;
  int* pins_ = nullptr;
};

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

  /// What a backward leaves for its weight gradients: shared by name when they follow at once, else a
  /// buffer of its `own` among the activations.
  template <class T>
  Matrix<T> deferred_matrix(std::string_view key, std::int64_t rows, std::int64_t cols, bool own) {
    return own ? matrix<T>(Memory::activations, rows, cols) : shared_matrix<T>(key, rows, cols);
  }
  template <class T>
  Rows<T> deferred_rows(std::string_view key, std::int64_t rows, std::int64_t cols, bool own) {
    return own ? this->rows<T>(Memory::activations, rows, cols) : shared_rows<T>(key, rows, cols);
  }

  /// Lets several layouts use the same memory, one at a time: what was taken after mark() counts as
  /// free after rewind(), and the larger layout counts in the end.
  using Mark = std::array<std::int64_t, kMemoryNames.size()>;
  Mark mark() const;
  void rewind(const Mark& to);
  void advance(const Mark& to);

  /// Rows that may grow.
  template <class T>
  Rows<T> rows(Memory memory, std::int64_t rows, std::int64_t cols) {
    return std::make_shared<RowBuffer<T>>(matrix<T>(memory, rows, cols));
  }
  /// The same, shared by name: one buffer with room for the largest request. Its users agree in cols.
  template <class T>
  Rows<T> shared_rows(std::string_view key, std::int64_t rows, std::int64_t cols) {
    const Matrix<T> planned = shared_matrix<T>(key, rows, cols);
    std::shared_ptr<void>& known = row_buffers_[std::string(key)];
    const std::int64_t largest =
        reserved_ ? shared_.find(key)->second.bytes / (cols * static_cast<std::int64_t>(sizeof(T)))
                  : rows;
    if (known == nullptr)
      known = std::make_shared<RowBuffer<T>>(Matrix<T>{planned.data, largest, cols, cols});
    const auto rows_of_key = std::static_pointer_cast<RowBuffer<T>>(known);
    MORAY_REQUIRE(rows_of_key->cols() == cols);
    return rows_of_key;
  }

  std::int64_t bytes(Memory memory) const;
  std::int64_t total_bytes() const;

 private:
  struct Pool {
    std::int64_t used = 0;
    std::int64_t capacity = 0;
    View1<std::byte> storage;
    Kokkos::View<std::byte*, Kokkos::LayoutRight, Kokkos::HostSpace> host_storage;
    std::byte* begin = nullptr;  ///< of the one that is used
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
  std::map<std::string, std::shared_ptr<void>> row_buffers_;
  std::array<Pool, kMemoryNames.size()> pools_;
};

}  // namespace moray
