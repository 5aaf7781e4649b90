// Slot 3: MoQa, widths of routed experts by fuzzy clusters of their significance over several data sets, and rows that
// change theirs with the data set. README.md has the equations.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/moqa/layer_statistics.h"
#include "eaq/methods/moqa/significance.h"
#include "eaq/methods/moqa/switch_plan.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/fuzzy_clusters.h"
#include "eaq/quant/row_cache.h"
#include "eaq/recipe/allocation.h"
#include "eaq/recipe/expert_rows.h"
#include "eaq/recipe/stage.h"
#include "eaq/recipe/switching.h"

namespace eaq::moqa {
namespace {

class Allocator : public AllocateSlot {
 public:
  Allocator(const MoQa& options, std::vector<int> widths) : options_(options), widths_(std::move(widths)) {}
  bool surveys() const override { return true; }
  bool needs_hidden() const override { return true; }

  // The baseline of every expert: its significance, the mean over the data sets, in the order in which they first
  // occur. Of a model that switches, all that LayerStatistics has.
  absl::StatusOr<std::vector<double>> Survey(const LayerContext& context, const LayerParams& params) const override {
    if (!context.config->IsMoe(params.layer)) return std::vector<double>();
    EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(*context.config, params));
    const std::vector<ExpertRows> rows =
        CollectExpertRows(*context.config, params.layer, *layer, context.hidden, *context.pool);
    std::vector<int> set(context.hidden.size(), 0);
    int sets = 1;
    if (!context.domains.empty()) {
      set.clear();
      sets = static_cast<int>(DistinctNames(context.domains, &set).size());
    }
    const SignificanceOptions options{options_.measure(), options_.gate_power(), context.scheme->weights, context.ops};
    if (options_.has_switching()) {
      const CacheOptions cache{options_.switching().cache_percent(), ByDamage(), widths_};
      EAQ_ASSIGN_OR_RETURN(const LayerStatistics statistics,
                           MeasureLayer(*context.config, params, rows, set, sets, options, cache, *context.pool));
      return statistics.Numbers();
    }
    EAQ_ASSIGN_OR_RETURN(const auto significance, Significance(params, rows, set, sets, options, *context.pool));
    std::vector<double> baseline(rows.size(), 0.0);
    for (const std::vector<double>& of_set : significance) {
      for (size_t e = 0; e < rows.size(); ++e) baseline[e] += of_set[e] / static_cast<double>(significance.size());
    }
    return baseline;
  }

  absl::StatusOr<BitPlan> Allocate(const AllocationProblem& problem,
                                   const std::vector<std::vector<double>>& surveys) const override {
    EAQ_ASSIGN_OR_RETURN(const std::vector<AllocationUnit> experts, RequireRoutedExperts(problem, "moqa"));
    if (options_.has_switching()) {
      EAQ_ASSIGN_OR_RETURN(const ModelStatistics statistics, Parse(*problem.config, surveys));
      std::vector<double> baseline;
      for (const AllocationUnit& unit : experts) {
        baseline.push_back(statistics.at(unit.layer).baseline[unit.expert]);
      }
      return AllocateBy(WithCaches(problem, experts), experts, baseline);
    }
    std::vector<double> baseline;
    for (const AllocationUnit& unit : experts) {
      EAQ_ASSIGN_OR_RETURN(const absl::Span<const double> significance, ExpertRecord(surveys, unit, 1, "moqa"));
      baseline.push_back(significance[0]);
    }
    return AllocateBy(problem, experts, baseline);
  }

  std::optional<SwitchingOptions> switching() const override {
    if (!options_.has_switching()) return std::nullopt;
    const MoQaSwitching& s = options_.switching();
    SwitchingOptions switching;
    switching.states = s.mode() != MoQaSwitching::FP16_ROWS;
    switching.told = s.trigger() == MoQaSwitching::TOLD;
    switching.detector = {s.decay(), s.threshold(), s.consecutive()};
    return switching;
  }

  // On every data set the allocator runs again, with the significance on that set in place of the baseline.
  absl::StatusOr<SwitchPlan> PlanSwitching(const AllocationProblem& problem, const SurveyedSets& known,
                                           const SurveyedSets& further, const BitPlan& plan) const override {
    if (known.names.size() < 2) {
      return absl::InvalidArgumentError(absl::StrCat("moqa.switching with ", known.names.size(),
                                                     " calibration domain; expected two or more, between which the ",
                                                     "significance of channels can differ"));
    }
    EAQ_ASSIGN_OR_RETURN(const std::vector<AllocationUnit> experts, RequireRoutedExperts(problem, "moqa"));
    EAQ_ASSIGN_OR_RETURN(const ModelStatistics of_known, Parse(*problem.config, known.surveys));
    ModelStatistics of_further;
    if (!further.names.empty()) {
      EAQ_ASSIGN_OR_RETURN(of_further, Parse(*problem.config, further.surveys));
    }
    SwitchInputs in;
    in.experts = experts;
    in.known = known.names;
    in.further = further.names;
    in.of_known = &of_known;
    in.of_further = &of_further;
    in.plan = &plan;
    in.widths = widths_;
    in.mode = options_.switching().mode();
    in.by_damage = ByDamage();
    const AllocationProblem with_caches = WithCaches(problem, experts);
    const auto add_plans = [&](const std::vector<std::string>& names,
                               const ModelStatistics& statistics) -> absl::Status {
      for (size_t s = 0; s < names.size(); ++s) {
        std::vector<double> significance;
        for (const AllocationUnit& unit : experts) {
          significance.push_back(statistics.at(unit.layer).significance[s][unit.expert]);
        }
        absl::StatusOr<BitPlan> of_set = AllocateBy(with_caches, experts, significance);
        EAQ_RETURN_IF_ERROR(Annotate(of_set.status(), absl::StrCat("data set ", names[s])));
        in.plan_of_set.push_back(*std::move(of_set));
      }
      return absl::OkStatus();
    };
    EAQ_RETURN_IF_ERROR(add_plans(known.names, of_known));
    EAQ_RETURN_IF_ERROR(add_plans(further.names, of_further));
    return BuildSwitchPlan(in);
  }

 private:
  bool ByDamage() const { return options_.switching().criterion() == MoQaSwitching::DAMAGE; }

  static absl::StatusOr<ModelStatistics> Parse(const ModelConfig& config,
                                               const std::vector<std::vector<double>>& surveys) {
    ModelStatistics statistics;
    for (size_t l = 0; l < surveys.size(); ++l) {
      if (!config.IsMoe(static_cast<int>(l))) continue;
      EAQ_ASSIGN_OR_RETURN(statistics[static_cast<int>(l)],
                           LayerStatistics::Parse(surveys[l], static_cast<int>(config.num_experts)));
    }
    return statistics;
  }

  // PROBLEM where every linear of EXPERTS costs its cached rows as well.
  AllocationProblem WithCaches(const AllocationProblem& problem, absl::Span<const AllocationUnit> experts) const {
    AllocationProblem result = problem;
    for (const AllocationUnit& unit : experts) {
      for (const LinearId& id : unit.linears) {
        const auto& [out, in] = problem.linears.at(id);
        result.beside[id] = 8 * RowCacheBytes(problem.grid, CachedRowCount(options_.switching().cache_percent(), out),
                                              out, in, options_.switching().mode() != MoQaSwitching::FP16_ROWS);
      }
    }
    return result;
  }

  absl::StatusOr<BitPlan> AllocateBy(const AllocationProblem& problem, const std::vector<AllocationUnit>& experts,
                                     const std::vector<double>& significance) const {
    // Every layer's significances sum to 1, and layers of one model have equally many experts: comparable as they are.
    if (options_.scope() == MoQa::MODEL) return Divide(problem, experts, significance);
    return PlanByLayer(problem, experts, [&](const AllocationProblem& layer, size_t begin, size_t end) {
      return Divide(layer, absl::MakeConstSpan(experts).subspan(begin, end - begin),
                    std::vector<double>(significance.begin() + begin, significance.begin() + end));
    });
  }

  // Of one group of experts. Without a budget as published.
  absl::StatusOr<BitPlan> Divide(const AllocationProblem& problem, absl::Span<const AllocationUnit> units,
                                 const std::vector<double>& baseline) const {
    if (!problem.budget) {
      const double high = (options_.average_bits() - widths_.front()) / (widths_.back() - widths_.front());
      EAQ_ASSIGN_OR_RETURN(const std::vector<int> bits,
                           options_.two_groups()
                               ? Groups(baseline, std::llround(high * static_cast<double>(units.size())))
                               : Clusters(baseline, 1));
      return PlanOf(problem, units, bits);
    }
    // Of all skews (or sizes of the high group) the one whose plan is the largest within the budget; what is left
    // raises experts by significance. Where none fits, significance alone decides.
    std::vector<int> floor(units.size(), widths_.front());
    double most = -1;
    for (int step = 0; step <= 128; ++step) {
      const double skew =
          std::exp2((step % 2 == 1 ? 1 : -1) * ((step + 1) / 2) / 16.0);  // 1, then ever further from it
      if (options_.two_groups() && step > static_cast<int>(units.size())) break;
      EAQ_ASSIGN_OR_RETURN(const std::vector<int> bits,
                           options_.two_groups() ? Groups(baseline, step) : Clusters(baseline, skew));
      const double stored = problem.StoredBitsPerWeight(PlanOf(problem, units, bits));
      if (stored > problem.budget->stored_bits_per_weight() || stored <= most) continue;
      most = stored;
      floor = bits;
    }
    const double prohibitive = 1 + std::accumulate(baseline.begin(), baseline.end(), 0.0);
    std::vector<std::vector<double>> damage(units.size());
    for (size_t i = 0; i < units.size(); ++i) {
      for (const int bits : widths_) {
        damage[i].push_back(bits < floor[i] ? prohibitive : baseline[i] * std::ldexp(1.0, -2 * bits));
      }
    }
    return PlanUnderBudget(problem, units, widths_, damage);
  }

  // Algorithm 1 of v3, on the baselines to the power SKEW. Equal experts get 4 bits, or what comes closest.
  absl::StatusOr<std::vector<int>> Clusters(const std::vector<double>& baseline, double skew) const {
    const auto [least, most] = std::minmax_element(baseline.begin(), baseline.end());
    if (*least == *most) {
      const auto middle = std::min_element(widths_.begin(), widths_.end(),
                                           [](int a, int b) { return std::abs(a - 4) < std::abs(b - 4); });
      return std::vector<int>(baseline.size(), *middle);
    }
    std::vector<double> values;
    for (const double x : baseline) values.push_back(std::pow(x, skew));
    EAQ_ASSIGN_OR_RETURN(const FuzzyClusters found,
                         FuzzyMeans(values, static_cast<int>(widths_.size()), {.fuzzifier = options_.fuzzifier()}));
    std::vector<int> bits;
    for (const int cluster : LowerOfOverlapping(found, options_.overlap())) bits.push_back(widths_[cluster]);
    return bits;
  }

  // v1: the HIGH experts of the largest baselines get the wider width; of equals the first.
  absl::StatusOr<std::vector<int>> Groups(const std::vector<double>& baseline, int64_t high) const {
    std::vector<size_t> order(baseline.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return baseline[a] > baseline[b]; });
    std::vector<int> bits(baseline.size(), widths_.front());
    for (int64_t i = 0; i < std::min<int64_t>(high, order.size()); ++i) bits[order[i]] = widths_.back();
    return bits;
  }

  const MoQa options_;
  const std::vector<int> widths_;
};

EAQ_REGISTER_STAGE(AllocateSlot, MoQa, [](const MoQa& options) -> absl::StatusOr<std::unique_ptr<AllocateSlot>> {
  EAQ_ASSIGN_OR_RETURN(std::vector<int> widths,
                       WidthsFromProto("moqa.bits", options.bits(),
                                       options.two_groups() ? std::vector<int>{2, 4} : std::vector<int>{2, 4, 6, 8}));
  if (options.two_groups() && widths.size() != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("moqa.two_groups with ", widths.size(), " widths in moqa.bits; expected 2"));
  }
  if (options.two_groups() && !(options.average_bits() >= widths[0] && options.average_bits() <= widths[1])) {
    return absl::InvalidArgumentError(absl::StrCat("moqa.average_bits is ", options.average_bits(), "; expected ",
                                                   widths[0], " .. ", widths[1], ", the widths of the two groups"));
  }
  if (!(options.fuzzifier() > 1 && options.fuzzifier() <= 16)) {
    return absl::InvalidArgumentError(
        absl::StrCat("moqa.fuzzifier is ", options.fuzzifier(), "; expected above 1 and at most 16"));
  }
  if (!(options.overlap() >= 0 && options.overlap() <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("moqa.overlap is ", options.overlap(), "; expected 0 .. 1"));
  }
  if (!(options.gate_power() >= 0 && options.gate_power() <= 4)) {
    return absl::InvalidArgumentError(absl::StrCat("moqa.gate_power is ", options.gate_power(), "; expected 0 .. 4"));
  }
  if (options.has_switching()) {
    const double percent = options.switching().cache_percent();
    if (!(percent >= 0 && percent <= 100)) {
      return absl::InvalidArgumentError(
          absl::StrCat("moqa.switching.cache_percent is ", percent, "; expected 0 .. 100"));
    }
  }
  return std::make_unique<Allocator>(options, std::move(widths));
});

}  // namespace
}  // namespace eaq::moqa
