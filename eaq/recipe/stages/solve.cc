// Slot 4: rounding to nearest (with or without clip search) and GPTQ.
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/clip_search.h"
#include "eaq/quant/from_proto.h"
#include "eaq/quant/gptq.h"
#include "eaq/quant/ratio_search.h"
#include "eaq/recipe/affinity.h"
#include "eaq/recipe/profile.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

class NearestSolver : public SolveSlot {
 public:
  explicit NearestSolver(GridRange range) : range_(std::move(range)) {}
  absl::StatusOr<SolvedLinear> Solve(const LinearId&, ConstMatrixView weight, const InputStatistics&,
                                     const GridSpec& grid, const QuantizeOps& ops) const override {
    EAQ_ASSIGN_OR_RETURN(NearestResult rounded, ops.Nearest(weight, grid, range_));
    return SolvedLinear{std::move(rounded.weight), std::move(rounded.note)};
  }

 private:
  const GridRange range_;
};

// Null: plain min-max or a clip search.
absl::StatusOr<std::optional<RatioSpec>> RatioOf(const Nearest& options) {
  RatioSpec ratio;
  ratio.fixed = options.fixed_clip_ratio();
  ratio.zero_in_range = options.zero_in_range();
  if (options.has_ratio_search()) ratio.search_from = options.ratio_search().first_ratio();
  EAQ_RETURN_IF_ERROR(ValidateRatio(ratio, GridSpec{.bits = 4}));
  const bool plain = ratio.fixed == 1 && ratio.zero_in_range && !ratio.search_from;
  if (!plain && options.has_clip()) {
    return absl::InvalidArgumentError(
        "nearest: clip beside fixed_clip_ratio, ratio_search or zero_in_range; expected one way to choose the range");
  }
  return plain ? std::nullopt : std::make_optional(ratio);
}

// Linears that may be rounded together when each is calibrated on what the rounded ones before it give.
int StepOf(Role role) {
  switch (role) {
    case Role::kQ:
    case Role::kK:
    case Role::kV:
      return 0;
    case Role::kO:
      return 1;
    case Role::kDown:
    case Role::kSharedDown:
      return 3;
    default:
      return 2;
  }
}

class GptqSolver : public SolveSlot {
 public:
  GptqSolver(GptqOptions options, int affinity_power, bool sequential)
      : options_(std::move(options)), power_(affinity_power), sequential_(sequential) {}
  bool needs_second_moments() const override { return true; }
  // Plain GPTQ looks at the profile alone.
  bool solves_whole_layers() const override { return power_ > 0 || sequential_; }
  absl::StatusOr<SolvedLinear> Solve(const LinearId&, ConstMatrixView weight, const InputStatistics& input,
                                     const GridSpec& grid, const QuantizeOps& ops) const override {
    EAQ_ASSIGN_OR_RETURN(GptqResult result, ops.Gptq(weight, input.second_moments, grid, options_));
    return SolvedLinear{std::move(result.weight), std::move(result.report.note)};
  }

  absl::StatusOr<SolvedLinears> SolveLayer(const LayerContext& context, const LayerParams& params,
                                           const std::map<LinearId, GridSpec>& plan) const override {
    std::map<int, std::map<LinearId, GridSpec>> steps;
    for (const auto& [id, grid] : plan) steps[sequential_ ? StepOf(id.role) : 0].emplace(id, grid);
    LayerParams now = params;  // with what is rounded already in its place
    SolvedLinears solved;
    for (const auto& [step, part] : steps) {
      EAQ_ASSIGN_OR_RETURN(const LayerProfile fresh, Measure(context, now, part, /*changed=*/!solved.empty()));
      EAQ_ASSIGN_OR_RETURN(
          SolvedLinears rounded, SolveEach(part, *context.pool, [&](const LinearId& id, const GridSpec& grid) {
            const auto it = fresh.inputs.find(LayerProfile::InputOwner(id));
            return Solve(id, params.linears.at(id).weight.view(),
                         it == fresh.inputs.end() ? context.profile->OfOrNone(id) : it->second, grid, *context.ops);
          }));
      for (const auto& [id, linear] : rounded) now.linears.at(id).weight = Dequantize(linear.weight);
      solved.merge(std::move(rounded));
    }
    return solved;
  }

 private:
  // The inputs of PART that the profile does not have as they are wanted: of a layer that has CHANGED since, or
  // weighted.
  absl::StatusOr<LayerProfile> Measure(const LayerContext& context, const LayerParams& now,
                                       const std::map<LinearId, GridSpec>& part, bool changed) const {
    std::set<LinearId> owners;
    for (const auto& [id, grid] : part) {
      if (changed || (power_ > 0 && HasAffinity(*context.config, id))) owners.insert(LayerProfile::InputOwner(id));
    }
    if (owners.empty()) return LayerProfile();
    EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(*context.config, now));
    return ProfileLayer(*layer, context.hidden, {.affinity_power = power_, .only = &owners, .ops = context.ops},
                        *context.pool);
  }

  const GptqOptions options_;
  const int power_;  // of the affinity; 0: all tokens count alike
  const bool sequential_;
};

EAQ_REGISTER_STAGE(SolveSlot, Nearest, [](const Nearest& options) -> absl::StatusOr<std::unique_ptr<SolveSlot>> {
  GridRange range;
  EAQ_ASSIGN_OR_RETURN(range.ratio, RatioOf(options));
  if (options.has_clip()) {
    EAQ_ASSIGN_OR_RETURN(range.clip, ClipSearchFromProto(options.clip()));
  }
  return std::make_unique<NearestSolver>(std::move(range));
});
EAQ_REGISTER_STAGE(SolveSlot, Gptq, [](const Gptq& options) -> absl::StatusOr<std::unique_ptr<SolveSlot>> {
  EAQ_ASSIGN_OR_RETURN(GptqOptions parsed, GptqFromProto(options));
  if (!(parsed.damping >= 0 && parsed.damping <= 10) || parsed.block < 1) {
    return absl::InvalidArgumentError(absl::StrCat("gptq: damping is ", parsed.damping, " and block ", parsed.block,
                                                   ", expected damping in 0 .. 10 and block >= 1"));
  }
  int power = 0;
  if (options.has_affinity()) {
    EAQ_ASSIGN_OR_RETURN(power, AffinityPower(options.affinity()));
  }
  return std::make_unique<GptqSolver>(std::move(parsed), power, options.order() == Gptq::SEQUENTIAL);
});

}  // namespace
}  // namespace eaq
