// Slot 3 over a whole model: what an allocator is asked, and how it meets a budget.
//
//   EAQ_ASSIGN_OR_RETURN(const AllocationProblem problem, AllocationProblem::Create(config, scheme));
//   const std::vector<AllocationUnit> experts = RoutedExperts(problem);
//   BitPlan plan = PlanOf(problem, experts, {4, 2, 3, ...});                      // widths that a method found itself
//   EAQ_ASSIGN_OR_RETURN(plan, PlanUnderBudget(problem, experts, {2, 3, 4}, damage));  // the least damage in the
//   budget
//
// A plan says the width of every linear by itself. What gets one width together is a unit, and methods choose them: an
// expert (RoutedExperts), a linear (EachLinear), or any set between.
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
#include "eaq/quant/choice_program.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/knapsack.h"

namespace eaq {

// A grid for every linear of the model that the scheme covers; bits 16 leaves one in full precision, 0 (those of a
// routed expert together) prunes it.
using BitPlan = std::map<LinearId, GridSpec>;

// Linears that get one width: an expert's three matrices, say, or a single linear.
struct AllocationUnit {
  int layer = 0;
  int expert = -1;  // -1: no routed expert
  std::vector<LinearId> linears;
  bool divisible = true;  // what is left of a budget may widen some of its linears alone
};

struct AllocationProblem {
  const ModelConfig* config = nullptr;
  GridSpec grid;  // the scheme's weights: kind and granularity of all, and the width of what no unit holds
  std::map<LinearId, std::pair<int64_t, int64_t>> linears;  // [out, in] of those that the scheme covers
  std::optional<Budget> budget;
  std::map<LinearId, int64_t> beside;  // bits stored with a linear whatever its width (RowCacheBytes); often empty

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

// The experts of layer LAYER that PLAN leaves, rising; empty when it prunes none. Internal: it prunes a part of one.
absl::StatusOr<std::vector<int32_t>> KeptExperts(const BitPlan& plan, const ModelConfig& config, int layer);

// One unit a routed expert, by layer, then expert.
std::vector<AllocationUnit> RoutedExperts(const AllocationProblem& problem);

// The same for the stage STAGE, which gives widths to routed experts. FailedPrecondition: the scheme covers none.
absl::StatusOr<std::vector<AllocationUnit>> RequireRoutedExperts(const AllocationProblem& problem,
                                                                 absl::string_view stage);

// The SIZE numbers about UNIT's expert in SURVEYS of such records, expert after expert. Internal: the survey is
// shorter.
absl::StatusOr<absl::Span<const double>> ExpertRecord(const std::vector<std::vector<double>>& surveys,
                                                      const AllocationUnit& unit, size_t size, absl::string_view stage);

// One unit a linear of UNITS, in their order.
std::vector<AllocationUnit> EachLinear(absl::Span<const AllocationUnit> units);

// The linears of an expert that get one width together: all three, gate with up, or each alone.
std::vector<std::vector<Role>> ExpertParts(MxMoe::Unit unit);

// EXPERTS split into such parts, expert after expert. Linear blocks are not divisible.
std::vector<AllocationUnit> SplitExperts(absl::Span<const AllocationUnit> experts, MxMoe::Unit unit_kind);

// Where the units of each layer begin and end, for units in the order of layers.
std::vector<std::pair<size_t, size_t>> LayerRuns(absl::Span<const AllocationUnit> units);

// BITS[i] for unit i; the scheme's width for all other linears.
BitPlan PlanOf(const AllocationProblem& problem, absl::Span<const AllocationUnit> units, absl::Span<const int> bits);

// An item for each of UNITS: DAMAGE[i][w] of giving unit i WIDTHS[w], and the stored bits that this costs.
// InvalidArgument for lists of wrong lengths.
absl::StatusOr<std::vector<KnapsackItem>> StoredBitItems(const AllocationProblem& problem,
                                                         absl::Span<const AllocationUnit> units,
                                                         absl::Span<const int> widths,
                                                         const std::vector<std::vector<double>>& damage);

// The widths for UNITS that do the least damage within problem.budget, which must be there: DAMAGE[i][w] of giving unit
// i WIDTHS[w] (rising), under CONDITIONS on items (units) and choices (widths). Linears of the scope that no unit holds
// keep the scheme's width. What is left of the budget once whole units no longer fit widens single linears, the down
// matrices first, of the divisible units that gain most and whose width no condition needs; so the plan lies within
// kBudgetSlack above and, where any linear is a small part of the scope, 0.01 below the budget.
// InvalidArgument when the smallest widths need more (says the least there is), or for lists of wrong lengths; else as
// SolveKnapsack and, with conditions, SolveChoiceProgram.
inline constexpr double kBudgetSlack = 0.006;  // stored bits per weight: half of 0.01, and a bit, both ways
absl::StatusOr<BitPlan> PlanUnderBudget(const AllocationProblem& problem, absl::Span<const AllocationUnit> units,
                                        absl::Span<const int> widths, const std::vector<std::vector<double>>& damage,
                                        absl::Span<const ChoiceCondition> conditions = {});

// The same as published without a scheme's budget: the sum of the units' widths is at most AVERAGE_BITS times their
// number; scales and zeros are not counted, and nothing is widened alone.
absl::StatusOr<BitPlan> PlanOfAverageBits(const AllocationProblem& problem, absl::Span<const AllocationUnit> units,
                                          absl::Span<const int> widths, const std::vector<std::vector<double>>& damage,
                                          double average_bits, absl::Span<const ChoiceCondition> conditions);

// A condition of MC and GEMQ on a plan of UNITS: in every layer at least one at the widest and one at the second widest
// of WIDTHS widths. None where there is one width, nor for layers of one unit.
std::vector<ChoiceCondition> TwoWidestInEveryLayer(absl::Span<const AllocationUnit> units, int widths);

// Either of the two, as MC and GEMQ do: within problem.budget if there is one, else of AVERAGE_BITS; where
// KEEP_TWO_WIDEST, under that condition. Errors name STAGE and its options.
absl::StatusOr<BitPlan> PlanByProgram(const AllocationProblem& problem, absl::Span<const AllocationUnit> units,
                                      absl::Span<const int> widths, const std::vector<std::vector<double>>& damage,
                                      double average_bits, bool keep_two_widest, absl::string_view stage);

// For methods that have an order of units and no damage: all at the smallest of WIDTHS (rising), then RANKED at the
// next width one after another, the down matrices of a unit first, then all at the width after that, as far as
// problem.budget lasts. A linear that no longer fits is passed over. As near to the budget as PlanUnderBudget; the same
// InvalidArgument.
absl::StatusOr<BitPlan> PlanByRank(const AllocationProblem& problem, absl::Span<const AllocationUnit> ranked,
                                   absl::Span<const int> widths);

// Layer by layer, for methods that divide bits within layers: PLAN_LAYER gets the problem of one layer and where its
// units begin and end. Every layer has the same budget per weight, and may spend what the layers before left over (or
// must save what they took too much), so the whole comes as near to the budget as its last layer can. Errors name the
// layer.
absl::StatusOr<BitPlan> PlanByLayer(
    const AllocationProblem& problem, absl::Span<const AllocationUnit> units,
    absl::FunctionRef<absl::StatusOr<BitPlan>(const AllocationProblem& layer, size_t begin, size_t end)> plan_layer);

// The widths that a stage may give, rising: those of the field NAME, or DEFAULTS when it has none. InvalidArgument
// unless they are different numbers of 1 .. 8, or 16 where FULL_PRECISION allows that.
absl::StatusOr<std::vector<int>> WidthsFromProto(absl::string_view name,
                                                 const google::protobuf::RepeatedField<int32_t>& field,
                                                 std::vector<int> defaults, bool full_precision = false);

}  // namespace eaq

#endif  // EAQ_RECIPE_ALLOCATION_H_
