// Slot 3: MxMoE's accuracy part, widths of linear blocks by an exact program. README.md has the equations.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/knapsack.h"
#include "eaq/recipe/allocation.h"
#include "eaq/recipe/expert_rows.h"
#include "eaq/recipe/stage.h"

namespace eaq::mxmoe {
namespace {

constexpr Role kParts[] = {Role::kGate, Role::kUp, Role::kDown};

class Allocator : public AllocateSlot {
 public:
  Allocator(const MxMoe& options, std::vector<int> widths) : options_(options), widths_(std::move(widths)) {}
  bool surveys() const override { return true; }
  bool needs_hidden() const override { return true; }

  // Delta, [expert][gate, up, down][width]: the Frobenius norm, over all windows, of what rounding this linear alone
  // does to the layer's output.
  absl::StatusOr<std::vector<double>> Survey(const LayerContext& context, const LayerParams& params) const override {
    std::vector<double> out;
    const ModelConfig& config = *context.config;
    if (!config.IsMoe(params.layer)) return out;
    EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(config, params));
    const auto rows = CollectExpertRows(config, params.layer, *layer, context.hidden, *context.pool);
    out.resize(config.num_experts * Record());
    for (size_t p = 0; p < std::size(kParts); ++p) {
      ExpertErrorOptions one;
      one.parts = {kParts[p]};
      one.ops = context.ops;
      EAQ_ASSIGN_OR_RETURN(const ExpertErrors errors,
                           MeasureExpertErrors(params, rows, context.scheme->weights, widths_, *context.pool, one));
      for (int64_t e = 0; e < config.num_experts; ++e) {
        for (size_t w = 0; w < widths_.size(); ++w) {
          const std::vector<double>& windows = errors[e][w];
          out[e * Record() + p * widths_.size() + w] = std::sqrt(std::accumulate(windows.begin(), windows.end(), 0.0));
        }
      }
    }
    return out;
  }

  absl::StatusOr<BitPlan> Allocate(const AllocationProblem& problem,
                                   const std::vector<std::vector<double>>& surveys) const override {
    EAQ_ASSIGN_OR_RETURN(const std::vector<AllocationUnit> experts, RequireRoutedExperts(problem, "mxmoe"));
    const std::vector<AllocationUnit> units = SplitExperts(experts, options_.unit());
    std::vector<std::vector<double>> damage;
    for (const AllocationUnit& unit : units) {
      EAQ_ASSIGN_OR_RETURN(const absl::Span<const double> record, ExpertRecord(surveys, unit, Record(), "mxmoe"));
      std::vector<double>& sum = damage.emplace_back(widths_.size(), 0.0);
      for (const LinearId& id : unit.linears) {
        const size_t part = std::find(std::begin(kParts), std::end(kParts), id.role) - std::begin(kParts);
        const double* delta = &record[part * widths_.size()];
        for (size_t w = 0; w < widths_.size(); ++w) sum[w] += delta[w];
      }
    }
    if (options_.scope() == MxMoe::MODEL) return Solve(problem, units, damage);
    return PlanByLayer(problem, units, [&](const AllocationProblem& layer, size_t begin, size_t end) {
      return Solve(layer, absl::MakeConstSpan(units).subspan(begin, end - begin),
                   std::vector<std::vector<double>>(damage.begin() + begin, damage.begin() + end));
    });
  }

 private:
  size_t Record() const { return std::size(kParts) * widths_.size(); }

  // Without a scheme's budget: average_bits of stored bits, not exceeded, as published.
  absl::StatusOr<BitPlan> Solve(const AllocationProblem& problem, absl::Span<const AllocationUnit> units,
                                const std::vector<std::vector<double>>& damage) const {
    if (problem.budget) return PlanUnderBudget(problem, units, widths_, damage);
    EAQ_ASSIGN_OR_RETURN(const auto items, StoredBitItems(problem, units, widths_, damage));
    double weights = 0;
    for (const AllocationUnit& unit : units) {
      for (const LinearId& id : unit.linears) {
        const auto& [out, in] = problem.linears.at(id);
        weights += static_cast<double>(out * in);
      }
    }
    const absl::StatusOr<KnapsackSolution> solution =
        SolveKnapsack(items, static_cast<int64_t>(std::floor(options_.average_bits() * weights)));
    EAQ_RETURN_IF_ERROR(Annotate(solution.status(), absl::StrCat("mxmoe.average_bits ", options_.average_bits())));
    std::vector<int> bits;
    for (const int choice : solution->choice) bits.push_back(widths_[choice]);
    return PlanOf(problem, units, bits);
  }

  const MxMoe options_;
  const std::vector<int> widths_;
};

EAQ_REGISTER_STAGE(AllocateSlot, MxMoe, [](const MxMoe& options) -> absl::StatusOr<std::unique_ptr<AllocateSlot>> {
  EAQ_ASSIGN_OR_RETURN(std::vector<int> widths, WidthsFromProto("mxmoe.bits", options.bits(), {2, 3, 4}));
  if (!(options.average_bits() > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("mxmoe.average_bits is ", options.average_bits(), ", expected above 0"));
  }
  return std::make_unique<Allocator>(options, std::move(widths));
});

}  // namespace
}  // namespace eaq::mxmoe
