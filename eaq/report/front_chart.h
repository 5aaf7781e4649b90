// Quality against bytes: one line per recipe over its schemes, the front of what no other point dominates, names beside
// the lines.
//
//   FrontChart chart("front", "Quality against bytes", "One line per ...");
//   chart.lines.push_back({"GPTQ", 0, {{2.2, 0.45, 0.44, 0.46, true, "2.25 bits GPTQ: ..."}, ...}});
//   html += chart.Svg();
//
// The y axis is logarithmic when every number on it is positive, so that equal ratios look equal from 2 to 8 bits; else
// it is linear and reaches to 0, with the band of equivalence. Points at the same bits are drawn a few pixels apart.
#ifndef EAQ_REPORT_FRONT_CHART_H_
#define EAQ_REPORT_FRONT_CHART_H_

#include <string>
#include <utility>
#include <vector>

namespace eaq {

struct FrontChart {
  struct Point {
    double x = 0, y = 0, low = 0, high = 0;
    bool front = false;  // gets a ring
    std::string title;   // shown on hover
  };
  struct Line {
    std::string name;
    int color = -1;             // as Chart::Series; -1: background, thin and grey, without a name, markers or intervals
    std::vector<Point> points;  // x ascending
  };
  FrontChart(std::string id, std::string title, std::string description)
      : id(std::move(id)), title(std::move(title)), description(std::move(description)) {}
  // "" without any point, or where a number is not finite.
  std::string Svg() const;

  std::string id, title, description;
  std::string x_label, y_label;  // "": no room for it
  std::string head;              // a name above the plot
  std::vector<Line> lines;
  std::vector<std::pair<double, double>> front;  // (x, y), x ascending: the thick line
  std::vector<std::pair<double, std::string>>
      marks;          // words above the plot at x, ascending; what would overlap is left out
  bool names = true;  // of coloured lines, at their right end
  double band = 0;    // +-band around y = 0, on a linear axis
  int width = 900, height = 460;
};

}  // namespace eaq

#endif  // EAQ_REPORT_FRONT_CHART_H_
