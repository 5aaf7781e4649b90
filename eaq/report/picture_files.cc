#include "eaq/report/picture_files.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "eaq/report/page.h"

namespace eaq::report_internal {
namespace {

// The value of ATTRIBUTE (with a blank before and =" after it) in TAG.
absl::string_view ValueOf(absl::string_view tag, absl::string_view attribute) {
  const size_t at = tag.find(attribute);
  if (at == absl::string_view::npos) return "";
  const size_t begin = at + attribute.size(), end = tag.find('"', begin);
  return tag.substr(begin, end - begin);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> StandalonePictures(absl::string_view html) {
  constexpr absl::string_view kOpen = "<svg ", kClose = "</svg>";
  const std::string style = PictureStyle();
  std::vector<std::pair<std::string, std::string>> files;
  for (size_t at = html.find(kOpen); at != absl::string_view::npos; at = html.find(kOpen, at + 1)) {
    const size_t end = html.find(kClose, at), body = html.find('>', at) + 1;
    const absl::string_view tag = html.substr(at, body - at);
    // aria-labelledby="front-t front-d"
    const absl::string_view labels = ValueOf(tag, " aria-labelledby=\"");
    const std::string id(absl::StripSuffix(labels.substr(0, labels.find(' ')), "-t"));
    // title and desc come first, for readers that read aloud; then the ground, below everything that is drawn.
    const size_t drawn = html.find("</desc>", body) + 7;
    std::string document = absl::StrCat(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" ",
        tag.substr(kOpen.size()), html.substr(body, drawn - body), "\n<style>", style, "</style>\n",
        "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>", html.substr(drawn, end - drawn), kClose, "\n");
    for (char& c : document) {  // what no XML may hold
      if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') c = '?';
    }
    files.emplace_back(id, std::move(document));
  }
  return files;
}

}  // namespace eaq::report_internal
