#include "eaq/report/figures.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "eaq/report/figure_parts.h"
#include "eaq/report/format.h"
#include "eaq/report/svg.h"

namespace eaq::report_internal {
namespace {

constexpr char kOutputMap[] = "out", kWeightMap[] = "weight";  // ids of maps, before the row's number

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// Mean over what one cell stands for (a matrix of the attention, or the matrices of an expert).
struct Mean {
  double sum = 0;
  int n = 0;
  double Get() const { return n == 0 ? kNone : sum / n; }
};

std::string ColumnName(const LinearError& e) {
  return e.expert >= 0 ? absl::StrCat("e", e.expert) : e.role == "router" ? "rt" : e.role;
}

// VALUE of each linear, averaged into [layer][column].
template <typename Value>
HeatMap MapOf(const Group& g, HeatMap map, bool experts_only, Value value) {
  std::map<int, std::map<std::string, Mean>> cells;
  for (const LinearError& e : g.linear) {
    if (e.layer < 0 || (experts_only && e.expert < 0)) continue;
    const std::string column = ColumnName(e);
    if (std::find(map.columns.begin(), map.columns.end(), column) == map.columns.end()) map.columns.push_back(column);
    const std::optional<double> v = value(e);
    Mean& cell = cells[e.layer][column];
    if (!v) continue;
    cell.sum += *v;
    ++cell.n;
  }
  for (const auto& [layer, row] : cells) {
    map.rows.push_back(absl::StrCat("layer ", layer));
    map.value.emplace_back();
    for (const std::string& column : map.columns) {
      const auto at = row.find(column);
      map.value.back().push_back(at == row.end() ? kNone : at->second.Get());
    }
  }
  return map;
}

}  // namespace

std::string QualityFigure(const Comparison& c) {
  Chart chart(
      "quality", "Quality against stored bits",
      "Difference to full precision in nats per token with its 95 percent interval, against the stored bits per "
      "quantized weight; one marker per method and scheme.");
  chart.width = 900;
  chart.height = 400;
  chart.with_zero = true;
  chart.band = c.options.paired.margin;
  chart.x.label = "stored bits per quantized weight";
  chart.y.label = "difference, nats per token";
  const std::map<std::string, int> colors = Colors(c);
  std::map<int, Chart::Series> series;
  for (const SchemeSummary& scheme : c.schemes) {
    Chart::Note note{0, -std::numeric_limits<double>::infinity(), scheme.scheme};
    int n = 0;
    for (const int i : scheme.groups) {
      const Group& g = c.groups[i];
      if (!g.pooled.versus_full || g.bits_per_weight <= 0) continue;
      const PairedResult& r = *g.pooled.versus_full;
      const int color = colors.at(g.recipe);
      series[color].name = g.recipe;
      series[color].color = color;
      series[color].points.push_back(
          {g.bits_per_weight, r.mean, r.low, r.high,
           absl::StrCat(RowName(g), ": ", Interval(r, 4), " at ", Fixed(g.bits_per_weight, 3), " bits")});
      note.x += g.bits_per_weight;
      note.y = std::max(note.y, r.high);
      ++n;
    }
    note.x /= n;
    if (n > 0) chart.notes.push_back(note);
  }
  for (auto& [color, s] : series) {
    (void)color;
    chart.series.push_back(std::move(s));
  }
  const std::string data = ChartData(chart);
  // Methods of a scheme have nearly the same bits: moved apart in the drawing, the table has the exact ones.
  const double last = static_cast<double>(chart.series.size()) - 1, step = last > 0 ? std::min(0.1, 0.4 / last) : 0;
  for (size_t k = 0; k < chart.series.size(); ++k) {
    for (Chart::Point& p : chart.series[k].points) p.x += step * (static_cast<double>(k) - last / 2);
  }
  return Figure(
      chart.Svg(),
      absl::StrCat("Lower and further left is better; 0 is full precision. Bars: 95 % paired bootstrap "
                   "interval, clustered by document. Shaded: differences that count as equivalent. Methods of "
                   "one scheme stand ",
                   Short4(step), " bit apart only to be told from each other."),
      data);
}

std::string DomainFigures(const Comparison& c) {
  const std::map<std::string, int> colors = Colors(c);
  std::string out;
  for (size_t s = 0; s < c.schemes.size(); ++s) {
    const SchemeSummary& scheme = c.schemes[s];
    Chart chart(absl::StrCat("domains", s), absl::StrCat(scheme.scheme, ": difference to full precision by domain"),
                "Per text domain the difference to full precision of every method with its 95 percent interval.");
    chart.width = 500;
    chart.height = 290;
    chart.with_zero = true;
    chart.band = c.options.paired.margin;
    chart.categories = c.domains;
    chart.categories.push_back("all");
    chart.y.label = "difference, nats per token";
    const double n = static_cast<double>(scheme.groups.size());
    for (size_t k = 0; k < scheme.groups.size(); ++k) {
      const Group& g = c.groups[scheme.groups[k]];
      Chart::Series series{g.recipe + (g.mark.empty() ? "" : " \xE2\x80\xA0"), colors.at(g.recipe), {}, false};
      const double shift = 0.7 * (static_cast<double>(k) - (n - 1) / 2) / n;
      const auto add = [&](const DomainCell& cell, double x) {
        if (!cell.versus_full) return;
        const PairedResult& r = *cell.versus_full;
        series.points.push_back(
            {x + shift, r.mean, r.low, r.high, absl::StrCat(RowName(g), ", ", cell.domain, ": ", Interval(r, 4))});
      };
      for (size_t d = 0; d < g.domain.size(); ++d) add(g.domain[d], static_cast<double>(d));
      add(g.pooled, static_cast<double>(g.domain.size()));
      chart.series.push_back(std::move(series));
    }
    const std::string figure = Figure(chart.Svg(), "", ChartData(chart));
    if (!figure.empty()) absl::StrAppend(&out, "<div><h3>", EscapeHtml(scheme.scheme), "</h3>\n", figure, "</div>\n");
  }
  return out;
}

namespace {

// The maps of one quantity for all methods of a scheme, on one colour scale. Rows that did not measure it have none.
template <typename Value>
std::string SchemeMaps(const Comparison& c, const SchemeSummary& scheme, const std::string& id, const std::string& what,
                       Value value) {
  std::vector<HeatMap> maps;
  double low = std::numeric_limits<double>::infinity(), high = 0;
  for (const int i : scheme.groups) {
    const Group& g = c.groups[i];
    HeatMap map(absl::StrCat(id, i), absl::StrCat(RowName(g), ": relative ", what, " per layer and expert"),
                "Rows are layers; columns are the attention's matrices and the experts. Stronger is a larger error.");
    map.log = true;
    map.unit = absl::StrCat("relative ", what);
    map.none = "no calibration token came here: not measured";
    map = MapOf(g, std::move(map), false, value);
    bool any = false;
    for (const auto& row : map.value) {
      for (const double v : row) {
        if (!(v > 0) || !std::isfinite(v)) continue;
        any = true;
        low = std::min(low, v);
        high = std::max(high, v);
      }
    }
    if (any) maps.push_back(std::move(map));
  }
  std::string out;
  for (HeatMap& map : maps) {
    map.low = low;
    map.high = high;
    absl::StrAppend(&out, "<div><h4>", EscapeHtml(map.title.substr(0, map.title.find(": relative"))), "</h4>",
                    Figure(map.Svg(), "", MapData(map)), "</div>\n");
  }
  return out.empty() ? out : absl::StrCat("<div class=\"pair\">", out, "</div>\n");
}

// "1.2 %"
std::string EvenShare(size_t experts) { return absl::StrFormat("%.3g %%", 100.0 / static_cast<double>(experts)); }

bool SameTokens(const Group& a, const Group& b) {
  if (a.linear.size() != b.linear.size()) return false;
  for (size_t i = 0; i < a.linear.size(); ++i) {
    if (a.linear[i].calibration_tokens != b.linear[i].calibration_tokens) return false;
  }
  return true;
}

double MostTokens(const Group& g) {
  double most = 0;
  for (const LinearError& e : g.linear) most = std::max(most, e.expert >= 0 ? e.calibration_tokens : 0);
  return most;
}

std::string CalibrationMap(const Comparison& c) {
  const Group* shown = nullptr;
  bool same = true;
  for (const Group& g : c.groups) {
    if (MostTokens(g) <= 0) continue;
    if (shown == nullptr) shown = &g;
    same = same && SameTokens(*shown, g);
  }
  if (shown == nullptr) return "";
  HeatMap map("tokens", "Calibration tokens per expert",
              "Rows are layers, columns are experts. Stronger is more calibration tokens.");
  map.unit = "tokens";
  map = MapOf(*shown, std::move(map), true,
              [](const LinearError& e) { return std::optional<double>(e.calibration_tokens); });
  double sum = 0;
  for (const double v : map.value[0]) sum += v;
  return absl::StrCat(
      "<h3>Calibration tokens per expert</h3>\n",
      Figure(map.Svg(),
             absl::StrCat("Tokens routed to each expert in calibration, mean over seeds; an even router would send ",
                          Fixed(sum / static_cast<double>(map.columns.size()), 0), " to each. ",
                          same ? "The same for every method that reads calibration text."
                               : absl::StrCat("Of ", RowName(*shown), ", the first row that reads calibration text."),
                          " Experts that see few tokens are rounded with little evidence."),
             MapData(map)));
}

}  // namespace

bool IsErrorMap(absl::string_view id) {
  const auto numbered = [id](absl::string_view name) {
    return absl::StartsWith(id, name) && id.size() > name.size() &&
           absl::ascii_isdigit(static_cast<unsigned char>(id[name.size()]));
  };
  return numbered(kOutputMap) || numbered(kWeightMap);
}

std::string ErrorFigures(const Comparison& c) {
  std::string out;
  for (size_t s = 0; s < c.schemes.size(); ++s) {
    const SchemeSummary& scheme = c.schemes[s];
    const std::string outputs =
        SchemeMaps(c, scheme, kOutputMap, "output error", [](const LinearError& e) { return e.output_error; });
    const std::string weights = SchemeMaps(c, scheme, kWeightMap, "weight error",
                                           [](const LinearError& e) { return std::optional<double>(e.weight_error); });
    if (weights.empty() && outputs.empty()) continue;
    std::vector<std::string> without;
    for (const int i : scheme.groups) {
      const Group& g = c.groups[i];
      const bool has = std::any_of(g.linear.begin(), g.linear.end(),
                                   [](const LinearError& e) { return e.output_error.has_value(); });
      if (!has && !g.linear.empty()) without.push_back(g.recipe);
    }
    absl::StrAppend(&out, "<h3>", EscapeHtml(scheme.scheme), "</h3>\n", outputs);
    if (!without.empty()) {
      absl::StrAppend(
          &out, "<p class=\"note\">Output error not measured, not zero: ", EscapeHtml(absl::StrJoin(without, ", ")),
          without.size() == 1 ? " reads" : " read", " no calibration tokens.</p>\n");
    }
    absl::StrAppend(&out, "<details", outputs.empty() ? " open" : "", "><summary>Weight error of every method under ",
                    EscapeHtml(scheme.scheme), "</summary>\n", weights, "</details>\n");
  }
  return out;
}

std::string TokenFigures(const Comparison& c) {
  std::string out = CalibrationMap(c);
  for (const Group& g : c.groups) {
    if (g.expert_use.empty()) continue;
    HeatMap map("use", "Expert use per layer and domain",
                "Share of the router's assignments that each expert gets, by layer and text domain, in percent.");
    map.unit = "% of assignments";
    std::vector<const ExpertShare*> shares;
    for (const ExpertShare& share : g.expert_use) shares.push_back(&share);
    std::stable_sort(shares.begin(), shares.end(),
                     [](const ExpertShare* a, const ExpertShare* b) { return a->layer < b->layer; });
    for (const ExpertShare* share : shares) {
      map.rows.push_back(absl::StrCat("layer ", share->layer, " ", share->domain));
      map.value.push_back(share->share);
      for (double& v : map.value.back()) v *= 100;
      while (map.columns.size() < share->share.size()) map.columns.push_back(absl::StrCat("e", map.columns.size()));
    }
    map.block = c.domains.size();
    absl::StrAppend(&out, "<h3>Expert use in evaluation</h3>\n",
                    Figure(map.Svg(),
                           absl::StrCat("Share of the router's assignments on the evaluation text, ",
                                        g.full_precision ? "full precision" : RowName(g),
                                        "; an even router would give each expert ", EvenShare(map.columns.size()), "."),
                           MapData(map)));
    break;
  }
  return out;
}

std::string RouterFigures(const Comparison& c) {
  const std::map<std::string, int> colors = Colors(c);
  std::string out;
  for (size_t s = 0; s < c.schemes.size(); ++s) {
    const SchemeSummary& scheme = c.schemes[s];
    Chart chart(absl::StrCat("router", s), absl::StrCat(scheme.scheme, ": router agreement per layer"),
                "Share of the top-k experts that the quantized model chooses like full precision, per layer.");
    chart.width = 500;
    chart.height = 270;
    chart.x.label = "layer";
    chart.y.label = "top-k agreement, %";
    size_t layers = 0;
    for (const int i : scheme.groups) {
      const Group& g = c.groups[i];
      Chart::Series series{g.recipe, colors.at(g.recipe), {}, true};
      for (const LayerRouter& r : g.router) {
        series.points.push_back({static_cast<double>(r.layer), 100 * r.topk_agreement, 0, 0,
                                 absl::StrCat(RowName(g), ", layer ", r.layer, ": ", Fixed(100 * r.topk_agreement, 2),
                                              " % (top-1 changed: ", Fixed(100 * r.top1_change, 2),
                                              " %; KL of the router ", Fixed(r.kl, 4), " nats)")});
        layers = std::max(layers, static_cast<size_t>(r.layer) + 1);
      }
      if (!series.points.empty()) chart.series.push_back(std::move(series));
    }
    if (layers <= 32) {
      for (size_t l = 0; l < layers; ++l) chart.categories.push_back(absl::StrCat(l));
    }
    const std::string figure = Figure(chart.Svg(), "", ChartData(chart));
    if (!figure.empty()) absl::StrAppend(&out, "<div><h3>", EscapeHtml(scheme.scheme), "</h3>\n", figure, "</div>\n");
  }
  return out;
}

}  // namespace eaq::report_internal
