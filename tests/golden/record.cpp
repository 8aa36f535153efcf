#include "golden/record.hpp"

#include <xxhash.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>

#include "core/error.hpp"

namespace moray::golden {

static_assert(std::endian::native == std::endian::little);

void Record::add_number(std::string name, double value) {
  // printf's form: releases of fmt differ in how they write 0.
  char text[40];
  std::snprintf(text, sizeof text, "%a", value);
  add(std::move(name), text);
}

void Record::add_digest(std::string name, std::uint64_t digest) {
  add(std::move(name), fmt::format("{:016x}", digest));
}

std::string Record::first_difference(const Record& found) const {
  std::map<std::string, std::string> rest;
  for (const auto& [name, value] : found.lines_)
    if (!rest.emplace(name, value).second) return name + " is there twice";
  for (const auto& [name, value] : lines_) {
    const auto other = rest.find(name);
    if (other == rest.end()) return name + " is missing";
    if (other->second != value)
      return fmt::format("{}: expected {}, found {}", name, value, other->second);
    rest.erase(other);
  }
  return rest.empty() ? std::string() : rest.begin()->first + " is new";
}

Record Record::read(const std::string& path) {
  std::ifstream file(path);
  if (!file) fail(ExitCode::io, "{}: cannot be read; golden DECK --write makes it", path);
  Record record;
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    const std::size_t space = line.find(' ');
    if (space == std::string::npos) fail(ExitCode::io, "{}: '{}' has no value", path, line);
    record.add(line.substr(0, space), line.substr(space + 1));
  }
  return record;
}

void Record::write(const std::string& path, const std::string& deck) const {
  std::ofstream file(path);
  file << "# Bits of " << deck << ", by golden --write; README.md says what the names mean.\n";
  for (const auto& [name, value] : lines_) file << name << ' ' << value << '\n';
  file.close();
  if (!file) fail(ExitCode::io, "{}: cannot be written", path);
}

std::uint64_t digest_floats(std::vector<float>& values) {
  for (float& value : values) {
    if (std::isnan(value)) value = std::bit_cast<float>(0x7fc00000U);
  }
  return XXH3_64bits(values.data(), values.size() * sizeof(float));
}

std::uint64_t digest_words(const std::vector<std::uint64_t>& words) {
  return XXH3_64bits(words.data(), words.size() * sizeof(std::uint64_t));
}

}  // namespace moray::golden
