// The cost section: what sharing profiles, rotations and full-precision passes saves.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/report/cost.h"
#include "eaq/report/format.h"
#include "eaq/report/render_ablation.h"
#include "eaq/report/text_table.h"

namespace eaq::report_internal {
namespace {

double Ratio(const CostTable& cost) { return cost.alone > 0 ? cost.spent / cost.alone : 1; }

// "5 recipes on ref-s: 61 s instead of 170 s (5 times one alone): 36 %; goal 44 % (1 + 0.3 (N - 1) of one): met"
std::string Summary(const CostTable& cost) {
  const double goal = CostGoal(cost.recipes);
  std::string out = absl::StrCat(cost.recipes, cost.recipes == 1 ? " recipe on " : " recipes on ", cost.model,
                                 ", full precision included: ", Seconds(cost.spent), " of work instead of ",
                                 Seconds(cost.alone), " (N times one, nothing shared): ", Fixed(100 * Ratio(cost), 0),
                                 " %; goal for N = ", cost.recipes, ", (1 + 0.3 (N - 1)) / N: ", Fixed(100 * goal, 0),
                                 " %: ", Ratio(cost) < goal || cost.recipes < 2 ? "met" : "not met");
  if (cost.unknown_stages > 0) {
    absl::StrAppend(&out, ". ", cost.unknown_stages,
                    " stages from the cache were made by trials that are not in this "
                    "report; they count as saving nothing");
  }
  return out;
}

double Saved(const CostRow& row) { return row.alone - row.spent; }

}  // namespace

std::string CostText(const Comparison& c, const TextOptions& options) {
  if (!c.cost || !options.timings) return "";
  TextTable table({{"cost", false},
                   {"trials", true},
                   {"peak memory", true},
                   {"spent", true},
                   {"from the cache", true},
                   {"alone", true},
                   {"stages from the cache", true}});
  for (const CostRow& row : c.cost->rows) {
    table.Add({{PlainText(row.recipe)},
               {absl::StrCat(row.trials)},
               {row.peak_memory_bytes > 0 ? Bytes(row.peak_memory_bytes) : "-"},
               {Seconds(row.spent)},
               {Seconds(Saved(row))},
               {Seconds(row.alone)},
               {absl::StrCat(row.stages_from_cache, " of ", row.stages)}});
  }
  return absl::StrCat("\n", table.Render(options.color), Wrap(PlainText(Summary(*c.cost) + "."), options.width, 2),
                      "\n");
}

std::string CostHtml(const Comparison& c) {
  if (!c.cost) return "";
  const auto td = [](double v, const std::string& text) {
    return absl::StrCat("<td data-v=\"", Exact(v), "\">", EscapeHtml(text), "</td>");
  };
  std::string out =
      "<div class=\"scroll\" tabindex=\"0\"><table class=\"sortable\"><thead><tr><th class=\"l\">recipe</th>"
      "<th>trials</th><th>per trial</th><th>peak memory</th><th>spent</th><th>from the "
      "cache</th><th>alone</th><th>spent / alone</th><th>stages from the "
      "cache</th></tr></thead><tbody>\n";
  for (const CostRow& row : c.cost->rows) {
    absl::StrAppend(
        &out, "<tr><th scope=\"row\">", EscapeHtml(row.recipe), "</th>",
        td(static_cast<double>(row.trials), absl::StrCat(row.trials)),
        td(row.spent / std::max<double>(1, row.trials), Seconds(row.spent / std::max<double>(1, row.trials))),
        td(row.peak_memory_bytes, row.peak_memory_bytes > 0 ? Bytes(row.peak_memory_bytes) : "-"),
        td(row.spent, Seconds(row.spent)), td(Saved(row), Seconds(Saved(row))), td(row.alone, Seconds(row.alone)));
    const double ratio = row.alone > 0 ? row.spent / row.alone : 1;
    absl::StrAppend(
        &out, td(ratio, absl::StrCat(Fixed(100 * ratio, 0), " %")),
        td(static_cast<double>(row.stages_from_cache), absl::StrCat(row.stages_from_cache, " of ", row.stages)),
        "</tr>\n");
  }
  return absl::StrCat(out, "</tbody></table></div>\n<p>", EscapeHtml(Summary(*c.cost)), ".</p>\n");
}

}  // namespace eaq::report_internal
