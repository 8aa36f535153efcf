#include "config/remedies.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.hpp"

namespace moray {
namespace {

/// Puts back at the end of a block what was there at its beginning.
template <class T>
class Tried {
 public:
  explicit Tried(T& target) : target_(target), before_(target) {}
  ~Tried() { target_ = before_; }
  Tried(const Tried&) = delete;
  Tried& operator=(const Tried&) = delete;

 private:
  T& target_;
  const T before_;
};

bool readable(Section& root, const Rule& rule) {
  return std::all_of(rule.keys.begin(), rule.keys.end(), [&](const std::string& name) {
    const Key* key = root.find(name);
    return key == nullptr || !key->bad();
  });
}

void collect(Section& section, std::vector<const Rule*>& rules) {
  for (const Rule& rule : section.rules()) rules.push_back(&rule);
  for (Section& inner : section.sections()) collect(inner, rules);
}

class Search {
 public:
  Search(Section& root, const Rule& rule) : root_(root) {
    std::vector<const Rule*> all;
    collect(root, all);
    required_.push_back(&rule);
    for (const Rule* other : all) {
      if (other == &rule || !readable(root, *other)) continue;
      const bool holds = other->broken().empty();
      if (!holds) others_broken_.push_back(other);
      if (holds) required_.push_back(other);
    }
  }

  /// Demands that what else is broken holds as well, if that could be.
  void demand_all() {
    for (const Rule* other : others_broken_)
      if (!other->remedies.empty()) required_.push_back(other);
  }

  /// "parallel.expert = 2 or 4"; empty when no value is accepted.
  std::string values(const Remedy& remedy, bool followed) {
    Key* key = root_.find(remedy.key);
    MORAY_REQUIRE(key != nullptr);
    if (key->bad() || (followed && remedy.follower.empty())) return "";
    std::vector<std::string> found;
    if (std::int64_t* number = key->integer())
      found = nearest(*key, *number, remedy, followed);
    else if (!followed)
      found = words(*key, *key->words(), remedy);
    return found.empty() ? "" : fmt::format("{} = {}", remedy.key, fmt::join(found, " or "));
  }

 private:
  // Below and above `value`, which is the key's.
  std::vector<std::string> nearest(const Key& key, std::int64_t& value, const Remedy& remedy,
                                   bool followed) {
    const Tried<std::int64_t> tried(value);
    const std::int64_t present = value;
    std::vector<std::string> found;
    if (present < 1) return found;  // 0 leaves the choice to the program
    for (const int direction : {-1, 1}) {
      for (std::int64_t distance = 1; distance <= kFarthestRemedy; ++distance) {
        value = present + direction * distance;
        if (value < 1) break;
        if (!accepts(key, remedy, followed)) continue;
        found.push_back(followed
                            ? fmt::format("{} ({} = {})", value, remedy.follower, remedy.followed())
                            : fmt::format("{}", value));
        break;
      }
    }
    return found;
  }

  std::vector<std::string> words(const Key& key, std::string& value, const Remedy& remedy) {
    const Tried<std::string> tried(value);
    const std::string present = value;
    std::vector<std::string> candidates = key.choices();
    if (remedy.text) candidates.push_back(remedy.text());
    std::vector<std::string> found;
    for (const std::string& candidate : candidates) {
      if (candidate.empty() || candidate == present) continue;
      value = candidate;
      if (all_hold()) found.push_back(remedy.text ? fmt::format("'{}'", value) : value);
    }
    return found;
  }

  bool accepts(const Key& key, const Remedy& remedy, bool followed) {
    if (!key.admits_present()) return false;
    if (!followed) return all_hold();
    std::int64_t& follower = *root_.find(remedy.follower)->integer();
    const Tried<std::int64_t> tried(follower);
    follower = remedy.followed();
    if (!root_.find(remedy.follower)->admits_present()) return false;
    return all_hold();
  }

  // The rule that refused the last value is asked first: it is the likeliest to refuse the next.
  bool all_hold() {
    for (std::size_t i = 0; i < required_.size(); ++i) {
      if (required_[i]->broken().empty()) continue;
      std::swap(required_[0], required_[i]);
      return false;
    }
    return true;
  }

  Section& root_;
  std::vector<const Rule*> required_;
  std::vector<const Rule*> others_broken_;
};

/// "; works with parallel.expert = 2 or 4, or run.ranks = 8" of the remedies that `use` admits.
std::string ending(Search& search, const Rule& rule, const char* start,
                   bool (*use)(const Remedy&)) {
  for (const bool followed : {false, true}) {
    std::vector<std::string> found;
    for (const Remedy& remedy : rule.remedies) {
      if (!use(remedy)) continue;
      if (std::string values = search.values(remedy, followed); !values.empty())
        found.push_back(std::move(values));
    }
    if (found.empty()) continue;
    std::string text = start;
    for (std::size_t i = 0; i < found.size(); ++i)
      text += fmt::format("{}{}", i == 0 ? "" : i + 1 == found.size() ? ", or " : ", ", found[i]);
    return text;
  }
  return "";
}

}  // namespace

std::string remedies_text(Section& root, const Rule& rule) {
  if (rule.remedies.empty()) return "";
  const char* alone = "; this one is mended by ";
  const auto any = [](const Remedy&) { return true; };
  const auto written = [](const Remedy& remedy) { return remedy.text != nullptr; };
  Search search(root, rule);
  search.demand_all();
  const std::string text = ending(search, rule, "; works with ", any);
  Search less(root, rule);
  if (text.empty()) return ending(less, rule, alone, any);
  // What somebody wrote by hand is told how the program would write it, whatever else is wrong.
  const bool told = !ending(search, rule, "", written).empty();
  return told ? text : text + ending(less, rule, alone, written);
}

}  // namespace moray
