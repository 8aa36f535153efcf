// What must not be in a host kernel: a shared inline function. isa_symbols_can_fail wants it found.
namespace moray {

inline __attribute__((noinline)) float shared_inline(float x) {
  return x * x;
}

namespace v0 {
float uses_it(float x);
float uses_it(float x) {
  return shared_inline(x);
}
}  // namespace v0
}  // namespace moray
