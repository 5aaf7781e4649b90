// Slot 3 over a whole model: what an allocator is asked, and how it meets a budget.
//
//   EAQ_ASSIGN_OR_RETURN(const AllocationProblem problem, AllocationProblem::Create(config, scheme));
//   const std::vector<AllocationUnit> experts = RoutedExperts(problem);
//   BitPlan plan = PlanOf(problem, experts, {4, 2, 3, ...});                      // widths that a method found itself
//   EAQ_ASSIGN_OR_RETURN(plan, PlanUnderBudget(problem, experts, {2, 3, 4}, damage));  // the least damage in the
//   budget
//
// Sizes are what the packed file stores: codes, scales and zeros (quant/packing.h).
#ifndef EAQ_RECIPE_ALLOCATION_H_
#define EAQ_RECIPE_ALLOCATION_H_

#include <google/protobuf/repeated_field.h>

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "eaq/model/config.h"
#include "eaq/model/linear_id.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/grid.h"

namespace eaq {

// A grid for every linear of the model that the scheme covers; bits 16 leaves one in full precision.
using BitPlan = std::map<LinearId, GridSpec>;

// Linears that get one width: an expert's three matrices, say, or a single linear.
struct AllocationUnit {
  int layer = 0;
  int expert = -1;  // -1: no routed expert
  std::vector<LinearId> linears;
};

struct AllocationProblem {
  const ModelConfig* config = nullptr;
  GridSpec grid;  // the scheme's weights: kind and granularity of all, and the width of what no unit holds
  std::map<LinearId, std::pair<int64_t, int64_t>> linears;  // [out, in] of those that the scheme covers
  std::optional<Budget> budget;

  // CONFIG must outlive it. InvalidArgument: a budget that is not above 0 and at most 16, or of a scheme whose weights
  // keep 16 bits, or whose scope is empty.
  static absl::StatusOr<AllocationProblem> Create(const ModelConfig& config, const Scheme& scheme);

  GridSpec GridOf(int bits) const;
  int64_t StoredBits(const LinearId& id, int bits) const;
  // Whether the budget counts the linear; without a budget: whether it is a routed expert's.
  bool InScope(const LinearId& id) const;
  // The part of the problem that lies in one layer, under the same budget per weight.
  AllocationProblem OfLayer(int layer) const;
  // Of PLAN, over the scope: stored bits per weight.
  double StoredBitsPerWeight(const BitPlan& plan) const;
};

// One unit a routed expert, by layer, then expert.
std::vector<AllocationUnit> RoutedExperts(const AllocationProblem& problem);

// Where the units of each layer begin and end, for units in the order of layers.
std::vector<std::pair<size_t, size_t>> LayerRuns(absl::Span<const AllocationUnit> units);

// BITS[i] for unit i; the scheme's width for all other linears.
BitPlan PlanOf(const AllocationProblem& problem, absl::Span<const AllocationUnit> units, absl::Span<const int> bits);

// The widths for UNITS that do the least damage within problem.budget, which must be there: DAMAGE[i][w] of giving unit
// i WIDTHS[w] (rising). Linears of the scope that no unit holds keep the scheme's width. What is left of the budget
// once whole units no longer fit raises single linears, the down matrices first, of the units that gain most; so the
// plan lies within kBudgetSlack above and, where any linear is a small part of the scope, 0.01 below the budget.
// InvalidArgument when the smallest widths need more (says the least there is), or for lists of wrong lengths.
inline constexpr double kBudgetSlack = 0.006;  // stored bits per weight: half of 0.01, and a bit, both ways
absl::StatusOr<BitPlan> PlanUnderBudget(const AllocationProblem& problem, absl::Span<const AllocationUnit> units,
                                        absl::Span<const int> widths, const std::vector<std::vector<double>>& damage);

// Layer by layer, for methods that divide bits within layers: PLAN_LAYER gets the problem of one layer and where its
// units begin and end. Every layer has the same budget per weight, and may spend what the layers before left over (or
// must save what they took too much), so the whole comes as near to the budget as its last layer can. Errors name the
// layer.
absl::StatusOr<BitPlan> PlanByLayer(
    const AllocationProblem& problem, absl::Span<const AllocationUnit> units,
    absl::FunctionRef<absl::StatusOr<BitPlan>(const AllocationProblem& layer, size_t begin, size_t end)> plan_layer);

// The widths that a stage may give, rising: those of the field NAME, or DEFAULTS when it has none. InvalidArgument
// unless they are different numbers of 2 .. 8.
absl::StatusOr<std::vector<int>> WidthsFromProto(absl::string_view name,
                                                 const google::protobuf::RepeatedField<int32_t>& field,
                                                 std::vector<int> defaults);

}  // namespace eaq

#endif  // EAQ_RECIPE_ALLOCATION_H_
