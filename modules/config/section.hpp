#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/key.hpp"

namespace moray {

class Section;

/// A key whose change can mend a rule.
struct Remedy {
  std::string key;  ///< integer: the nearest values; one of a choice: the others; text: text()
  /// A key that has to change with it where the other alone does not help, and to what.
  std::string follower = {};
  std::function<std::int64_t()> followed = {};
  std::function<std::string()> text = {};  ///< what to put into a text that is no choice
};

/// A condition on several keys. Broken, it is reported at the first of its keys that the deck gives,
/// or on the command line if one of them was changed there.
struct Rule {
  std::vector<std::string> keys;  ///< full names: "moe.top_k"
  std::string sentence;           ///< what must hold: "moe.top_k is at most moe.experts"
  /// Empty when it holds; else "-" or what exactly is wrong.
  std::function<std::string()> broken;
  /// Of which the message names the nearest values that work.
  std::vector<Remedy> remedies = {};

  void mended_by(std::vector<Remedy> all) { remedies = std::move(all); }
};

/// A list of maps of the same keys (`data.sources`).
struct SectionList {
  std::string name;
  std::string doc;
  std::shared_ptr<Section> prototype;            ///< for the reference
  std::function<void(std::size_t)> resize;       ///< of the vector behind it
  std::function<Section(std::size_t)> declared;  ///< the keys of one entry
  std::vector<Section> entries;                  ///< as read
  Place place;
  bool bad = false;  ///< was no list
};

/// The declarations of one map of a deck: keys, maps and lists of maps within it, and the rules
/// between them. Built by `declare(Section&, SomeConfig&)` beside each config struct and bound to
/// that object, which must outlive it.
class Section {
 public:
  Section(std::string path, std::string doc, Resume resume)
      : path_(std::move(path)), doc_(std::move(doc)), resume_(resume) {}

  /// Declares a key bound to a member. `doc` is one sentence.
  template <class T>
  Key& key(std::string name, T& member, std::string doc) {
    return keys_.emplace_back(std::move(name), &member, std::move(doc), resume_);
  }
  /// A map within this one; `resume` is what its keys are unless they say otherwise.
  Section& section(const std::string& name, std::string doc, Resume resume);
  /// A list of maps; each entry is declared by declare(Section&, T&).
  template <class T>
  void list(const std::string& name, std::string doc, std::vector<T>& members);
  /// A value instead of the map is that of this key: `precision: fp8` is `precision: {compute: fp8}`.
  void shorthand(std::string key) { shorthand_ = std::move(key); }
  const std::string& shorthand() const { return shorthand_; }
  /// A map that is copied through unread.
  void free_form(std::string name, std::string doc);

  Rule& rule(std::vector<std::string> keys, std::string sentence, std::function<bool()> holds);
  Rule& detailed_rule(std::vector<std::string> keys, std::string sentence,
                      std::function<std::string()> broken);

  const std::string& path() const { return path_; }
  std::string name() const { return path_.substr(path_.rfind('.') + 1); }
  const std::string& doc() const { return doc_; }
  /// "moe.top_k" for the key `top_k` of this section.
  std::string full(std::string_view name) const;
  /// The key of a full name, below this section; null when there is none.
  Key* find(std::string_view full_name);
  SectionList* find_list(std::string_view full_name);
  Section* find_section(std::string_view full_name);

  std::deque<Key>& keys() { return keys_; }
  std::deque<Section>& sections() { return sections_; }
  std::deque<SectionList>& lists() { return lists_; }
  const std::vector<Rule>& rules() const { return rules_; }
  const std::string& free_name() const { return free_name_; }
  const std::string& free_doc() const { return free_doc_; }
  Node& free_value() { return free_value_; }

  Place place;  ///< where it stands in the deck

 private:
  std::string path_;
  std::string doc_;
  std::string shorthand_;
  Resume resume_;
  std::deque<Key> keys_;
  std::deque<Section> sections_;
  std::deque<SectionList> lists_;
  std::vector<Rule> rules_;
  std::string free_name_;
  std::string free_doc_;
  Node free_value_;
};

template <class T>
void Section::list(const std::string& name, std::string doc, std::vector<T>& members) {
  const std::string where = full(name);
  const Resume resume = resume_;
  const auto one = [where, resume](T& member) {
    Section section(where, "", resume);
    declare(section, member);
    return section;
  };
  // The prototype's keys point into an entry of their own, which lives as long as they do.
  struct Example {
    T member;
    Section section{"", "", Resume::fixed};
  };
  auto example = std::make_shared<Example>();
  example->section = one(example->member);
  SectionList result;
  result.name = name;
  result.doc = std::move(doc);
  result.prototype = std::shared_ptr<Section>(example, &example->section);
  result.resize = [&members](std::size_t count) { members.assign(count, T{}); };
  result.declared = [&members, one](std::size_t i) { return one(members[i]); };
  lists_.push_back(std::move(result));
}

}  // namespace moray
