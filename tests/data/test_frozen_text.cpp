// The text of the quickstart never changes: losses that people wrote down depend on its bytes.
#include <xxhash.h>

#include "catch.hpp"
#include "core/error.hpp"
#include "data/data.hpp"

using namespace moray;

TEST_CASE("input/text has the bytes that it was frozen with") {
  const auto paths = expand_paths({"input/text"}, MORAY_SOURCE_DIR, "input/text");
  FileSet files(paths);
  CHECK(files.count() == 124);
  CHECK(files.bytes() == 300807);
  std::string text(files.bytes(), ' ');
  files.read(0, text);
  CHECK(fmt::format("{:016x}", XXH3_64bits(text.data(), text.size())) == "d398f4ea3f2f3709");
}

TEST_CASE("input/text is large enough, and as small as a quickstart asks") {
  DataConfig config;
  config.sources = {{{"*.md"}, 1, 0}, {{"sources"}, 1, 0}};
  TrainingData data(config, {1, 128, 260, std::string(MORAY_SOURCE_DIR) + "/input/text"});
  std::uint64_t bytes = 0;
  for (const auto& source : data.summaries()) {
    bytes += source.bytes;
    CHECK(source.windows > 500);
    CHECK(source.validation_windows > 50);
  }
  CHECK(bytes >= 300'000);
  CHECK(bytes <= 400'000);
}
