// Slot 4: SliM-LLM, GPTQ with groups of different widths inside one matrix. README.md has the steps.
#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/slim_llm/search.h"
#include "eaq/model/layer.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/from_proto.h"
#include "eaq/quant/gptq.h"
#include "eaq/recipe/calibration_sample.h"
#include "eaq/recipe/layer_inputs.h"
#include "eaq/recipe/profile.h"
#include "eaq/recipe/stage.h"

namespace eaq::slim_llm {
namespace {

// "groups: 2 of 1 bits, 12 of 2, 2 of 3"
std::string Note(const std::vector<uint8_t>& widths) {
  std::map<int, int> count;
  for (const uint8_t bits : widths) ++count[bits];
  std::vector<std::string> parts;
  for (const auto& [bits, groups] : count) {
    parts.push_back(absl::StrCat(groups, " of ", bits, parts.empty() ? " bits" : ""));
  }
  return absl::StrCat("groups: ", absl::StrJoin(parts, ", "));
}

class Solver : public SolveSlot {
 public:
  Solver(const SlimLlm& options, GptqOptions gptq) : options_(options), gptq_(std::move(gptq)) {}
  bool needs_second_moments() const override { return true; }
  bool solves_whole_layers() const override { return true; }

  absl::StatusOr<SolvedLinears> SolveLayer(const LayerContext& context, const LayerParams& params,
                                           const std::map<LinearId, GridSpec>& plan) const override {
    EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(*context.config, params));
    const std::vector<LinearId> owners = InputOwners(plan);
    EAQ_ASSIGN_OR_RETURN(const auto inputs, CollectInputs(*layer, context.hidden, owners, *context.ops, *context.pool));
    return SolveEach(plan, *context.pool, [&](const LinearId& id, const GridSpec& grid) {
      return Round(params.linears.at(id).weight, inputs.at(LayerProfile::InputOwner(id)),
                   context.profile->OfOrNone(id).second_moments, grid, *context.ops);
    });
  }

 private:
  absl::StatusOr<SolvedLinear> Round(const Matrix& weight, const Matrix& x, const Hessian& hessian,
                                     const GridSpec& grid, const QuantizeOps& ops) const {
    const absl::StatusOr<std::vector<double>> u = InverseFactorDiagonal(hessian, gptq_.damping);
    // An expert that no token reaches has no salience: one width, rounded to nearest.
    std::vector<double> salience;
    if (u.ok() && grid.granularity == Granularity::kGroup) {
      salience = GroupSalience(weight.const_view(), *u, grid.group_size);
    }
    GptqOptions gptq = gptq_;
    const Matrix sample = SampleRows({.averaged = false, .max_rows = options_.tokens()}, x);
    EAQ_ASSIGN_OR_RETURN(gptq.group_bits, SearchGroupBits(weight.const_view(), sample, salience, grid,
                                                          options_.may_stay_uniform(), ops));
    const bool uniform =
        std::all_of(gptq.group_bits.begin(), gptq.group_bits.end(), [&](uint8_t bits) { return bits == grid.bits; });
    if (uniform) gptq.group_bits.clear();
    EAQ_ASSIGN_OR_RETURN(GptqResult result, ops.Gptq(weight.const_view(), hessian, grid, gptq));
    SolvedLinear solved{std::move(result.weight), uniform ? "groups: all of one width" : Note(gptq.group_bits)};
    if (!result.report.note.empty()) absl::StrAppend(&solved.note, "; ", result.report.note);
    return solved;
  }

  const SlimLlm options_;
  const GptqOptions gptq_;
};

EAQ_REGISTER_STAGE(SolveSlot, SlimLlm, [](const SlimLlm& options) -> absl::StatusOr<std::unique_ptr<SolveSlot>> {
  if (options.gptq().has_clip() || options.gptq().has_affinity() || options.gptq().order() != Gptq::LAYER) {
    return absl::InvalidArgumentError(
        "slim_llm.gptq has clip, affinity or order; expected none: slim_llm searches ranges itself, layer by layer");
  }
  if (options.tokens() < 1) {
    return absl::InvalidArgumentError(absl::StrCat("slim_llm.tokens is ", options.tokens(), "; expected 1 or more"));
  }
  EAQ_ASSIGN_OR_RETURN(GptqOptions gptq, GptqFromProto(options.gptq()));
  if (gptq.act_order && !gptq.static_groups) {
    return absl::InvalidArgumentError(
        "slim_llm.gptq has act_order and no static_groups, whose groups are not consecutive columns; expected "
        "static_groups, or no act_order");
  }
  gptq.salient.emplace();
  gptq.salient->weight = options.salient_weight();
  gptq.salient->deviations = options.deviations();
  EAQ_RETURN_IF_ERROR(Annotate(ValidateSalientSearch(*gptq.salient), "slim_llm"));
  return std::make_unique<Solver>(options, std::move(gptq));
});

}  // namespace
}  // namespace eaq::slim_llm
