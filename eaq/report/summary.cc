#include "eaq/report/summary.h"

#include <algorithm>
#include <utility>

#include "eaq/report/ranking.h"

namespace eaq::report_internal {
namespace {

const SchemeSummary* FindScheme(const Comparison& c, const std::string& name) {
  for (const SchemeSummary& scheme : c.schemes) {
    if (scheme.scheme == name) return &scheme;
  }
  return nullptr;
}

SummaryCell MakeCell(const Comparison& c, size_t part, const SchemeSummary& scheme, int group) {
  SummaryCell cell;
  cell.part = part;
  cell.group = group;
  cell.rank_class = c.groups[group].rank_class;
  cell.classes = static_cast<int>(scheme.rankings.size());
  const Ranking& ranking = scheme.rankings[cell.rank_class];
  cell.best = ranking.best;
  if (!c.groups[group].mark.empty() || ranking.best < 0) return cell;
  cell.rank = 1;
  for (const int g : ranking.groups) {
    if (!c.groups[g].mark.empty()) continue;
    ++cell.of;
    cell.rank += c.groups[g].pooled.nll < c.groups[group].pooled.nll;
  }
  PairedResult duel;
  if (group != ranking.best && FindDuel(c, group, ranking.best, duel)) cell.versus_best = duel;
  return cell;
}

SummaryTable MakeTable(absl::Span<const Comparison> parts, const std::vector<size_t>& of_form,
                       const std::string& scheme_name) {
  SummaryTable table;
  table.form = parts[of_form[0]].form;
  table.scheme = scheme_name;
  for (size_t m = 0; m < of_form.size(); ++m) {
    const Comparison& c = parts[of_form[m]];
    table.models.push_back(c.groups[0].model);
    const SchemeSummary* scheme = FindScheme(c, scheme_name);
    if (scheme == nullptr) continue;
    double least = 0, most = 0;
    for (const int g : scheme->groups) {
      const double bits = c.groups[g].bits_per_weight;
      least = g == scheme->groups[0] ? bits : std::min(least, bits);
      most = std::max(most, bits);
      auto row = std::find_if(table.rows.begin(), table.rows.end(),
                              [&](const SummaryRow& r) { return r.recipe == c.groups[g].recipe; });
      if (row == table.rows.end()) {
        row = table.rows.insert(row, SummaryRow());
        row->recipe = c.groups[g].recipe;
        row->cell.resize(of_form.size());
      }
      row->cell[m] = MakeCell(c, of_form[m], *scheme, g);
    }
    table.equal_bits = table.equal_bits && most - least <= kBitsTolerance;
  }
  for (SummaryRow& row : table.rows) {
    for (const std::optional<SummaryCell>& cell : row.cell) {
      if (!cell || cell->rank == 0) continue;
      ++row.ranked;
      row.mean_rank += cell->rank;
      row.unbeaten += !cell->versus_best || cell->versus_best->verdict != Verdict::kWorse;
    }
    if (row.ranked > 0) row.mean_rank /= row.ranked;
  }
  std::stable_sort(table.rows.begin(), table.rows.end(), [](const SummaryRow& a, const SummaryRow& b) {
    return a.ranked != b.ranked ? a.ranked > b.ranked : a.mean_rank < b.mean_rank;
  });
  return table;
}

}  // namespace

std::vector<SummaryTable> SummarizeModels(absl::Span<const Comparison> parts) {
  std::vector<SummaryTable> tables;
  std::vector<std::string> forms;
  for (const Comparison& c : parts) {
    if (std::count(forms.begin(), forms.end(), c.form) == 0) forms.push_back(c.form);
  }
  for (const std::string& form : forms) {
    std::vector<size_t> of_form;
    std::vector<std::string> schemes;
    for (size_t p = 0; p < parts.size(); ++p) {
      if (parts[p].form != form) continue;
      of_form.push_back(p);
      for (const SchemeSummary& s : parts[p].schemes) {
        if (std::count(schemes.begin(), schemes.end(), s.scheme) == 0) schemes.push_back(s.scheme);
      }
    }
    if (of_form.size() < 2) continue;
    for (const std::string& scheme : schemes) tables.push_back(MakeTable(parts, of_form, scheme));
  }
  return tables;
}

}  // namespace eaq::report_internal
