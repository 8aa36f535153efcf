#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace moray {

/// The page that draws runs (of report_of_run), complete: no request leaves it. Whatever text the
/// runs hold is text in the page, never markup nor script.
std::string report_page(const nlohmann::ordered_json& runs);

/// Text for HTML content and attributes: &, <, > and both quotes as entities.
std::string html_escaped(const std::string& text);

}  // namespace moray
