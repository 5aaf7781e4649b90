#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/base/status_macros.h"
#include "eaq/report/ablation.h"
#include "eaq/report/claims.h"
#include "eaq/report/cost.h"
#include "eaq/report/fairness.h"
#include "eaq/report/format.h"
#include "eaq/report/groups.h"
#include "eaq/report/ranking.h"
#include "eaq/report/recipe_fields.h"
#include "eaq/report/report.h"
#include "eaq/report/tasks.h"

namespace eaq {
namespace {

using report_internal::DigitsFor;
using report_internal::FindDuel;
using report_internal::Fixed;
using report_internal::Gate;
using report_internal::HolmP;
using report_internal::Measured;
using report_internal::Signed;

// Deltas of every group to full precision, per domain and pooled, and per seed.
absl::Status CompareWithFull(const Measured& full, const PairedOptions& options, Resampler& resampler, Measured& m) {
  if (m.group.full_precision) return absl::OkStatus();
  const double full_all = full.group.pooled.nll;
  for (size_t d = 0; d < m.nll.size(); ++d) {
    EAQ_ASSIGN_OR_RETURN(m.group.domain[d].versus_full,
                         ComparePaired(m.nll[d].mean, full.nll[d].mean, options, resampler));
    for (double& delta : m.group.domain[d].seed_delta) delta -= full.group.domain[d].nll;
  }
  EAQ_ASSIGN_OR_RETURN(m.group.pooled.versus_full, ComparePaired(m.pooled, full.pooled, options, resampler));
  for (double& delta : m.group.pooled.seed_delta) delta -= full_all;
  return absl::OkStatus();
}

absl::Status CorrectAgainstFull(Comparison& c) {
  std::vector<PairedResult*> pooled, domains;
  for (Group& g : c.groups) {
    if (g.pooled.versus_full) pooled.push_back(&*g.pooled.versus_full);
    for (DomainCell& cell : g.domain) {
      if (cell.versus_full) domains.push_back(&*cell.versus_full);
    }
  }
  c.family_full = static_cast<int64_t>(pooled.size());
  EAQ_RETURN_IF_ERROR(CorrectFamily(absl::MakeSpan(pooled), c.options.paired));
  return CorrectFamily(absl::MakeSpan(domains), c.options.paired);
}

absl::Status Fight(const std::vector<Measured>& measured, Resampler& resampler, Comparison& c) {
  const PairedOptions& options = c.options.paired;
  for (const SchemeSummary& scheme : c.schemes) {
    for (size_t i = 0; i < scheme.groups.size(); ++i) {
      for (size_t j = i + 1; j < scheme.groups.size(); ++j) {
        if (c.groups[scheme.groups[i]].rank_class != c.groups[scheme.groups[j]].rank_class) continue;
        const Measured &a = measured[scheme.groups[i]], &b = measured[scheme.groups[j]];
        Duel duel;
        duel.first = scheme.groups[i];
        duel.second = scheme.groups[j];
        EAQ_ASSIGN_OR_RETURN(duel.pooled, ComparePaired(a.pooled, b.pooled, options, resampler));
        for (size_t d = 0; d < a.nll.size(); ++d) {
          EAQ_ASSIGN_OR_RETURN(const PairedResult r, ComparePaired(a.nll[d].mean, b.nll[d].mean, options, resampler));
          duel.domains_won += r.high < 0;
          duel.domains_lost += r.low > 0;
        }
        c.duels.push_back(std::move(duel));
      }
    }
  }
  std::vector<PairedResult*> family;
  for (Duel& duel : c.duels) family.push_back(&duel.pooled);
  return CorrectFamily(absl::MakeSpan(family), options);
}

// The label in the table of the recipe whose name or title is NAME; of the first row without one.
std::string BaselineLabel(const std::string& name, const Gate& gate, const Comparison& c) {
  if (name.empty()) return c.schemes.empty() ? "" : c.groups[c.schemes[0].groups[0]].recipe;
  for (const ReportTrial* trial : gate.admitted) {
    const Recipe& r = trial->spec.recipe();
    if (trial->spec.has_scheme() && r.name() == name) return r.title().empty() ? r.name() : r.title();
  }
  return name;
}

bool IsBaseline(const Comparison& c, const Group& g) { return g.recipe == c.options.baseline; }

// "-0.0123 nats/token [-0.0150, -0.0096]"
std::string Difference(const PairedResult& r) {
  const int digits = DigitsFor((r.high - r.low) / 2);
  return absl::StrCat(Signed(r.mean, digits), " nats/token [", Fixed(r.low, digits), ", ", Fixed(r.high, digits), "]");
}

// A difference is shown by its p, equivalence by the margin: a large p alone proves nothing.
std::string Against(const PairedResult& r, const std::string& opponent, const PairedOptions& options) {
  if (r.verdict == Verdict::kEquivalent) {
    if (r.mean == 0 && r.low == 0 && r.high == 0) return absl::StrCat("the same loss in every window as ", opponent);
    return absl::StrCat("equivalent to ", opponent, " (", Difference(r), ", inside \xC2\xB1", Fixed(options.margin, 3),
                        ")");
  }
  const char* how = r.verdict == Verdict::kBetter  ? "significantly better than "
                    : r.verdict == Verdict::kWorse ? "significantly worse than "
                                                   : "not separable from ";
  return absl::StrCat(how, opponent, " (", Difference(r), ", Holm p ", HolmP(r, options.draws), ")");
}

// "; also equivalent: RTN, GPTQ": those of ORDER's rows that are neither the first two nor the baseline.
void AddTied(const Comparison& c, const std::vector<int>& order, Verdict verdict, const char* word,
             std::vector<std::string>& clauses) {
  std::vector<std::string> names;
  PairedResult r;
  for (size_t i = 2; i < order.size(); ++i) {
    const Group& g = c.groups[order[i]];
    if (IsBaseline(c, g) || !FindDuel(c, order[0], order[i], r) || r.verdict != verdict) continue;
    names.push_back(g.recipe);
  }
  if (!names.empty()) clauses.push_back(absl::StrCat(word, absl::StrJoin(names, ", ")));
}

void Summarize(Comparison& c, Ranking& scheme) {
  std::vector<int> order;
  for (const int i : scheme.groups) {
    if (c.groups[i].mark.empty()) order.push_back(i);
  }
  if (order.empty()) {
    scheme.sentence = absl::StrCat(scheme.label, ": no row that could be best (all are marked).");
    return;
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return c.groups[a].pooled.nll < c.groups[b].pooled.nll; });
  scheme.best = order[0];
  Group& best = c.groups[scheme.best];
  best.best = order.size() > 1;
  for (size_t d = 0; order.size() > 1 && d <= best.domain.size(); ++d) {
    const auto cell = [&](int i) -> DomainCell& {
      return d < best.domain.size() ? c.groups[i].domain[d] : c.groups[i].pooled;
    };
    double least = cell(order[0]).perplexity;
    for (const int i : order) least = std::min(least, cell(i).perplexity);
    // Equal as shown is equal.
    for (const int i : order) cell(i).lowest = Fixed(cell(i).perplexity, 2) == Fixed(least, 2);
  }
  std::vector<std::string> clauses;
  PairedResult r;
  const bool rival = order.size() > 1 && FindDuel(c, order[0], order[1], r);
  bool clear = true;
  for (size_t i = 1; i < order.size(); ++i) {
    PairedResult other;
    Group& g = c.groups[order[i]];
    g.tied = FindDuel(c, order[0], order[i], other) && other.verdict != Verdict::kBetter;
    clear = clear && !g.tied;
  }
  std::string text = absl::StrCat(scheme.label, ": ",
                                  !rival  ? best.recipe
                                  : clear ? absl::StrCat("best is ", best.recipe)
                                          : absl::StrCat("no clear winner: lowest loss ", best.recipe));
  if (rival) clauses.push_back(Against(r, c.groups[order[1]].recipe, c.options.paired));
  AddTied(c, order, Verdict::kEquivalent, "also equivalent: ", clauses);
  AddTied(c, order, Verdict::kUndecided, "also not separable: ", clauses);
  for (size_t i = 2; i < order.size(); ++i) {
    if (IsBaseline(c, c.groups[order[i]]) && FindDuel(c, order[0], order[i], r)) {
      clauses.push_back(Against(r, c.groups[order[i]].recipe, c.options.paired));
    }
  }
  if (best.pooled.versus_full) {
    const PairedResult& full = *best.pooled.versus_full;
    clauses.push_back(full.verdict == Verdict::kEquivalent
                          ? Against(full, "full precision", c.options.paired)
                          : absl::StrCat("difference to full precision ", Difference(full)));
  }
  absl::StrAppend(&text, clauses.empty() ? "" : !rival || clear ? ": " : ", ", absl::StrJoin(clauses, "; "), ".");
  scheme.sentence = std::move(text);
}

std::string Join(const std::vector<std::string>& names) { return absl::StrJoin(names, ", "); }

// What the rows of one table do not share.
void AddUnequal(const Gate& gate, Comparison& c) {
  std::vector<std::string> none, some;
  size_t draws = 0;
  for (const Group& g : c.groups) {
    if (g.full_precision) continue;
    std::vector<std::string>& names = g.seeds.empty() ? none : some;
    if (std::find(names.begin(), names.end(), g.recipe) == names.end()) names.push_back(g.recipe);
    draws = std::max(draws, g.seeds.size());
  }
  if (!none.empty() && !some.empty()) {
    c.unequal.push_back(absl::StrCat("Calibration data: ", Join(none), none.size() == 1 ? " reads" : " read",
                                     " none and ran once; ", Join(some), some.size() == 1 ? " reads" : " read", " ",
                                     gate.calibration.substr(0, gate.calibration.find(':')),
                                     draws > 1 ? absl::StrCat(", drawn ", draws, " times and averaged") : ""));
  }
  bool same = true;
  for (const SchemeSummary& scheme : c.schemes) {
    const Group *low = nullptr, *high = nullptr;
    for (const int i : scheme.groups) {
      const Group& g = c.groups[i];
      if (!(g.bits_per_weight > 0)) continue;
      if (low == nullptr || g.bits_per_weight < low->bits_per_weight) low = &g;
      if (high == nullptr || g.bits_per_weight > high->bits_per_weight) high = &g;
    }
    if (low == nullptr || high->bits_per_weight - low->bits_per_weight < 0.005) continue;
    same = false;
    c.unequal.push_back(absl::StrCat("Stored bits per weight under ", scheme.scheme, ": from ",
                                     Fixed(low->bits_per_weight, 2), " (", low->recipe, ") to ",
                                     Fixed(high->bits_per_weight, 2), " (", high->recipe, ")"));
  }
  if (const std::string work = report_internal::RunTimeWork(c); !work.empty()) c.unequal.push_back(work);
  if (same && !c.schemes.empty())
    c.equal.push_back("Stored bits per weight: the same within each scheme, to 0.005 bit");
}

void PredictFromRouters(Comparison& c) {
  constexpr size_t kRows = 4;  // three rows have six orders: no test
  for (const SchemeSummary& scheme : c.schemes) {
    std::vector<double> agreement, kl, agreement_loss, kl_loss;
    for (const int i : scheme.groups) {
      const DomainCell& cell = c.groups[i].pooled;
      if (!cell.versus_full) continue;
      if (cell.router_topk_agreement) {
        agreement.push_back(*cell.router_topk_agreement);
        agreement_loss.push_back(cell.versus_full->mean);
      }
      if (cell.router_kl) {
        kl.push_back(*cell.router_kl);
        kl_loss.push_back(cell.versus_full->mean);
      }
    }
    RouterPrediction prediction{scheme.scheme, std::nullopt, std::nullopt};
    const auto correlate = [&](const std::vector<double>& x, const std::vector<double>& y,
                               std::optional<RankCorrelation>& out) {
      if (x.size() < kRows) return;
      const auto r = CorrelateRanks(x, y, c.options.seed);
      if (r.ok()) out = *r;
    };
    correlate(agreement, agreement_loss, prediction.agreement);
    correlate(kl, kl_loss, prediction.kl);
    if (prediction.agreement || prediction.kl) c.router_predictions.push_back(std::move(prediction));
  }
}

// The trials that are rows of the table.
Gate RowsOf(const Gate& gate) {
  Gate rows = gate;
  rows.admitted.clear();
  for (const ReportTrial* trial : gate.admitted) {
    if (!trial->ablation_only) rows.admitted.push_back(trial);
  }
  return rows;
}

void AddFields(const Gate& rows, Comparison& c) {
  std::vector<std::pair<std::string, const Recipe*>> recipes;
  for (const Group& g : c.groups) {
    if (g.full_precision) continue;
    for (const ReportTrial* trial : rows.admitted) {
      if (trial->key == g.keys[0]) recipes.emplace_back(g.recipe, &trial->spec.recipe());
    }
  }
  report_internal::FieldComparison fields = report_internal::CompareFields(recipes);
  c.equal_fields = std::move(fields.equal);
  c.unequal_fields = std::move(fields.unequal);
}

// From this share of repetitive windows on, a calibration set counts as degenerate.
constexpr double kMostRepetitive = 0.05;

void AddNotes(const Gate& gate, bool have_full, Comparison& c) {
  if (gate.reference->evaluation().split() == EvaluationData::CALIBRATION) {
    c.notes.push_back("Measured on the calibration split: good for choosing among recipes, not for results.");
  }
  if (gate.reference->backend() != "cpu") {
    c.notes.push_back(absl::StrCat(
        "Evaluated by the ", gate.reference->backend(),
        " backend, which also summed second moments, found grids, rounded to nearest and for GPTQ and made the "
        "products of searches; calibration, all else of quantization and the full-precision model that KL and router "
        "agreement compare with ran on the CPU."));
  }
  if (!have_full) c.notes.push_back("No full-precision trial is finished: differences to it are missing.");
  int64_t fewest = c.groups.empty() ? 0 : c.groups[0].domain[0].documents;
  std::string where;
  for (const DomainCell& cell : c.groups[0].domain) {
    if (cell.documents <= fewest) {
      fewest = cell.documents;
      where = cell.domain;
    }
  }
  if (fewest < 10) {
    c.notes.push_back(absl::StrCat("Domain ", where, " has ", fewest, fewest == 1 ? " document" : " documents",
                                   ": intervals from fewer than 10 clusters are too narrow; trust them less."));
  }
  bool single = false;
  size_t least = ~size_t{0}, most = 0;
  for (const Group& g : c.groups) {
    if (g.seeds.empty()) continue;
    single = single || g.seeds.size() == 1;
    least = std::min(least, g.seeds.size());
    most = std::max(most, g.seeds.size());
  }
  if (single) c.notes.push_back("Rows with one calibration seed say nothing about the luck of the calibration draw.");
  if (most > 0 && least != most) {
    c.notes.push_back(absl::StrCat("Rows have different numbers of calibration seeds (", least, " to ", most, ")."));
  }
  // The share is that of the sample, not of the recipe: rows of one sample are named by the first.
  std::set<std::string> samples;
  for (const Group& g : c.groups) {
    if (g.repetitive_calibration < kMostRepetitive) continue;
    const std::string share = absl::StrCat(Fixed(100 * g.repetitive_calibration, 0), "%");
    if (!samples.insert(share).second) continue;
    c.notes.push_back(absl::StrCat("Degenerate calibration: of the windows that the model wrote for ", g.recipe, ", ",
                                   share, " repeat themselves; it says little about other text."));
  }
  if (c.provenance.binaries.size() > 1) {
    c.notes.push_back(absl::StrCat("The trials were run by ", c.provenance.binaries.size(),
                                   " different binaries (listed under provenance)."));
  }
  // With so many duels the smallest p that random sign flips can show is above alpha after Holm's correction.
  const double floor = static_cast<double>(c.duels.size()) / (c.options.paired.draws + 1.0);
  const bool exact = std::any_of(c.duels.begin(), c.duels.end(), [](const Duel& d) { return d.pooled.exact; });
  if (!exact && floor >= c.options.paired.alpha) {
    c.notes.push_back(absl::StrCat(
        "No duel can be significant: of ", c.duels.size(), " with ", c.options.paired.draws,
        " draws the smallest Holm p is ", Fixed(floor, 3), ". More draws: comparison { draws: ",
        static_cast<int64_t>(std::ceil(static_cast<double>(c.duels.size()) / c.options.paired.alpha / 1000 * 2)) * 1000,
        " }."));
  }
  if (c.pending > 0) {
    c.notes.push_back(absl::StrCat(c.pending, " trial", c.pending == 1 ? " is" : "s are",
                                   " not finished; the table will change when they are."));
  }
  if (!c.failures.empty()) {
    c.notes.push_back(absl::StrCat(c.failures.size(), " trial", c.failures.size() == 1 ? "" : "s",
                                   " failed and are missing from the table."));
  }
}

}  // namespace

absl::StatusOr<Comparison> Compare(const ReportInputs& inputs, const CompareOptions& options) {
  if (inputs.trials.empty()) {
    return absl::NotFoundError(absl::StrCat("report: no finished trial to compare (", inputs.failures.size(),
                                            " failed, ", inputs.pending, " pending); run the sweep first"));
  }
  const Gate gate = report_internal::PassGate(inputs.trials);
  Comparison c;
  c.title = inputs.title;
  c.form = inputs.form;
  c.options = options;
  c.provenance = inputs.provenance;
  c.failures = inputs.failures;
  c.pending = inputs.pending;
  c.refused = gate.refused;
  c.equal = report_internal::EqualLines(gate);
  c.window_tokens = gate.reference->evaluation().window();
  const Gate rows = RowsOf(gate);
  if (rows.admitted.empty()) {
    return absl::NotFoundError("report: no finished trial but arms of ablations; run the sweep first");
  }
  for (const Series& s : rows.admitted[0]->result.series()) {
    if (s.metric() == "nll") c.domains.push_back(s.domain());
  }
  if (c.domains.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("report: trial ", rows.admitted[0]->key.substr(0, 12),
                                                   " has no series 'nll'; nothing to compare"));
  }
  EAQ_ASSIGN_OR_RETURN(std::vector<Measured> measured,
                       report_internal::MeasureGroups(rows, c.domains, options.canonical_order));

  Resampler resampler(options.seed);
  const bool have_full = measured[0].group.full_precision;
  for (Measured& m : measured) {
    EAQ_ASSIGN_OR_RETURN(const SeedCombination seeds, CombineSeeds(m.seed_pooled));
    m.group.pooled.seed_delta = seeds.seed_mean;
    m.group.pooled.seed_spread = seeds.spread;
    if (have_full) EAQ_RETURN_IF_ERROR(CompareWithFull(measured[0], options.paired, resampler, m));
  }
  for (Measured& m : measured) {
    const int index = static_cast<int>(c.groups.size());
    c.groups.push_back(std::move(m.group));
    const Group& g = c.groups.back();
    if (g.full_precision) continue;
    if (c.schemes.empty() || c.schemes.back().scheme != g.scheme) c.schemes.push_back({g.scheme, {}, {}});
    c.schemes.back().groups.push_back(index);
  }
  c.windows = c.groups[0].pooled.windows;
  c.documents = c.groups[0].pooled.documents;
  c.options.baseline = BaselineLabel(options.baseline, gate, c);
  report_internal::DivideRanks(c);
  EAQ_RETURN_IF_ERROR(CorrectAgainstFull(c));
  EAQ_RETURN_IF_ERROR(Fight(measured, resampler, c));
  EAQ_RETURN_IF_ERROR(report_internal::CompareTasks(gate, c));
  for (SchemeSummary& scheme : c.schemes) {
    for (Ranking& ranking : scheme.rankings) Summarize(c, ranking);
  }
  PredictFromRouters(c);
  AddUnequal(gate, c);
  AddFields(rows, c);
  AddNotes(gate, have_full, c);
  if (inputs.ablations.empty() && inputs.claims.empty()) return c;
  // Arms are measured by themselves: their labels do not number the rows of the table.
  EAQ_ASSIGN_OR_RETURN(std::vector<Measured> arms,
                       report_internal::MeasureGroups(gate, c.domains, options.canonical_order));
  for (Measured& arm : arms) {
    if (have_full) EAQ_RETURN_IF_ERROR(CompareWithFull(arms[0], options.paired, resampler, arm));
  }
  for (const AblationInputs& ablation : inputs.ablations) {
    EAQ_ASSIGN_OR_RETURN(const std::vector<AblationTable> tables,
                         report_internal::MeasureAblation(ablation, arms, options.paired, resampler));
    for (const AblationTable& table : tables) {
      c.ablations.push_back(table);
      c.ablations.back().form = inputs.form;
    }
  }
  EAQ_ASSIGN_OR_RETURN(c.claims, report_internal::TestClaims(inputs.claims, arms, options.paired, resampler));
  return c;
}

}  // namespace eaq
