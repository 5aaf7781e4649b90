// Slots 3, 5 and 6 in their plain form: uniform bits; router kept or quantized; dynamic and static activations.
#include "absl/strings/str_cat.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/from_proto.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

class Uniform : public AllocateSlot {
 public:
  absl::StatusOr<std::map<LinearId, GridSpec>> Allocate(const ModelConfig&, const GridSpec& requested,
                                                        const std::vector<LinearId>& linears) const override {
    std::map<LinearId, GridSpec> plan;
    for (const LinearId& id : linears) plan.emplace(id, requested);
    return plan;
  }
};

class Router : public RouterSlot {
 public:
  Router(const GridSpec& weights, const GridSpec& activations) : weights_(weights), activations_(activations) {}
  GridSpec weights() const override { return weights_; }
  GridSpec activations() const override { return activations_; }

 private:
  const GridSpec weights_, activations_;
};

// One grid per token, found as the token arrives.
class Dynamic : public ActivationSlot {
 public:
  explicit Dynamic(double clip_ratio) : clip_ratio_(clip_ratio) {}
  absl::StatusOr<ActivationQuantizer> Make(const LinearId&, const InputStatistics&,
                                           const GridSpec& grid) const override {
    return ActivationQuantizer::Dynamic(grid, clip_ratio_);
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
  return std::make_unique<Router>(*keep, *keep);
});
EAQ_REGISTER_STAGE(RouterSlot, QuantizeRouter,
                   [](const QuantizeRouter& options) -> absl::StatusOr<std::unique_ptr<RouterSlot>> {
                     auto weights = RouterGrid(options.has_weights(), options.weights());
                     if (!weights.ok()) return weights.status();
                     auto activations = RouterGrid(options.has_activations(), options.activations());
                     if (!activations.ok()) return activations.status();
                     return std::make_unique<Router>(*weights, *activations);
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
