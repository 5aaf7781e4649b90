// Slot 3: MoPEQ, widths of routed experts by clusters of their scores. README.md has the equations.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/mopeq/scores.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/allocation.h"
#include "eaq/recipe/expert_rows.h"
#include "eaq/recipe/stage.h"

namespace eaq::mopeq {
namespace {

constexpr Role kParts[] = {Role::kGate, Role::kUp, Role::kDown};

class Allocator : public AllocateSlot {
 public:
  Allocator(const MoPeq& options, std::vector<int> widths) : options_(options), widths_(std::move(widths)) {}
  bool surveys() const override { return true; }
  bool needs_hidden() const override { return options_.score() == MoPeq::OUTPUT_ERROR; }
  bool needs_profile() const override {
    return options_.score() == MoPeq::FREQUENCY || options_.score() == MoPeq::HYBRID;
  }

  // Per expert: trace, tokens (0 without a profile), norm, then the output error of every width (OUTPUT_ERROR only).
  absl::StatusOr<std::vector<double>> Survey(const LayerContext& context, const LayerParams& params) const override {
    std::vector<double> out;
    const int l = params.layer;
    if (!context.config->IsMoe(l)) return out;
    ExpertErrors errors;
    if (options_.score() == MoPeq::OUTPUT_ERROR) {
      EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(*context.config, params));
      const std::vector<ExpertRows> rows = CollectExpertRows(*context.config, l, *layer, context.hidden, *context.pool);
      EAQ_ASSIGN_OR_RETURN(errors, MeasureExpertErrors(params, rows, context.scheme->weights, widths_, *context.pool,
                                                       {.ops = context.ops}));
    }
    for (int e = 0; e < context.config->num_experts; ++e) {
      double trace = 0, norm = 0;
      for (const Role part : kParts) {
        const Matrix& w = params.linears.at({l, part, e}).weight;
        const absl::StatusOr<double> t = HessianTrace(w.const_view());
        EAQ_RETURN_IF_ERROR(Annotate(t.status(), LinearId{l, part, e}.ToString()));
        trace += *t;
        norm += static_cast<double>(w.size() - 1) / *t;
      }
      out.insert(out.end(), {trace, static_cast<double>(context.profile->OfOrNone({l, Role::kGate, e}).tokens), norm});
      if (errors.empty()) continue;
      for (const std::vector<double>& windows : errors[e]) {
        out.push_back(std::accumulate(windows.begin(), windows.end(), 0.0));
      }
    }
    return out;
  }

  absl::StatusOr<BitPlan> Allocate(const AllocationProblem& problem,
                                   const std::vector<std::vector<double>>& surveys) const override {
    EAQ_ASSIGN_OR_RETURN(const std::vector<AllocationUnit> experts, RequireRoutedExperts(problem, "mopeq"));
    EAQ_ASSIGN_OR_RETURN(const std::vector<std::vector<double>> damage, Damage(experts, surveys));
    // Bits are divided among the experts of the model, or of each layer.
    if (options_.scope() == MoPeq::MODEL) return Divide(problem, experts, damage);
    return PlanByLayer(problem, experts, [&](const AllocationProblem& layer, size_t begin, size_t end) {
      return Divide(layer, absl::MakeConstSpan(experts).subspan(begin, end - begin),
                    std::vector<std::vector<double>>(damage.begin() + begin, damage.begin() + end));
    });
  }

 private:
  // Of one group. Without a budget as published; the score is the damage at the smallest width.
  absl::StatusOr<BitPlan> Divide(const AllocationProblem& problem, absl::Span<const AllocationUnit> units,
                                 const std::vector<std::vector<double>>& damage) const {
    if (problem.budget) return PlanUnderBudget(problem, units, widths_, damage);
    std::vector<double> scores;
    for (const std::vector<double>& d : damage) scores.push_back(d[0]);
    EAQ_ASSIGN_OR_RETURN(const std::vector<int> bits, WidthsOfClusters(scores, widths_));
    return PlanOf(problem, units, bits);
  }

  // damage[expert][width]. Of scores that say nothing of widths: score * 4^-bits, as the squared error of rounding
  // falls.
  absl::StatusOr<std::vector<std::vector<double>>> Damage(const std::vector<AllocationUnit>& experts,
                                                          const std::vector<std::vector<double>>& surveys) const {
    const size_t record = 3 + (options_.score() == MoPeq::OUTPUT_ERROR ? widths_.size() : 0);
    std::vector<double> trace, tokens, norm;
    std::vector<std::vector<double>> measured;
    for (const AllocationUnit& unit : experts) {
      EAQ_ASSIGN_OR_RETURN(const absl::Span<const double> of_expert, ExpertRecord(surveys, unit, record, "mopeq"));
      trace.push_back(of_expert[0]);
      tokens.push_back(of_expert[1]);
      norm.push_back(of_expert[2]);
      measured.emplace_back(of_expert.begin() + 3, of_expert.end());
    }
    if (options_.score() == MoPeq::OUTPUT_ERROR && !options_.reversed()) return measured;
    std::vector<double> scores;
    switch (options_.score()) {
      case MoPeq::HESSIAN_TRACE:
        scores = trace;
        break;
      case MoPeq::FREQUENCY:
        scores = tokens;
        break;
      case MoPeq::HYBRID:
        scores = Hybrid(tokens, trace);
        break;
      case MoPeq::WEIGHT_NORM:
        scores = norm;
        break;
      case MoPeq::OUTPUT_ERROR:
        for (const std::vector<double>& m : measured) scores.push_back(m[0]);
        break;
      case MoPeq::RANDOM:
        scores = Shuffled(experts, trace);
        break;
    }
    if (options_.layer_shares()) DivideByLayerSums(experts, scores);
    if (options_.reversed()) {
      const auto [low, high] = std::minmax_element(scores.begin(), scores.end());
      const double sum = *low + *high;
      for (double& s : scores) s = sum - s;
    }
    std::vector<std::vector<double>> damage(scores.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      for (const int bits : widths_) damage[i].push_back(scores[i] * std::ldexp(1.0, -2 * bits));
    }
    return damage;
  }

  // The same scores on other experts, of the same layer where layers are divided alone: equal cluster sizes.
  std::vector<double> Shuffled(const std::vector<AllocationUnit>& experts, std::vector<double> scores) const {
    Rng rng(options_.draw(), "mopeq/random");
    if (options_.scope() == MoPeq::MODEL) {
      rng.Shuffle(scores);
      return scores;
    }
    for (const auto& [begin, end] : LayerRuns(experts)) {
      std::vector<double> of_layer(scores.begin() + begin, scores.begin() + end);
      rng.Shuffle(of_layer);
      std::copy(of_layer.begin(), of_layer.end(), scores.begin() + begin);
    }
    return scores;
  }

  static void DivideByLayerSums(const std::vector<AllocationUnit>& experts, std::vector<double>& scores) {
    for (const auto& [begin, end] : LayerRuns(experts)) {
      const double sum = std::accumulate(scores.begin() + begin, scores.begin() + end, 0.0);
      for (size_t i = begin; i < end && sum > 0; ++i) scores[i] /= sum;
    }
  }

  const MoPeq options_;
  const std::vector<int> widths_;
};

EAQ_REGISTER_STAGE(AllocateSlot, MoPeq, [](const MoPeq& options) -> absl::StatusOr<std::unique_ptr<AllocateSlot>> {
  EAQ_ASSIGN_OR_RETURN(std::vector<int> widths, WidthsFromProto("mopeq.bits", options.bits(), {2, 3, 4}));
  return std::make_unique<Allocator>(options, std::move(widths));
});

}  // namespace
}  // namespace eaq::mopeq
