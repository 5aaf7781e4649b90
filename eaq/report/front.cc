#include "eaq/report/front.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/report/figure_parts.h"
#include "eaq/report/format.h"
#include "eaq/report/front_chart.h"
#include "eaq/report/ranking.h"

namespace eaq::report_internal {
namespace {

constexpr size_t kColors = 8;  // as many lines as can be told apart
constexpr size_t kSizes = 3;   // of a recipe that makes a line

bool Usable(const Group& g) { return !g.full_precision && g.pooled.versus_full.has_value() && g.bits_per_weight > 0; }

double Loss(const Group& g) { return g.pooled.versus_full->mean; }

// Sizes of LINE, bits ascending, that are more than the tolerance apart.
size_t Sizes(const Comparison& c, const std::vector<int>& line) {
  size_t n = 0;
  double last = 0;
  for (const int g : line) {
    const double bits = c.groups[g].bits_per_weight;
    if (n > 0 && bits <= last + kBitsTolerance) continue;
    ++n;
    last = bits;
  }
  return n;
}

bool Dominates(const Group& a, const Group& b) {
  return (a.bits_per_weight <= b.bits_per_weight + kBitsTolerance && Loss(a) < Loss(b)) ||
         (a.bits_per_weight < b.bits_per_weight - kBitsTolerance && Loss(a) <= Loss(b));
}

// What a table says of the row: "yes", "not separable from it" (of the row of its scheme that is), "no".
std::string OnFront(const Comparison& c, const FrontFamily& family, int g) {
  const auto on = [&](int i) { return std::count(family.front.begin(), family.front.end(), i) > 0; };
  if (on(g)) return "yes";
  if (!c.groups[g].tied) return "no";
  for (const SchemeSummary& scheme : c.schemes) {
    if (scheme.scheme != c.groups[g].scheme) continue;
    for (const Ranking& r : scheme.rankings) {
      if (std::count(r.groups.begin(), r.groups.end(), g) > 0 && r.best >= 0 && on(r.best)) {
        return absl::StrCat("not separable from ", c.groups[r.best].recipe);
      }
    }
  }
  return "no";
}

std::string FamilyData(const Comparison& c, const FrontFamily& family) {
  std::vector<std::vector<std::string>> rows;
  for (size_t k = 0; k < family.lines.size(); ++k) {
    for (const int i : family.lines[k]) {
      const Group& g = c.groups[i];
      const PairedResult& r = *g.pooled.versus_full;
      rows.push_back({family.recipes[k], g.scheme, Fixed(g.bits_per_weight, 3), Fixed(g.model_bits_per_weight, 3),
                      Short4(r.mean), Short4(r.low), Short4(r.high), OnFront(c, family, i)});
    }
  }
  return DataTable(
      {"method", "scheme", "stored bits", "stored bits, whole model", "difference", "low", "high", "on the front"},
      rows);
}

FrontChart::Line LineOf(const Comparison& c, const FrontFamily& family, size_t k, int color) {
  FrontChart::Line line{family.recipes[k], color, {}};
  for (const int i : family.lines[k]) {
    const Group& g = c.groups[i];
    const PairedResult& r = *g.pooled.versus_full;
    line.points.push_back(
        {g.bits_per_weight, r.mean, r.low, r.high, std::count(family.front.begin(), family.front.end(), i) > 0,
         absl::StrCat(RowName(g), ": ", Interval(r, 4), " at ", Fixed(g.bits_per_weight, 3), " bits")});
  }
  return line;
}

// Schemes' names over the middle of their rows.
std::vector<std::pair<double, std::string>> Marks(const Comparison& c, const FrontFamily& family) {
  std::map<std::string, std::vector<double>> bits;
  for (const std::vector<int>& line : family.lines) {
    for (const int g : line) bits[c.groups[g].scheme].push_back(c.groups[g].bits_per_weight);
  }
  std::vector<std::pair<double, std::string>> marks;
  for (auto& [scheme, of] : bits) {
    std::sort(of.begin(), of.end());
    marks.emplace_back(of[of.size() / 2], scheme);
  }
  std::sort(marks.begin(), marks.end());
  return marks;
}

// "2.25 bits: Output error; 2.5 bits: ..."
std::string FrontSentence(const Comparison& c, const FrontFamily& family) {
  return absl::StrCat("On the front, from small to large: ",
                      absl::StrJoin(family.front, "; ",
                                    [&](std::string* out, int i) {
                                      const Group& g = c.groups[i];
                                      absl::StrAppend(out, Fixed(g.bits_per_weight, 2), " bits ", g.recipe, " (",
                                                      g.scheme, ")");
                                    }),
                      ".");
}

// The lines that get a colour and a name in the picture of all: all, or when they are too many the reference and those
// with the most points on the front.
std::map<size_t, int> Highlights(const Comparison& c, const FrontFamily& family) {
  std::vector<std::pair<int, size_t>> order;  // (-points on the front, line)
  for (size_t k = 0; k < family.lines.size(); ++k) {
    int on = family.recipes[k] == c.options.baseline ? 1 << 20 : 0;
    for (const int g : family.lines[k]) on += std::count(family.front.begin(), family.front.end(), g) > 0;
    if (on > 0 || family.lines.size() <= kColors) order.emplace_back(-on, k);
  }
  std::stable_sort(order.begin(), order.end());
  if (order.size() > kColors) order.resize(kColors);
  std::set<size_t> chosen;
  for (const auto& [on, k] : order) chosen.insert(k);
  const std::map<std::string, int> page = Colors(c);
  std::map<size_t, int> colors;
  for (const size_t k : chosen) {
    // The page's colours are distinct for eight recipes; beyond, those of the highlighted lines are their own.
    const int next = static_cast<int>(colors.size());
    colors[k] = page.size() <= kColors ? page.at(family.recipes[k]) : next;
  }
  return colors;
}

std::string FamilyFigure(const Comparison& c, const FrontFamily& family, const std::string& id) {
  const std::map<size_t, int> colors = Highlights(c, family);
  FrontChart chart(
      id, "Quality against bytes",
      "Difference to full precision in nats per token with its 95 percent interval, against the stored bits "
      "per quantized weight: one line per method, a thick line through the front.");
  chart.x_label = "stored bits per quantized weight";
  chart.y_label = "difference, nats per token";
  chart.marks = Marks(c, family);
  chart.band = c.options.paired.margin;
  for (const int g : family.front) chart.front.emplace_back(c.groups[g].bits_per_weight, Loss(c.groups[g]));
  for (size_t k = 0; k < family.lines.size(); ++k) {
    const auto at = colors.find(k);
    chart.lines.push_back(LineOf(c, family, k, at == colors.end() ? -1 : at->second));
  }
  const bool all = colors.size() == family.lines.size();
  std::string out =
      Figure(chart.Svg(),
             absl::StrCat(
                 "Lower and further left is better. Bars: 95 % paired bootstrap interval, clustered by document; where "
                 "methods have the same bits they stand a few pixels apart. Ringed, and joined by the thick line: the "
                 "front, rows that no other row beats with as few bytes (a difference of the means: whether it is "
                 "significant the table says). ",
                 all ? "" : "Coloured: methods with a point on the front, and the reference; grey: the others, below. ",
                 FrontSentence(c, family)),
             FamilyData(c, family));
  if (all) return out;
  std::string panels;
  for (size_t k = 0; k < family.lines.size(); ++k) {
    const auto at = colors.find(k);
    FrontChart panel(absl::StrCat(id, "-", k), absl::StrCat(family.recipes[k], ": quality against bytes"),
                     "The line of one method with its intervals, before all others in grey and the front.");
    panel.width = 300;
    panel.height = 210;
    panel.head = family.recipes[k];
    panel.names = false;
    panel.band = chart.band;
    panel.front = chart.front;
    for (size_t j = 0; j < family.lines.size(); ++j) {
      if (j != k) panel.lines.push_back(LineOf(c, family, j, -1));
    }
    panel.lines.push_back(LineOf(c, family, k, at == colors.end() ? 6 : at->second));
    absl::StrAppend(&panels, "<div>", panel.Svg(), "</div>\n");
  }
  return absl::StrCat(
      out,
      "<h3>One by one</h3>\n<p class=\"note\">Every method with its intervals, axes as above; grey: the "
      "other methods, thick: the front.</p>\n<div class=\"panels\">",
      panels, "</div>\n");
}

}  // namespace

std::vector<FrontFamily> FindFronts(const Comparison& c) {
  std::vector<std::string> rests;
  for (const Group& g : c.groups) {
    if (Usable(g) && std::count(rests.begin(), rests.end(), g.scheme_rest) == 0) rests.push_back(g.scheme_rest);
  }
  std::vector<FrontFamily> families;
  for (const std::string& rest : rests) {
    FrontFamily family;
    std::vector<int> members;
    for (size_t i = 0; i < c.groups.size(); ++i) {
      const Group& g = c.groups[i];
      if (!Usable(g) || g.scheme_rest != rest) continue;
      members.push_back(static_cast<int>(i));
      auto at = std::find(family.recipes.begin(), family.recipes.end(), g.recipe);
      if (at == family.recipes.end()) {
        at = family.recipes.insert(at, g.recipe);
        family.lines.emplace_back();
      }
      family.lines[at - family.recipes.begin()].push_back(static_cast<int>(i));
    }
    const auto smaller = [&](int a, int b) { return c.groups[a].bits_per_weight < c.groups[b].bits_per_weight; };
    bool drawn = false;
    for (std::vector<int>& line : family.lines) {
      std::stable_sort(line.begin(), line.end(), smaller);
      drawn = drawn || Sizes(c, line) >= kSizes;
    }
    if (!drawn) continue;
    for (const int i : members) {
      const Group& g = c.groups[i];
      if (!g.mark.empty()) continue;
      const bool beaten = std::any_of(members.begin(), members.end(),
                                      [&](int j) { return c.groups[j].mark.empty() && Dominates(c.groups[j], g); });
      if (!beaten) family.front.push_back(i);
    }
    std::stable_sort(family.front.begin(), family.front.end(), smaller);
    families.push_back(std::move(family));
  }
  return families;
}

std::string FrontFigures(const Comparison& c) {
  std::string out;
  const std::vector<FrontFamily> families = FindFronts(c);
  for (size_t f = 0; f < families.size(); ++f) {
    out += FamilyFigure(c, families[f], f == 0 ? "front" : absl::StrCat("front", f));
  }
  return out;
}

bool FrontsShowAll(const Comparison& c) {
  size_t shown = 0, all = 0;
  for (const FrontFamily& family : FindFronts(c)) {
    for (const std::vector<int>& line : family.lines) shown += line.size();
  }
  for (const Group& g : c.groups) all += Usable(g);
  return all == shown;
}

}  // namespace eaq::report_internal
