#include "config/key.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <type_traits>

#include "config/nearest.hpp"
#include "config/number.hpp"

namespace moray {

namespace {

/// 0 of a key that leaves a choice to the program.
constexpr const char* kAuto = "auto";

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

std::string list_text(const std::vector<std::string>& items) {
  std::string result;
  for (const std::string& item : items) result += (result.empty() ? "" : ", ") + quote_yaml(item);
  return "[" + result + "]";
}

std::string map_text(const Key::TextMap& entries) {
  std::string result;
  for (const auto& [key, value] : entries)
    result +=
        fmt::format("{}{}: {}", result.empty() ? "" : ", ", quote_yaml(key), quote_yaml(value));
  return "{" + result + "}";
}

// Paths of a deck are relative to its folder; those of the command line to the working folder.
std::string resolved_path(const std::string& path, const Node& node, const std::string& folder) {
  namespace fs = std::filesystem;
  if (path.empty()) return path;
  const bool typed = node.place.origin == Place::Origin::command_line;
  return fs::absolute(typed ? fs::path(path) : fs::path(folder) / path).lexically_normal().string();
}

bool is_power_of_two(double value) {
  const auto n = static_cast<std::int64_t>(value);
  return n > 0 && (n & (n - 1)) == 0;
}

}  // namespace

Key::Key(std::string name, Target target, std::string doc, Resume resume)
    : name_(std::move(name)), target_(target), doc_(std::move(doc)), resume_(resume) {
  default_ = text();
}

Key& Key::required() {
  return required_ = true, *this;
}
Key& Key::unit(std::string text) {
  return unit_ = std::move(text), *this;
}
Key& Key::source(std::string text) {
  return source_ = std::move(text), *this;
}
Key& Key::at_least(double low) {
  return low_ = low, low_open_ = false, *this;
}
Key& Key::above(double low) {
  return low_ = low, low_open_ = true, *this;
}
Key& Key::at_most(double high) {
  return high_ = high, high_open_ = false, *this;
}
Key& Key::below(double high) {
  return high_ = high, high_open_ = true, *this;
}
Key& Key::even() {
  return even_ = true, *this;
}
Key& Key::power_of_two() {
  return power_of_two_ = true, *this;
}
Key& Key::automatic() {
  automatic_ = true;
  default_ = text();
  return *this;
}
Key& Key::one_of(std::initializer_list<const char*> all) {
  choices_.assign(all.begin(), all.end());
  return *this;
}
Key& Key::path() {
  return path_ = true, *this;
}

std::string Key::type() const {
  const auto kind = [this](const char* word) {
    std::string result = even_ ? fmt::format("even {}", word) : word;
    if (power_of_two_) result = "power of two";
    if (low_) result += fmt::format(" {} {}", low_open_ ? ">" : ">=", *low_);
    if (high_)
      result += fmt::format("{} {} {}", low_ ? " and" : "", high_open_ ? "<" : "<=", *high_);
    if (automatic_) result += fmt::format(" or {}", kAuto);
    return unit_.empty() ? result : fmt::format("{}, in {}", result, unit_);
  };
  return std::visit(
      Overloaded{[&](std::int64_t*) { return kind("integer"); },
                 [&](std::uint64_t*) { return kind("integer >= 0"); },
                 [&](double*) { return kind("number"); },
                 [&](bool*) { return std::string("true or false"); },
                 [&](Amount*) { return std::string("amount in steps, samples or tokens"); },
                 [&](std::vector<std::string>*) {
                   return std::string(path_ ? "list of paths" : "list of text");
                 },
                 [&](TextMap*) {
                   return fmt::format("map of text to {}",
                                      choices_.empty()
                                          ? "text"
                                          : fmt::format("one of {}", fmt::join(choices_, ", ")));
                 },
                 [&](std::string*) {
                   if (choices_.empty()) return std::string(path_ ? "path" : "text");
                   std::vector<std::string> shown = choices_;
                   for (std::string& c : shown)
                     if (c.empty()) c = "\"\"";
                   return fmt::format("one of {}", fmt::join(shown, ", "));
                 }},
      target_);
}

std::string Key::signature() const {
  return required_ ? type() + ", required" : fmt::format("{}, default {}", type(), default_);
}

std::string Key::text() const {
  if (automatic_ && *std::get<std::int64_t*>(target_) == 0) return kAuto;
  return std::visit(Overloaded{[](const bool* v) { return std::string(*v ? "true" : "false"); },
                               [](const std::string* v) { return quote_yaml(*v); },
                               [](const Amount* v) { return to_string(*v); },
                               [](const std::vector<std::string>* v) { return list_text(*v); },
                               [](const TextMap* v) { return map_text(*v); },
                               [](const auto* v) { return fmt::format("{}", *v); }},
                    target_);
}

void Key::set_default_text(const std::string& value) {
  *std::get<std::string*>(target_) = value;
}

void Key::set_launched(std::int64_t value) {
  *std::get<std::int64_t*>(target_) = value;
  place_ = Place::at_launch();
  bad_ = false;
}

std::int64_t* Key::integer() const {
  const auto* target = std::get_if<std::int64_t*>(&target_);
  return target == nullptr ? nullptr : *target;
}

std::string* Key::words() const {
  const auto* target = std::get_if<std::string*>(&target_);
  return target == nullptr ? nullptr : *target;
}

bool Key::admits_present() const {
  return check(static_cast<double>(*integer())).empty();
}

std::string Key::read(const Node& node, const std::string& folder) {
  place_ = node.place;
  const bool list = std::holds_alternative<std::vector<std::string>*>(target_);
  const bool map = std::holds_alternative<TextMap*>(target_);
  if (node.refused) return bad_ = true, "";
  std::string error;
  if (node.kind == Node::Kind::null) {
    error = "has no value";
  } else if (map) {
    error = read_map(node);
  } else if (node.kind == Node::Kind::map || (node.kind == Node::Kind::list && !list)) {
    error = fmt::format("is a {}", node.kind == Node::Kind::map ? "map" : "list");
  } else {
    error = list ? read_list(node, folder) : read_scalar(node, folder);
  }
  bad_ = !error.empty();
  return error;
}

std::string Key::read_list(const Node& node, const std::string& folder) {
  std::vector<std::string> items;
  const auto take = [&](const Node& item) {
    items.push_back(path_ ? resolved_path(item.text, node, folder) : item.text);
  };
  if (node.kind == Node::Kind::scalar) take(node);  // one entry needs no brackets
  if (node.kind == Node::Kind::list && node.children.empty() && required_) return "is empty";
  for (const Node& item : node.children) {
    if (item.kind != Node::Kind::scalar) return "has an entry that is not text";
    take(item);
  }
  *std::get<std::vector<std::string>*>(target_) = std::move(items);
  return "";
}

std::string Key::read_map(const Node& node) {
  if (node.kind != Node::Kind::map) return "is no map";
  TextMap entries;
  for (const Node& entry : node.children) {
    if (entry.kind != Node::Kind::scalar)
      return fmt::format("has no text for '{}'", shown(entry.key));
    if (const std::string error = check(entry.text); !error.empty())
      return fmt::format("of '{}' = {}", shown(entry.key), error);
    entries.emplace_back(entry.key, entry.text);
  }
  *std::get<TextMap*>(target_) = std::move(entries);
  return "";
}

std::string Key::read_scalar(const Node& node, const std::string& folder) {
  if (automatic_ && node.text == kAuto) {
    *std::get<std::int64_t*>(target_) = 0;
    return "";
  }
  const auto number = [&](auto* target) -> std::string {
    if (node.quoted) return fmt::format("is text in quotes ({})", quote_yaml(shown(node.text)));
    auto value = *target;
    std::string error;
    if constexpr (std::is_same_v<decltype(value), Amount>) {
      if (error = parse_amount(node.text, value); error.empty()) error = check(value.value);
    } else {
      if (error = parse_number(node.text, value); error.empty())
        error = check(static_cast<double>(value));
    }
    if (error.empty()) *target = value;
    return error.empty() ? "" : "= " + error;
  };
  return std::visit(
      Overloaded{[&](bool* target) -> std::string {
                   if (node.quoted || (node.text != "true" && node.text != "false"))
                     return fmt::format("= '{}' is neither true nor false", shown(node.text));
                   *target = node.text == "true";
                   return "";
                 },
                 [&](std::string* target) -> std::string {
                   if (std::string error = check(node.text); !error.empty()) return "= " + error;
                   *target = path_ ? resolved_path(node.text, node, folder) : node.text;
                   return "";
                 },
                 [](std::vector<std::string>*) -> std::string { return "is a list"; },
                 [](TextMap*) -> std::string { return "is a map"; },
                 [&](auto* target) { return number(target); }},
      target_);
}

std::string Key::check(double value) const {
  const bool low = low_ && (low_open_ ? !(value > *low_) : !(value >= *low_));
  const bool high = high_ && (high_open_ ? !(value < *high_) : !(value <= *high_));
  if (low || high) return fmt::format("{} is out of range", value);
  if (even_ && static_cast<std::int64_t>(value) % 2 != 0) return fmt::format("{} is odd", value);
  if (power_of_two_ && !is_power_of_two(value))
    return fmt::format("{} is not a power of two", value);
  return "";
}

std::string Key::check(const std::string& value) const {
  if (choices_.empty() || std::find(choices_.begin(), choices_.end(), value) != choices_.end())
    return "";
  const auto near = nearest_name(value, choices_);
  return fmt::format("'{}' is no choice{}", shown(value),
                     near && !near->empty() ? fmt::format("; did you mean '{}'?", *near) : "");
}

}  // namespace moray
