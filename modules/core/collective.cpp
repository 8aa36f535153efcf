#include "core/collective.hpp"

#include <exception>

#include "core/error.hpp"

namespace moray {

void agree(Collective& ranks, const std::function<void()>& work) {
  constexpr std::size_t kLongest = 1000;  // characters of a message that travel
  std::string message;
  try {
    work();
  } catch (const std::exception& error) {
    message = std::string(error.what()).substr(0, kLongest);
    if (message.empty()) message = "unknown error";
  }
  if (ranks.all(message.empty())) return;
  const std::vector<std::string> messages = ranks.gather(message);
  std::string text;
  std::size_t failed = 0;
  for (std::size_t rank = 0; rank < messages.size(); ++rank) {
    if (messages[rank].empty()) continue;
    if (failed++ == 0) {
      text = ranks.size() == 1 ? messages[rank] : fmt::format("rank {}: {}", rank, messages[rank]);
    }
  }
  if (failed > 1) text += fmt::format(" (and {} other ranks)", failed - 1);
  ranks.broadcast(text);
  throw Error(ExitCode::io, text);
}

}  // namespace moray
