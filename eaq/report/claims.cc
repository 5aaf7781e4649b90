#include "eaq/report/claims.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "eaq/base/status_macros.h"

namespace eaq::report_internal {
namespace {

// The row under SCHEME of the recipe whose name or title is NAME; "name [code]" where rows differ in calibration.
const Measured* Find(absl::Span<const Measured> measured, const std::string& scheme, const std::string& name) {
  for (const Measured& m : measured) {
    if (m.group.full_precision || m.group.scheme != scheme || m.trial.empty()) continue;
    const Recipe& recipe = m.trial[0]->spec.recipe();
    const std::string& label = recipe.title().empty() ? recipe.name() : recipe.title();
    const std::string where(absl::StripPrefix(m.group.recipe, label));  // " [code]"
    if (recipe.name() == name || recipe.title() == name || m.group.recipe == name || recipe.name() + where == name) {
      return &m;
    }
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<std::vector<ClaimRow>> TestClaims(absl::Span<const ClaimInputs> claims,
                                                 absl::Span<const Measured> measured, const PairedOptions& options,
                                                 Resampler& resampler) {
  std::vector<std::string> schemes;
  for (const Measured& m : measured) {
    if (m.group.full_precision || std::count(schemes.begin(), schemes.end(), m.group.scheme) > 0) continue;
    schemes.push_back(m.group.scheme);
  }
  std::vector<ClaimRow> rows;
  for (const ClaimInputs& claim : claims) {
    for (const std::string& scheme : claim.schemes.empty() ? schemes : claim.schemes) {
      ClaimRow& row = rows.emplace_back();
      row.text = claim.text;
      row.source = claim.source;
      row.recipe = claim.recipe;
      row.over = claim.over;
      row.scheme = scheme;
      const Measured *first = Find(measured, scheme, claim.recipe), *second = Find(measured, scheme, claim.over);
      if (first == nullptr || second == nullptr) continue;
      row.recipe = first->group.recipe;
      row.over = second->group.recipe;
      EAQ_ASSIGN_OR_RETURN(row.paired, ComparePaired(first->pooled, second->pooled, options, resampler));
    }
  }
  std::vector<PairedResult*> family;
  for (ClaimRow& row : rows) {
    if (row.paired) family.push_back(&*row.paired);
  }
  EAQ_RETURN_IF_ERROR(CorrectFamily(absl::MakeSpan(family), options));
  return rows;
}

const char* ClaimVerdict(const ClaimRow& row) {
  if (!row.paired) return "no result yet";
  switch (row.paired->verdict) {
    case Verdict::kBetter:
      return "holds";
    case Verdict::kWorse:
    case Verdict::kEquivalent:
      return "does not hold";
    case Verdict::kUndecided:
      break;
  }
  return "undecided";
}

std::vector<std::string> ClaimSummaries(absl::Span<const Comparison> parts) {
  std::vector<std::string> claims;  // texts, in order
  std::map<std::string, std::map<std::string, std::vector<std::string>>> where;
  std::map<std::string, size_t> total;
  for (const Comparison& c : parts) {
    for (const ClaimRow& row : c.claims) {
      if (total[row.text]++ == 0) claims.push_back(row.text);
      where[row.text][ClaimVerdict(row)].push_back(
          absl::StrCat(c.groups[0].model, " ", row.scheme, c.form.empty() ? "" : " ", c.form));
    }
  }
  std::vector<std::string> out;
  for (const std::string& text : claims) {
    std::vector<std::string> clauses;
    for (const char* verdict : {"holds", "does not hold", "undecided", "no result yet"}) {
      const auto at = where[text].find(verdict);
      if (at == where[text].end()) continue;
      clauses.push_back(
          absl::StrCat(verdict, " in ", at->second.size(), " of ", total[text], ": ", absl::StrJoin(at->second, ", ")));
    }
    out.push_back(absl::StrCat(text, ": ", absl::StrJoin(clauses, "; "), "."));
  }
  return out;
}

}  // namespace eaq::report_internal
