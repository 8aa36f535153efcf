# cmake -DOUTPUT=FILE -DFOLDER=report -DSCRIPTS=a.js,b.js -P embed.cmake
# Writes report_parts.cpp: the page's files as string literals.
function(literal path result)
  file(READ ${FOLDER}/${path} text)
  set(${result} "R\"moray(${text})moray\"" PARENT_SCOPE)
endfunction()

literal(page.html page)
literal(page.css style)
string(REPLACE "," ";" scripts "${SCRIPTS}")
set(list "")
foreach(script IN LISTS scripts)
  literal(${script} text)
  string(APPEND list "    ${text},\n")
endforeach()
file(WRITE ${OUTPUT} "// Made by modules/inspection/embed.cmake.
#include \"inspection/report_parts.hpp\"

namespace moray {
namespace {
constexpr std::string_view kScripts[] = {
${list}};
}  // namespace
const std::string_view kReportPage = ${page};
const std::string_view kReportStyle = ${style};
const std::span<const std::string_view> kReportScripts = kScripts;
}  // namespace moray
")
