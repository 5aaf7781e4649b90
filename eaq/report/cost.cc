#include "eaq/report/cost.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/report/fairness.h"
#include "eaq/report/format.h"

namespace eaq {
namespace {

std::string RecipeLabel(const TrialSpec& spec) {
  if (!spec.has_scheme()) return "full precision";
  return spec.recipe().title().empty() ? spec.recipe().name() : spec.recipe().title();
}

// The mean of the two in the middle of an even number.
std::optional<double> Median(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

int64_t CalibrationTokens(const TrialSpec& spec) {
  if (!report_internal::UsesCalibration(spec)) return 0;
  return static_cast<int64_t>(spec.calibration().windows()) * spec.calibration().window();
}

}  // namespace

double CostGoal(int64_t recipes) {
  return recipes < 1 ? 1 : (1 + 0.3 * static_cast<double>(recipes - 1)) / static_cast<double>(recipes);
}

CostTable MeasureCost(absl::Span<const ReportTrial> trials) {
  CostTable table;
  std::map<std::pair<std::string, std::string>, double> made;  // stage and hash -> seconds of making it
  for (const ReportTrial& t : trials) {
    for (const StageRun& s : t.result.stage()) {
      if (s.from_cache()) continue;
      double& seconds = made[{s.stage(), s.hash()}];
      seconds = std::max(seconds, s.seconds());
    }
  }
  std::vector<std::vector<double>> seconds, alone_seconds;  // by row
  std::map<std::string, size_t> index;
  std::set<std::string> seen;
  for (const ReportTrial& t : trials) {
    if (!seen.insert(t.key).second) continue;
    table.model = t.spec.model().name();
    const auto [at, is_new] = index.emplace(RecipeLabel(t.spec), table.rows.size());
    if (is_new) {
      table.rows.emplace_back();
      table.rows.back().recipe = at->first;
      seconds.emplace_back();
      alone_seconds.emplace_back();
      table.recipes += t.spec.has_scheme();
    }
    CostRow& row = table.rows[at->second];
    const int64_t tokens = CalibrationTokens(t.spec);
    row.calibration_tokens_least = row.trials == 0 ? tokens : std::min(row.calibration_tokens_least, tokens);
    row.calibration_tokens_most = std::max(row.calibration_tokens_most, tokens);
    ++row.trials;
    row.peak_memory_bytes = std::max(row.peak_memory_bytes, static_cast<double>(t.result.peak_memory_bytes()));
    double alone = t.result.wall_seconds();
    for (const StageRun& s : t.result.stage()) {
      ++row.stages;
      if (!s.from_cache()) continue;
      ++row.stages_from_cache;
      const auto maker = made.find({s.stage(), s.hash()});
      if (maker == made.end()) {
        ++table.unknown_stages;
      } else {
        alone += std::max(0.0, maker->second - s.seconds());
      }
    }
    if (t.result.wall_seconds() > 0) {
      seconds[at->second].push_back(t.result.wall_seconds());
      alone_seconds[at->second].push_back(alone);
    }
    row.spent += t.result.wall_seconds();
    row.alone += alone;
    table.spent += t.result.wall_seconds();
    if (t.spec.has_scheme()) table.alone += alone;
  }
  for (size_t i = 0; i < table.rows.size(); ++i) {
    table.rows[i].timed = static_cast<int64_t>(seconds[i].size());
    table.rows[i].median_seconds = Median(std::move(seconds[i]));
    table.rows[i].median_alone = Median(std::move(alone_seconds[i]));
  }
  return table;
}

namespace report_internal {

std::string RunTimeWork(const Comparison& c) {
  std::vector<std::string> recipes, parts;
  double linears = 0;
  bool others = false;
  for (const Group& g : c.groups) {
    others = others || (!g.full_precision && g.online_operations == 0);
    if (g.online_operations == 0 || !(g.linear_operations > 0)) continue;
    if (std::find(recipes.begin(), recipes.end(), g.recipe) != recipes.end()) continue;
    recipes.push_back(g.recipe);
    linears = g.linear_operations;
    const double share = 100 * g.online_operations / g.linear_operations;
    parts.push_back(absl::StrCat(g.recipe, share < 0 ? " -" : " +",
                                 Fixed(std::fabs(share), std::fabs(share) < 10 ? 1 : 0),
                                 share < 0 ? " % (experts dropped)" : " %"));
  }
  if (parts.empty()) return "";
  return absl::StrCat("Run-time work, multiply-adds a token on top of the linears' ", Fixed(linears, 0), ": ",
                      absl::StrJoin(parts, ", "), others ? "; others none" : "");
}

}  // namespace report_internal
}  // namespace eaq
