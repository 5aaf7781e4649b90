// A table in a terminal: aligned cells, bold and dim by ANSI codes when asked for. Inside the room eaq/report.
//
//   TextTable table({{"method", false}, {"bits", true}});
//   table.Add({{"GPTQ", Style::kBold}, {"4.16"}});
//   out += table.Render(/*color=*/true);
#ifndef EAQ_REPORT_TEXT_TABLE_H_
#define EAQ_REPORT_TEXT_TABLE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace eaq::report_internal {

enum class Style { kPlain, kBold, kDim, kGreen, kRed, kBoldGreen };
std::string Paint(absl::string_view text, Style style, bool color);

// TEXT broken at blanks to lines of at most WIDTH columns (0: never), lines after the first indented by INDENT.
std::string Wrap(absl::string_view text, int width, int indent);

class TextTable {
 public:
  struct Column {
    std::string title;
    bool right = true;  // numbers
  };
  struct Cell {
    std::string text;
    Style style = Style::kPlain;
  };
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void Add(std::vector<Cell> row) { rows_.push_back({std::move(row), ""}); }
  // A line of its own between rows: the heading of a block.
  void AddHeading(std::string text) { rows_.push_back({{}, std::move(text)}); }
  int Width() const;  // columns of the terminal it takes
  std::string Render(bool color) const;

 private:
  struct Row {
    std::vector<Cell> cells;
    std::string heading;
  };
  std::vector<int> Widths() const;
  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_TEXT_TABLE_H_
