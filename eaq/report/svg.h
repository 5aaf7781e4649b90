// Plots as inline SVG: a chart with axes (points with intervals, lines) and a heat map.
//
//   Chart chart("quality", "Quality against stored bits", "One point per method and scheme ...");
//   chart.x.label = "stored bits per weight";
//   chart.series.push_back({"GPTQ", 0, {{4.16, 0.03, 0.02, 0.04, "W4A4 GPTQ"}}, /*line=*/true});
//   html += chart.Svg();
//
// Colours are CSS classes (c0 .. c7, defined by page.h for light and dark: Okabe & Ito's palette, readable with every
// common colour blindness), and every series has its own marker shape besides. `id` makes the ids of title and desc;
// the coordinates have one digit after the point, so the bytes are the same everywhere.
#ifndef EAQ_REPORT_SVG_H_
#define EAQ_REPORT_SVG_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace eaq {

struct Axis {
  std::string label;
  bool log = false;  // base 10; all values must be > 0
};

// Round numbers inside [low, high], about N of them: steps of 1, 2 or 5 times a power of ten; for a log axis powers of
// ten (with 2 and 5 where these are few).
std::vector<double> Ticks(double low, double high, int n, bool log);

struct Chart {
  struct Point {
    double x = 0, y = 0;
    double low = 0, high = 0;  // interval of y; equal: none is drawn
    std::string title;         // shown on hover
  };
  struct Series {
    std::string name;
    int color = 0;  // 0 .. 7: also the marker's shape
    std::vector<Point> points;
    bool line = false;
  };
  struct Note {  // a word above the point (x, y)
    double x = 0, y = 0;
    std::string text;
  };
  Chart(std::string id, std::string title, std::string description)
      : id(std::move(id)), title(std::move(title)), description(std::move(description)) {}
  // "" without any point.
  std::string Svg() const;

  std::string id, title, description;
  Axis x, y;
  std::vector<std::string> categories;  // not empty: x = 0, 1, ... are these
  std::vector<Series> series;
  std::vector<Note> notes;
  bool with_zero = false;  // the y axis reaches to 0 (and over the band around it); linear axes only
  double band = 0;         // +-band around y = 0 is shaded; linear axes only
  int width = 720, height = 360;
};

struct HeatMap {
  HeatMap(std::string id, std::string title, std::string description)
      : id(std::move(id)), title(std::move(title)), description(std::move(description)) {}
  std::string Svg() const;

  std::string id, title, description;
  std::vector<std::string> rows, columns;
  std::vector<std::vector<double>> value;  // [row][column]; NaN: nothing there, shown as a dashed hollow cell
  bool log = false;                        // colour by log10
  double low = 0, high = 0;                // ends of the colour scale; equal: the smallest and largest value
  size_t block = 0;                        // rows that belong together: space after every so many
  std::string unit;
  std::string none = "nothing measured";  // what a hollow cell means: in the legend, when there is one
  // Written into the cells, where given; as `value`. Cells are then wide enough for it, and pale enough to read it.
  std::vector<std::vector<std::string>> text;
  std::vector<std::vector<bool>> strong;  // of these in bold; may be empty
};

// The marker of series N around (x, y), radius R.
std::string Marker(int n, double x, double y, double r);

}  // namespace eaq

#endif  // EAQ_REPORT_SVG_H_
