// Slot 4: rounding to nearest (with or without clip search) and GPTQ.
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/clip_search.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/from_proto.h"
#include "eaq/quant/gptq.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

class NearestSolver : public SolveSlot {
 public:
  explicit NearestSolver(std::optional<ClipSearchSpec> clip) : clip_(std::move(clip)) {}
  absl::StatusOr<SolvedLinear> Solve(const LinearId&, ConstMatrixView weight, const InputStatistics&,
                                     const GridSpec& grid) const override {
    EAQ_ASSIGN_OR_RETURN(QuantizedMatrix q, QuantizeNearest(weight, grid, clip_ ? &*clip_ : nullptr));
    return SolvedLinear{std::move(q), ""};
  }

 private:
  const std::optional<ClipSearchSpec> clip_;
};

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
  if (!options.has_clip()) return std::make_unique<NearestSolver>(std::nullopt);
  EAQ_ASSIGN_OR_RETURN(ClipSearchSpec clip, ClipSearchFromProto(options.clip()));
  return std::make_unique<NearestSolver>(clip);
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
