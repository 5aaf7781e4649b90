// A forest plot: one line per row (a method), on it one mark with its interval for every series (a model).
//
//   ForestChart chart("forest0", "W4A4 over models", "One row per method ...");
//   chart.series = {"ref-s", "ref-mixtral"};
//   chart.rows.push_back({"GPTQ", {{0, 0.18, 0.17, 0.19, "GPTQ, ref-s: +0.18"}, ...}});
//   html += chart.Svg();
//
// The x axis is logarithmic when every number on it is positive and the largest is more than four times the smallest;
// else it is linear, and reaches to 0.
#ifndef EAQ_REPORT_FOREST_CHART_H_
#define EAQ_REPORT_FOREST_CHART_H_

#include <string>
#include <utility>
#include <vector>

namespace eaq {

struct ForestChart {
  struct Mark {
    int series = 0;
    double x = 0, low = 0, high = 0;
    std::string title;  // shown on hover
  };
  struct Row {
    std::string name;
    std::vector<Mark> marks;
    bool strong = false;  // the name in bold
  };
  ForestChart(std::string id, std::string title, std::string description)
      : id(std::move(id)), title(std::move(title)), description(std::move(description)) {}
  // "" without any mark, or where a number is not finite.
  std::string Svg() const;

  std::string id, title, description;
  std::string x_label;
  std::vector<std::string> series;  // colour and shape of N: as Chart::Series
  std::vector<Row> rows;            // from the top
  int width = 820;
};

}  // namespace eaq

#endif  // EAQ_REPORT_FOREST_CHART_H_
