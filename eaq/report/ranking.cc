#include "eaq/report/ranking.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/report/format.h"

namespace eaq::report_internal {
namespace {

std::string GridText(const Grid& grid) {
  return grid.bits() >= 16 ? std::string("kept") : absl::StrCat("at ", grid.bits(), " bits");
}

// Of QuantizeRouter and AlignedRouter, which have the same two grids.
template <typename Stage>
std::string RouterGrids(const Stage& q) {
  // Unset: 8 bits, as the stages say.
  const std::string weights = q.has_weights() ? GridText(q.weights()) : "at 8 bits";
  return q.has_activations() && q.activations().bits() < 16
             ? absl::StrCat("router ", weights, ", its input ", GridText(q.activations()))
             : absl::StrCat("router ", weights);
}

std::string RouterText(const RouterStage& router) {
  if (router.has_quantize()) return RouterGrids(router.quantize());
  if (router.has_aligned()) return RouterGrids(router.aligned());
  if (router.has_external()) {
    const std::string& url = router.external().type_url();
    return absl::StrCat("router by ", url.substr(url.rfind('/') + 1));
  }
  return "router kept";
}

std::string Names(const Comparison& c, const std::vector<int>& groups) {
  return absl::StrJoin(groups, ", ", [&](std::string* out, int g) { absl::StrAppend(out, c.groups[g].recipe); });
}

// GROUPS in classes within which no two differ by more than the tolerance: by bits, upwards.
std::vector<std::vector<int>> ByBits(const Comparison& c, std::vector<int> groups, bool pass) {
  if (pass) return {std::move(groups)};
  std::vector<int> sorted = groups;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](int a, int b) { return c.groups[a].bits_per_weight < c.groups[b].bits_per_weight; });
  std::vector<std::vector<int>> classes;
  double first = 0;
  for (const int g : sorted) {
    const double bits = c.groups[g].bits_per_weight;
    if (classes.empty() || bits > first + kBitsTolerance) {
      classes.emplace_back();
      first = bits;
    }
    classes.back().push_back(g);
  }
  for (std::vector<int>& one : classes) std::sort(one.begin(), one.end());
  return classes;
}

std::string BitsRange(const Comparison& c, const std::vector<int>& groups) {
  double low = c.groups[groups[0]].bits_per_weight, high = low;
  for (const int g : groups) {
    low = std::min(low, c.groups[g].bits_per_weight);
    high = std::max(high, c.groups[g].bits_per_weight);
  }
  return high - low <= kBitsTolerance ? "" : absl::StrCat(Fixed(low, 2), " to ", Fixed(high, 2));
}

}  // namespace

std::string ScopeOf(const ReportTrial& trial) {
  if (!trial.spec.has_scheme()) return "nothing";
  std::string scope = absl::StrCat(trial.spec.scheme().quantize_attention() ? "attention and experts, " : "experts, ",
                                   RouterText(trial.spec.recipe().router()));
  std::set<std::string> left;  // roles of matrices that the allocator left alone
  for (const LinearReport& l : trial.result.linear()) {
    if (l.bits() >= 16) left.insert(l.id().substr(l.id().rfind('.') + 1));
  }
  left.erase("router");
  if (!left.empty()) absl::StrAppend(&scope, "; ", absl::StrJoin(left, ", "), " left at 16 bits");
  return scope;
}

void DivideRanks(Comparison& c) {
  const CompareOptions& o = c.options;
  for (SchemeSummary& scheme : c.schemes) {
    std::vector<std::pair<std::string, std::vector<int>>> scopes;  // in order of appearance
    for (const int g : scheme.groups) {
      auto at = std::find_if(scopes.begin(), scopes.end(), [&](const auto& s) { return s.first == c.groups[g].scope; });
      if (at == scopes.end()) at = scopes.insert(scopes.end(), {c.groups[g].scope, {}});
      at->second.push_back(g);
    }
    const bool several_scopes = scopes.size() > 1;
    if (several_scopes && o.rank_despite_scope) {
      c.gate.push_back(absl::StrCat(
          scheme.scheme, ": ranked together in spite of different scope, because the spec says rank_despite: SCOPE: ",
          absl::StrJoin(scopes, "; ", [&](std::string* out, const auto& s) {
            absl::StrAppend(out, Names(c, s.second), ": ", s.first);
          })));
      scopes = {{"", scheme.groups}};
    }
    std::vector<std::string> bits_lines;
    std::set<std::string> asked;
    for (const auto& [scope, groups] : scopes) {
      const std::vector<std::vector<int>> classes = ByBits(c, groups, o.rank_despite_bits);
      for (const std::vector<int>& one : classes) {
        Ranking ranking;
        ranking.label = scheme.scheme;
        if (scopes.size() > 1) absl::StrAppend(&ranking.label, ", ", scope);
        if (classes.size() > 1) {
          absl::StrAppend(&ranking.label, ", ", Fixed(c.groups[one[0]].bits_per_weight, 2), " bits");
        }
        for (const int g : one) c.groups[g].rank_class = static_cast<int>(scheme.rankings.size());
        ranking.groups = one;
        scheme.rankings.push_back(std::move(ranking));
      }
      if (classes.size() > 1) asked.insert("STORED_BITS");
      const std::string range = BitsRange(c, groups);
      if (o.rank_despite_bits && !range.empty()) {
        c.gate.push_back(absl::StrCat(scheme.scheme, ": ranked together in spite of different stored bits per weight (",
                                      range, "), because the spec says rank_despite: STORED_BITS"));
      }
    }
    if (scheme.rankings.size() < 2) continue;
    if (scopes.size() > 1) asked.insert("SCOPE");
    std::vector<std::string> classes;
    for (const Ranking& r : scheme.rankings) {
      const Group& g = c.groups[r.groups[0]];
      classes.push_back(absl::StrCat(Names(c, r.groups), " (", asked.count("SCOPE") > 0 ? g.scope + "; " : "",
                                     Fixed(g.bits_per_weight, 2), " bits)"));
    }
    c.gate.push_back(absl::StrCat(scheme.scheme, ": not ranked together: ", absl::StrJoin(classes, " | "),
                                  ". To rank them all the same: comparison { rank_despite: [",
                                  absl::StrJoin(asked, ", "), "] }"));
  }
}

bool FindDuel(const Comparison& c, int a, int b, PairedResult& out) {
  for (const Duel& duel : c.duels) {
    if (duel.first == a && duel.second == b) {
      out = duel.pooled;
      return true;
    }
    if (duel.first == b && duel.second == a) {
      out = duel.pooled;
      out.mean = -duel.pooled.mean;
      out.low = -duel.pooled.high;
      out.high = -duel.pooled.low;
      out.verdict = Decide(out, c.options.paired);
      return true;
    }
  }
  return false;
}

}  // namespace eaq::report_internal
