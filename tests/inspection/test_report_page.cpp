#include "catch.hpp"
#include "inspection/report_page.hpp"

using namespace moray;
using Json = nlohmann::ordered_json;

namespace {

std::string page_of(const std::string& name) {
  return report_page(Json::array({{{"name", name}, {"status", name}}}));
}

std::size_t count(const std::string& text, const std::string& word) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += word.size()) ++n;
  return n;
}

/// What the page's script parses.
Json data_of(const std::string& page) {
  const std::string open = "<script type=\"application/json\" id=\"report\">";
  const std::size_t begin = page.find(open) + open.size();
  return Json::parse(page.substr(begin, page.find("</script>", begin) - begin));
}

}  // namespace

TEST_CASE("text of a run stays text", "[report]") {
  const std::string plain = page_of("plain");
  for (const std::string name :
       {"</script><script>alert(1)</script>", "</SCRIPT >", "<!--<script>", "]]>", "</title><b>",
        "\" onload='x' &amp; <", "/*DATA*/ /*SCRIPT*/ <!--TITLE-->", "\xe2\x80\xa8 line",
        "back\\slash \"quote\" \n\t\x01"}) {
    CAPTURE(name);
    const std::string page = page_of(name);
    for (const char* tag : {"<script", "</script", "<title", "</title", "<b>", "<!--"})
      CHECK(count(page, tag) == count(plain, tag));
    CHECK(data_of(page)["runs"][0]["name"].get<std::string>() == name);
  }
}

TEST_CASE("bytes that are no UTF-8 are replaced", "[report]") {
  const std::string page = page_of("run \xff\xfe");
  CHECK(data_of(page)["runs"][0]["name"].get<std::string>() == "run \xef\xbf\xbd\xef\xbf\xbd");
  CHECK(page.find('\xff') == std::string::npos);
}

TEST_CASE("the page asks for nothing", "[report]") {
  const std::string page = page_of("run");
  CHECK(page.find("default-src 'none'") != std::string::npos);
  CHECK(count(page, "://") == 1);  // the name of SVG's vocabulary
  CHECK(count(page, "http://www.w3.org/2000/svg") == 1);
  for (const char* word : {"@import", "url(//", "fetch(", "XMLHttpRequest", "<link", "innerHTML"})
    CHECK(count(page, word) == 0);
}

TEST_CASE("HTML entities", "[report]") {
  CHECK(html_escaped("a<b>&\"'") == "a&lt;b&gt;&amp;&quot;&#39;");
}
