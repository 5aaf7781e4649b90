// The multiple-choice knapsack: one choice for every item, least damage within a budget. What every allocator of bits
// comes down to (specs/related_methods.md 13.3): an item is what gets one width, a choice a width.
//
//   std::vector<KnapsackItem> items = {{.cost = {2, 3, 4}, .damage = {9.0, 3.0, 1.0}}, ...};
//   EAQ_ASSIGN_OR_RETURN(const KnapsackSolution s, SolveKnapsack(items, /*capacity=*/7));
//   s.choice[0];   // 0, 1 or 2
//
// Exact, by dynamic programming over what is spent beyond the cheapest choices, in units of the greatest common divisor
// (Kellerer, Pferschy, Pisinger, "Knapsack Problems", 2004, chapter 11): time items * choices * levels. Where that is
// too much (kMaxCells), Lagrangian relaxation and greedy repair, whose distance to the optimum is bounded and told.
#ifndef EAQ_QUANT_KNAPSACK_H_
#define EAQ_QUANT_KNAPSACK_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace eaq {

struct KnapsackItem {
  std::vector<int64_t> cost;   // of each choice, in any unit (stored bits, say); at least one, none negative
  std::vector<double> damage;  // of each choice; finite
};

struct KnapsackSolution {
  std::vector<int> choice;  // one an item
  int64_t cost = 0;
  double damage = 0;
  // No solution does less damage than this: `damage` itself where the solution is exact.
  double bound = 0;
};

// A choice for every item with sum of costs <= CAPACITY and the least sum of damages. Of equals, the cheaper; of equals
// again, the one whose last items have their earlier choices. InvalidArgument: an item without choices, lists of
// unequal length, a negative cost, a damage that is not finite, or a capacity below the sum of the cheapest choices
// (says both).
absl::StatusOr<KnapsackSolution> SolveKnapsack(absl::Span<const KnapsackItem> items, int64_t capacity);

// The two ways of SolveKnapsack, for tests and for callers who know.
absl::StatusOr<KnapsackSolution> SolveKnapsackExactly(absl::Span<const KnapsackItem> items, int64_t capacity);
absl::StatusOr<KnapsackSolution> SolveKnapsackByLagrange(absl::Span<const KnapsackItem> items, int64_t capacity);

// The problem with every item's cheapest choice paid for.
struct ReducedKnapsack {
  std::vector<std::vector<int64_t>> extra;  // [item][choice] what it costs beyond the item's cheapest, in units
  int64_t unit = 1;                         // the greatest common divisor of these
  int64_t room = 0;                         // what is left of the capacity, in units; at most what all could spend
  int64_t paid = 0;
};
// Errors as SolveKnapsack.
absl::StatusOr<ReducedKnapsack> ReduceKnapsack(absl::Span<const KnapsackItem> items, int64_t capacity);

}  // namespace eaq

#endif  // EAQ_QUANT_KNAPSACK_H_
