#include "eaq/quant/choice_program.h"

#include <glpk.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// GLPK's memory of this thread: given back when the one who asked for it is done.
class Environment {
 public:
  Environment() : ours_(glp_init_env() == 0) { glp_term_out(GLP_OFF); }
  ~Environment() {
    if (ours_) glp_free_env();
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const bool ours_;
};

struct DeleteProgram {
  void operator()(glp_prob* program) const { glp_delete_prob(program); }
};
using Program = std::unique_ptr<glp_prob, DeleteProgram>;

// GLPK ends the process over a wrong index, so all is looked at before.
absl::Status CheckConditions(absl::Span<const KnapsackItem> items, absl::Span<const ChoiceCondition> conditions) {
  for (const ChoiceCondition& condition : conditions) {
    if (std::isnan(condition.least) || std::isnan(condition.most) || condition.least > condition.most) {
      return absl::InvalidArgumentError(absl::StrCat("condition ", condition.name, ": least ", condition.least,
                                                     " and most ", condition.most, "; expected least <= most"));
    }
    for (const ChoiceCondition::Term& term : condition.terms) {
      const bool item = term.item >= 0 && term.item < static_cast<int64_t>(items.size());
      const int64_t choices = item ? items[term.item].cost.size() : 0;
      if (item && term.choice >= 0 && term.choice < choices && std::isfinite(term.factor)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("condition ", condition.name, " has the factor ", term.factor, " for choice ", term.choice,
                       " of item ", term.item, "; expected a finite factor, and one of ", items.size(), " items",
                       item ? absl::StrCat(" and of the item's ", choices, " choices") : std::string()));
    }
  }
  return absl::OkStatus();
}

// The entries of a sparse matrix, counted from 1 as GLPK does.
struct Entries {
  std::vector<int> row = {0}, column = {0};
  std::vector<double> value = {0};
  void Add(int r, int c, double v) {
    row.push_back(r);
    column.push_back(c);
    value.push_back(v);
  }
};

void SetRow(glp_prob* program, int row, double least, double most) {
  const bool below = std::isfinite(least), above = std::isfinite(most);
  const int kind = below && above ? (least == most ? GLP_FX : GLP_DB) : below ? GLP_LO : above ? GLP_UP : GLP_FR;
  glp_set_row_bnds(program, row, kind, below ? least : 0, above ? most : 0);
}

// What damages are multiplied by, so that GLPK's absolute tolerances (1e-7) are small beside the solution. BOUND: what
// no solution is below.
double DamageScale(absl::Span<const KnapsackItem> items, double bound) {
  constexpr double kSolution = 1e4, kLargest = 1e10;
  double base = 0, range = 0;
  for (const KnapsackItem& item : items) {
    const auto [low, high] = std::minmax_element(item.damage.begin(), item.damage.end());
    base += *low;
    range = std::max(range, *high - *low);
  }
  if (range == 0) return 1;
  const double above = bound - base;
  return above > 0 ? std::min(kSolution / above, kLargest / range) : kSolution / range;
}

std::string Described(const ChoiceCondition& c) {
  return absl::StrCat(c.name, " (", std::isfinite(c.least) ? absl::StrCat("at least ", c.least) : "",
                      std::isfinite(c.least) && std::isfinite(c.most) ? ", " : "",
                      std::isfinite(c.most) ? absl::StrCat("at most ", c.most) : "", ")");
}

}  // namespace

double ChoiceCondition::Sum(absl::Span<const int> choice) const {
  double sum = 0;
  for (const Term& term : terms) sum += choice[term.item] == term.choice ? term.factor : 0;
  return sum;
}

bool ChoiceCondition::Holds(double sum) const {
  const auto slack = [](double limit) { return 1e-9 * std::max(1.0, std::fabs(limit)); };
  return (!std::isfinite(least) || sum >= least - slack(least)) && (!std::isfinite(most) || sum <= most + slack(most));
}

ChoiceCondition CountOf(std::string name, int64_t begin, int64_t end, int choice, double least, double most) {
  ChoiceCondition condition{std::move(name), {}, least, most};
  for (int64_t i = begin; i < end; ++i) condition.terms.push_back({i, choice, 1.0});
  return condition;
}

// In units and beyond the cheapest choices, as SolveChoiceProgramByGlpk states the capacity: whole numbers make sharp
// cuts.
ChoiceCondition CostOf(std::string name, absl::Span<const KnapsackItem> items, int64_t begin, int64_t end,
                       int64_t most) {
  ChoiceCondition condition{std::move(name), {}, -kInfinity, kInfinity};
  const auto reduced = ReduceKnapsack(items.subspan(begin, end - begin), std::numeric_limits<int64_t>::max());
  if (!reduced.ok()) return condition;  // what is wrong with the items is said where they are solved
  for (int64_t i = begin; i < end; ++i) {
    for (size_t c = 0; c < items[i].cost.size(); ++c) {
      const auto extra = static_cast<double>(reduced->extra[i - begin][c]);
      if (extra > 0) condition.terms.push_back({i, static_cast<int>(c), extra});
    }
  }
  condition.most = std::floor(static_cast<double>(most - reduced->paid) / static_cast<double>(reduced->unit));
  return condition;
}

absl::StatusOr<KnapsackSolution> SolveChoiceProgramByGlpk(absl::Span<const KnapsackItem> items, int64_t capacity,
                                                          absl::Span<const ChoiceCondition> conditions,
                                                          const ChoiceProgramOptions& options) {
  if (!(options.time_limit_seconds > 0 && options.time_limit_seconds <= 1e6)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the time limit is ", options.time_limit_seconds, " s; expected above 0 and at most 1e6"));
  }
  EAQ_ASSIGN_OR_RETURN(const ReducedKnapsack reduced, ReduceKnapsack(items, capacity));
  EAQ_RETURN_IF_ERROR(CheckConditions(items, conditions));
  EAQ_ASSIGN_OR_RETURN(const KnapsackSolution without, SolveKnapsackByLagrange(items, capacity));
  if (items.empty()) return without;
  const double scale = DamageScale(items, without.bound);

  const Environment environment;
  const Program program(glp_create_prob());
  glp_prob* const p = program.get();
  const int n = static_cast<int>(items.size());
  std::vector<int> column(n);  // of an item's choice 0
  int columns = 0;
  for (int i = 0; i < n; ++i) column[i] = columns + 1, columns += static_cast<int>(items[i].cost.size());
  glp_set_obj_dir(p, GLP_MIN);
  glp_add_cols(p, columns);
  glp_add_rows(p, n + 1 + static_cast<int>(conditions.size()));
  Entries entries;
  for (int i = 0; i < n; ++i) {
    const double least = *std::min_element(items[i].damage.begin(), items[i].damage.end());
    for (size_t c = 0; c < items[i].cost.size(); ++c) {
      const int j = column[i] + static_cast<int>(c);
      glp_set_col_kind(p, j, GLP_BV);
      glp_set_obj_coef(p, j, (items[i].damage[c] - least) * scale);
      entries.Add(i + 1, j, 1);
      if (reduced.extra[i][c] > 0) entries.Add(n + 1, j, static_cast<double>(reduced.extra[i][c]));
    }
    SetRow(p, i + 1, 1, 1);
  }
  SetRow(p, n + 1, -kInfinity, static_cast<double>(reduced.room));
  for (size_t k = 0; k < conditions.size(); ++k) {
    const int row = n + 2 + static_cast<int>(k);
    std::map<int, double> factors;  // terms of the same choice add up
    for (const ChoiceCondition::Term& term : conditions[k].terms)
      factors[column[term.item] + term.choice] += term.factor;
    for (const auto& [j, factor] : factors) entries.Add(row, j, factor);
    SetRow(p, row, conditions[k].least, conditions[k].most);
  }
  glp_load_matrix(p, static_cast<int>(entries.row.size()) - 1, entries.row.data(), entries.column.data(),
                  entries.value.data());

  glp_iocp control;
  glp_init_iocp(&control);
  control.msg_lev = GLP_MSG_OFF;
  control.presolve = GLP_ON;
  control.mir_cuts = GLP_ON;
  control.cov_cuts = GLP_ON;
  control.tm_lim = static_cast<int>(std::ceil(1000 * options.time_limit_seconds));
  const int code = glp_intopt(p, &control);
  if (code == GLP_ETMLIM) {
    return absl::DeadlineExceededError(absl::StrCat(
        "the integer program of ", n, " items and ", conditions.size(), " conditions is not solved after ",
        options.time_limit_seconds, " s; expected a solution. Fewer widths or conditions make it easier, and without ",
        "conditions the knapsack (eaq/quant/knapsack.h) needs no time limit"));
  }
  const int status = glp_mip_status(p);
  if (code == GLP_ENOPFS || (code == 0 && status == GLP_NOFEAS)) {
    std::vector<std::string> all;
    for (const ChoiceCondition& condition : conditions) all.push_back(Described(condition));
    return absl::InvalidArgumentError(absl::StrCat("no choice of ", n, " items costs at most ", capacity, " and keeps ",
                                                   absl::StrJoin(all, ", "), "; raise the budget or drop a condition"));
  }
  if (code != 0 || status != GLP_OPT) {
    return absl::InternalError(absl::StrCat("GLPK ended an integer program with code ", code, " and status ", status,
                                            "; expected an optimal solution"));
  }

  // Summed anew, in whole numbers.
  KnapsackSolution solution;
  for (int i = 0; i < n; ++i) {
    int taken = -1;
    for (size_t c = 0; c < items[i].cost.size(); ++c) {
      if (glp_mip_col_val(p, column[i] + static_cast<int>(c)) > 0.5) taken = static_cast<int>(c);
    }
    if (taken < 0) return absl::InternalError(absl::StrCat("GLPK chose nothing for item ", i));
    solution.choice.push_back(taken);
    solution.cost += items[i].cost[taken];
    solution.damage += items[i].damage[taken];
  }
  solution.bound = solution.damage;
  if (solution.cost > capacity) {
    return absl::InternalError(
        absl::StrCat("GLPK's solution costs ", solution.cost, "; expected at most ", capacity, " (its tolerances)"));
  }
  for (const ChoiceCondition& condition : conditions) {
    if (condition.Holds(condition.Sum(solution.choice))) continue;
    return absl::InternalError(absl::StrCat("GLPK's solution does not keep ", Described(condition), ": the sum is ",
                                            condition.Sum(solution.choice)));
  }
  return solution;
}

absl::StatusOr<KnapsackSolution> SolveChoiceProgram(absl::Span<const KnapsackItem> items, int64_t capacity,
                                                    absl::Span<const ChoiceCondition> conditions,
                                                    const ChoiceProgramOptions& options) {
  EAQ_RETURN_IF_ERROR(CheckConditions(items, conditions));
  EAQ_ASSIGN_OR_RETURN(KnapsackSolution without, SolveKnapsack(items, capacity));
  // The best without conditions is the best with them if it keeps them.
  const bool keeps = std::all_of(conditions.begin(), conditions.end(), [&](const ChoiceCondition& condition) {
    return condition.Holds(condition.Sum(without.choice));
  });
  if (keeps && without.bound == without.damage) return without;
  return SolveChoiceProgramByGlpk(items, capacity, conditions, options);
}

}  // namespace eaq
