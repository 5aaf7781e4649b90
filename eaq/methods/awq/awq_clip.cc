// Slot 4: round to nearest after AWQ's clip search.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/awq/search.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/affinity.h"
#include "eaq/recipe/layer_inputs.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

class AwqClipSolver : public SolveSlot {
 public:
  AwqClipSolver(const AwqClipOptions& options, int affinity_power) : options_(options), power_(affinity_power) {}
  bool solves_whole_layers() const override { return true; }

  absl::StatusOr<SolvedLinears> SolveLayer(const LayerContext& context, const LayerParams& params,
                                           const std::map<LinearId, GridSpec>& plan) const override {
    EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(*context.config, params));
    const std::vector<LinearId> owners = InputOwners(plan);
    EAQ_ASSIGN_OR_RETURN(const auto inputs, CollectInputs(*layer, context.hidden, owners, *context.ops, *context.pool));
    std::map<LinearId, std::vector<float>> affinities;
    if (power_ > 0) {
      EAQ_ASSIGN_OR_RETURN(affinities,
                           CollectAffinities(*layer, context.hidden, owners, power_, *context.ops, *context.pool));
    }
    return SolveEach(plan, *context.pool, [&](const LinearId& id, const GridSpec& grid) {
      const LinearId owner = LayerProfile::InputOwner(id);
      const auto weights = affinities.find(owner);
      return Round(id, params.linears.at(id).weight, inputs.at(owner),
                   weights == affinities.end() ? absl::Span<const float>() : weights->second, grid, *context.ops);
    });
  }

 private:
  absl::StatusOr<SolvedLinear> Round(const LinearId& id, const Matrix& weight, const Matrix& x,
                                     absl::Span<const float> affinities, const GridSpec& grid,
                                     const QuantizeOps& ops) const {
    std::string note;
    Matrix clipped;
    const Matrix* rounded = &weight;
    if (x.rows() == 0) {
      note = "no calibration token: rounded to nearest without clip search";
    } else if (id.role != Role::kQ && id.role != Role::kK) {
      EAQ_ASSIGN_OR_RETURN(clipped, ClipWeights(weight, Subsample(x, options_.tokens), grid, options_,
                                                Subsample(affinities, options_.tokens), ops));
      rounded = &clipped;
    }
    EAQ_ASSIGN_OR_RETURN(NearestResult result, ops.Nearest(rounded->const_view(), grid, {}));
    if (!note.empty() && !result.note.empty()) absl::StrAppend(&note, "; ");
    return SolvedLinear{std::move(result.weight), absl::StrCat(note, result.note)};
  }

  const AwqClipOptions options_;
  const int power_;  // of the affinity; 0: all tokens count alike
};

EAQ_REGISTER_STAGE(SolveSlot, AwqClip, [](const AwqClip& options) -> absl::StatusOr<std::unique_ptr<SolveSlot>> {
  if (options.steps() < 1 || options.tokens() < 1 || !(options.max_shrink() >= 0 && options.max_shrink() < 1)) {
    return absl::InvalidArgumentError(absl::StrCat("awq_clip: steps is ", options.steps(), ", tokens ",
                                                   options.tokens(), ", max_shrink ", options.max_shrink(),
                                                   "; expected steps >= 1, tokens >= 1, max_shrink in [0, 1)"));
  }
  int power = 0;
  if (options.has_affinity()) {
    EAQ_ASSIGN_OR_RETURN(power, AffinityPower(options.affinity()));
  }
  return std::make_unique<AwqClipSolver>(AwqClipOptions{options.steps(), options.max_shrink(), options.tokens()},
                                         power);
});

}  // namespace
}  // namespace eaq
