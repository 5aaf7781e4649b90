// The pictures of the HTML page as files of their own. Inside the room eaq/report.
#ifndef EAQ_REPORT_PICTURE_FILES_H_
#define EAQ_REPORT_PICTURE_FILES_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace eaq::report_internal {

// Every <svg> of HTML as a whole SVG document (name space, style, white ground, light colours), in the order of the
// page: (id, document), "front", "<?xml ...". The id is that of its <title> without the "-t" (svg_parts.h, Open).
std::vector<std::pair<std::string, std::string>> StandalonePictures(absl::string_view html);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_PICTURE_FILES_H_
