#include "eaq/report/text_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "eaq/report/format.h"

namespace eaq::report_internal {
namespace {
constexpr int kGap = 2;
}  // namespace

std::string Paint(absl::string_view text, Style style, bool color) {
  if (!color || style == Style::kPlain || text.empty()) return std::string(text);
  const char* code = "";
  switch (style) {
    case Style::kBold:
      code = "1";
      break;
    case Style::kDim:
      code = "2";
      break;
    case Style::kGreen:
      code = "32";
      break;
    case Style::kRed:
      code = "31";
      break;
    case Style::kBoldGreen:
      code = "1;32";
      break;
    case Style::kPlain:
      break;
  }
  return absl::StrCat("\x1b[", code, "m", text, "\x1b[0m");
}

std::string Wrap(absl::string_view text, int width, int indent) {
  if (width <= 0) return std::string(text);
  std::string out;
  int at = 0;
  for (const absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    const int w = DisplayWidth(word);
    if (at > 0 && at + 1 + w > width) {
      absl::StrAppend(&out, "\n", std::string(static_cast<size_t>(indent), ' '));
      at = indent;
    } else if (at > 0) {
      out += ' ';
      ++at;
    }
    absl::StrAppend(&out, word);
    at += w;
  }
  return out;
}

std::vector<int> TextTable::Widths() const {
  std::vector<int> widths;
  for (const Column& c : columns_) widths.push_back(DisplayWidth(c.title));
  for (const Row& row : rows_) {
    for (size_t i = 0; i < row.cells.size(); ++i) widths[i] = std::max(widths[i], DisplayWidth(row.cells[i].text));
  }
  return widths;
}

int TextTable::Width() const {
  int width = 0;
  for (const int w : Widths()) width += w + kGap;
  return width - kGap;
}

std::string TextTable::Render(bool color) const {
  const std::vector<int> widths = Widths();
  std::string out;
  const auto line = [&](const std::vector<Cell>& cells) {
    std::string text;
    for (size_t i = 0; i < cells.size(); ++i) {
      const std::string pad(static_cast<size_t>(widths[i] - DisplayWidth(cells[i].text)), ' ');
      const std::string painted = Paint(cells[i].text, cells[i].style, color);
      absl::StrAppend(&text, i == 0 ? "" : std::string(kGap, ' '), columns_[i].right ? pad : "", painted,
                      columns_[i].right ? "" : pad);
    }
    absl::StrAppend(&out, absl::StripTrailingAsciiWhitespace(text), "\n");
  };
  std::vector<Cell> titles;
  for (const Column& c : columns_) titles.push_back({c.title, Style::kBold});
  line(titles);
  std::string rule;
  for (int i = 0; i < Width(); ++i) rule += "\xE2\x94\x80";
  absl::StrAppend(&out, Paint(rule, Style::kDim, color), "\n");
  for (const Row& row : rows_) {
    if (row.cells.empty()) {
      absl::StrAppend(&out, Paint(row.heading, Style::kBold, color), "\n");
    } else {
      line(row.cells);
    }
  }
  absl::StrAppend(&out, Paint(rule, Style::kDim, color), "\n");
  return out;
}

}  // namespace eaq::report_internal
