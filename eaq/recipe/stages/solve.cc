// Slot 4: rounding to nearest (with or without clip search) and GPTQ.
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/clip_search.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/from_proto.h"
#include "eaq/quant/gptq.h"
#include "eaq/quant/ratio_search.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

class NearestSolver : public SolveSlot {
 public:
  NearestSolver(std::optional<ClipSearchSpec> clip, std::optional<RatioSpec> ratio)
      : clip_(std::move(clip)), ratio_(std::move(ratio)) {}
  absl::StatusOr<SolvedLinear> Solve(const LinearId&, ConstMatrixView weight, const InputStatistics&,
                                     const GridSpec& grid) const override {
    if (ratio_) {
      EAQ_ASSIGN_OR_RETURN(std::vector<GridParams> grids, FindRatioGrids(weight, grid, *ratio_));
      EAQ_ASSIGN_OR_RETURN(QuantizedMatrix q, QuantizeOnGrids(weight, grid, std::move(grids)));
      return SolvedLinear{std::move(q), ""};
    }
    EAQ_ASSIGN_OR_RETURN(QuantizedMatrix q, QuantizeNearest(weight, grid, clip_ ? &*clip_ : nullptr));
    return SolvedLinear{std::move(q), ""};
  }

 private:
  const std::optional<ClipSearchSpec> clip_;
  const std::optional<RatioSpec> ratio_;  // instead of min-max or clip_
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

class GptqSolver : public SolveSlot {
 public:
  explicit GptqSolver(GptqOptions options) : options_(std::move(options)) {}
  bool needs_second_moments() const override { return true; }
  absl::StatusOr<SolvedLinear> Solve(const LinearId&, ConstMatrixView weight, const InputStatistics& input,
                                     const GridSpec& grid) const override {
    EAQ_ASSIGN_OR_RETURN(GptqResult result, GptqSolve(weight, input.second_moments, grid, options_));
    return SolvedLinear{std::move(result.weight), std::move(result.report.note)};
  }

 private:
  const GptqOptions options_;
};

EAQ_REGISTER_STAGE(SolveSlot, Nearest, [](const Nearest& options) -> absl::StatusOr<std::unique_ptr<SolveSlot>> {
  EAQ_ASSIGN_OR_RETURN(const std::optional<RatioSpec> ratio, RatioOf(options));
  if (!options.has_clip()) return std::make_unique<NearestSolver>(std::nullopt, ratio);
  EAQ_ASSIGN_OR_RETURN(ClipSearchSpec clip, ClipSearchFromProto(options.clip()));
  return std::make_unique<NearestSolver>(clip, std::nullopt);
});
EAQ_REGISTER_STAGE(SolveSlot, Gptq, [](const Gptq& options) -> absl::StatusOr<std::unique_ptr<SolveSlot>> {
  EAQ_ASSIGN_OR_RETURN(GptqOptions parsed, GptqFromProto(options));
  if (!(parsed.damping >= 0 && parsed.damping <= 10) || parsed.block < 1) {
    return absl::InvalidArgumentError(absl::StrCat("gptq: damping is ", parsed.damping, " and block ", parsed.block,
                                                   ", expected damping in 0 .. 10 and block >= 1"));
  }
  return std::make_unique<GptqSolver>(std::move(parsed));
});

}  // namespace
}  // namespace eaq
