// Slot 3: GEMQ, one integer program for the widths of all routed experts. README.md has the equations.
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/gemq/loss_gradients.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/choice_program.h"
#include "eaq/quant/clip_search.h"
#include "eaq/quant/from_proto.h"
#include "eaq/recipe/allocation.h"
#include "eaq/recipe/expert_rows.h"
#include "eaq/recipe/stage.h"

namespace eaq::gemq {
namespace {

class Allocator : public AllocateSlot {
 public:
  Allocator(const Gemq& options, std::vector<int> widths, std::optional<ClipSearchSpec> clip)
      : options_(options), widths_(std::move(widths)), clip_(clip), parts_(ExpertParts(options.unit())) {}
  bool surveys_model() const override { return true; }
  bool needs_hidden() const override { return true; }

  // Per layer, [expert][part][width]: the coefficients.
  absl::StatusOr<std::vector<std::vector<double>>> SurveyModel(const ModelContext& context) const override {
    const ModelConfig& config = context.source->config();
    std::vector<std::vector<double>> surveys(config.num_layers);
    EAQ_RETURN_IF_ERROR(WalkLossGradients(
        context,
        [&](const LayerParams& params, absl::Span<const Matrix> hidden,
            absl::Span<const Matrix> gradient) -> absl::Status {
          if (!config.IsMoe(params.layer)) return absl::OkStatus();
          std::vector<Matrix> squares(gradient.begin(), gradient.end());
          for (Matrix& g : squares) {
            for (int64_t i = 0; i < g.size(); ++i) g.data()[i] *= g.data()[i];
          }
          EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(config, params));
          const auto rows = CollectExpertRows(config, params.layer, *layer, hidden, *context.pool);
          std::vector<double>& out = surveys[params.layer];
          out.resize(config.num_experts * Record());
          for (size_t p = 0; p < parts_.size(); ++p) {
            ExpertErrorOptions weighted;
            weighted.parts = parts_[p];
            weighted.importance = squares;
            weighted.clip = clip_;
            weighted.ops = context.ops;
            EAQ_ASSIGN_OR_RETURN(const ExpertErrors errors, MeasureExpertErrors(params, rows, context.scheme->weights,
                                                                                widths_, *context.pool, weighted));
            for (int64_t e = 0; e < config.num_experts; ++e) {
              for (size_t w = 0; w < widths_.size(); ++w) {
                const std::vector<double>& windows = errors[e][w];
                out[e * Record() + p * widths_.size() + w] = std::accumulate(windows.begin(), windows.end(), 0.0);
              }
            }
          }
          return absl::OkStatus();
        }));
    return surveys;
  }

  absl::StatusOr<BitPlan> Allocate(const AllocationProblem& problem,
                                   const std::vector<std::vector<double>>& surveys) const override {
    EAQ_ASSIGN_OR_RETURN(const std::vector<AllocationUnit> experts, RequireRoutedExperts(problem, "gemq"));
    if (parts_.size() > 1 && !problem.budget) {
      return absl::InvalidArgumentError(
          "gemq.unit other than EXPERT needs a scheme's budget: average_bits is a mean over experts");
    }
    const std::vector<AllocationUnit> units = SplitExperts(experts, options_.unit());
    std::vector<std::vector<double>> damage;
    for (size_t u = 0; u < units.size(); ++u) {
      EAQ_ASSIGN_OR_RETURN(const absl::Span<const double> record, ExpertRecord(surveys, units[u], Record(), "gemq"));
      const auto costs = record.subspan(u % parts_.size() * widths_.size(), widths_.size());
      damage.emplace_back(costs.begin(), costs.end());
    }
    return PlanByProgram(problem, units, widths_, damage, options_.average_bits(), options_.keep_two_widest(), "gemq");
  }

 private:
  size_t Record() const { return parts_.size() * widths_.size(); }

  const Gemq options_;
  const std::vector<int> widths_;
  const std::optional<ClipSearchSpec> clip_;
  const std::vector<std::vector<Role>> parts_;
};

EAQ_REGISTER_STAGE(AllocateSlot, Gemq, [](const Gemq& options) -> absl::StatusOr<std::unique_ptr<AllocateSlot>> {
  EAQ_ASSIGN_OR_RETURN(std::vector<int> widths, WidthsFromProto("gemq.bits", options.bits(), {2, 3, 4}));
  if (!(options.average_bits() > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("gemq.average_bits is ", options.average_bits(), ", expected above 0"));
  }
  std::optional<ClipSearchSpec> clip;
  if (options.has_clip()) {
    EAQ_ASSIGN_OR_RETURN(clip, ClipSearchFromProto(options.clip()));
  }
  return std::make_unique<Allocator>(options, std::move(widths), clip);
});

}  // namespace
}  // namespace eaq::gemq
