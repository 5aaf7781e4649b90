#include "eaq/report/waterfall.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "eaq/report/format.h"
#include "eaq/report/svg.h"
#include "eaq/report/svg_parts.h"

namespace eaq {

using report_internal::C;
using report_internal::DisplayWidth;
using report_internal::EscapeHtml;
using report_internal::Label;
using report_internal::Line;
using report_internal::Open;
using report_internal::Scale;
using report_internal::Text;

std::string Waterfall::Svg() const {
  if (steps.empty() || steps[0].kind != kLevel) return "";
  // From where to where each step goes.
  std::vector<double> from, to;
  double level = 0, low = std::numeric_limits<double>::infinity(), high = -low;
  int name_width = 4, text_width = 4;
  for (const Step& s : steps) {
    if (!std::isfinite(s.value) || !std::isfinite(s.low) || !std::isfinite(s.high)) return "";
    const double start = s.kind == kLevel ? 0 : level;
    from.push_back(s.kind == kLevel ? s.value : level);
    to.push_back(start + s.value);
    level = to.back();
    for (const double v :
         {to.back(), start + (s.low == s.high ? s.value : s.low), start + (s.low == s.high ? s.value : s.high)}) {
      low = std::min(low, v);
      high = std::max(high, v);
    }
    name_width = std::max(name_width, DisplayWidth(s.name));
    text_width = std::max(text_width, DisplayWidth(s.text));
  }
  const double pad = high > low ? 0.05 * (high - low) : std::max(std::abs(low) * 0.1, 0.01);
  low -= pad;
  high += pad;

  constexpr double kTall = 30, kBar = 16, kTop = 12, kBottom = 48;
  const double left = 16 + 7.2 * name_width, right = width - 16 - 6.8 * text_width;
  const double end = kTop + kTall * static_cast<double>(steps.size());
  const Scale x{low, high, left, std::max(right, left + 120), false};
  std::string out = Open(id, title, description, width, static_cast<int>(end + kBottom));
  for (const double t : Ticks(low, high, 6, false)) {
    out += Line(x(t), kTop, x(t), end, std::abs(t) < 1e-12 ? "zero" : "grid");
    out += Text(x(t), end + 18, Label(t), "middle");
  }
  out += Line(left, end, x.to, end, "axis");
  out += Text((left + x.to) / 2, end + 38, label, "middle");
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& s = steps[i];
    const double y = kTop + kTall * (static_cast<double>(i) + 0.5);
    const double start = s.kind == kLevel ? 0 : from[i];
    absl::StrAppend(&out, "<g><title>", EscapeHtml(absl::StrCat(s.name, ": ", s.text)), "</title>");
    out += Text(left - 8, y + 4, s.name, "end", s.kind == kLevel ? " class=\"name\"" : "");
    out += Text(x.to + 10, y + 4, s.text, "start");
    if (i + 1 < steps.size()) out += Line(x(to[i]), y, x(to[i]), y + kTall, "axis");
    const int color = s.kind == kRest ? 6 : s.kind == kLevel ? 0 : s.value > 0 ? 1 : 2;
    if (s.kind != kLevel) {
      absl::StrAppend(&out, "<rect class=\"c", color, "\" x=\"", C(std::min(x(from[i]), x(to[i]))), "\" y=\"",
                      C(y - kBar / 2), "\" width=\"", C(std::max(1.0, std::abs(x(to[i]) - x(from[i])))), "\" height=\"",
                      C(kBar), "\" fill-opacity=\"0.75\"/>\n");
    }
    if (s.low != s.high) {
      const double a = x(start + s.low), b = x(start + s.high);
      out += Line(a, y, b, y, "axis");
      out += Line(a, y - 4, a, y + 4, "axis");
      out += Line(b, y - 4, b, y + 4, "axis");
    }
    if (s.kind == kLevel) out += Marker(i == 0 ? 0 : 3, x(to[i]), y, 5.5);
    out += "</g>\n";
  }
  return out + "</svg>\n";
}

}  // namespace eaq
