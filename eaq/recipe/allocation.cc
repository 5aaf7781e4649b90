#include "eaq/recipe/allocation.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/base/status_macros.h"
#include "eaq/model/linear_shapes.h"
#include "eaq/quant/packing.h"
#include "eaq/recipe/layer_scheme.h"

namespace eaq {
namespace {

bool OfRoutedExpert(const LinearId& id) { return id.expert >= 0; }

int64_t Weights(const std::pair<int64_t, int64_t>& shape) { return shape.first * shape.second; }

// What of the budget a plan has left, in stored bits.
class Purse {
 public:
  Purse(const AllocationProblem& problem, const BitPlan& plan) : problem_(problem) {
    double scope = 0;
    for (const auto& [id, shape] : problem.linears) {
      if (!problem.InScope(id)) continue;
      scope += static_cast<double>(Weights(shape));
      left_ -= problem.StoredBits(id, plan.at(id).bits);
    }
    left_ += static_cast<int64_t>(std::floor(scope * (problem.budget->stored_bits_per_weight() + kBudgetSlack)));
  }
  int64_t left() const { return left_; }
  // Raises the linear if it fits.
  bool Raise(const LinearId& id, int bits, BitPlan& plan) {
    const int64_t more = problem_.StoredBits(id, bits) - problem_.StoredBits(id, plan.at(id).bits);
    if (more > left_) return false;
    left_ -= more;
    plan[id] = problem_.GridOf(bits);
    return true;
  }

 private:
  const AllocationProblem& problem_;
  int64_t left_ = 0;
};

// The order in which what is left raises the linears of a unit: those that need precision most come first
// (specs/related_methods.md 2: the inputs of down hold the outliers).
std::vector<LinearId> DownFirst(std::vector<LinearId> linears) {
  std::stable_sort(linears.begin(), linears.end(), [](const LinearId& a, const LinearId& b) {
    const auto down = [](const LinearId& id) { return id.role == Role::kDown || id.role == Role::kSharedDown; };
    return down(a) && !down(b);
  });
  return linears;
}

// PLAN has the units at their smallest width.
absl::Status BudgetTooSmall(const AllocationProblem& problem, const BitPlan& plan, absl::Span<const int> widths) {
  return absl::InvalidArgumentError(absl::StrCat("the budget is ", problem.budget->stored_bits_per_weight(),
                                                 " stored bits per weight; with widths ", absl::StrJoin(widths, ", "),
                                                 " and their scales the least is ", problem.StoredBitsPerWeight(plan),
                                                 "; raise the budget, allow smaller widths or larger groups"));
}

bool AllHold(absl::Span<const ChoiceCondition> conditions, absl::Span<const int> choice) {
  return std::all_of(conditions.begin(), conditions.end(),
                     [&](const ChoiceCondition& condition) { return condition.Holds(condition.Sum(choice)); });
}

}  // namespace

absl::StatusOr<AllocationProblem> AllocationProblem::Create(const ModelConfig& config, const Scheme& scheme) {
  EAQ_ASSIGN_OR_RETURN(const LayerScheme layer_scheme, LayerScheme::FromProto(scheme));
  AllocationProblem problem;
  problem.config = &config;
  problem.grid = layer_scheme.weights;
  for (int l = 0; l < config.num_layers; ++l) {
    for (const auto& [id, shape] : LinearShapes(config, l)) {
      if (layer_scheme.Covers(id)) problem.linears.emplace(id, shape);
    }
  }
  if (!scheme.has_budget()) return problem;
  problem.budget = scheme.budget();
  const double bits = scheme.budget().stored_bits_per_weight();
  if (!(bits > 0 && bits <= 16)) {
    return absl::InvalidArgumentError(absl::StrCat("scheme ", scheme.name(), ": budget.stored_bits_per_weight is ",
                                                   bits, "; expected above 0 and at most 16"));
  }
  if (!problem.grid.quantized()) {
    return absl::InvalidArgumentError(
        absl::StrCat("scheme ", scheme.name(), " has a budget, but its weights keep 16 bits; expected weights { bits: ",
                     "2 .. 8 }, the width of all that the budget leaves alone"));
  }
  for (const auto& [id, shape] : problem.linears) {
    if (problem.InScope(id)) return problem;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("scheme ", scheme.name(), ": no linear of the model is in the budget's scope ",
                   Budget::Scope_Name(scheme.budget().scope()), "; has the model routed experts?"));
}

GridSpec AllocationProblem::GridOf(int bits) const { return WithBits(grid, bits); }

int64_t AllocationProblem::StoredBits(const LinearId& id, int bits) const {
  const auto& shape = linears.at(id);
  if (bits >= 16 || bits == 0) return bits * Weights(shape);
  const auto more = beside.find(id);
  return (more == beside.end() ? 0 : more->second) +
         8 * PackedSize(GridOf(bits), shape.first, shape.second).total_bytes();
}

bool AllocationProblem::InScope(const LinearId& id) const {
  return (budget && budget->scope() == Budget::ALL) || OfRoutedExpert(id);
}

AllocationProblem AllocationProblem::OfLayer(int layer) const {
  AllocationProblem part = *this;
  part.linears.clear();
  for (const auto& [id, shape] : linears) {
    if (id.layer == layer) part.linears.emplace(id, shape);
  }
  return part;
}

double AllocationProblem::StoredBitsPerWeight(const BitPlan& plan) const {
  double bits = 0, weights = 0;
  for (const auto& [id, shape] : linears) {
    if (!InScope(id)) continue;
    bits += static_cast<double>(StoredBits(id, plan.at(id).bits));
    weights += static_cast<double>(Weights(shape));
  }
  return weights == 0 ? 0 : bits / weights;
}

absl::StatusOr<std::vector<int32_t>> KeptExperts(const BitPlan& plan, const ModelConfig& config, int layer) {
  std::vector<int32_t> kept;
  if (!config.IsMoe(layer)) return kept;
  for (int e = 0; e < config.num_experts; ++e) {
    int pruned = 0, covered = 0;
    for (const Role role : {Role::kGate, Role::kUp, Role::kDown}) {
      const auto it = plan.find({layer, role, e});
      if (it == plan.end()) continue;
      ++covered;
      pruned += it->second.pruned();
    }
    if (pruned == 0) kept.push_back(e);
    if (pruned != 0 && pruned != covered) {
      return absl::InternalError(absl::StrCat("the plan prunes ", pruned, " of ", covered, " linears of expert ", e,
                                              " in layer ", layer, "; expected all of them or none"));
    }
  }
  if (static_cast<int64_t>(kept.size()) == config.num_experts) kept.clear();
  return kept;
}

std::vector<AllocationUnit> RoutedExperts(const AllocationProblem& problem) {
  std::map<std::pair<int, int>, AllocationUnit> experts;
  for (const auto& [id, shape] : problem.linears) {
    if (!OfRoutedExpert(id)) continue;
    AllocationUnit& unit = experts[{id.layer, id.expert}];
    unit.layer = id.layer;
    unit.expert = id.expert;
    unit.linears.push_back(id);
  }
  std::vector<AllocationUnit> units;
  for (auto& [key, unit] : experts) units.push_back(std::move(unit));
  return units;
}

absl::StatusOr<std::vector<AllocationUnit>> RequireRoutedExperts(const AllocationProblem& problem,
                                                                 absl::string_view stage) {
  std::vector<AllocationUnit> experts = RoutedExperts(problem);
  if (!experts.empty()) return experts;
  return absl::FailedPreconditionError(absl::StrCat(
      stage, " gives widths to routed experts, and the scheme covers none; expected a mixture of experts"));
}

absl::StatusOr<absl::Span<const double>> ExpertRecord(const std::vector<std::vector<double>>& surveys,
                                                      const AllocationUnit& unit, size_t size,
                                                      absl::string_view stage) {
  const absl::Span<const double> survey =
      unit.layer < static_cast<int>(surveys.size()) ? surveys[unit.layer] : absl::Span<const double>();
  const size_t begin = unit.expert * size;
  if (survey.size() >= begin + size) return survey.subspan(begin, size);
  return absl::InternalError(absl::StrCat(stage, ": the survey of layer ", unit.layer, " has ", survey.size(),
                                          " numbers; expected ", size, " an expert"));
}

std::vector<AllocationUnit> EachLinear(absl::Span<const AllocationUnit> units) {
  std::vector<AllocationUnit> single;
  for (const AllocationUnit& unit : units) {
    for (const LinearId& id : unit.linears) single.push_back({unit.layer, unit.expert, {id}});
  }
  return single;
}

std::vector<std::vector<Role>> ExpertParts(MxMoe::Unit unit) {
  switch (unit) {
    case MxMoe::LINEAR:
      return {{Role::kGate}, {Role::kUp}, {Role::kDown}};
    case MxMoe::LINEAR_BLOCK:
      return {{Role::kGate, Role::kUp}, {Role::kDown}};
    case MxMoe::EXPERT:
      break;
  }
  return {{Role::kGate, Role::kUp, Role::kDown}};
}

std::vector<AllocationUnit> SplitExperts(absl::Span<const AllocationUnit> experts, MxMoe::Unit unit_kind) {
  const std::vector<std::vector<Role>> parts = ExpertParts(unit_kind);
  std::vector<AllocationUnit> units;
  for (const AllocationUnit& expert : experts) {
    for (const std::vector<Role>& part : parts) {
      AllocationUnit& unit = units.emplace_back();
      unit = {expert.layer, expert.expert, {}, /*divisible=*/unit_kind != MxMoe::LINEAR_BLOCK};
      absl::c_copy_if(expert.linears, std::back_inserter(unit.linears),
                      [&](const LinearId& id) { return absl::c_linear_search(part, id.role); });
    }
  }
  return units;
}

std::vector<std::pair<size_t, size_t>> LayerRuns(absl::Span<const AllocationUnit> units) {
  std::vector<std::pair<size_t, size_t>> runs;
  for (size_t i = 0; i < units.size(); ++i) {
    if (runs.empty() || units[i].layer != units[runs.back().first].layer) runs.emplace_back(i, i);
    runs.back().second = i + 1;
  }
  return runs;
}

BitPlan PlanOf(const AllocationProblem& problem, absl::Span<const AllocationUnit> units, absl::Span<const int> bits) {
  BitPlan plan;
  for (const auto& [id, shape] : problem.linears) plan.emplace(id, problem.grid);
  for (size_t i = 0; i < units.size(); ++i) {
    for (const LinearId& id : units[i].linears) plan[id] = problem.GridOf(bits[i]);
  }
  return plan;
}

absl::StatusOr<std::vector<KnapsackItem>> StoredBitItems(const AllocationProblem& problem,
                                                         absl::Span<const AllocationUnit> units,
                                                         absl::Span<const int> widths,
                                                         const std::vector<std::vector<double>>& damage) {
  if (widths.empty() || damage.size() != units.size()) {
    return absl::InvalidArgumentError(absl::StrCat("a plan of ", units.size(), " units: ", widths.size(),
                                                   " widths and ", damage.size(),
                                                   " rows of damage; expected a row a unit"));
  }
  std::vector<KnapsackItem> items(units.size());
  for (size_t i = 0; i < units.size(); ++i) {
    if (damage[i].size() != widths.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("unit ", i, " has damage for ", damage[i].size(), " widths; expected ", widths.size()));
    }
    items[i].damage = damage[i];
    for (const int bits : widths) {
      int64_t cost = 0;
      for (const LinearId& id : units[i].linears) cost += problem.StoredBits(id, bits);
      items[i].cost.push_back(cost);
    }
  }
  return items;
}

absl::StatusOr<BitPlan> PlanUnderBudget(const AllocationProblem& problem, absl::Span<const AllocationUnit> units,
                                        absl::Span<const int> widths, const std::vector<std::vector<double>>& damage,
                                        absl::Span<const ChoiceCondition> conditions) {
  if (!problem.budget) return absl::InvalidArgumentError("a plan under a budget without a budget");
  EAQ_ASSIGN_OR_RETURN(const std::vector<KnapsackItem> items, StoredBitItems(problem, units, widths, damage));
  // With all units at the smallest width.
  BitPlan plan = PlanOf(problem, units, std::vector<int>(units.size(), widths[0]));
  int64_t smallest = 0;
  for (const KnapsackItem& item : items) smallest += item.cost[0];
  const int64_t left = Purse(problem, plan).left();
  if (left < 0) return BudgetTooSmall(problem, plan, widths);
  EAQ_ASSIGN_OR_RETURN(const KnapsackSolution solution, conditions.empty()
                                                            ? SolveKnapsack(items, smallest + left)
                                                            : SolveChoiceProgram(items, smallest + left, conditions));
  std::vector<int> bits(units.size());
  for (size_t i = 0; i < units.size(); ++i) bits[i] = widths[solution.choice[i]];
  plan = PlanOf(problem, units, bits);

  // What is left, linear by linear.
  Purse purse(problem, plan);
  std::vector<size_t> order;
  for (size_t i = 0; i < units.size(); ++i) {
    if (units[i].divisible && solution.choice[i] + 1 < static_cast<int>(widths.size())) order.push_back(i);
  }
  const auto gain = [&](size_t i) {  // per stored bit of the next width
    const int c = solution.choice[i];
    return (damage[i][c] - damage[i][c + 1]) / static_cast<double>(items[i].cost[c + 1] - items[i].cost[c]);
  };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return gain(a) > gain(b); });
  // A unit of two widths is at neither for a condition that asks for one, and at the larger for one that limits it:
  // both ways of counting must keep the conditions.
  std::vector<int> at_neither = solution.choice, at_larger = solution.choice;
  for (const size_t i : order) {
    if (!(gain(i) > 0)) break;
    const int now = solution.choice[i];
    at_neither[i] = -1, at_larger[i] = now + 1;
    bool widened = false;
    if (AllHold(conditions, at_neither) && AllHold(conditions, at_larger)) {
      for (const LinearId& id : DownFirst(units[i].linears)) {
        if (purse.Raise(id, widths[now + 1], plan)) widened = true;
      }
    }
    if (!widened) at_neither[i] = at_larger[i] = now;
  }
  return plan;
}

absl::StatusOr<BitPlan> PlanOfAverageBits(const AllocationProblem& problem, absl::Span<const AllocationUnit> units,
                                          absl::Span<const int> widths, const std::vector<std::vector<double>>& damage,
                                          double average_bits, absl::Span<const ChoiceCondition> conditions) {
  std::vector<KnapsackItem> items(units.size());
  for (size_t i = 0; i < units.size(); ++i) {
    items[i].damage = damage[i];
    items[i].cost.assign(widths.begin(), widths.end());
  }
  const auto capacity = static_cast<int64_t>(std::floor(average_bits * static_cast<double>(units.size())));
  EAQ_ASSIGN_OR_RETURN(const KnapsackSolution solution, SolveChoiceProgram(items, capacity, conditions));
  std::vector<int> bits;
  for (const int choice : solution.choice) bits.push_back(widths[choice]);
  return PlanOf(problem, units, bits);
}

std::vector<ChoiceCondition> TwoWidestInEveryLayer(absl::Span<const AllocationUnit> units, int widths) {
  std::vector<ChoiceCondition> conditions;
  for (const auto& [begin, end] : LayerRuns(units)) {
    if (widths < 2 || end - begin < 2) continue;
    const std::string layer = absl::StrCat("in layer ", units[begin].layer, " units at the ");
    conditions.push_back(CountOf(layer + "widest width", begin, end, widths - 1, 1));
    conditions.push_back(CountOf(layer + "second widest", begin, end, widths - 2, 1));
  }
  return conditions;
}

absl::StatusOr<BitPlan> PlanByProgram(const AllocationProblem& problem, absl::Span<const AllocationUnit> units,
                                      absl::Span<const int> widths, const std::vector<std::vector<double>>& damage,
                                      double average_bits, bool keep_two_widest, absl::string_view stage) {
  std::vector<ChoiceCondition> conditions;
  if (keep_two_widest) conditions = TwoWidestInEveryLayer(units, static_cast<int>(widths.size()));
  const absl::StatusOr<BitPlan> plan =
      problem.budget ? PlanUnderBudget(problem, units, widths, damage, conditions)
                     : PlanOfAverageBits(problem, units, widths, damage, average_bits, conditions);
  EAQ_RETURN_IF_ERROR(Annotate(
      plan.status(),
      absl::StrCat(stage, problem.budget ? " (see keep_two_widest)" : ".average_bits (see also keep_two_widest)")));
  return plan;
}

absl::StatusOr<BitPlan> PlanByRank(const AllocationProblem& problem, absl::Span<const AllocationUnit> ranked,
                                   absl::Span<const int> widths) {
  if (!problem.budget || widths.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("a plan by rank with ", widths.size(), " widths and ",
                                                   problem.budget ? "a" : "no", " budget; expected both"));
  }
  BitPlan plan = PlanOf(problem, ranked, std::vector<int>(ranked.size(), widths[0]));
  Purse purse(problem, plan);
  if (purse.left() < 0) return BudgetTooSmall(problem, plan, widths);
  for (size_t w = 1; w < widths.size(); ++w) {
    for (const AllocationUnit& unit : ranked) {
      for (const LinearId& id : DownFirst(unit.linears)) {
        if (plan.at(id).bits == widths[w - 1]) purse.Raise(id, widths[w], plan);
      }
    }
  }
  return plan;
}

absl::StatusOr<BitPlan> PlanByLayer(
    const AllocationProblem& problem, absl::Span<const AllocationUnit> units,
    absl::FunctionRef<absl::StatusOr<BitPlan>(const AllocationProblem& layer, size_t begin, size_t end)> plan_layer) {
  BitPlan plan = PlanOf(problem, {}, {});
  double left = 0;  // stored bits
  for (const auto& [begin, end] : LayerRuns(units)) {
    const int l = units[begin].layer;
    AllocationProblem part = problem.OfLayer(l);
    double weights = 0;
    for (const auto& [id, shape] : part.linears) {
      if (part.InScope(id)) weights += static_cast<double>(Weights(shape));
    }
    const double fair = problem.budget ? problem.budget->stored_bits_per_weight() : 0;
    if (part.budget) part.budget->set_stored_bits_per_weight(fair + left / weights);
    const absl::StatusOr<BitPlan> found = plan_layer(part, begin, end);
    EAQ_RETURN_IF_ERROR(Annotate(found.status(), absl::StrCat("layer ", l)));
    left += weights * (fair - part.StoredBitsPerWeight(*found));
    for (const auto& [id, grid] : *found) plan[id] = grid;
  }
  return plan;
}

absl::StatusOr<std::vector<int>> WidthsFromProto(absl::string_view name,
                                                 const google::protobuf::RepeatedField<int32_t>& field,
                                                 std::vector<int> defaults, bool full_precision) {
  std::vector<int> widths(field.begin(), field.end());
  if (widths.empty()) widths = std::move(defaults);
  std::sort(widths.begin(), widths.end());
  for (size_t i = 0; i < widths.size(); ++i) {
    const bool known = (widths[i] >= 1 && widths[i] <= 8) || (full_precision && widths[i] == 16);
    if (known && (i == 0 || widths[i] != widths[i - 1])) continue;
    return absl::InvalidArgumentError(absl::StrCat(name, " is ", absl::StrJoin(widths, ", "),
                                                   "; expected different widths of 1 .. 8",
                                                   full_precision ? ", or 16" : ""));
  }
  return widths;
}

}  // namespace eaq
