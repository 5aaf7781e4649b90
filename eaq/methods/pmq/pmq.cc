// Slot 3: PMQ, the pre-loading mixed-precision quantization of MC (Mixture Compressor). README.md has the equations.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/choice_program.h"
#include "eaq/recipe/allocation.h"
#include "eaq/recipe/expert_rows.h"
#include "eaq/recipe/stage.h"

namespace eaq::pmq {
namespace {

using Damage = std::vector<std::vector<double>>;  // [expert][width]

class Allocator : public AllocateSlot {
 public:
  Allocator(const Pmq& options, std::vector<int> widths) : options_(options), widths_(std::move(widths)) {}
  bool surveys() const override { return true; }
  bool needs_hidden() const override { return true; }

  // Per expert: tokens, probability mass, then the error of every width.
  absl::StatusOr<std::vector<double>> Survey(const LayerContext& context, const LayerParams& params) const override {
    std::vector<double> out;
    if (!context.config->IsMoe(params.layer)) return out;
    EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(*context.config, params));
    const std::vector<ExpertRows> rows =
        CollectExpertRows(*context.config, params.layer, *layer, context.hidden, *context.pool);
    EAQ_ASSIGN_OR_RETURN(const ExpertErrors errors, MeasureExpertErrors(params, rows, context.scheme->weights, widths_,
                                                                        *context.pool, {.ops = context.ops}));
    for (size_t e = 0; e < rows.size(); ++e) {
      double mass = 0;
      for (const float p : rows[e].probability) mass += p;
      out.insert(out.end(), {static_cast<double>(rows[e].x.rows()), mass});
      for (const std::vector<double>& windows : errors[e]) {
        double sum = 0;
        for (const double square : windows) sum += std::sqrt(square);
        out.push_back(sum);
      }
    }
    return out;
  }

  // Layer by layer, each with the same budget.
  absl::StatusOr<BitPlan> Allocate(const AllocationProblem& problem,
                                   const std::vector<std::vector<double>>& surveys) const override {
    EAQ_ASSIGN_OR_RETURN(const std::vector<AllocationUnit> all, RequireRoutedExperts(problem, "pmq"));
    return PlanByLayer(problem, all, [&](const AllocationProblem& layer, size_t begin, size_t end) {
      return PlanByProgram(layer, absl::MakeConstSpan(all).subspan(begin, end - begin), widths_,
                           Weighted(surveys.at(all[begin].layer), end - begin), options_.average_bits(),
                           options_.keep_two_widest(), "pmq");
    });
  }

 private:
  // phi^alpha w^beta eps^gamma: share of the tokens, share of the probability mass, error.
  Damage Weighted(const std::vector<double>& survey, size_t experts) const {
    const size_t record = 2 + widths_.size();
    double tokens = 0, mass = 0;
    for (size_t e = 0; e < experts; ++e) tokens += survey[e * record], mass += survey[e * record + 1];
    Damage damage(experts);
    for (size_t e = 0; e < experts; ++e) {
      const double* r = &survey[e * record];
      const double weight = std::pow(tokens > 0 ? r[0] / tokens : 0, options_.alpha()) *
                            std::pow(mass > 0 ? r[1] / mass : 0, options_.beta());
      for (size_t w = 0; w < widths_.size(); ++w) damage[e].push_back(weight * std::pow(r[2 + w], options_.gamma()));
    }
    return damage;
  }

  const Pmq options_;
  const std::vector<int> widths_;
};

EAQ_REGISTER_STAGE(AllocateSlot, Pmq, [](const Pmq& options) -> absl::StatusOr<std::unique_ptr<AllocateSlot>> {
  EAQ_ASSIGN_OR_RETURN(std::vector<int> widths, WidthsFromProto("pmq.bits", options.bits(), {2, 3, 4}));
  if (!(options.average_bits() > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("pmq.average_bits is ", options.average_bits(), ", expected above 0"));
  }
  for (const double power : {options.alpha(), options.beta(), options.gamma()}) {
    if (power >= 0 && power <= 16) continue;
    return absl::InvalidArgumentError(absl::StrCat("pmq: alpha, beta and gamma are ", options.alpha(), ", ",
                                                   options.beta(), ", ", options.gamma(), "; expected 0 .. 16"));
  }
  return std::make_unique<Allocator>(options, std::move(widths));
});

}  // namespace
}  // namespace eaq::pmq
