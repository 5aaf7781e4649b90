// Slot 2: EAQuant's expert-aware smoothing. README.md has the equations.
#include "eaq/quant/smoothing.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/eaquant/aggregate.h"
#include "eaq/methods/eaquant/expert_statistics.h"
#include "eaq/methods/eaquant/outliers.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/plain_input.h"
#include "eaq/recipe/stage.h"

namespace eaq::eaquant {
namespace {

class ExpertAwareSmoothing : public TransformSlot {
 public:
  explicit ExpertAwareSmoothing(const EaquantSmoothing& options) : options_(options) {}
  bool needs_hidden() const override { return true; }
  bool runs_other_slots() const override { return false; }

  absl::Status Apply(const LayerContext& context, LayerParams& params) const override {
    EAQ_RETURN_IF_ERROR(RequirePlainInputs(params, "eaquant_smoothing", "expected it before that transform"));
    // All statistics are of the untouched layer.
    EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(*context.config, params));
    const ExpertStatistics statistics = CollectExpertStatistics(*layer, context.hidden, *context.pool);
    const int l = params.layer;
    const std::vector<LinearId> qkv = {{l, Role::kQ}, {l, Role::kK}, {l, Role::kV}};
    FoldNorm(Scales(context, params, qkv[0], qkv), qkv, params, params.input_norm);
    if (options_.value_output()) ValueOutput(context, params);
    EAQ_RETURN_IF_ERROR(FeedForwardNorm(context, statistics, params));
    if (options_.up_down()) UpDown(statistics, params);
    return absl::OkStatus();
  }

 private:
  // S(F, amax) of the linears FAMILY, which read what READER reads.
  std::vector<float> Scales(const LayerContext& context, const LayerParams& params, const LinearId& reader,
                            const std::vector<LinearId>& family) const {
    std::vector<const Matrix*> weights;
    for (const LinearId& id : family) weights.push_back(&params.linears.at(id).weight);
    return SmoothingScales(context.profile->Of(reader).abs_max, ColumnAbsMax(weights), options_.alpha());
  }

  static void FoldNorm(const std::vector<float>& s, const std::vector<LinearId>& readers, LayerParams& params,
                       std::vector<float>& norm) {
    Divide(s, norm);
    for (const LinearId& id : readers) ScaleColumns(s, params.linears.at(id).weight);
  }

  void ValueOutput(const LayerContext& context, LayerParams& params) const {
    const LinearId o{params.layer, Role::kO};
    LinearParams &value = params.linears.at({params.layer, Role::kV}), &output = params.linears.at(o);
    const std::vector<float> s = Scales(context, params, o, {o});
    // clip_qkv clamps values after projection, which does not commute with scaling them.
    const bool foldable = value.weight.rows() == output.weight.cols() && !context.config->clip_qkv;
    if (foldable) {
      DivideRows(s, value.weight, value.bias);
      ScaleColumns(s, output.weight);
    } else if (options_.grouped_value_output()) {
      OnlineTransform divide;
      divide.steps.push_back(OnlineStep::Divide(s));
      divide.FoldIntoWeight(output.weight.view());
      output.online = std::make_shared<const OnlineTransform>(std::move(divide));
    }
  }

  // One vector for all that reads the feed-forward's norm.
  absl::Status FeedForwardNorm(const LayerContext& context, const ExpertStatistics& statistics,
                               LayerParams& params) const {
    const ModelConfig& config = *context.config;
    const int l = params.layer;
    if (!config.IsMoe(l)) {
      const std::vector<LinearId> readers = {{l, Role::kGate}, {l, Role::kUp}};
      FoldNorm(Scales(context, params, readers[0], readers), readers, params, params.post_norm);
      return absl::OkStatus();
    }
    const LinearId router{l, Role::kRouter};
    std::vector<LinearId> readers = {router};
    std::vector<ExpertEvidence> experts(config.num_experts);
    for (int e = 0; e < config.num_experts; ++e) {
      const LinearId gate{l, Role::kGate, e}, up{l, Role::kUp, e};
      readers.insert(readers.end(), {gate, up});
      experts[e].tokens = context.profile->Of(gate).tokens;
      if (experts[e].tokens == 0) continue;
      experts[e].scales = Scales(context, params, gate, {gate, up});
      experts[e].mean_probability = statistics.mean_probability[e];
      experts[e].column_unevenness =
          std::max(ColumnUnevenness(params.linears.at(gate).weight), ColumnUnevenness(params.linears.at(up).weight));
    }
    EAQ_ASSIGN_OR_RETURN(std::vector<float> s, Aggregate(options_.aggregation(), experts));
    if (config.shared_width > 0) {
      const std::vector<LinearId> shared = {{l, Role::kSharedGate}, {l, Role::kSharedUp}};
      TakeMax(Scales(context, params, shared[0], shared), s);
      readers.insert(readers.end(), shared.begin(), shared.end());
      if (config.shared_expert_gated) readers.push_back({l, Role::kSharedExpertGate});
    }
    if (options_.with_router()) TakeMax(Scales(context, params, router, {router}), s);
    FoldNorm(s, readers, params, params.post_norm);
    return absl::OkStatus();
  }

  void UpDown(const ExpertStatistics& statistics, LayerParams& params) const {
    const OutlierRule rule{.ratio = options_.outlier_ratio(), .rate = options_.outlier_rate()};
    for (const auto& [down, extremes] : statistics.down) {
      if (extremes.max.empty()) continue;
      const LinearId up{down.layer, down.role == Role::kDown ? Role::kUp : Role::kSharedUp, down.expert};
      const std::vector<float> s = OutlierScales(extremes.max, extremes.min, rule);
      DivideRows(s, params.linears.at(up).weight, params.linears.at(up).bias);
      ScaleColumns(s, params.linears.at(down).weight);
    }
  }

  const EaquantSmoothing options_;
};

absl::Status Check(bool good, const std::string& field, double found, const std::string& expected) {
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("eaquant_smoothing.", field, " is ", found, ", expected ", expected));
}

EAQ_REGISTER_STAGE(TransformSlot, EaquantSmoothing,
                   [](const EaquantSmoothing& o) -> absl::StatusOr<std::unique_ptr<TransformSlot>> {
                     EAQ_RETURN_IF_ERROR(Check(o.alpha() >= 0 && o.alpha() <= 1, "alpha", o.alpha(), "0 .. 1"));
                     EAQ_RETURN_IF_ERROR(Check(o.outlier_ratio() >= 0.5 && o.outlier_ratio() <= 1, "outlier_ratio",
                                               o.outlier_ratio(), "0.5 .. 1"));
                     EAQ_RETURN_IF_ERROR(Check(o.outlier_rate() >= 0 && o.outlier_rate() <= 1, "outlier_rate",
                                               o.outlier_rate(), "0 .. 1"));
                     return std::make_unique<ExpertAwareSmoothing>(o);
                   });

}  // namespace
}  // namespace eaq::eaquant
