#pragma once

#include <span>
#include <string_view>

namespace moray {

/// The files of report/, put into the program by the build (embed.cmake). The scripts, in the order
/// of the list in CMakeLists.txt, are one program.
extern const std::string_view kReportPage;
extern const std::string_view kReportStyle;
extern const std::span<const std::string_view> kReportScripts;

}  // namespace moray
