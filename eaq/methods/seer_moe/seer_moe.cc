// Slot 3: SEER-MoE's first stage, pruning the experts that calibration uses least. README.md has the rule.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/seer_moe/expert_counts.h"
#include "eaq/model/layer.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/allocation.h"
#include "eaq/recipe/stage.h"

namespace eaq::seer_moe {
namespace {

class Allocator : public AllocateSlot {
 public:
  explicit Allocator(const SeerMoe& options) : options_(options) {}
  bool surveys() const override { return true; }
  bool needs_hidden() const override { return true; }

  // Every expert's count.
  absl::StatusOr<std::vector<double>> Survey(const LayerContext& context, const LayerParams& params) const override {
    if (!context.config->IsMoe(params.layer)) return std::vector<double>();
    EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(*context.config, params));
    return CountExperts(*context.config, *layer, context.hidden, options_.count() == SeerMoe::SOFT, *context.pool);
  }

  absl::StatusOr<BitPlan> Allocate(const AllocationProblem& problem,
                                   const std::vector<std::vector<double>>& surveys) const override {
    EAQ_ASSIGN_OR_RETURN(const std::vector<AllocationUnit> experts, RequireRoutedExperts(problem, "seer_moe"));
    std::vector<double> counts;
    for (const AllocationUnit& unit : experts) {
      EAQ_ASSIGN_OR_RETURN(const auto count, ExpertRecord(surveys, unit, 1, "seer_moe"));
      counts.push_back(count[0]);
    }
    const std::vector<size_t> order = OrderOfPruning(problem, experts, counts);
    std::vector<int> bits(experts.size(), problem.grid.bits);
    if (!problem.budget) {
      const auto asked = static_cast<size_t>(std::floor(options_.share() * static_cast<double>(experts.size())));
      const size_t count = options_.scope() == SeerMoe::LAYER ? order.size() : std::min(asked, order.size());
      for (size_t i = 0; i < count; ++i) bits[order[i]] = 0;
      return PlanOf(problem, experts, bits);
    }
    const double budget = problem.budget->stored_bits_per_weight();
    BitPlan plan = PlanOf(problem, experts, bits);
    for (size_t i = 0; problem.StoredBitsPerWeight(plan) > budget + kBudgetSlack; ++i) {
      if (i == order.size()) {
        return absl::InvalidArgumentError(
            absl::StrCat("seer_moe: the budget is ", budget, " stored bits per weight; with ", order.size(), " of ",
                         experts.size(), " experts pruned, which is the most that leaves every token its experts, the ",
                         "least is ", problem.StoredBitsPerWeight(plan), "; lower the scheme's width"));
      }
      bits[order[i]] = 0;
      for (const LinearId& id : experts[order[i]].linears) plan[id] = problem.GridOf(0);
    }
    return SpendTheRest(problem, experts, counts, plan);
  }

 private:
  // The experts that may be pruned, in the order in which they are: rising by count, of equals the last first, never so
  // many of a layer that a token would lack some. Without a budget and by layers, exactly those to prune.
  std::vector<size_t> OrderOfPruning(const AllocationProblem& problem, const std::vector<AllocationUnit>& experts,
                                     const std::vector<double>& counts) const {
    struct Candidate {
      size_t rank, unit;  // rank: place among the experts of its layer
    };
    std::vector<Candidate> candidates;
    for (const auto& [begin, end] : LayerRuns(experts)) {
      std::vector<size_t> of_layer;
      for (size_t i = end; i > begin; --i) of_layer.push_back(i - 1);
      std::stable_sort(of_layer.begin(), of_layer.end(), [&](size_t a, size_t b) { return counts[a] < counts[b]; });
      const size_t all = of_layer.size(), needed = problem.config->experts_per_token;
      size_t most = all > needed ? all - needed : 0;
      if (!problem.budget && options_.scope() == SeerMoe::LAYER) {
        most = std::min(most, static_cast<size_t>(std::floor(options_.share() * static_cast<double>(all))));
      }
      for (size_t r = 0; r < most; ++r) candidates.push_back({r, of_layer[r]});
    }
    std::stable_sort(candidates.begin(), candidates.end(), [&](const Candidate& a, const Candidate& b) {
      if (options_.scope() == SeerMoe::LAYER && a.rank != b.rank) return a.rank < b.rank;
      return counts[a.unit] < counts[b.unit];
    });
    std::vector<size_t> order;
    for (const Candidate& c : candidates) order.push_back(c.unit);
    return order;
  }

  // What pruning whole experts leaves of the budget widens the linears of those that are used most.
  absl::StatusOr<BitPlan> SpendTheRest(const AllocationProblem& problem, const std::vector<AllocationUnit>& experts,
                                       const std::vector<double>& counts, BitPlan plan) const {
    AllocationProblem rest = problem;
    double all = 0, left = 0;
    for (const auto& [id, shape] : problem.linears) {
      if (!problem.InScope(id)) continue;
      const double weights = static_cast<double>(shape.first) * static_cast<double>(shape.second);
      all += weights;
      if (plan.at(id).pruned()) {
        rest.linears.erase(id);
      } else {
        left += weights;
      }
    }
    // PlanByRank grants its slack to what is left; the whole may exceed the budget by the same per weight of all.
    const double total = (problem.budget->stored_bits_per_weight() + kBudgetSlack) * all;
    rest.budget->set_stored_bits_per_weight(total / left - kBudgetSlack);
    std::vector<size_t> order;
    for (size_t i = 0; i < experts.size(); ++i) {
      if (!plan.at(experts[i].linears[0]).pruned()) order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return counts[a] > counts[b]; });
    std::vector<AllocationUnit> ranked;
    for (const size_t i : order) ranked.push_back(experts[i]);
    std::vector<int> widths;
    for (int bits = problem.grid.bits; bits <= 8; ++bits) widths.push_back(bits);
    EAQ_ASSIGN_OR_RETURN(const BitPlan widened, PlanByRank(rest, ranked, widths));
    for (const auto& [id, grid] : widened) plan[id] = grid;
    return plan;
  }

  const SeerMoe options_;
};

EAQ_REGISTER_STAGE(AllocateSlot, SeerMoe, [](const SeerMoe& options) -> absl::StatusOr<std::unique_ptr<AllocateSlot>> {
  if (!(options.share() >= 0 && options.share() < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("seer_moe.share is ", options.share(), "; expected 0 or more and below 1"));
  }
  return std::make_unique<Allocator>(options);
});

}  // namespace
}  // namespace eaq::seer_moe
