// What every figure of the page is put together with. Inside the room eaq/report.
#ifndef EAQ_REPORT_FIGURE_PARTS_H_
#define EAQ_REPORT_FIGURE_PARTS_H_

#include <map>
#include <string>
#include <vector>

#include "eaq/report/comparison.h"
#include "eaq/report/svg.h"

namespace eaq::report_internal {

// A <figure>: the picture, its caption (may be ""), DATA (a table) behind a fold (may be "": it stands
// beside it anyway). "" without a picture.
std::string Figure(const std::string& svg, const std::string& caption, const std::string& data);

// A plain table; the first column names the row.
std::string DataTable(const std::vector<std::string>& head, const std::vector<std::vector<std::string>>& rows);
std::string ChartData(const Chart& chart);
std::string MapData(const HeatMap& map);

// Four significant digits; "-" for what is not finite.
std::string Short4(double v);

// A recipe has one colour on the whole page: the order of first appearance.
std::map<std::string, int> Colors(const Comparison& c);

// "W4A4 GPTQ (calibrated on code)"
std::string RowName(const Group& g);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_FIGURE_PARTS_H_
