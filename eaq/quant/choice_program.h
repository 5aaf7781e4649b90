// The multiple-choice knapsack with side conditions, as an integer program: what allocators need that keep counts of
// widths, give budgets to layers, or both.
//
//   std::vector<KnapsackItem> items = {{.cost = {2, 3, 4}, .damage = {9.0, 3.0, 1.0}}, ...};
//   EAQ_ASSIGN_OR_RETURN(const KnapsackSolution s,
//       SolveChoiceProgram(items, /*capacity=*/7, {CountOf("at 4 bits", 0, items.size(), /*choice=*/2, /*least=*/1)}));
//
//   minimise  sum x[i][c] damage[i][c]   over x of 0 and 1
//   subject to  sum_c x[i][c] = 1,  sum x[i][c] cost[i][c] <= capacity,  least <= sum factor x[item][choice] <= most
//
// Solved by GLPK's branch and cut (glp_intopt) with rounding cuts, without which equal costs and noisy damages take
// forever. 1,024 items of four choices: about a second.
#ifndef EAQ_QUANT_CHOICE_PROGRAM_H_
#define EAQ_QUANT_CHOICE_PROGRAM_H_

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/quant/knapsack.h"

namespace eaq {

struct ChoiceCondition {
  struct Term {
    int64_t item = 0;
    int choice = 0;
    double factor = 1;
  };
  std::string name;  // what errors call it
  std::vector<Term> terms;
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();

  // The sum for CHOICE, one an item.
  double Sum(absl::Span<const int> choice) const;
  // Whether SUM lies within least and most, but for the rounding of a sum of doubles.
  bool Holds(double sum) const;
};

// At least LEAST and at most MOST of the items BEGIN .. END-1 take CHOICE.
ChoiceCondition CountOf(std::string name, int64_t begin, int64_t end, int choice, double least,
                        double most = std::numeric_limits<double>::infinity());
// The costs of the items BEGIN .. END-1 are at most MOST together.
ChoiceCondition CostOf(std::string name, absl::Span<const KnapsackItem> items, int64_t begin, int64_t end,
                       int64_t most);

struct ChoiceProgramOptions {
  // Wall time. A program that is not solved by then is an error, never a worse solution: results do not depend on the
  // speed of a machine.
  double time_limit_seconds = 60;
};

// A choice for every item within CAPACITY and CONDITIONS of the least damage: exactly where SolveKnapsack is exact and
// no condition is in its way, else to GLPK's tolerance, 1e-7 of the damage above the sum of the least damages. The same
// for the same arguments; of equally good solutions any. `bound` is the damage. Thread-safe.
//
// InvalidArgument: as SolveKnapsack; a condition of an item or choice that does not exist, a factor that is not finite;
// no choice satisfies all (lists the conditions). DeadlineExceeded: the time limit.
absl::StatusOr<KnapsackSolution> SolveChoiceProgram(absl::Span<const KnapsackItem> items, int64_t capacity,
                                                    absl::Span<const ChoiceCondition> conditions,
                                                    const ChoiceProgramOptions& options = {});

// The same, always by GLPK: for tests and for callers who know.
absl::StatusOr<KnapsackSolution> SolveChoiceProgramByGlpk(absl::Span<const KnapsackItem> items, int64_t capacity,
                                                          absl::Span<const ChoiceCondition> conditions,
                                                          const ChoiceProgramOptions& options = {});

}  // namespace eaq

#endif  // EAQ_QUANT_CHOICE_PROGRAM_H_
