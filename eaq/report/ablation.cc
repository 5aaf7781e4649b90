#include "eaq/report/ablation.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq {

absl::string_view EffectName(EffectKind kind) {
  switch (kind) {
    case EffectKind::kWhole:
      return "whole";
    case EffectKind::kAlone:
      return "alone";
    case EffectKind::kWithout:
      return "without";
    case EffectKind::kPair:
      return "interaction";
    case EffectKind::kRest:
      return "rest";
  }
  return "";
}

namespace report_internal {
namespace {

using Parts = std::vector<int>;

// Losses of the arms of one ablation under one scheme, by the parts that are on.
using Arms = std::map<Parts, const Measured*>;

// The sum of arms' losses: (parts on, factor). False when one of them is missing.
using Sum = std::vector<std::pair<Parts, double>>;
bool AddUp(const Arms& arms, const Sum& sum, WindowValues& out) {
  out = {};
  for (const auto& [on, factor] : sum) {
    const auto at = arms.find(on);
    if (at == arms.end()) return false;
    const WindowValues& losses = at->second->pooled;
    if (out.value.empty()) {
      out.value.assign(losses.value.size(), 0.0);
      out.document = losses.document;
    }
    for (size_t w = 0; w < out.value.size() && w < losses.value.size(); ++w) out.value[w] += factor * losses.value[w];
  }
  return true;
}

class TableMaker {
 public:
  TableMaker(const Arms& arms, const PairedOptions& options, Resampler& resampler, AblationTable& table)
      : arms_(arms), options_(options), resampler_(resampler), table_(table) {}

  // PLUS minus MINUS.
  absl::Status Add(EffectKind kind, const std::string& label, Parts parts, const Sum& plus, const Sum& minus) {
    AblationEffect effect{kind, label, std::move(parts), std::nullopt};
    WindowValues a, b;
    if (AddUp(arms_, plus, a) && AddUp(arms_, minus, b)) {
      EAQ_ASSIGN_OR_RETURN(effect.paired, ComparePaired(a, b, options_, resampler_));
    }
    table_.effects.push_back(std::move(effect));
    return absl::OkStatus();
  }

 private:
  const Arms& arms_;
  const PairedOptions& options_;
  Resampler& resampler_;
  AblationTable& table_;
};

absl::Status AddEffects(const std::set<Parts>& planned, const Arms& arms, const PairedOptions& options,
                        Resampler& resampler, AblationTable& table) {
  TableMaker make(arms, options, resampler, table);
  const int n = static_cast<int>(table.parts.size());
  Parts all;
  for (int p = 0; p < n; ++p) all.push_back(p);
  const auto without = [&all](int p) {
    Parts rest = all;
    rest.erase(rest.begin() + p);
    return rest;
  };
  EAQ_RETURN_IF_ERROR(
      make.Add(EffectKind::kWhole, absl::StrCat(table.of, " - ", table.relative_to), all, {{all, 1}}, {{{}, 1}}));
  if (n < 2) return absl::OkStatus();  // the only part is the whole
  bool each_alone = true, each_without = true;
  for (int p = 0; p < n; ++p) {
    each_alone = each_alone && planned.count({p}) > 0;
    each_without = each_without && planned.count(without(p)) > 0;
    if (planned.count({p}) == 0) continue;
    EAQ_RETURN_IF_ERROR(make.Add(EffectKind::kAlone, table.parts[p], {p}, {{{p}, 1}}, {{{}, 1}}));
  }
  for (int p = 0; p < n; ++p) {
    if (planned.count(without(p)) == 0) continue;
    EAQ_RETURN_IF_ERROR(make.Add(EffectKind::kWithout, table.parts[p], {p}, {{all, 1}}, {{without(p), 1}}));
  }
  for (int p = 0; p < n; ++p) {
    for (int q = p + 1; q < n; ++q) {
      if (planned.count({p, q}) == 0 || planned.count({p}) == 0 || planned.count({q}) == 0) continue;
      EAQ_RETURN_IF_ERROR(make.Add(EffectKind::kPair, absl::StrCat(table.parts[p], " \xC3\x97 ", table.parts[q]),
                                   {p, q}, {{{p, q}, 1}, {{}, 1}}, {{{p}, 1}, {{q}, 1}}));
    }
  }
  // Of two parts the rest is their interaction, which stands there already.
  if (each_alone && n > 2) {
    Sum minus;
    for (int p = 0; p < n; ++p) minus.push_back({{p}, 1});
    return make.Add(EffectKind::kRest, "all interactions", all, {{all, 1}, {{}, static_cast<double>(n - 1)}}, minus);
  }
  if (!each_alone && each_without) {
    Sum plus;
    for (int p = 0; p < n; ++p) plus.push_back({without(p), 1});
    return make.Add(EffectKind::kRest, "all interactions", all, plus, {{all, static_cast<double>(n - 1)}, {{}, 1}});
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<AblationTable>> MeasureAblation(const AblationInputs& ablation,
                                                           absl::Span<const Measured> measured,
                                                           const PairedOptions& options, Resampler& resampler) {
  std::map<std::string, size_t> by_key;  // trial -> its group
  for (size_t i = 0; i < measured.size(); ++i) {
    for (const std::string& key : measured[i].group.keys) by_key[key] = i;
  }
  std::vector<std::string> schemes;  // ids, in order of appearance
  for (const Measured& m : measured) {
    if (m.scheme_id.empty() || std::find(schemes.begin(), schemes.end(), m.scheme_id) != schemes.end()) continue;
    schemes.push_back(m.scheme_id);
  }
  std::set<Parts> planned;
  for (const AblationInputs::Arm& arm : ablation.arms) planned.insert(arm.on);
  std::vector<AblationTable> out;
  for (const std::string& scheme : schemes) {
    AblationTable table;
    table.of = ablation.of;
    table.relative_to = ablation.relative_to;
    table.parts = ablation.parts;
    table.fields = ablation.fields;
    table.notes = ablation.notes;
    Arms arms;
    size_t missing = 0;
    for (const AblationInputs::Arm& arm : ablation.arms) {
      AblationRow row{arm.name, arm.on, std::nullopt, 0};
      for (const std::string& key : arm.keys) {
        const auto at = by_key.find(key);
        if (at == by_key.end() || measured[at->second].scheme_id != scheme) continue;
        const Measured& m = measured[at->second];
        arms[arm.on] = &m;
        row.pooled = m.group.pooled;
        row.seeds = m.group.seeds.size();
        table.scheme = m.group.scheme;
        table.model = m.group.model;
        break;
      }
      missing += !row.pooled;
      table.rows.push_back(std::move(row));
    }
    if (arms.empty()) continue;
    if (missing > 0) {
      table.notes.push_back(absl::StrCat(missing, missing == 1 ? " recipe has" : " recipes have",
                                         " no finished trial: effects that need them are missing"));
    }
    EAQ_RETURN_IF_ERROR(AddEffects(planned, arms, options, resampler, table));
    std::vector<PairedResult*> family;
    for (AblationEffect& e : table.effects) {
      if (e.paired) family.push_back(&*e.paired);
    }
    EAQ_RETURN_IF_ERROR(CorrectFamily(absl::MakeSpan(family), options));
    out.push_back(std::move(table));
  }
  return out;
}

}  // namespace report_internal
}  // namespace eaq
