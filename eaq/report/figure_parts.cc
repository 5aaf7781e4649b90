#include "eaq/report/figure_parts.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "eaq/report/format.h"

namespace eaq::report_internal {

std::string Short4(double v) { return std::isfinite(v) ? absl::StrFormat("%.4g", v) : "-"; }

std::string Figure(const std::string& svg, const std::string& caption, const std::string& data) {
  if (svg.empty()) return "";
  return absl::StrCat("<figure><div class=\"scroll\" tabindex=\"0\">", svg, "</div>",
                      caption.empty() ? "" : absl::StrCat("<figcaption>", EscapeHtml(caption), "</figcaption>"),
                      data.empty()
                          ? ""
                          : absl::StrCat("\n<details><summary>Data</summary><div class=\"scroll\" tabindex=\"0\">",
                                         data, "</div></details>"),
                      "</figure>\n");
}

std::string DataTable(const std::vector<std::string>& head, const std::vector<std::vector<std::string>>& rows) {
  std::string out = "<table><thead><tr>";
  for (size_t i = 0; i < head.size(); ++i) {
    absl::StrAppend(&out, i == 0 ? "<th class=\"l\">" : "<th>", EscapeHtml(head[i]), "</th>");
  }
  out += "</tr></thead><tbody>\n";
  for (const auto& row : rows) {
    out += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&out, i == 0 ? "<th scope=\"row\">" : "<td>", EscapeHtml(row[i]), i == 0 ? "</th>" : "</td>");
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table>";
}

std::string ChartData(const Chart& chart) {
  std::vector<std::vector<std::string>> rows;
  for (const Chart::Series& s : chart.series) {
    for (const Chart::Point& p : s.points) {
      rows.push_back({p.title, chart.categories.empty() ? Short4(p.x) : s.name, Short4(p.y),
                      p.low == p.high ? "-" : Short4(p.low), p.low == p.high ? "-" : Short4(p.high)});
    }
  }
  return DataTable({"point", chart.categories.empty() ? chart.x.label : "method", chart.y.label, "low", "high"}, rows);
}

std::string MapData(const HeatMap& map) {
  std::vector<std::string> head = {"row"};
  head.insert(head.end(), map.columns.begin(), map.columns.end());
  std::vector<std::vector<std::string>> rows;
  for (size_t i = 0; i < map.rows.size(); ++i) {
    rows.push_back({map.rows[i]});
    for (const double v : map.value[i]) {
      rows.back().push_back(std::isfinite(v) ? absl::StrFormat("%.3g", v) : "-");
    }
  }
  return DataTable(head, rows);
}

std::map<std::string, int> Colors(const Comparison& c) {
  std::map<std::string, int> colors;
  int next = 0;
  for (const Group& g : c.groups) {
    if (!g.full_precision && colors.emplace(g.recipe, next).second) ++next;
  }
  return colors;
}

std::string RowName(const Group& g) {
  return absl::StrCat(g.scheme, " ", g.recipe, g.mark.empty() ? "" : absl::StrCat(" (", g.mark, ")"));
}

}  // namespace eaq::report_internal
