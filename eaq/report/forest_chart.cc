#include "eaq/report/forest_chart.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "eaq/report/format.h"
#include "eaq/report/svg.h"
#include "eaq/report/svg_parts.h"

namespace eaq {
namespace {

using report_internal::C;
using report_internal::DisplayWidth;
using report_internal::EscapeHtml;
using report_internal::Label;
using report_internal::Open;
using report_internal::Scale;
using report_internal::Text;

constexpr double kLetter = 7.2, kBold = 1.1;
constexpr double kLine = 7;   // between the marks of a row
constexpr double kSpace = 9;  // between rows

}  // namespace

std::string ForestChart::Svg() const {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  double longest = 0;
  for (const Row& row : rows) {
    longest = std::max(longest, DisplayWidth(row.name) * (row.strong ? kBold : 1));
    for (const Mark& m : row.marks) {
      if (!std::isfinite(m.x + m.low + m.high)) return "";
      low = std::min({low, m.x, m.low});
      high = std::max({high, m.x, m.high});
    }
  }
  if (!(high >= low)) return "";
  const bool log = low > 0 && high > 4 * low;
  if (log) {
    low /= 1.1, high *= 1.1;
  } else {
    low = std::min(low, 0.0), high = std::max(high, 0.0);
    const double pad = high > low ? 0.04 * (high - low) : 0.01;
    low -= low < 0 ? pad : 0, high += pad;
  }
  const double of_row = kLine * static_cast<double>(std::max<size_t>(series.size(), 1)) + kSpace;
  const double left = 16 + kLetter * longest, right = width - 12, top = 34;
  const double bottom = top + of_row * static_cast<double>(rows.size());
  const Scale sx{low, high, left, right, log};
  std::string out = Open(id, title, description, width, static_cast<int>(bottom) + (x_label.empty() ? 26 : 46));
  double at = left;
  for (size_t s = 0; s < series.size(); ++s) {
    absl::StrAppend(&out, Marker(static_cast<int>(s), at + 6, 14, 4.5), Text(at + 16, 18, series[s], "start"));
    at += 30 + kLetter * DisplayWidth(series[s]);
  }
  for (const double t : Ticks(low, high, 8, log)) {
    out += report_internal::Line(sx(t), top, sx(t), bottom, !log && std::abs(t) < 1e-12 ? "zero" : "grid");
    out += Text(sx(t), bottom + 17, Label(t), "middle");
  }
  out += report_internal::Line(left, bottom, right, bottom, "axis");
  if (!x_label.empty()) out += Text((left + right) / 2, bottom + 38, x_label, "middle");
  for (size_t r = 0; r < rows.size(); ++r) {
    const double y = top + of_row * (static_cast<double>(r) + 0.5);
    out += Text(left - 8, y + 4, rows[r].name, "end", rows[r].strong ? " class=\"name\"" : "");
    for (const Mark& m : rows[r].marks) {
      const double my = y + kLine * (m.series - (static_cast<double>(series.size()) - 1) / 2);
      const std::string css = absl::StrCat("l", m.series % 8);
      absl::StrAppend(&out, "<g><title>", EscapeHtml(m.title), "</title>");
      if (m.low != m.high) out += report_internal::Line(sx(m.low), my, sx(m.high), my, css);
      absl::StrAppend(&out, Marker(m.series, sx(m.x), my, 3.5), "</g>\n");
    }
  }
  return out + "</svg>\n";
}

}  // namespace eaq
