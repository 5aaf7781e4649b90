// The fixed parts of the HTML report: style sheet and script. Inside the room eaq/report.
#ifndef EAQ_REPORT_PAGE_H_
#define EAQ_REPORT_PAGE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace eaq::report_internal {

absl::string_view PageStyle();   // light and dark by prefers-color-scheme; print
std::string PictureStyle();      // of the pictures alone, in the light colours as they are: for a file by itself
absl::string_view PageScript();  // sortable tables; the page is complete without it

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_PAGE_H_
