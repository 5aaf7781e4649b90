// Slot 3: EWQ, widths by the entropy of the weights. README.md has the equations.
#include <algorithm>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/ewq/entropy.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/allocation.h"
#include "eaq/recipe/stage.h"

namespace eaq::ewq {
namespace {

class Allocator : public AllocateSlot {
 public:
  // WIDTHS: three, or none for the defaults.
  Allocator(const Ewq& options, std::vector<int> widths) : options_(options), widths_(std::move(widths)) {}
  bool surveys() const override { return true; }

  // The entropy of every linear that the scheme covers, in the order of LinearId.
  absl::StatusOr<std::vector<double>> Survey(const LayerContext& context, const LayerParams& params) const override {
    std::vector<const std::pair<const LinearId, LinearParams>*> covered;
    for (const auto& linear : params.linears) {
      if (context.scheme->Covers(linear.first)) covered.push_back(&linear);
    }
    std::vector<double> entropies(covered.size());
    std::vector<absl::Status> status(covered.size());
    context.pool->ParallelFor(covered.size(), [&](int64_t i) {
      const ConstMatrixView w = covered[i]->second.weight.const_view();
      const absl::StatusOr<double> h = options_.entropy() == Ewq::HISTOGRAM ? HistogramEntropy(w) : SoftmaxEntropy(w);
      status[i] = Annotate(h.status(), covered[i]->first.ToString());
      if (h.ok()) entropies[i] = *h;
    });
    for (const absl::Status& s : status) EAQ_RETURN_IF_ERROR(s);
    return entropies;
  }

  absl::StatusOr<BitPlan> Allocate(const AllocationProblem& problem,
                                   const std::vector<std::vector<double>>& surveys) const override {
    std::map<LinearId, double> of_linear;
    for (size_t l = 0; l < surveys.size(); ++l) {
      const AllocationProblem layer = problem.OfLayer(static_cast<int>(l));
      if (surveys[l].size() != layer.linears.size()) {
        return absl::InternalError(absl::StrCat("ewq: the survey of layer ", l, " has ", surveys[l].size(),
                                                " numbers; expected one for each of ", layer.linears.size(),
                                                " linears"));
      }
      size_t i = 0;
      for (const auto& [id, shape] : layer.linears) of_linear[id] = surveys[l][i++];
    }
    std::vector<AllocationUnit> units = Units(problem);
    if (units.empty()) {
      return absl::FailedPreconditionError("ewq: no linear to give a width to; has the model routed experts?");
    }
    std::vector<double> entropies;
    for (const AllocationUnit& unit : units) {  // mean over the weights
      double sum = 0, weights = 0;
      for (const LinearId& id : unit.linears) {
        const auto& [out, in] = problem.linears.at(id);
        sum += of_linear.at(id) * static_cast<double>(out * in);
        weights += static_cast<double>(out * in);
      }
      entropies.push_back(sum / weights);
    }
    return problem.budget ? UnderBudget(problem, units, entropies) : AsPublished(problem, units, entropies);
  }

 private:
  std::vector<AllocationUnit> Units(const AllocationProblem& problem) const {
    if (options_.unit() == Ewq::EXPERT) return RoutedExperts(problem);
    std::vector<AllocationUnit> blocks;
    for (const auto& [id, shape] : problem.linears) {
      if (blocks.empty() || blocks.back().layer != id.layer) blocks.push_back({id.layer, -1, {}});
      blocks.back().linears.push_back(id);
    }
    return blocks;
  }

  absl::StatusOr<BitPlan> AsPublished(const AllocationProblem& problem, absl::Span<const AllocationUnit> units,
                                      absl::Span<const double> entropies) const {
    const std::vector<int> widths = widths_.empty() ? std::vector<int>{4, 8, 16} : widths_;
    std::vector<int> bits = options_.entropy() == Ewq::HISTOGRAM ? ClassesByPercentile(entropies)
                                                                 : ClassesByDeviation(entropies, options_.deviations());
    for (int& b : bits) b = widths[b];
    return PlanOf(problem, units, bits);
  }

  // The units of the least entropy are narrowed until the budget is met: all to the second width, then all to the
  // smallest. Seen from below: widened in the order of falling entropy.
  absl::StatusOr<BitPlan> UnderBudget(const AllocationProblem& problem, std::vector<AllocationUnit> units,
                                      const std::vector<double>& entropies) const {
    std::vector<size_t> order(units.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return entropies[a] > entropies[b]; });
    std::vector<AllocationUnit> ranked;
    for (const size_t i : order) {
      AllocationUnit unit{units[i].layer, units[i].expert, {}};
      for (const LinearId& id : units[i].linears) {
        if (problem.InScope(id)) unit.linears.push_back(id);
      }
      ranked.push_back(std::move(unit));
    }
    return PlanByRank(problem, ranked, widths_.empty() ? std::vector<int>{2, 3, 4} : widths_);
  }

  const Ewq options_;
  const std::vector<int> widths_;
};

EAQ_REGISTER_STAGE(AllocateSlot, Ewq, [](const Ewq& options) -> absl::StatusOr<std::unique_ptr<AllocateSlot>> {
  EAQ_ASSIGN_OR_RETURN(std::vector<int> widths, WidthsFromProto("ewq.bits", options.bits(), {}, true));
  if (!widths.empty() && widths.size() != 3) {
    return absl::InvalidArgumentError(absl::StrCat("ewq.bits is ", absl::StrJoin(widths, ", "),
                                                   "; expected three widths, for low, middle and high entropy"));
  }
  if (!(options.deviations() >= 0)) {
    return absl::InvalidArgumentError(absl::StrCat("ewq.deviations is ", options.deviations(), "; expected 0 or more"));
  }
  return std::make_unique<Allocator>(options, std::move(widths));
});

}  // namespace
}  // namespace eaq::ewq
