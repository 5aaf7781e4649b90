// Slot 5: the router's weight on the grids that AlignRouter finds. README.md has the objectives.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/eaquant/alignment.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/activation_quant.h"
#include "eaq/quant/from_proto.h"
#include "eaq/recipe/calibration_sample.h"
#include "eaq/recipe/layer_inputs.h"
#include "eaq/recipe/stage.h"

namespace eaq::eaquant {
namespace {

class Aligned : public RouterSlot {
 public:
  Aligned(const AlignedRouter& options, const GridSpec& weights, const ActivationQuantizer& activation,
          const GridSpec& activations, const SampleSpec& sample)
      : options_(options), weights_(weights), activations_(activations), activation_(activation), sample_(sample) {}
  GridSpec weights() const override { return weights_; }
  GridSpec activations() const override { return activations_; }
  double activation_clip_ratio() const override { return options_.activation_clip_ratio(); }
  bool needs_hidden() const override { return true; }

  absl::StatusOr<SolvedLinear> Solve(const LayerContext& context, const LayerParams& params,
                                     ConstMatrixView weight) const override {
    const LinearId router{params.layer, Role::kRouter};
    EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(*context.config, params));
    EAQ_ASSIGN_OR_RETURN(const auto inputs, CollectInputs(*layer, SampleWindows(sample_, context.hidden), {router},
                                                          *context.ops, *context.pool));
    Matrix rows = SampleRows(sample_, inputs.at(router));
    activation_.Apply(rows.view());  // what the weight will meet
    AlignmentOptions alignment{.objective = options_.objective(),
                               .top_sum = options_.top_sum(),
                               .top = options_.top(),
                               .first_ratio = options_.first_ratio()};
    if (options_.top() < 0) {
      alignment.top = TopSize(context.config->experts_per_token, weight.rows, options_.alpha_top());
    }
    EAQ_ASSIGN_OR_RETURN(RouterAlignment found, AlignRouter(weight, rows, weights_, alignment, *context.ops));
    const auto [smallest, largest] = std::minmax_element(found.ratios.begin(), found.ratios.end());
    const std::string note =
        absl::StrCat("clip ratio ", *smallest, found.ratios.size() == 1 ? "" : absl::StrCat(" .. ", *largest));
    EAQ_ASSIGN_OR_RETURN(QuantizedMatrix q, context.ops->OnGrids(weight, weights_, std::move(found.grids)));
    return SolvedLinear{std::move(q), note};
  }

 private:
  const AlignedRouter options_;
  const GridSpec weights_, activations_;
  const ActivationQuantizer activation_;
  const SampleSpec sample_;
};

absl::Status Check(bool good, const std::string& field, const std::string& found, const std::string& expected) {
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("aligned.", field, " is ", found, ", expected ", expected));
}

absl::StatusOr<GridSpec> GridOrEight(bool present, const Grid& grid) {
  Grid eight;
  eight.set_bits(8);
  return GridFromProto(present ? grid : eight);
}

EAQ_REGISTER_STAGE(
    RouterSlot, AlignedRouter, [](const AlignedRouter& o) -> absl::StatusOr<std::unique_ptr<RouterSlot>> {
      EAQ_ASSIGN_OR_RETURN(const GridSpec weights, GridOrEight(o.has_weights(), o.weights()));
      EAQ_ASSIGN_OR_RETURN(const GridSpec activations, GridOrEight(o.has_activations(), o.activations()));
      EAQ_RETURN_IF_ERROR(Check(weights.quantized() && weights.granularity == Granularity::kChannel, "weights",
                                weights.ToString(), "2 .. 8 bits per channel; router { keep {} } leaves it alone"));
      EAQ_ASSIGN_OR_RETURN(const auto activation, ActivationQuantizer::Dynamic(activations, o.activation_clip_ratio()));
      EAQ_RETURN_IF_ERROR(
          Check(o.alpha_top() >= 0 && o.alpha_top() <= 1, "alpha_top", absl::StrCat(o.alpha_top()), "0 .. 1"));
      EAQ_RETURN_IF_ERROR(Check(o.top() >= -1, "top", absl::StrCat(o.top()), "-1 or 0 .. the number of experts"));
      EAQ_RETURN_IF_ERROR(Check(o.top() != 0 || o.objective() != AlignedRouter::KL_TOP, "top", "0 with KL_TOP",
                                "1 or more: KL over nothing is 0 for every ratio"));
      EAQ_RETURN_IF_ERROR(Check(o.first_ratio() > 0 && o.first_ratio() <= 1, "first_ratio",
                                absl::StrCat(o.first_ratio()), "above 0 and at most 1"));
      EAQ_ASSIGN_OR_RETURN(const SampleSpec sample, SampleFromProto(o.sample()));
      return std::make_unique<Aligned>(o, weights, activation, activations, sample);
    });

}  // namespace
}  // namespace eaq::eaquant
