#include "eaq/report/front_chart.h"

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
using SvgLine = std::string (*)(double, double, double, double, absl::string_view);
constexpr SvgLine kStroke = report_internal::Line;

constexpr double kLetter = 7.2, kNameHeight = 15, kDodge = 5;

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  void Add(double v) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
  void Widen(double share, bool log) {
    const double a = log ? std::log10(low) : low, b = log ? std::log10(high) : high;
    const double pad = b > a ? share * (b - a) : std::max(std::abs(a) * 0.1, 0.01);
    low = log ? std::pow(10, a - pad) : a - pad;
    high = log ? std::pow(10, b + pad) : b + pad;
  }
};

// A name at the right end of a line, and how far it had to move from its point.
struct Name {
  double from_x = 0, from_y = 0, y = 0;
  std::string text;
  int color = 0;
};

// Moves the names apart: down as far as needed, then back up from the bottom.
void Spread(std::vector<Name>& names, double bottom) {
  std::stable_sort(names.begin(), names.end(), [](const Name& a, const Name& b) { return a.y < b.y; });
  for (size_t i = 1; i < names.size(); ++i) names[i].y = std::max(names[i].y, names[i - 1].y + kNameHeight);
  double limit = bottom;
  for (size_t i = names.size(); i-- > 0;) {
    names[i].y = std::min(names[i].y, limit);
    limit = names[i].y - kNameHeight;
  }
}

std::string Polyline(const std::vector<std::pair<double, double>>& points, absl::string_view css) {
  if (points.size() < 2) return "";
  std::string out = absl::StrCat("<polyline class=\"", css, "\" points=\"");
  for (const auto& [x, y] : points) absl::StrAppend(&out, C(x), ",", C(y), " ");
  out.back() = '"';
  return out + "/>\n";
}

}  // namespace

std::string FrontChart::Svg() const {
  Range rx, ry;
  for (const Line& line : lines) {
    for (const Point& p : line.points) {
      rx.Add(p.x);
      for (const double v : {p.y, p.low, p.high}) ry.Add(v);
      if (!std::isfinite(p.x + p.y + p.low + p.high)) return "";
    }
  }
  if (!(rx.high >= rx.low)) return "";
  const bool log = ry.low > 0;
  if (!log) {
    ry.Add(-band);
    ry.Add(band);
  }
  rx.Widen(0.04, false);
  ry.Widen(0.05, log);

  const std::vector<double> y_ticks = Ticks(ry.low, ry.high, height < 300 ? 4 : 6, log);
  int longest = 3, name_width = 0;
  for (const double t : y_ticks) longest = std::max(longest, DisplayWidth(Label(t)));
  std::vector<const Line*> named;
  for (const Line& line : lines) {
    if (line.color < 0 || line.points.empty()) continue;
    named.push_back(&line);
    name_width = std::max(name_width, DisplayWidth(line.name));
  }
  const double left = (y_label.empty() ? 14 : 34) + 7.5 * longest;
  const double right = width - (names && !named.empty() ? 30 + kLetter * name_width : 12);
  const double top = 10 + (head.empty() ? 0 : 16) + (marks.empty() ? 0 : 18),
               bottom = height - (x_label.empty() ? 26 : 48);
  const Scale sx{rx.low, rx.high, left, right, false}, sy{ry.low, ry.high, bottom, top, log};

  std::string out = Open(id, title, description, width, height);
  if (!head.empty()) out += Text(left, 16, head, "start", " class=\"name\"");
  if (!log && band > 0) {
    absl::StrAppend(&out, "<rect class=\"band\" x=\"", C(left), "\" y=\"", C(sy(band)), "\" width=\"", C(right - left),
                    "\" height=\"", C(sy(-band) - sy(band)), "\"/>\n");
  }
  for (const double t : y_ticks) {
    out += kStroke(left, sy(t), right, sy(t), !log && std::abs(t) < 1e-12 ? "zero" : "grid");
    out += Text(left - 8, sy(t) + 4, Label(t), "end");
  }
  for (const double t : Ticks(rx.low, rx.high, width < 400 ? 4 : 8, false)) {
    out += kStroke(sx(t), bottom, sx(t), bottom + 5, "axis");
    out += Text(sx(t), bottom + 19, Label(t), "middle");
  }
  out += kStroke(left, bottom, right, bottom, "axis");
  if (!x_label.empty()) out += Text((left + right) / 2, height - 8, x_label, "middle");
  if (!y_label.empty()) {
    out += Text(0, 0, y_label, "middle",
                absl::StrCat(" transform=\"translate(14 ", C((top + bottom) / 2), ") rotate(-90)\""));
  }
  double free = left - 40;  // where the next mark may begin
  for (const auto& [x, text] : marks) {
    const double half = kLetter * DisplayWidth(text) / 2;
    if (sx(x) - half < free) continue;
    free = sx(x) + half + 8;
    out += Text(sx(x), top - 6, text, "middle");
    out += kStroke(sx(x), top, sx(x), bottom, "grid");
  }

  for (const Line& line : lines) {
    if (line.color >= 0) continue;
    std::vector<std::pair<double, double>> path;
    for (const Point& p : line.points) path.emplace_back(sx(p.x), sy(p.y));
    absl::StrAppend(&out, "<g><title>", EscapeHtml(line.name), "</title>", Polyline(path, "lo"), "</g>\n");
  }
  std::vector<std::pair<double, double>> best;
  for (const auto& [x, y] : front) best.emplace_back(sx(x), sy(y));
  out += Polyline(best, "front");
  std::vector<Name> ends;
  for (size_t k = 0; k < named.size(); ++k) {
    const Line& line = *named[k];
    const double shift = kDodge * (static_cast<double>(k) - (static_cast<double>(named.size()) - 1) / 2);
    const std::string css = absl::StrCat("l", line.color % 8);
    std::vector<std::pair<double, double>> path;
    for (const Point& p : line.points) path.emplace_back(sx(p.x) + shift, sy(p.y));
    out += Polyline(path, css);
    for (size_t i = 0; i < path.size(); ++i) {
      const Point& p = line.points[i];
      const auto [px, py] = path[i];
      absl::StrAppend(&out, "<g><title>", EscapeHtml(p.title), "</title>");
      if (p.low != p.high) {
        out += kStroke(px, sy(p.low), px, sy(p.high), css);
        out += kStroke(px - 3, sy(p.low), px + 3, sy(p.low), css);
        out += kStroke(px - 3, sy(p.high), px + 3, sy(p.high), css);
      }
      out += Marker(line.color, px, py, height < 300 ? 3 : 4);
      if (p.front) absl::StrAppend(&out, "<circle class=\"ring\" cx=\"", C(px), "\" cy=\"", C(py), "\" r=\"8.0\"/>");
      out += "</g>\n";
    }
    ends.push_back({path.back().first, path.back().second, path.back().second, line.name, line.color});
  }
  if (!names) return out + "</svg>\n";
  Spread(ends, bottom);
  for (const Name& n : ends) {
    out += kStroke(n.from_x + 9, n.from_y, right + 6, n.y, "grid");
    absl::StrAppend(&out, Marker(n.color, right + 13, n.y, 4), Text(right + 22, n.y + 4, n.text, "start"));
  }
  return out + "</svg>\n";
}

}  // namespace eaq
