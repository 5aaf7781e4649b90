#include "eaq/recipe/stage.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq {

absl::StatusOr<std::vector<int64_t>> CalibrationSlot::Choose(const std::vector<CalibrationWindow>&,
                                                             const std::vector<ExpertCounts>&, int64_t) const {
  return absl::UnimplementedError("this calibration writes its windows; it was asked to choose some");
}

absl::StatusOr<std::vector<CalibrationWindow>> CalibrationSlot::Sample(const SampleContext&) const {
  return absl::UnimplementedError("this calibration chooses windows of texts; it was asked to write some");
}

absl::StatusOr<SwitchPlan> AllocateSlot::PlanSwitching(const AllocationProblem&, const SurveyedSets&,
                                                       const SurveyedSets&, const BitPlan&) const {
  return absl::UnimplementedError("this allocator plans one model for all data sets; it was asked to switch");
}

absl::StatusOr<SolvedLinear> RouterSlot::Solve(const LayerContext& context, const LayerParams&,
                                               ConstMatrixView weight) const {
  EAQ_ASSIGN_OR_RETURN(NearestResult rounded, context.ops->Nearest(weight, weights(), {}));
  return SolvedLinear{std::move(rounded.weight), std::move(rounded.note)};
}

absl::StatusOr<SolvedLinear> SolveSlot::Solve(const LinearId& id, ConstMatrixView, const InputStatistics&,
                                              const GridSpec&, const QuantizeOps&) const {
  return absl::UnimplementedError(absl::StrCat("this solver works on whole layers; it was asked for ", id.ToString()));
}

absl::StatusOr<SolvedLinears> SolveSlot::SolveLayer(const LayerContext&, const LayerParams&,
                                                    const std::map<LinearId, GridSpec>&) const {
  return absl::UnimplementedError("this solver works linear by linear");
}

absl::StatusOr<SolvedLinears> SolveEach(
    const std::map<LinearId, GridSpec>& plan, ThreadPool& pool,
    absl::FunctionRef<absl::StatusOr<SolvedLinear>(const LinearId&, const GridSpec&)> solve) {
  std::vector<LinearId> ids;
  for (const auto& [id, grid] : plan) ids.push_back(id);
  std::vector<absl::StatusOr<SolvedLinear>> results(ids.size(), absl::UnknownError("not solved"));
  pool.ParallelFor(ids.size(), [&](int64_t i) { results[i] = solve(ids[i], plan.at(ids[i])); });
  SolvedLinears solved;
  for (size_t i = 0; i < ids.size(); ++i) {
    EAQ_RETURN_IF_ERROR(Annotate(results[i].status(), ids[i].ToString()));
    solved.emplace(ids[i], *std::move(results[i]));
  }
  return solved;
}

absl::StatusOr<ActivationQuantizer> MakeActivation(const LinearId& id, const LayerProfile& profile,
                                                   const LayerScheme& scheme, const RouterSlot& router,
                                                   const ActivationSlot& activation) {
  if (id.role == Role::kRouter) {
    if (!router.activations().quantized()) return ActivationQuantizer();
    return ActivationQuantizer::Dynamic(router.activations(), router.activation_clip_ratio());
  }
  if (!scheme.Covers(id) || !scheme.activations.quantized()) return ActivationQuantizer();
  return activation.Make(id, profile.OfOrNone(id), scheme.activations);
}

}  // namespace eaq
