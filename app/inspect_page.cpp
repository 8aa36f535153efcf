// moray inspect --html: runs as a page of charts. Serial.
#include <fmt/format.h>

#include "core/error.hpp"
#include "inspect.hpp"
#include "inspection/report_page.hpp"
#include "inspection/run_report.hpp"
#include "io/files.hpp"

namespace moray {

void write_page(const Options& options) {
  if (options.json || options.diff) {
    fail(ExitCode::usage, "moray inspect: --html goes with neither --json nor --diff");
  }
  ReportLimits limits;
  limits.cells /= static_cast<std::int64_t>(options.paths.size());  // they share the page
  nlohmann::ordered_json runs = nlohmann::ordered_json::array();
  for (const std::string& path : options.paths) runs.push_back(report_of_run(path, limits));
  replace_text(options.html, report_page(runs));
  fmt::print("{}: {} run{}; open it in a browser\n", options.html, runs.size(),
             runs.size() == 1 ? "" : "s");
}

}  // namespace moray
