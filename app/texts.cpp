#include "texts.hpp"

#include <unistd.h>

#include <fstream>
#include <iostream>
#include <iterator>

#include "core/error.hpp"

namespace moray {
namespace {

std::string read_all(std::istream& stream) {
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// The lines of a text; the last one need not end with a line feed.
std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

}  // namespace

std::string read_bytes(const std::string& path) {
  if (path == "-") return read_all(std::cin);
  std::ifstream file(path, std::ios::binary);
  std::string bytes = read_all(file);
  if (!file) fail(ExitCode::io, "{}: cannot be read", path);
  return bytes;
}

std::vector<std::string> read_prompts(const Options& o) {
  const int places = (o.prompts.empty() ? 0 : 1) + (o.prompt_file.empty() ? 0 : 1) +
                     (o.prompts_file.empty() ? 0 : 1);
  if (places > 1)
    fail(ExitCode::usage, "moray generate: only one of --prompt, --prompt-file and --prompts");
  std::vector<std::string> prompts = o.prompts;
  if (!o.prompts_file.empty()) {
    prompts = lines_of(read_bytes(o.prompts_file));
    if (prompts.empty()) fail(ExitCode::usage, "{}: holds no prompt", o.prompts_file);
  } else if (prompts.empty()) {
    if (o.prompt_file.empty() && isatty(STDIN_FILENO) != 0)
      fail(ExitCode::usage, "moray generate: no prompt; give --prompt TEXT or --prompt-file FILE");
    prompts.push_back(read_bytes(o.prompt_file.empty() ? "-" : o.prompt_file));
  }
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    if (prompts[i].empty()) {
      fail(ExitCode::usage, "moray generate: prompt {} of {} is empty; give at least one character",
           i + 1, prompts.size());
    }
  }
  return prompts;
}

}  // namespace moray
