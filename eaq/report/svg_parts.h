// What every plot is drawn with. Inside the room eaq/report.
#ifndef EAQ_REPORT_SVG_PARTS_H_
#define EAQ_REPORT_SVG_PARTS_H_

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "eaq/report/format.h"

namespace eaq::report_internal {

// A coordinate, and the label of a tick.
inline std::string C(double v) { return Fixed(v, 1); }
inline std::string Label(double v) { return std::abs(v) < 1e-12 ? "0" : absl::StrFormat("%.4g", v); }

inline std::string Open(const std::string& id, const std::string& title, const std::string& description, int width,
                        int height) {
  return absl::StrCat("<svg", width > 520 ? " class=\"big\"" : "", " viewBox=\"0 0 ", width, " ", height, "\" width=\"",
                      width, "\" height=\"", height, "\" role=\"img\" aria-labelledby=\"", id, "-t ", id,
                      "-d\"><title id=\"", id, "-t\">", EscapeHtml(title), "</title><desc id=\"", id, "-d\">",
                      EscapeHtml(description), "</desc>\n");
}

inline std::string Text(double x, double y, absl::string_view text, absl::string_view anchor,
                        absl::string_view extra = "") {
  return absl::StrCat("<text x=\"", C(x), "\" y=\"", C(y), "\" text-anchor=\"", anchor, "\"", extra, ">",
                      EscapeHtml(text), "</text>\n");
}

inline std::string Line(double x1, double y1, double x2, double y2, absl::string_view css) {
  return absl::StrCat("<line class=\"", css, "\" x1=\"", C(x1), "\" y1=\"", C(y1), "\" x2=\"", C(x2), "\" y2=\"", C(y2),
                      "\"/>\n");
}

// Values to pixels.
struct Scale {
  double low, high, from, to;
  bool log;
  double operator()(double v) const {
    const double a = log ? std::log10(low) : low, b = log ? std::log10(high) : high;
    return from + (to - from) * ((log ? std::log10(v) : v) - a) / (b - a);
  }
};

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_SVG_PARTS_H_
