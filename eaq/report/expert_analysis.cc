#include "eaq/report/expert_analysis.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/report/figure_parts.h"
#include "eaq/report/format.h"
#include "eaq/report/svg.h"

namespace eaq::report_internal {
namespace {

constexpr double kOrderChanges = 0.8, kSameOrder = 0.95, kConcentrated = 0.1;
// Of maps with a row for every expert of a layer, so many layers and experts are drawn.
constexpr size_t kMostLayers = 4, kMostExperts = 32;

// By domain or pair (in the order recorded), then layer.
using ByDomain = std::vector<std::pair<std::string, std::map<int, double>>>;

ByDomain MetricsOf(const Group& g, const std::string& name) {
  ByDomain found;
  for (const Metric& m : g.analysis) {
    if (m.name() != name) continue;
    auto at = std::find_if(found.begin(), found.end(), [&](const auto& f) { return f.first == m.domain(); });
    if (at == found.end()) at = found.insert(found.end(), {m.domain(), {}});
    at->second[m.has_layer() ? m.layer() : -1] = m.value();
  }
  return found;
}

double Mean(const ByDomain& values) {
  double sum = 0, n = 0;
  for (const auto& [domain, layers] : values) {
    for (const auto& [layer, v] : layers) sum += v, ++n;
  }
  return n > 0 ? sum / n : 0;
}

std::string Percents(double share, int digits = 0) { return absl::StrCat(Fixed(100 * share, digits), " %"); }

const Group* Analysed(const Comparison& c) {
  for (const Group& g : c.groups) {
    if (!g.expert_tables.empty()) return &g;
  }
  return nullptr;
}

// In how many of the pairs HOLDS is true of most layers.
template <typename Holds>
size_t PairsWhere(const ByDomain& pairs, Holds holds) {
  size_t count = 0;
  for (const auto& [pair, layers] : pairs) {
    const auto n = std::count_if(layers.begin(), layers.end(), [&](const auto& l) { return holds(l.second); });
    count += 2 * n > static_cast<int64_t>(layers.size());
  }
  return count;
}

std::string Verdict(size_t pairs, size_t of) {
  return absl::StrCat(2 * pairs > of ? "holds" : "does NOT hold", ", for ", pairs, " of ", of, " pairs of data sets");
}

std::string OrderLine(const Group& g) {
  const ByDomain pairs = MetricsOf(g, "significance_rank_correlation");
  if (pairs.empty()) return "";
  std::vector<double> all;
  for (const auto& [pair, layers] : pairs) {
    for (const auto& [layer, rho] : layers) all.push_back(rho);
  }
  std::sort(all.begin(), all.end());
  const auto same = std::count_if(all.begin(), all.end(), [](double rho) { return rho > kSameOrder; });
  return absl::StrCat(
      "Premise T4, the order of the experts changes with the data set (Spearman below ", Fixed(kOrderChanges, 1),
      " in most layers): ", Verdict(PairsWhere(pairs, [](double rho) { return rho < kOrderChanges; }), pairs.size()),
      "; over pairs and layers ", Fixed(all.front(), 2), " .. ", Fixed(all.back(), 2), ", median ",
      Fixed(all[all.size() / 2], 2), ", above ", Fixed(kSameOrder, 2), " in ", same, " of ", all.size(), ".");
}

std::string ChannelLine(const Group& g) {
  const ByDomain pairs = MetricsOf(g, "channel_concentration"), chance = MetricsOf(g, "channel_top_share");
  if (pairs.empty()) return "";
  return absl::StrCat(
      "Premise T5, 1 % of the channels carry at least ", Percents(kConcentrated), " of what moves between data sets: ",
      Verdict(PairsWhere(pairs, [](double share) { return share >= kConcentrated; }), pairs.size()), "; the mean is ",
      Percents(Mean(pairs), 1), ", and ", Percents(Mean(chance), 1), " would be theirs by chance.");
}

// What the detector of G did; "" without one.
std::string DetectorLine(const Group& g) {
  const ByDomain right = MetricsOf(g, "detector_right"), delay = MetricsOf(g, "detector_delay");
  if (right.empty()) return "";
  const double switches = Mean(MetricsOf(g, "detector_switches"));
  return absl::StrCat(RowName(g), ": the detector was right on ", Percents(Mean(right)), " of the windows of ",
                      right.size(), " known domains, after ", Fixed(Mean(delay), 1), " windows in the mean, with ",
                      Fixed(switches, 0), " switches.");
}

// A number for every layer, a row for each data set or pair of data sets.
std::string LayerFigure(const std::string& id, const std::string& title, const std::string& unit,
                        const ByDomain& values, const std::string& caption) {
  HeatMap map(id, title, absl::StrCat(title, ": rows are data sets or pairs of them, columns the layers."));
  std::set<int> layers;
  for (const auto& [domain, by_layer] : values) {
    for (const auto& [layer, v] : by_layer) layers.insert(layer);
  }
  for (const int layer : layers) map.columns.push_back(absl::StrCat("layer ", layer));
  for (const auto& [domain, by_layer] : values) {
    map.rows.push_back(domain);
    map.value.emplace_back(layers.size(), std::numeric_limits<double>::quiet_NaN());
    map.text.emplace_back(layers.size());
    for (const auto& [layer, v] : by_layer) {
      const auto column = static_cast<size_t>(std::distance(layers.begin(), layers.find(layer)));
      map.value.back()[column] = v;
      map.text.back()[column] = Fixed(v, 3);
    }
  }
  if (map.rows.empty()) return "";
  map.unit = unit;
  return absl::StrCat("<div><h3>", EscapeHtml(title), "</h3>\n", Figure(map.Svg(), caption, MapData(map)), "</div>\n");
}

void AddColumns(size_t experts, HeatMap& map) {
  for (size_t e = 0; e < experts; ++e) map.columns.push_back(absl::StrCat("e", e));
}

// Significance of every expert, divided by the largest of its layer and data set.
std::string SignificanceFigure(const Group& g) {
  HeatMap map("significance", "Significance of the experts by layer and data set",
              "Rows are layers and data sets, columns the experts; the strongest expert of a row has 1.");
  std::map<int, std::vector<const TrialResult::ExpertTable*>> layers;
  for (const TrialResult::ExpertTable& table : g.expert_tables) {
    if (table.name() == "significance") layers[table.layer()].push_back(&table);
  }
  for (const auto& [layer, tables] : layers) {
    map.block = tables.size();
    for (const TrialResult::ExpertTable* table : tables) {
      if (map.columns.empty()) AddColumns(table->value_size(), map);
      const double most = *std::max_element(table->value().begin(), table->value().end());
      map.rows.push_back(absl::StrCat("layer ", layer, ", ", table->domain()));
      map.value.emplace_back();
      for (const double v : table->value()) map.value.back().push_back(most > 0 ? v / most : 0);
    }
  }
  if (map.rows.empty()) return "";
  map.unit = "significance / the row's largest";
  return Figure(map.Svg(),
                "Rows of one layer that look alike have the same important experts, whatever the data set. Measured in "
                "the full-precision model.",
                MapData(map));
}

// Pairs of experts of the first layers, the diagonal left out.
std::string PairFigure(const Group& g, const std::string& name, const std::string& title, const std::string& caption) {
  HeatMap map(absl::StrCat("experts-", name), title, "Rows and columns are the experts of a layer.");
  size_t layers = 0, all = 0;
  bool cut = false;
  for (const TrialResult::ExpertTable& table : g.expert_tables) {
    if (table.name() != name) continue;
    if (++all > kMostLayers) continue;
    ++layers;
    const auto experts = static_cast<size_t>(std::llround(std::sqrt(static_cast<double>(table.value_size()))));
    const size_t shown = std::min(experts, kMostExperts);
    cut = cut || shown < experts;
    if (map.columns.empty()) AddColumns(shown, map);
    map.block = shown;
    for (size_t a = 0; a < shown; ++a) {
      map.rows.push_back(absl::StrCat("layer ", table.layer(), ", e", a));
      map.value.emplace_back();
      for (size_t b = 0; b < shown; ++b) {
        const double v = table.value(static_cast<int>(a * experts + b));
        map.value.back().push_back(a == b ? std::numeric_limits<double>::quiet_NaN() : v);
      }
    }
  }
  if (map.rows.empty()) return "";
  map.none = "an expert with itself";
  map.unit = title;
  const std::string part =
      cut || layers < all ? absl::StrCat(" Shown: ", layers, " of ", all, " layers, ", map.columns.size(), " experts.")
                          : "";
  return absl::StrCat("<div><h3>", EscapeHtml(title), "</h3>\n", Figure(map.Svg(), caption + part, MapData(map)),
                      "</div>\n");
}

// How every row switched, domain by domain.
std::string SwitchTable(const Comparison& c) {
  std::vector<std::vector<std::string>> rows;
  for (const Group& g : c.groups) {
    std::map<std::string, std::map<std::string, double>> cells;  // domain -> metric -> value
    std::vector<std::string> order;
    for (const Metric& m : g.analysis) {
      if (m.has_layer() || m.domain().empty()) continue;
      if (cells.count(m.domain()) == 0) order.push_back(m.domain());
      cells[m.domain()][m.name()] = m.value();
    }
    for (const std::string& domain : order) {
      const auto cell = [&](const char* metric, bool share) -> std::string {
        const auto at = cells[domain].find(metric);
        if (at == cells[domain].end()) return "-";
        return share ? Percents(at->second) : Fixed(at->second, 0);
      };
      const auto told = cells[domain].find("told_known");
      rows.push_back({RowName(g), domain,
                      told == cells[domain].end() ? "-"
                      : told->second > 0          ? "calibration"
                                                  : "a sample",
                      cell("switched_rows", true), cell("detector_right", true), cell("detector_wrong", true),
                      cell("detector_none", true), cell("detector_delay", false)});
    }
  }
  if (rows.empty()) return "";
  return absl::StrCat(
      "<h3>Switching</h3>\n<div class=\"scroll\" tabindex=\"0\">",
      DataTable({"method", "data set", "told from", "rows switched", "detected right", "wrong", "none", "delay"}, rows),
      "</div>\n<p class=\"note\">Rows switched: of the cached rows, those that take another width on the data set. "
      "Detected: share of the domain's windows that ran in the state of their own data set, of another, of none; "
      "delay: windows before the first right one.</p>\n");
}

}  // namespace

bool IsAnalysisMetric(const std::string& name) {
  static const auto* const names = new std::set<std::string>{
      "cached_rows",       "channel_concentration",
      "channel_top_share", "detector_delay",
      "detector_none",     "detector_right",
      "detector_switches", "detector_threshold",
      "detector_wrong",    "sure_gates",
      "switched_rows",     "told_known",
      "tokens_variation",  "significance_rank_correlation",
  };
  return names->count(name) > 0;
}

std::vector<std::string> ExpertAnalysisLines(const Comparison& c) {
  std::vector<std::string> lines;
  if (const Group* g = Analysed(c)) {
    for (std::string line : {OrderLine(*g), ChannelLine(*g)}) {
      if (!line.empty()) lines.push_back(std::move(line));
    }
  }
  for (const Group& g : c.groups) {
    std::string line = DetectorLine(g);
    if (!line.empty()) lines.push_back(std::move(line));
  }
  return lines;
}

std::string ExpertAnalysisHtml(const Comparison& c) {
  std::string out;
  for (const std::string& line : ExpertAnalysisLines(c)) absl::StrAppend(&out, "<li>", EscapeHtml(line), "</li>\n");
  if (!out.empty()) out = absl::StrCat("<ul>\n", out, "</ul>\n");
  if (const Group* g = Analysed(c)) {
    absl::StrAppend(&out, "<p class=\"note\">Figures: analysis by ", EscapeHtml(RowName(*g)),
                    " of the full-precision model.</p>\n", SignificanceFigure(*g), "<div class=\"pair\">",
                    LayerFigure("order", "Rank correlation of the experts between data sets", "Spearman's correlation",
                                MetricsOf(*g, "significance_rank_correlation"),
                                "1: the same order of the experts on both. The premise wants less than 0.8."),
                    LayerFigure("concentration", "Share of the movement in 1 % of the channels", "of the movement",
                                MetricsOf(*g, "channel_concentration"),
                                "Of all differences of the channels' significance between two data sets. The premise "
                                "wants 0.1 or more."),
                    LayerFigure("variation", "How unevenly tokens reach the experts", "standard deviation / mean",
                                MetricsOf(*g, "tokens_variation"), "Of the tokens of every expert, by data set."),
                    LayerFigure("sure", "Tokens with a gate above 1/2", "of the tokens", MetricsOf(*g, "sure_gates"),
                                "The largest gate of a token, after the model's own normalisation."),
                    PairFigure(*g, "co_activation", "Experts chosen together",
                               "P(both) / sqrt(P(one) P(other)) over the calibration's tokens; pairs with a high value "
                               "and different weights complement each other."),
                    PairFigure(*g, "similarity", "Experts of similar weights", "Cosine of the down matrices."),
                    "</div>\n");
  }
  return absl::StrCat(out, SwitchTable(c));
}

}  // namespace eaq::report_internal
