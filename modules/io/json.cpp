#include "io/json.hpp"

#include <limits>
#include <utility>
#include <vector>

#include "core/error.hpp"

namespace moray {
namespace {

using Json = nlohmann::json;

/// Builds the tree and stops at the first broken bound.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  Builder(const JsonLimits& limits, const std::string& place) : limits_(limits), place_(place) {}
  Json take() { return std::move(root_); }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (open_.back()->contains(name)) fail(ExitCode::io, "{}: duplicate key '{}'", place_, name);
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t byte, const std::string&,
                   const nlohmann::detail::exception&) override {
    fail(ExitCode::io, "{}: is not valid JSON at byte {}", place_, byte);
  }

 private:
  template <class Value>
  bool put(Value&& value) {
    place_for_value() = std::forward<Value>(value);
    return true;
  }
  bool open(Json&& container) {
    if (static_cast<int>(open_.size()) == limits_.depth)
      fail(ExitCode::io, "{}: is nested deeper than {} levels", place_, limits_.depth);
    Json& opened = place_for_value();
    opened = std::move(container);
    open_.push_back(&opened);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }
  Json& place_for_value() {
    if (open_.empty()) return root_;
    Json& parent = *open_.back();
    if (parent.is_object()) return parent[key_];
    parent.push_back(nullptr);
    return parent.back();
  }

  JsonLimits limits_;
  std::string place_;
  Json root_;
  std::vector<Json*> open_;  // stays valid: only the last container grows
  std::string key_;
};

}  // namespace

Json parse_json(std::string_view text, const JsonLimits& limits, const std::string& place) {
  if (text.size() > limits.bytes)
    fail(ExitCode::io, "{}: has {} bytes of JSON, more than {}", place, text.size(), limits.bytes);
  Builder builder(limits, place);
  if (!Json::sax_parse(text.begin(), text.end(), &builder))
    fail(ExitCode::io, "{}: is not valid JSON", place);
  return builder.take();
}

const Json& json_member(const Json& object, const char* key, const std::string& place) {
  if (!object.is_object()) fail(ExitCode::io, "{}: '{}' is looked up in no object", place, key);
  const auto found = object.find(key);
  if (found == object.end()) fail(ExitCode::io, "{}: lacks '{}'", place, key);
  return *found;
}

std::int64_t json_integer(const Json& object, const char* key, const std::string& place) {
  const Json& value = json_member(object, key, place);
  const bool fits = value.is_number_integer() &&
                    (!value.is_number_unsigned() ||
                     value.get<std::uint64_t>() <=
                         static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
  if (!fits) fail(ExitCode::io, "{}: '{}' is not a 64-bit integer", place, key);
  return value.get<std::int64_t>();
}

const std::string& json_string(const Json& object, const char* key, const std::string& place) {
  const Json& value = json_member(object, key, place);
  if (!value.is_string()) fail(ExitCode::io, "{}: '{}' is not a string", place, key);
  return value.get_ref<const std::string&>();
}

const Json& json_array(const Json& object, const char* key, const std::string& place) {
  const Json& value = json_member(object, key, place);
  if (!value.is_array()) fail(ExitCode::io, "{}: '{}' is not an array", place, key);
  return value;
}

}  // namespace moray
