#include "core/error.hpp"

namespace moray {

void broken_invariant(const char* expression, const char* file, int line) {
  throw std::logic_error(fmt::format(
      "internal error at {}:{}: '{}' does not hold; please report it", file, line, expression));
}

}  // namespace moray
