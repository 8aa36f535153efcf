// Writes what the tests in Python read: write_sample FOLDER RANKS makes a run's checkpoint of step
// 42 and metrics of 10 steps, and beside them the raw bytes of every dataset.
#include <cstdio>
#include <cstdlib>

#include "io/checkpoint_folder.hpp"
#include "io/metrics.hpp"
#include "tests/io/ranks.hpp"
#include "tests/io/sample.hpp"

using namespace moray;
using namespace moray::testing;

namespace {

void write_raw(const std::string& folder, const Sample& sample) {
  make_folder(folder);
  for (std::size_t i = 0; i < sample.values.size(); ++i) {
    std::string name = sample.content.datasets[i].name;
    for (char& c : name) c = c == '/' ? '.' : c;
    replace_text(fmt::format("{}/{}", folder, name),
                 {sample.values[i].data(), sample.values[i].size()});
  }
}

void write_metrics(const std::string& run) {
  MetricsWriter writer(run,
                       MetricSchema({{"step", "1", Dtype::int64},
                                     {"loss", "nat/token"},
                                     {"loads", "1", Dtype::int64, {2, 3}, "layer,expert"}}),
                       0);
  for (std::int64_t step = 1; step <= 10; ++step) {
    MetricRow row = writer.row();
    const std::vector<std::int64_t> loads = {step, 1, 2, 3, 4, -step};
    row.set("step", step).set("loss", 1.0 / static_cast<double>(step)).set("loads", loads);
    writer.append(row);
    if (step == 4 || step == 7) writer.close_segment();
  }
  join_metrics(run);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string run = argv[1];
  const Sample sample(42);
  make_folder(run + "/checkpoints");
  for (const std::string& error : save_sample(run + "/checkpoints", 42, std::atoi(argv[2]))) {
    if (error.empty()) continue;
    std::fprintf(stderr, "%s\n", error.c_str());
    return 1;
  }
  write_raw(run + "/raw", sample);
  write_metrics(run);
  return 0;
}
