#include "eaq/report/svg.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "eaq/report/format.h"
#include "eaq/report/svg_parts.h"

namespace eaq {
namespace {

using report_internal::DisplayWidth;
using report_internal::EscapeHtml;
using report_internal::Fixed;

using report_internal::C;
using report_internal::Label;
using report_internal::Line;
using report_internal::Open;
using report_internal::Scale;
using report_internal::Text;

// Three significant digits, whole numbers whole: no cell of a map is known better.
std::string Short(double v) { return std::abs(v) >= 100 ? Fixed(v, 0) : absl::StrFormat("%.3g", v); }

void Widen(double& low, double& high, bool log) {
  if (log) {
    const double factor = std::pow(high / low, 0.06) * 1.02;
    low /= factor;
    high *= factor;
  } else {
    const double pad = high > low ? 0.06 * (high - low) : std::max(std::abs(low) * 0.1, 0.01);
    low -= pad;
    high += pad;
  }
}

}  // namespace

std::vector<double> Ticks(double low, double high, int n, bool log) {
  std::vector<double> out;
  if (!(high > low) || n < 1) return out;
  if (log) {
    const bool few = std::log10(high / low) < 2.5;
    for (int e = static_cast<int>(std::floor(std::log10(low))); e <= std::log10(high); ++e) {
      for (const double m : {1.0, 2.0, 5.0}) {
        const double v = m * std::pow(10.0, e);
        if ((few || m == 1.0) && v >= low && v <= high) out.push_back(v);
      }
    }
    return out;
  }
  const double raw = (high - low) / n, base = std::pow(10.0, std::floor(std::log10(raw)));
  double step = 10 * base;
  for (const double m : {5.0, 2.0, 1.0}) {
    if (m * base >= raw * 0.999) step = m * base;
  }
  for (int64_t i = static_cast<int64_t>(std::ceil(low / step - 1e-9));
       static_cast<double>(i) * step <= high + 1e-9 * step; ++i) {
    out.push_back(static_cast<double>(i) * step);
  }
  return out;
}

std::string Marker(int n, double x, double y, double r) {
  const std::string css = absl::StrCat(" class=\"c", n % 8, "\"");
  const auto polygon = [&](std::vector<std::pair<double, double>> points) {
    std::string out = absl::StrCat("<polygon", css, " points=\"");
    for (const auto& [dx, dy] : points) absl::StrAppend(&out, C(x + r * dx), ",", C(y + r * dy), " ");
    out.back() = '"';
    return out + "/>";
  };
  switch (n % 8) {
    case 0:
      return absl::StrCat("<circle", css, " cx=\"", C(x), "\" cy=\"", C(y), "\" r=\"", C(r), "\"/>");
    case 1:
      return polygon({{-.9, -.9}, {.9, -.9}, {.9, .9}, {-.9, .9}});
    case 2:
      return polygon({{0, -1.2}, {1.1, .8}, {-1.1, .8}});
    case 3:
      return polygon({{0, -1.3}, {1.3, 0}, {0, 1.3}, {-1.3, 0}});
    case 4:
      return polygon({{0, 1.2}, {1.1, -.8}, {-1.1, -.8}});
    case 5:
      return polygon({{-.4, -1.2},
                      {.4, -1.2},
                      {.4, -.4},
                      {1.2, -.4},
                      {1.2, .4},
                      {.4, .4},
                      {.4, 1.2},
                      {-.4, 1.2},
                      {-.4, .4},
                      {-1.2, .4},
                      {-1.2, -.4},
                      {-.4, -.4}});
    case 6:
      return polygon({{-1.1, 0}, {-.55, -1}, {.55, -1}, {1.1, 0}, {.55, 1}, {-.55, 1}});
    default:
      return polygon({{-1.2, -.5}, {1.2, -.5}, {1.2, .5}, {-1.2, .5}});
  }
}

std::string Chart::Svg() const {
  double x0 = std::numeric_limits<double>::infinity(), x1 = -x0, y0 = x0, y1 = -x0;
  for (const Series& s : series) {
    for (const Point& p : s.points) {
      x0 = std::min(x0, p.x);
      x1 = std::max(x1, p.x);
      for (const double v : {p.y, p.low, p.high}) {
        if (p.low == p.high && v != p.y) continue;
        y0 = std::min(y0, v);
        y1 = std::max(y1, v);
      }
    }
  }
  if (!(x1 >= x0 && y1 >= y0) || !std::isfinite(x1 - x0) || !std::isfinite(y1 - y0)) return "";
  if (!categories.empty()) {
    x0 = -0.5;
    x1 = static_cast<double>(categories.size()) - 0.5;
  } else {
    Widen(x0, x1, x.log);
  }
  if (with_zero && !y.log) {
    y0 = std::min(y0, std::min(-band, 0.0));
    y1 = std::max(y1, band);
  }
  Widen(y0, y1, y.log);
  if (with_zero && band == 0 && !y.log) y0 = std::max(y0, -0.02 * (y1 - y0));  // nothing lies below zero

  // The numbers of the y axis make their own room; the legend stands above the plot, wrapped.
  constexpr double kRight = 16;
  const double bottom = x.label.empty() ? 30 : 48;
  const std::vector<double> y_ticks = Ticks(y0, y1, 5, y.log);
  int longest = 3;
  for (const double t : y_ticks) longest = std::max(longest, DisplayWidth(Label(t)));
  const double left = 34 + 7.5 * longest;
  std::string legend;
  double at = left, top = 20;
  for (const Series& s : series) {
    const double need = 26 + 7.2 * DisplayWidth(s.name);
    if (at + need > width - kRight && at > left) {
      at = left;
      top += 20;
    }
    absl::StrAppend(&legend, Marker(s.color, at + 6, top - 4, 4.5), Text(at + 16, top, s.name, "start"));
    at += need;
  }
  top += 14;
  const Scale sx{x0, x1, left, width - kRight, x.log}, sy{y0, y1, height - bottom, top, y.log};

  std::string out = Open(id, title, description, width, height);
  if (band > 0 && !y.log) {
    const double upper = sy(std::min(band, y1)), lower = sy(std::max(-band, y0));
    if (lower > upper) {
      absl::StrAppend(&out, "<rect class=\"band\" x=\"", C(left), "\" y=\"", C(upper), "\" width=\"",
                      C(width - kRight - left), "\" height=\"", C(lower - upper), "\"/>\n");
    }
  }
  for (const double t : y_ticks) {
    out += Line(left, sy(t), width - kRight, sy(t), !y.log && std::abs(t) < 1e-12 ? "zero" : "grid");
    out += Text(left - 8, sy(t) + 4, Label(t), "end");
  }
  if (categories.empty()) {
    for (const double t : Ticks(x0, x1, 8, x.log)) {
      out += Line(sx(t), height - bottom, sx(t), height - bottom + 5, "axis");
      out += Text(sx(t), height - bottom + 19, Label(t), "middle");
    }
  } else {
    for (size_t i = 0; i < categories.size(); ++i) {
      out += Text(sx(static_cast<double>(i)), height - bottom + 19, categories[i], "middle");
    }
  }
  out += Line(left, height - bottom, width - kRight, height - bottom, "axis");
  out += Text((left + width - kRight) / 2, height - 8, x.label, "middle");
  out += Text(0, 0, y.label, "middle",
              absl::StrCat(" transform=\"translate(14 ", C((top + height - bottom) / 2), ") rotate(-90)\""));
  out += legend;
  for (const Series& s : series) {
    if (s.line && s.points.size() > 1) {
      absl::StrAppend(&out, "<polyline class=\"l", s.color % 8, "\" points=\"");
      for (const Point& p : s.points) absl::StrAppend(&out, C(sx(p.x)), ",", C(sy(p.y)), " ");
      out.back() = '"';
      out += "/>\n";
    }
    for (const Point& p : s.points) {
      absl::StrAppend(&out, "<g><title>", EscapeHtml(p.title), "</title>");
      if (p.low != p.high) {
        const double px = sx(p.x);
        const std::string css = absl::StrCat("l", s.color % 8);
        out += Line(px, sy(p.low), px, sy(p.high), css);
        out += Line(px - 4, sy(p.low), px + 4, sy(p.low), css);
        out += Line(px - 4, sy(p.high), px + 4, sy(p.high), css);
      }
      absl::StrAppend(&out, Marker(s.color, sx(p.x), sy(p.y), 5), "</g>\n");
    }
  }
  for (const Note& n : notes) out += Text(sx(n.x), sy(n.y) - 12, n.text, "middle", " class=\"name\"");
  return out + "</svg>\n";
}

std::string HeatMap::Svg() const {
  double least = std::numeric_limits<double>::infinity(), most = -least;
  bool hollow = false;
  const auto colour = [this](double v) { return log ? std::log10(v) : v; };
  for (const auto& row : value) {
    for (const double v : row) {
      if (!std::isfinite(v) || (log && v <= 0)) {
        hollow = true;
        continue;
      }
      least = std::min(least, colour(v));
      most = std::max(most, colour(v));
    }
  }
  if (!(most >= least)) return "";
  if (high > low) {
    least = colour(low);
    most = colour(high);
  }
  size_t longest = 9;  // room for the smallest value left of the colour scale
  for (const std::string& r : rows) longest = std::max(longest, static_cast<size_t>(DisplayWidth(r)));
  const double left = 16 + 7.2 * static_cast<double>(longest);
  double cell = std::clamp((700.0 - left - 8) / static_cast<double>(columns.size()), 6.0, 40.0);
  const double tall = 24;
  int widest = 0;
  if (!text.empty()) {
    for (const std::string& name : columns) widest = std::max(widest, DisplayWidth(name));
    for (const auto& row : text) {
      for (const std::string& label : row) widest = std::max(widest, DisplayWidth(label));
    }
    cell = std::max(cell, 7.2 * widest + 12);
  }
  const double darkest = text.empty() ? 0.94 : 0.5;
  const auto back = [this](double v) { return absl::StrFormat("%.2g", log ? std::pow(10.0, v) : v); };
  const auto ends = [&](double v) { return std::abs(v) < 100 || log ? back(v) : Fixed(v, 0); };
  const std::string scale_end = absl::StrCat(ends(most), " ", unit);
  const int width = static_cast<int>(std::ceil(std::max(
      {left + cell * static_cast<double>(columns.size()) + 8, 360.0, left + 176 + 7.2 * DisplayWidth(scale_end)})));
  const auto top = [this, tall](size_t i) {
    return 26 + tall * static_cast<double>(i) + (block > 0 ? 8.0 * static_cast<double>(i / block) : 0.0);
  };
  const int height = static_cast<int>(top(rows.empty() ? 0 : rows.size() - 1) + tall + (hollow ? 66 : 46));
  std::string out = Open(id, title, description, width, height);
  const size_t every = static_cast<size_t>(std::ceil(24.0 / cell));
  for (size_t j = 0; j < columns.size(); j += every) {
    out += Text(left + cell * (static_cast<double>(j) + 0.5), 18, columns[j], "middle");
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    const double y = top(i);
    out += Text(left - 8, y + 16, rows[i], "end");
    for (size_t j = 0; j < value[i].size(); ++j) {
      const double v = value[i][j];
      const double x = left + cell * static_cast<double>(j);
      const bool there = std::isfinite(v) && !(log && v <= 0);
      // One hue, opacity from 0.06 to 1: darker is more, in light and dark alike.
      const double t = !there ? 0 : most > least ? std::clamp((colour(v) - least) / (most - least), 0.0, 1.0) : 0.5;
      absl::StrAppend(&out, "<rect class=\"", there ? "heat" : "void", "\" x=\"", C(x), "\" y=\"", C(y), "\" width=\"",
                      C(cell - 1), "\" height=\"", C(tall - 1), "\"",
                      there ? absl::StrCat(" fill-opacity=\"", Fixed(0.06 + darkest * t, 2), "\"") : "", "><title>",
                      EscapeHtml(rows[i]), ", ", EscapeHtml(columns[j]), ": ", there ? Short(v) : none,
                      "</title></rect>\n");
      if (text.empty() || text[i][j].empty()) continue;
      const bool bold = !strong.empty() && strong[i][j];
      out += Text(x + cell / 2, y + 16, text[i][j], "middle", bold ? " class=\"name\"" : "");
    }
  }
  const double y = height - (hollow ? 44 : 24);
  out += Text(left - 8, y + 11, ends(least), "end");
  for (int k = 0; k < 10; ++k) {
    absl::StrAppend(&out, "<rect class=\"heat\" x=\"", C(left + 16 * k), "\" y=\"", C(y),
                    "\" width=\"15\" height=\"12\" fill-opacity=\"", Fixed(0.06 + darkest * k / 9, 2), "\"/>");
  }
  out += Text(left + 168, y + 11, scale_end, "start");
  if (hollow) {
    absl::StrAppend(&out, "<rect class=\"void\" x=\"", C(left), "\" y=\"", C(y + 21), "\" width=\"15\" height=\"12\"/>",
                    Text(left + 24, y + 32, none, "start"));
  }
  return out + "</svg>\n";
}

}  // namespace eaq
