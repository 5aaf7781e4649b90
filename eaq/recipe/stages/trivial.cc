// Slots 3, 5 and 6 in their plain form: uniform bits; router kept or quantized; dynamic and static activations.
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/from_proto.h"
#include "eaq/quant/ratio_search.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

class Uniform : public AllocateSlot {
 public:
  absl::StatusOr<BitPlan> Allocate(const AllocationProblem& problem,
                                   const std::vector<std::vector<double>>&) const override {
    BitPlan plan = PlanOf(problem, {}, {});
    if (!problem.budget) return plan;
    for (int bits = 8; bits >= 2; --bits) {
      for (auto& [id, grid] : plan) {
        if (problem.InScope(id)) grid = problem.GridOf(bits);
      }
      const double least = problem.StoredBitsPerWeight(plan), budget = problem.budget->stored_bits_per_weight();
      if (least <= budget + kBudgetSlack) return plan;
      if (bits > 2) continue;
      return absl::InvalidArgumentError(absl::StrCat("uniform: 2 bits and their scales are ", least,
                                                     " stored bits per weight; expected at most the budget, ", budget));
    }
    return plan;
  }
};

struct RouterClip {
  double weights = 1, activations = 1;
};

class Router : public RouterSlot {
 public:
  Router(const GridSpec& weights, const GridSpec& activations, const RouterClip& clip)
      : weights_(weights), activations_(activations), clip_(clip) {}
  GridSpec weights() const override { return weights_; }
  GridSpec activations() const override { return activations_; }
  double activation_clip_ratio() const override { return clip_.activations; }
  absl::StatusOr<SolvedLinear> Solve(const LayerContext& context, const LayerParams& params,
                                     ConstMatrixView weight) const override {
    if (clip_.weights == 1) return RouterSlot::Solve(context, params, weight);
    EAQ_ASSIGN_OR_RETURN(NearestResult rounded,
                         context.ops->Nearest(weight, weights_, {.ratio = RatioSpec{.fixed = clip_.weights}}));
    return SolvedLinear{std::move(rounded.weight), std::move(rounded.note)};
  }

 private:
  const GridSpec weights_, activations_;
  const RouterClip clip_;
};

// One grid per token, found as the token arrives.
class Dynamic : public ActivationSlot {
 public:
  explicit Dynamic(double clip_ratio) : clip_ratio_(clip_ratio) {}
  absl::StatusOr<ActivationQuantizer> Make(const LinearId&, const InputStatistics&,
                                           const GridSpec& grid) const override {
    return ActivationQuantizer::Dynamic(grid, clip_ratio_);
  }
  // Queries and keys are clipped like the linears' inputs, values are not (eaquant.md 1.6).
  absl::StatusOr<QuantizedAttention> MakeOperands(const GridSpec& grid, int64_t head_dim) const override {
    return QuantizedAttention::Create(grid, head_dim, clip_ratio_, 1.0);
  }

 private:
  const double clip_ratio_;
};

// One grid per linear from the range that calibration saw. An expert that saw no token has no range: its inputs get a
// grid per token instead.
class Static : public ActivationSlot {
 public:
  explicit Static(double clip_ratio) : clip_ratio_(clip_ratio) {}
  bool needs_profile() const override { return true; }
  absl::StatusOr<ActivationQuantizer> Make(const LinearId&, const InputStatistics& input,
                                           const GridSpec& grid) const override {
    if (input.tokens == 0) return ActivationQuantizer::Dynamic(grid, clip_ratio_);
    return ActivationQuantizer::Static(grid, input.range, clip_ratio_);
  }

 private:
  const double clip_ratio_;
};

// Absent: 8 bits, asymmetric, per channel (weights) or token (activations).
absl::StatusOr<GridSpec> RouterGrid(bool present, const Grid& grid) {
  Grid eight;
  eight.set_bits(8);
  return GridFromProto(present ? grid : eight);
}

EAQ_REGISTER_STAGE(AllocateSlot, UniformBits, [](const UniformBits&) -> absl::StatusOr<std::unique_ptr<AllocateSlot>> {
  return std::make_unique<Uniform>();
});
EAQ_REGISTER_STAGE(RouterSlot, KeepRouter, [](const KeepRouter&) -> absl::StatusOr<std::unique_ptr<RouterSlot>> {
  auto keep = GridFromProto(Grid());
  if (!keep.ok()) return keep.status();
  return std::make_unique<Router>(*keep, *keep, RouterClip{});
});
EAQ_REGISTER_STAGE(RouterSlot, QuantizeRouter,
                   [](const QuantizeRouter& options) -> absl::StatusOr<std::unique_ptr<RouterSlot>> {
                     auto weights = RouterGrid(options.has_weights(), options.weights());
                     if (!weights.ok()) return weights.status();
                     auto activations = RouterGrid(options.has_activations(), options.activations());
                     if (!activations.ok()) return activations.status();
                     const RouterClip clip{options.fixed_clip_ratio(), options.activation_clip_ratio()};
                     if (weights->quantized()) {
                       EAQ_RETURN_IF_ERROR(ValidateRatio({.fixed = clip.weights}, *weights));
                     }
                     if (!(clip.activations > 0 && clip.activations <= 1)) {
                       return absl::InvalidArgumentError(absl::StrCat(
                           "quantize.activation_clip_ratio is ", clip.activations, ", expected above 0 and at most 1"));
                     }
                     return std::make_unique<Router>(*weights, *activations, clip);
                   });
EAQ_REGISTER_STAGE(ActivationSlot, DynamicActivations,
                   [](const DynamicActivations& options) -> absl::StatusOr<std::unique_ptr<ActivationSlot>> {
                     return std::make_unique<Dynamic>(options.clip_ratio());
                   });
EAQ_REGISTER_STAGE(ActivationSlot, StaticActivations,
                   [](const StaticActivations& options) -> absl::StatusOr<std::unique_ptr<ActivationSlot>> {
                     return std::make_unique<Static>(options.clip_ratio());
                   });

}  // namespace
}  // namespace eaq
