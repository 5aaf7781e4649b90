// The cost section: what sharing profiles, rotations and full-precision passes saves.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/report/cost.h"
#include "eaq/report/format.h"
#include "eaq/report/render_ablation.h"
#include "eaq/report/text_table.h"

namespace eaq {
namespace report_internal {
namespace {

double Ratio(const CostTable& cost) { return cost.alone > 0 ? cost.spent / cost.alone : 1; }

// "5 recipes on ref-s: 61 s instead of 170 s (5 times one alone): 36 %; goal 44 % (1 + 0.3 (N - 1) of one): met"
std::string Summary(const CostTable& cost) {
  const double goal = CostGoal(cost.recipes);
  std::string out =
      absl::StrCat(cost.recipes, cost.recipes == 1 ? " recipe on " : " recipes on ", cost.model,
                   ", full precision included: ", Seconds(cost.spent), " of work instead of ", Seconds(cost.alone),
                   " (N times one, nothing shared): ", Fixed(100 * Ratio(cost), 0), " %");
  if (cost.recipes > 1) {  // one alone has nobody to share with
    absl::StrAppend(&out, "; goal for N = ", cost.recipes, ", (1 + 0.3 (N - 1)) / N: ", Fixed(100 * goal, 0),
                    " %: ", Ratio(cost) < goal ? "met" : "not met");
  }
  if (cost.unknown_stages > 0) {
    absl::StrAppend(&out, ". ", cost.unknown_stages,
                    " stages from the cache were made by trials that are not in this "
                    "report; they count as saving nothing");
  }
  return out;
}

// What the ledger does not know is said, not left to look like nothing.
std::string MedianText(const std::optional<double>& v) { return v ? Seconds(*v) : "not recorded"; }
std::string Memory(const CostRow& row) {
  return row.peak_memory_bytes > 0 ? Bytes(row.peak_memory_bytes) : "not recorded";
}
std::string Tokens(const CostRow& row) {
  if (row.calibration_tokens_most == 0) return "none";
  if (row.calibration_tokens_least == row.calibration_tokens_most) return absl::StrCat(row.calibration_tokens_most);
  return absl::StrCat(row.calibration_tokens_least, " to ", row.calibration_tokens_most);
}
std::string Missing(const CostTable& cost) {
  int64_t untimed = 0;
  for (const CostRow& row : cost.rows) untimed += row.trials - row.timed;
  return untimed == 0 ? ""
                      : absl::StrCat(". Of ", untimed, untimed == 1 ? " trial" : " trials",
                                     " the ledger has no wall time; they count as none in sums and not in medians");
}

double Saved(const CostRow& row) { return row.alone - row.spent; }

}  // namespace

std::string CostText(const Comparison& c, const TextOptions& options) {
  if (!c.cost || !options.timings) return "";
  TextTable table({{"cost", false},
                   {"trials", true},
                   {"calibration tokens", true},
                   {"median", true},
                   {"median alone", true},
                   {"peak memory", true},
                   {"spent", true},
                   {"from the cache", true},
                   {"alone", true},
                   {"stages from the cache", true}});
  for (const CostRow& row : c.cost->rows) {
    table.Add({{PlainText(row.recipe)},
               {absl::StrCat(row.trials)},
               {Tokens(row)},
               {MedianText(row.median_seconds)},
               {MedianText(row.median_alone)},
               {Memory(row)},
               {Seconds(row.spent)},
               {Seconds(Saved(row))},
               {Seconds(row.alone)},
               {absl::StrCat(row.stages_from_cache, " of ", row.stages)}});
  }
  return absl::StrCat(
      "\n", table.Render(options.color),
      Wrap("median: of a trial's wall time; alone: without the cache. calibration tokens: that one trial "
           "reads.",
           options.width, 2),
      "\n", Wrap(PlainText(Summary(*c.cost) + Missing(*c.cost) + "."), options.width, 2), "\n");
}

std::string CostHtml(const Comparison& c) {
  if (!c.cost) return "";
  const auto td = [](double v, const std::string& text) {
    return absl::StrCat("<td data-v=\"", Exact(v), "\">", EscapeHtml(text), "</td>");
  };
  const auto median = [&](const std::optional<double>& v) {
    return v ? td(*v, MedianText(v)) : absl::StrCat("<td data-v=\"\">", MedianText(v), "</td>");
  };
  std::string out =
      "<div class=\"scroll\" tabindex=\"0\"><table class=\"sortable\"><thead><tr><th class=\"l\">recipe</th>"
      "<th>trials</th><th>calibration tokens</th><th>per trial <small>median</small></th><th>per trial alone "
      "<small>median</small></th><th>peak memory</th><th>spent</th><th>from the cache</th><th>alone</th><th>spent / "
      "alone</th><th>stages from the cache</th></tr></thead><tbody>\n";
  for (const CostRow& row : c.cost->rows) {
    absl::StrAppend(&out, "<tr><th scope=\"row\">", EscapeHtml(row.recipe), "</th>",
                    td(static_cast<double>(row.trials), absl::StrCat(row.trials)),
                    td(static_cast<double>(row.calibration_tokens_most), Tokens(row)), median(row.median_seconds),
                    median(row.median_alone), td(row.peak_memory_bytes, Memory(row)), td(row.spent, Seconds(row.spent)),
                    td(Saved(row), Seconds(Saved(row))), td(row.alone, Seconds(row.alone)));
    const double ratio = row.alone > 0 ? row.spent / row.alone : 1;
    absl::StrAppend(
        &out, td(ratio, absl::StrCat(Fixed(100 * ratio, 0), " %")),
        td(static_cast<double>(row.stages_from_cache), absl::StrCat(row.stages_from_cache, " of ", row.stages)),
        "</tr>\n");
  }
  return absl::StrCat(out, "</tbody></table></div>\n<p>", EscapeHtml(Summary(*c.cost) + Missing(*c.cost)), ".</p>\n");
}

std::string CostCsvRows(const CostTable& cost) {
  std::string out;
  const auto optional = [](const std::optional<double>& v) { return v ? Exact(*v) : std::string(); };
  for (const CostRow& row : cost.rows) {
    absl::StrAppend(&out, EscapeCsv(cost.model), ",", EscapeCsv(row.recipe), ",", row.trials, ",", row.timed, ",",
                    row.calibration_tokens_least, ",", row.calibration_tokens_most, ",", optional(row.median_seconds),
                    ",", optional(row.median_alone), ",", row.peak_memory_bytes > 0 ? Exact(row.peak_memory_bytes) : "",
                    ",", Exact(row.spent), ",", Exact(row.alone), ",", row.stages, ",", row.stages_from_cache, "\r\n");
  }
  return out;
}

}  // namespace report_internal

std::string RenderCostCsv(absl::Span<const Comparison> parts) {
  std::string rows;
  for (const Comparison& c : parts) {
    if (c.cost) rows += report_internal::CostCsvRows(*c.cost);
  }
  if (rows.empty()) return "";
  return absl::StrCat(
      "model,recipe,trials,timed_trials,calibration_tokens_least,calibration_tokens_most,median_wall_seconds,"
      "median_alone_seconds,peak_memory_bytes,wall_seconds,alone_seconds,stages,stages_from_cache\r\n",
      rows);
}

}  // namespace eaq
