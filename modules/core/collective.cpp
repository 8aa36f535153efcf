#include "core/collective.hpp"

#include <exception>

#include "core/no_space.hpp"

namespace moray {
namespace {

// In front of a message that travels: what it was thrown as.
constexpr char kNoSpace = 's';
constexpr char kOther = 'e';

/// What a failed rank tells the others.
std::string outcome_of(const std::function<void()>& work) {
  constexpr std::size_t kLongest = 1000;  // characters of a message that travel
  try {
    work();
    return "";
  } catch (const NoSpace& error) {
    return kNoSpace + std::string(error.what()).substr(0, kLongest);
  } catch (const std::exception& error) {
    return kOther + std::string(error.what()).substr(0, kLongest);
  }
}

}  // namespace

void agree(Collective& ranks, const std::function<void()>& work) {
  const std::string outcome = outcome_of(work);
  if (ranks.all(outcome.empty())) return;
  const std::vector<std::string> outcomes = ranks.gather(outcome);
  std::string text;
  std::size_t failed = 0;
  char kind = kNoSpace;
  for (std::size_t rank = 0; rank < outcomes.size(); ++rank) {
    if (outcomes[rank].empty()) continue;
    if (outcomes[rank][0] != kNoSpace) kind = kOther;
    const std::string message = outcomes[rank].substr(1);
    if (failed++ == 0)
      text = ranks.size() == 1 ? message : fmt::format("rank {}: {}", rank, message);
  }
  if (failed > 1) text += fmt::format(" (and {} other ranks)", failed - 1);
  text = kind + text;
  ranks.broadcast(text);
  if (text[0] == kNoSpace) throw NoSpace(text.substr(1));
  throw Error(ExitCode::io, text.substr(1));
}

}  // namespace moray
