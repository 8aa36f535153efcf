// Peak memory must not depend on the size of the corpus.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "catch.hpp"
#include "data/data.hpp"
#include "text_files.hpp"

using namespace moray;

namespace {

constexpr std::int64_t kLength = 4096;

/// Peak resident set of a child process that opens the file and reads windows all over it, in KiB.
long peak_memory(const std::string& path, const std::string& documents) {
  const pid_t child = ::fork();
  if (child == 0) {
    int status = 0;
    try {
      DataConfig config;
      config.sources.push_back({{path}, 1, 0});
      config.documents = documents;
      config.fim_rate = 0.1;
      TrainingData data(config, {1, kLength, 260, ""});
      std::vector<std::int32_t> tokens(kLength + 1);
      for (std::uint64_t g = 0; g < 100; ++g) data.sample(g * 977, tokens);
      data.validation_window(data.validation_windows() - 1, tokens);
    } catch (...) {
      status = 1;
    }
    ::_exit(status);
  }
  int status = 0;
  rusage usage{};
  REQUIRE(::wait4(child, &status, 0, &usage) == child);
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  return usage.ru_maxrss;
}

/// A file of `bytes`, almost all of it a hole. False when the file system has no holes.
bool make_sparse(const std::string& path, std::uintmax_t bytes) {
  std::error_code error;
  std::filesystem::resize_file(path, bytes, error);
  struct stat status {};
  return !error && ::stat(path.c_str(), &status) == 0 &&
         static_cast<std::uintmax_t>(status.st_blocks) * 512 < (1 << 20);
}

void compare(const std::string& documents, std::uintmax_t bytes) {
  const TextFolder folder;
  const std::string small = folder.write("small", "text\n\nmore\n\n");
  const std::string large = folder.write("large", "text\n\nmore\n\n");
  if (!make_sparse(small, 8 << 20) || !make_sparse(large, bytes)) {
    WARN("SKIPPED: the file system of " << folder.path() << " has no sparse files of this size");
    return;
  }
  const long least = peak_memory(small, documents), most = peak_memory(large, documents);
  INFO(documents << ": " << least << " KiB for 8 MiB, " << most << " KiB for " << bytes
                 << " bytes");
  CHECK(most < least + 1024);
}

}  // namespace

TEST_CASE("8 GiB of one document take no more memory than 8 MiB") {
  compare("file", std::uintmax_t{8} << 30);
}

TEST_CASE("512 MiB read for blank lines take no more memory than 8 MiB") {
  compare("blank_lines", std::uintmax_t{512} << 20);
}

TEST_CASE("8 GiB read for blank lines take no more memory than 8 MiB", "[long]") {
  compare("blank_lines", std::uintmax_t{8} << 30);
}
