#include "training/named_layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "core/error.hpp"
#include "pipeline/pipeline.hpp"

namespace moray {

std::vector<std::string> NamedLayout::overrides() const {
  std::vector<std::string> keys = {
      fmt::format("parallel.pipeline={}", pipeline), fmt::format("parallel.schedule={}", schedule),
      fmt::format("parallel.data={}", data),         fmt::format("parallel.expert={}", expert),
      fmt::format("parallel.nodes={}", nodes),       fmt::format("parallel.traffic={}", traffic)};
  if (micro > 0) keys.push_back(fmt::format("batch.micro={}", micro));
  return keys;
}

std::vector<NamedLayout> parse_layouts(const std::string& list) {
  std::vector<NamedLayout> layouts;
  const auto refuse = [](const std::string& word) {
    fail(ExitCode::usage,
         "layout '{}' is not understood: letters with numbers such as p2d4e2n2b1, p pipeline, d "
         "data and e expert ranks, n nodes, b sequences of a micro-batch, then, if wanted, :1f1b, "
         ":zb1p, :dualpipe or :dualpipev, and :flat or :two_hop",
         word);
  };
  std::size_t begin = 0;
  while (begin <= list.size()) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    NamedLayout layout;
    for (std::size_t i = begin; i < end; ++i)
      if (std::isspace(static_cast<unsigned char>(list[i])) == 0) layout.name += list[i];
    begin = end + 1;
    const std::size_t colon = std::min(layout.name.find(':'), layout.name.size());
    if (colon == 0) refuse(layout.name);
    for (std::size_t from = colon; from < layout.name.size();) {
      const std::size_t to = std::min(layout.name.find(':', from + 1), layout.name.size());
      const std::string word = layout.name.substr(from + 1, to - from - 1);
      from = to;
      if (word == "flat" || word == "two_hop") {
        layout.traffic = word;
      } else if (schedule_kind(word)) {
        layout.schedule = word;
      } else {
        refuse(layout.name);
      }
    }
    const char* at = layout.name.data();
    const char* const stop = at + colon;
    while (at < stop) {
      std::int64_t* number = *at == 'p'   ? &layout.pipeline
                             : *at == 'd' ? &layout.data
                             : *at == 'e' ? &layout.expert
                             : *at == 'n' ? &layout.nodes
                             : *at == 'b' ? &layout.micro
                                          : nullptr;
      if (number == nullptr) refuse(layout.name);
      const auto [next, error] = std::from_chars(at + 1, stop, *number);
      if (error != std::errc() || *number < 1) refuse(layout.name);
      at = next;
    }
    layouts.push_back(layout);
  }
  return layouts;
}

}  // namespace moray
