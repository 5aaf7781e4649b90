#include "eaq/report/domain_matrix.h"

#include <algorithm>
#include <limits>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/report/figure_parts.h"
#include "eaq/report/format.h"
#include "eaq/report/svg.h"

namespace eaq::report_internal {
namespace {

// The pool comes after the domains.
const DomainCell& Cell(const Group& g, size_t column) { return column < g.domain.size() ? g.domain[column] : g.pooled; }

double Shown(const DomainCell& cell) { return cell.versus_full ? cell.versus_full->mean : cell.nll; }

// "all 4" for all of the evaluation's domains, else their names.
std::string MixName(const Comparison& c, const Group& g) {
  const std::set<std::string> mix(g.calibration_domains.begin(), g.calibration_domains.end());
  if (mix.size() > 1 && mix == std::set<std::string>(c.domains.begin(), c.domains.end())) {
    return absl::StrCat("all ", mix.size());
  }
  return absl::StrJoin(g.calibration_domains, ", ");
}

std::string SchemeMatrix(const Comparison& c, const std::string& scheme, const std::vector<CalibrationBlock>& blocks,
                         size_t index) {
  HeatMap map(
      absl::StrCat("matrix", index), absl::StrCat(scheme, ": calibration domain against evaluation domain"),
      "Rows are the texts that a method was calibrated on, columns the texts it is evaluated on; numbers are "
      "differences to full precision in nats per token, stronger colour is further from the best of the column.");
  map.columns = c.domains;
  map.columns.push_back("all");
  bool methods = false, same = true, full = true;
  const CalibrationBlock* first = nullptr;
  for (const CalibrationBlock& b : blocks) {
    if (b.scheme != scheme) continue;
    methods = methods || first != nullptr;
    if (first == nullptr) first = &b;
    same = same && b.groups.size() == first->groups.size();
  }
  std::vector<std::vector<std::string>> data;
  for (const CalibrationBlock& b : blocks) {
    if (b.scheme != scheme) continue;
    for (size_t i = 0; i < b.groups.size(); ++i) {
      const Group& g = c.groups[b.groups[i]];
      map.rows.push_back(methods ? absl::StrCat(b.method, ": ", b.mixes[i]) : b.mixes[i]);
      map.value.push_back(b.excess[i]);
      map.text.emplace_back();
      map.strong.emplace_back();
      data.push_back({absl::StrCat(b.method, ": ", absl::StrJoin(g.calibration_domains, ", "))});
      for (size_t d = 0; d < map.columns.size(); ++d) {
        const DomainCell& cell = Cell(g, d);
        full = full && cell.versus_full.has_value();
        map.text.back().push_back(cell.versus_full ? Signed(Shown(cell), 3) : Fixed(Shown(cell), 3));
        map.strong.back().push_back(b.excess[i][d] == 0);
        data.back().push_back(cell.versus_full ? Interval(*cell.versus_full, 4) : Fixed(cell.nll, 4));
      }
    }
  }
  if (methods && same) map.block = first->groups.size();
  map.unit = "nats above the best of the column";
  std::vector<std::string> head = {"calibrated on"};
  head.insert(head.end(), map.columns.begin(), map.columns.end());
  return absl::StrCat(
      "<h3>", EscapeHtml(methods ? scheme : absl::StrCat(scheme, " ", first->method)), "</h3>\n",
      Figure(map.Svg(),
             absl::StrCat(full ? "In the cells: difference to full precision"
                               : "In the cells: loss (no full precision to compare with)",
                          ", nats per token, mean over seeds. Colour: how far above the best row of the same method in "
                          "that column, which is bold. Intervals are in the data."),
             DataTable(head, data)));
}

}  // namespace

std::vector<CalibrationBlock> FindCalibrationBlocks(const Comparison& c) {
  std::vector<CalibrationBlock> all;
  for (size_t i = 0; i < c.groups.size(); ++i) {
    const Group& g = c.groups[i];
    if (g.full_precision || g.calibration_domains.empty()) continue;
    auto at = std::find_if(all.begin(), all.end(),
                           [&](const CalibrationBlock& b) { return b.scheme == g.scheme && b.method == g.method; });
    if (at == all.end()) at = all.insert(at, {g.scheme, g.method, {}, {}, {}});
    at->groups.push_back(static_cast<int>(i));
    at->mixes.push_back(MixName(c, g));
  }
  std::vector<CalibrationBlock> blocks;
  for (CalibrationBlock& b : all) {
    if (std::set<std::string>(b.mixes.begin(), b.mixes.end()).size() < 2) continue;
    const std::vector<std::string> names = b.mixes;
    for (size_t i = 0; i < names.size(); ++i) {
      if (std::count(names.begin(), names.end(), names[i]) < 2) continue;
      const std::string& text = c.groups[b.groups[i]].calibration;  // "64 windows of 256 tokens: a, b"
      absl::StrAppend(&b.mixes[i], ", ", text.substr(0, text.find(':')));
    }
    b.excess.assign(b.groups.size(), std::vector<double>(c.domains.size() + 1));
    for (size_t d = 0; d <= c.domains.size(); ++d) {
      double least = std::numeric_limits<double>::infinity();
      for (const int g : b.groups) least = std::min(least, Cell(c.groups[g], d).nll);
      for (size_t i = 0; i < b.groups.size(); ++i) b.excess[i][d] = Cell(c.groups[b.groups[i]], d).nll - least;
    }
    blocks.push_back(std::move(b));
  }
  return blocks;
}

std::string DomainMatrices(const Comparison& c) {
  const std::vector<CalibrationBlock> blocks = FindCalibrationBlocks(c);
  std::string out;
  for (size_t s = 0; s < c.schemes.size(); ++s) {
    const bool any = std::any_of(blocks.begin(), blocks.end(),
                                 [&](const CalibrationBlock& b) { return b.scheme == c.schemes[s].scheme; });
    if (any) out += SchemeMatrix(c, c.schemes[s].scheme, blocks, s);
  }
  return out;
}

}  // namespace eaq::report_internal
