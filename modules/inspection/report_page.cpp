#include "inspection/report_page.hpp"

#include <utility>
#include <vector>

#include "core/error.hpp"
#include "inspection/report_parts.hpp"

namespace moray {
namespace {

using Json = nlohmann::ordered_json;

/// JSON that may stand in a script element: no `<`, `>` or `&` is left that HTML could read.
std::string script_json(const Json& data) {
  std::string text;
  for (const char c : data.dump(-1, ' ', false, Json::error_handler_t::replace)) {
    switch (c) {
      case '<':
        text += "\\u003c";
        break;
      case '>':
        text += "\\u003e";
        break;
      case '&':
        text += "\\u0026";
        break;
      default:
        text += c;
    }
  }
  return text;
}

/// The page with each mark replaced. Marks stand in the page in this order; they are looked for in
/// the page alone, so that a text that holds one is a text.
std::string filled(std::string_view page,
                   const std::vector<std::pair<std::string_view, std::string>>& marks) {
  std::string result;
  for (const auto& [mark, text] : marks) {
    const std::size_t at = page.find(mark);
    MORAY_REQUIRE(at != std::string_view::npos);
    result.append(page.substr(0, at)).append(text);
    page.remove_prefix(at + mark.size());
  }
  return result.append(page);
}

/// Bytes that are no UTF-8 become U+FFFD.
std::string valid_utf8(const std::string& text) {
  return Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace))
      .get<std::string>();
}

}  // namespace

std::string html_escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string report_page(const Json& runs) {
  std::string title;
  for (const Json& run : runs)
    title += (title.empty() ? "" : ", ") + valid_utf8(run["name"].get<std::string>());
  std::string script;
  for (const std::string_view part : kReportScripts) script += part;
  return filled(
      kReportPage,
      {{"<!--TITLE-->", html_escaped(title + " - Moray")},
       {"/*STYLE*/", std::string(kReportStyle)},
       {"/*DATA*/", script_json({{"format", "moray-report"}, {"version", 1}, {"runs", runs}})},
       {"/*SCRIPT*/", script}});
}

}  // namespace moray
