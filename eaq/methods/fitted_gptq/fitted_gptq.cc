// Slot 4: GPTQ on weights fitted to their inputs as these will be quantized.
#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/fitted_gptq/moments.h"
#include "eaq/methods/fitted_gptq/paired_inputs.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/from_proto.h"
#include "eaq/quant/gptq.h"
#include "eaq/recipe/stage.h"

namespace eaq::fitted_gptq {
namespace {

constexpr size_t kWindowsAtOnce = 16;  // memory alone depends on it

class Solver : public SolveSlot {
 public:
  Solver(GptqOptions gptq, double ridge, bool full_precision)
      : gptq_(std::move(gptq)), ridge_(ridge), full_precision_(full_precision) {}
  bool solves_whole_layers() const override { return true; }
  bool needs_full_hidden() const override { return full_precision_; }

  absl::StatusOr<SolvedLinears> SolveLayer(const LayerContext& context, const LayerParams& params,
                                           const std::map<LinearId, GridSpec>& plan) const override {
    EAQ_ASSIGN_OR_RETURN(const auto moments, Measure(context, params, plan));
    return SolveEach(plan, *context.pool, [&](const LinearId& id, const GridSpec& grid) {
      return SolveOne(params.linears.at(id).weight, moments.at(LayerProfile::InputOwner(id)), grid, *context.ops);
    });
  }

 private:
  // Of every input that a linear of PLAN reads.
  absl::StatusOr<std::map<LinearId, Moments>> Measure(const LayerContext& context, const LayerParams& params,
                                                      const std::map<LinearId, GridSpec>& plan) const {
    EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(*context.config, params));
    std::vector<LinearId> owners;
    std::vector<ActivationQuantizer> activations;
    std::vector<MomentAccumulator> sums;
    for (const auto& [id, grid] : plan) {
      const LinearId owner = LayerProfile::InputOwner(id);
      if (std::find(owners.begin(), owners.end(), owner) != owners.end()) continue;
      EAQ_ASSIGN_OR_RETURN(ActivationQuantizer activation,
                           MakeActivation(id, *context.profile, *context.scheme, *context.router, *context.activation));
      owners.push_back(owner);
      activations.push_back(std::move(activation));
      sums.emplace_back(params.linears.at(id).weight.cols());
    }
    if (full_precision_ && context.full_hidden.size() != context.hidden.size()) {
      return absl::InternalError(absl::StrCat("fitted_gptq: ", context.full_hidden.size(),
                                              " full-precision windows for ", context.hidden.size(),
                                              "; expected as many"));
    }
    for (size_t begin = 0; begin < context.hidden.size(); begin += kWindowsAtOnce) {
      const size_t count = std::min(kWindowsAtOnce, context.hidden.size() - begin);
      std::vector<std::map<LinearId, RowPair>> rows(count);
      context.pool->ParallelFor(count, [&](int64_t w) {
        rows[w] = PairInputs(*layer, owners, context.hidden[begin + w],
                             full_precision_ ? &context.full_hidden[begin + w] : nullptr);
      });
      std::vector<absl::Status> status(owners.size());
      context.pool->ParallelFor(owners.size(), [&](int64_t i) {
        for (auto& window : rows) {
          RowPair& pair = window.at(owners[i]);
          activations[i].Apply(pair.own.view());
          status[i].Update(sums[i].Add(pair.full.const_view(), pair.own.const_view()));
        }
      });
      for (const absl::Status& s : status) EAQ_RETURN_IF_ERROR(s);
    }
    std::map<LinearId, Moments> moments;
    for (size_t i = 0; i < owners.size(); ++i) moments.emplace(owners[i], sums[i].Finish());
    return moments;
  }

  absl::StatusOr<SolvedLinear> SolveOne(const Matrix& weight, const Moments& moments, const GridSpec& grid,
                                        const QuantizeOps& ops) const {
    const Matrix fitted = FitWeight(weight.const_view(), moments, ridge_);
    EAQ_ASSIGN_OR_RETURN(GptqResult result, ops.Gptq(fitted.const_view(), moments.seen, grid, gptq_));
    return SolvedLinear{std::move(result.weight), std::move(result.report.note)};
  }

  const GptqOptions gptq_;
  const double ridge_;
  const bool full_precision_;  // target: what full precision's rows give; else the same rows before quantization
};

EAQ_REGISTER_STAGE(SolveSlot, FittedGptq, [](const FittedGptq& options) -> absl::StatusOr<std::unique_ptr<SolveSlot>> {
  EAQ_ASSIGN_OR_RETURN(GptqOptions gptq, GptqFromProto(options.gptq()));
  if (options.gptq().affinity().power() > 0 && options.gptq().has_affinity()) {
    return absl::InvalidArgumentError(
        "fitted_gptq: gptq.affinity is set; expected none, since the fit counts all tokens alike");
  }
  if (options.gptq().order() != Gptq::LAYER) {
    return absl::InvalidArgumentError(
        "fitted_gptq: gptq.order is SEQUENTIAL; expected LAYER, the fit takes all rows from one layer");
  }
  if (!(options.ridge() > 0 && options.ridge() <= 10)) {
    return absl::InvalidArgumentError(
        absl::StrCat("fitted_gptq: ridge is ", options.ridge(), "; expected above 0 and at most 10"));
  }
  return std::make_unique<Solver>(std::move(gptq), options.ridge(), options.target() == FittedGptq::FULL_PRECISION);
});

}  // namespace
}  // namespace eaq::fitted_gptq
