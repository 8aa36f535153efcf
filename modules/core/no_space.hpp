#pragma once

#include <string>

#include "core/error.hpp"

namespace moray {

/// Error(io): there was no room for what was to be written. What was there before is untouched, and
/// the same call can succeed later.
class NoSpace : public Error {
 public:
  explicit NoSpace(const std::string& message) : Error(ExitCode::io, message) {}
};

}  // namespace moray
