#include "config/section.hpp"

namespace moray {

std::string Section::full(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
}

Section& Section::section(const std::string& name, std::string doc, Resume resume) {
  return sections_.emplace_back(full(name), std::move(doc), resume);
}

void Section::free_form(std::string name, std::string doc) {
  free_name_ = std::move(name);
  free_doc_ = std::move(doc);
}

Rule& Section::rule(std::vector<std::string> keys, std::string sentence,
                    std::function<bool()> holds) {
  return detailed_rule(std::move(keys), std::move(sentence),
                       [holds = std::move(holds)] { return std::string(holds() ? "" : "-"); });
}

Rule& Section::detailed_rule(std::vector<std::string> keys, std::string sentence,
                             std::function<std::string()> broken) {
  return rules_.emplace_back(Rule{std::move(keys), std::move(sentence), std::move(broken), {}});
}

namespace {

// "moe.top_k" -> the section moe and the name top_k; a name without a dot is of `root` itself.
std::pair<Section*, std::string_view> split(Section& root, std::string_view full_name) {
  const std::size_t dot = full_name.rfind('.');
  if (dot == std::string_view::npos) return {&root, full_name};
  return {root.find_section(full_name.substr(0, dot)), full_name.substr(dot + 1)};
}

}  // namespace

Key* Section::find(std::string_view full_name) {
  const auto [section, name] = split(*this, full_name);
  if (section == nullptr) return nullptr;
  for (Key& key : section->keys_)
    if (key.name() == name) return &key;
  return nullptr;
}

SectionList* Section::find_list(std::string_view full_name) {
  const auto [section, name] = split(*this, full_name);
  if (section == nullptr) return nullptr;
  for (SectionList& list : section->lists_)
    if (list.name == name) return &list;
  return nullptr;
}

Section* Section::find_section(std::string_view full_name) {
  for (Section& section : sections_) {
    if (section.path_ == full_name) return &section;
    if (full_name.size() > section.path_.size() && full_name[section.path_.size()] == '.' &&
        full_name.substr(0, section.path_.size()) == section.path_)
      return section.find_section(full_name);
  }
  return nullptr;
}

}  // namespace moray
