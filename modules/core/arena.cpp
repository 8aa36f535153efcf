#include "core/arena.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace moray {
namespace {
constexpr std::int64_t kAlignment = 64;

std::int64_t aligned(std::int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}
}  // namespace

std::int64_t Arena::checked_product(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product)) {
    fail(ExitCode::usage, "a buffer of {} x {} elements does not fit 64-bit sizes", a, b);
  }
  return product;
}

std::byte* Arena::take(Memory memory, std::int64_t count, std::size_t element) {
  Pool& pool = pools_[static_cast<std::size_t>(memory)];
  const std::int64_t bytes = checked_product(count, static_cast<std::int64_t>(element));
  const std::int64_t begin = pool.used;
  pool.used += aligned(bytes);
  if (!reserved_) return nullptr;
  MORAY_REQUIRE(pool.used + kAlignment <= pool.capacity);
  const auto address = reinterpret_cast<std::uintptr_t>(pool.begin);
  const std::uintptr_t skip = (kAlignment - address % kAlignment) % kAlignment;
  return pool.begin + skip + begin;
}

Arena::Mark Arena::mark() const {
  Mark mark{};
  for (std::size_t i = 0; i < pools_.size(); ++i) mark[i] = pools_[i].used;
  return mark;
}

void Arena::rewind(const Mark& to) {
  for (std::size_t i = 0; i < pools_.size(); ++i) pools_[i].used = to[i];
}

void Arena::advance(const Mark& to) {
  for (std::size_t i = 0; i < pools_.size(); ++i) pools_[i].used = std::max(pools_[i].used, to[i]);
}

std::byte* Arena::share(std::string_view key, std::int64_t bytes) {
  auto found = shared_.find(key);
  if (!reserved_) {
    if (found == shared_.end()) found = shared_.emplace(std::string(key), Shared{}).first;
    found->second.bytes = std::max(found->second.bytes, bytes);
    return nullptr;
  }
  MORAY_REQUIRE(found != shared_.end() && bytes <= found->second.bytes);
  return found->second.data;
}

std::int64_t Arena::bytes(Memory memory) const {
  std::int64_t total = pools_[static_cast<std::size_t>(memory)].used;
  if (memory == Memory::workspace && !reserved_) {
    for (const auto& [key, shared] : shared_) total += aligned(shared.bytes);
  }
  return total;
}

void Arena::reserve(const Arena& plan) {
  MORAY_REQUIRE(!reserved_ && total_bytes() == 0);
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    Pool& pool = pools_[i];
    pool.capacity = plan.bytes(static_cast<Memory>(i)) + 2 * kAlignment;
    const auto size = static_cast<std::size_t>(pool.capacity);
    const std::string label = "moray::arena::" + std::string(kMemoryNames[i]);
    if (static_cast<Memory>(i) == Memory::snapshot) {
      pool.host_storage = decltype(pool.host_storage)(label, size);
      pool.begin = pool.host_storage.data();
    } else {
      pool.storage = View1<std::byte>(label, size);
      pool.begin = pool.storage.data();
    }
  }
  reserved_ = true;
  shared_ = plan.shared_;
  for (auto& [key, shared] : shared_) shared.data = take(Memory::workspace, shared.bytes, 1);
}

std::int64_t Arena::total_bytes() const {
  std::int64_t total = 0;
  for (std::size_t i = 0; i < pools_.size(); ++i) total += bytes(static_cast<Memory>(i));
  return total;
}

}  // namespace moray
