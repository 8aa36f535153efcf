#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "config/amount.hpp"
#include "config/place.hpp"
#include "config/tree.hpp"

namespace moray {

/// May a key change when a run goes on from a checkpoint (docs/design.md, section 6)?
enum class Resume { fixed, free };

/// The one declaration of a deck key: reader, reference and resolved deck all come from it. It is
/// bound to the member of a config struct that it fills; the default is what the member holds when
/// it is declared. The functions below chain.
class Key {
 public:
  /// A map whose keys are any text, in the order of the deck.
  using TextMap = std::vector<std::pair<std::string, std::string>>;
  using Target = std::variant<std::int64_t*, std::uint64_t*, double*, bool*, std::string*, Amount*,
                              std::vector<std::string>*, TextMap*>;

  Key(std::string name, Target target, std::string doc, Resume resume);

  Key& required();                                      ///< no default
  Key& unit(std::string text);                          ///< of the number, for the reference
  Key& source(std::string text);                        ///< where the default comes from
  Key& at_least(double low);                            ///< >= low
  Key& above(double low);                               ///< > low
  Key& at_most(double high);                            ///< <= high
  Key& below(double high);                              ///< < high
  Key& even();                                          ///< integers
  Key& power_of_two();                                  ///< integers
  Key& one_of(std::initializer_list<const char*> all);  ///< text, values of a map
  Key& automatic();  ///< integer: `auto` is another spelling of 0
  Key& path();       ///< text: relative to the deck's folder
  Key& fixed() { return resume_ = Resume::fixed, *this; }
  Key& free() { return resume_ = Resume::free, *this; }

  const std::string& name() const { return name_; }
  const std::string& doc() const { return doc_; }
  const std::string& source_of_default() const { return source_; }
  Resume resume() const { return resume_; }
  bool is_required() const { return required_; }
  /// "integer >= 1", "one of a, b", ...
  std::string type() const;
  /// "integer >= 1, default 3" or "integer >= 1, required"
  std::string signature() const;
  /// The default as it would be written in a deck.
  const std::string& default_text() const { return default_; }
  /// The present value as it would be written in a deck, in a form that reads back exactly.
  std::string text() const;

  /// Where the present value comes from, and whether it could be read.
  const Place& place() const { return place_; }
  bool given() const { return place_.origin != Place::Origin::by_default; }
  bool bad() const { return bad_; }
  void mark_missing() { bad_ = true; }
  /// Takes the value of a node. Returns what is wrong with it, or an empty string.
  std::string read(const Node& node, const std::string& folder);
  /// Sets the text of a default that depends on the deck (its file name, say).
  void set_default_text(const std::string& value);
  /// A value that comes from the launcher: takes precedence over deck and command line.
  void set_launched(std::int64_t value);

  /// For who tries values (remedies.hpp): what a key of integers or of text is bound to; else null.
  /// admits_present: are range and form of an integer key those of what is there now?
  std::int64_t* integer() const;
  std::string* words() const;
  const std::vector<std::string>& choices() const { return choices_; }
  bool admits_present() const;

 private:
  std::string read_scalar(const Node& node, const std::string& folder);
  std::string read_list(const Node& node, const std::string& folder);
  std::string read_map(const Node& node);
  std::string check(double value) const;
  std::string check(const std::string& value) const;

  std::string name_;
  Target target_;
  std::string doc_;
  std::string unit_;
  std::string source_;
  std::string default_;
  std::optional<double> low_;
  std::optional<double> high_;
  bool low_open_ = false;
  bool high_open_ = false;
  bool even_ = false;
  bool power_of_two_ = false;
  bool automatic_ = false;
  bool required_ = false;
  bool path_ = false;
  std::vector<std::string> choices_;
  Resume resume_;
  Place place_;
  bool bad_ = false;
};

}  // namespace moray
