#pragma once

/// Replaces operator new of a test program by one that counts, to show that the step loop allocates
/// nothing (docs/design.md). Included by one source of a program, as the replacements are not inline.

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace moray::test {

inline std::atomic<long> allocations{0};

inline void* counted_new(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  void* p = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

/// How often `work` calls operator new.
template <class Work>
long count_allocations(const Work& work) {
  const long before = allocations;
  work();
  return allocations - before;
}

}  // namespace moray::test

void* operator new(std::size_t bytes) {
  return moray::test::counted_new(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return moray::test::counted_new(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}
void operator delete(void* p, std::align_val_t) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}
