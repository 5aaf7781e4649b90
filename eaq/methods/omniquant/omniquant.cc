// OmniQuant's two stages: slot 2 omniquant_let, slot 4 omniquant. README.md has the equations.
#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/block_training/block_trainer.h"
#include "eaq/methods/omniquant/clipping.h"
#include "eaq/methods/omniquant/equivalent_transform.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/plain_input.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

constexpr float kSmallestScale = 1e-2f, kSmallestInit = 1e-5f;

// STEP on every batch of windows, in order, EPOCHS times.
absl::Status ForEveryBatch(const BlockTrainer& trainer, int epochs,
                           const std::function<absl::Status(absl::Span<const int64_t>)>& step) {
  for (int epoch = 0; epoch < epochs; ++epoch) {
    for (int64_t begin = 0; begin < trainer.windows(); begin += trainer.batch()) {
      std::vector<int64_t> batch;
      for (int64_t w = begin; w < std::min(begin + trainer.batch(), trainer.windows()); ++w) batch.push_back(w);
      EAQ_RETURN_IF_ERROR(Annotate(step(batch), absl::StrCat("omniquant, epoch ", epoch + 1, ", window ", begin)));
    }
  }
  return absl::OkStatus();
}

// The rounded weights of LINEARS with the ranges as they are.
void RoundToNearest(const std::vector<LearnedLinear>& linears, const std::vector<float>& weights, ThreadPool& pool,
                    std::vector<float>& flat) {
  pool.ParallelFor(linears.size(), [&](int64_t i) {
    const LearnedLinear& l = linears[i];
    const std::vector<float> one(l.grid.grids(), 1.0f);
    l.grid.Forward(&weights[l.at], nullptr, one.data(), one.data(), &flat[l.at]);
  });
}

class OmniQuantSolver : public SolveSlot {
 public:
  explicit OmniQuantSolver(const OmniQuant& options) : options_(options) {}
  bool solves_whole_layers() const override { return true; }
  bool needs_full_hidden() const override { return true; }

  absl::StatusOr<SolvedLinears> SolveLayer(const LayerContext& context, const LayerParams& params,
                                           const std::map<LinearId, GridSpec>& plan) const override {
    if (plan.empty()) return SolvedLinears();
    EAQ_ASSIGN_OR_RETURN(const auto trainer,
                         BlockTrainer::Create(context, params, options_.batch(), ActivationGradient::kStraightThrough));
    EAQ_ASSIGN_OR_RETURN(const std::vector<LearnedLinear> linears, LearnedLinears(*trainer, params, plan));
    const std::vector<float>& weights = trainer->flat();
    std::vector<float> flat = weights, gradient;
    RoundToNearest(linears, weights, *context.pool, flat);
    EAQ_ASSIGN_OR_RETURN(const double before, trainer->TotalLoss(flat));
    Clipping clipping(linears, options_.init());
    EAQ_RETURN_IF_ERROR(ForEveryBatch(*trainer, options_.epochs(), [&](absl::Span<const int64_t> batch) {
      clipping.Round(weights, *context.pool, flat);
      EAQ_RETURN_IF_ERROR(trainer->Loss(flat, batch, &gradient).status());
      clipping.Step(weights, gradient, /*pass_on=*/false, options_.rate(), *context.pool);
      return absl::OkStatus();
    }));
    clipping.Round(weights, *context.pool, flat);
    EAQ_ASSIGN_OR_RETURN(const double after, trainer->TotalLoss(flat));
    std::string note = absl::StrFormat("omniquant: error of the layer %.4g -> %.4g", before, after);
    const bool worse = !(after <= before);
    if (worse) absl::StrAppend(&note, "; worse than rounding to nearest, which was kept");
    SolvedLinears solved;
    for (size_t i = 0; i < linears.size(); ++i) {
      const LearnedLinear& l = linears[i];
      std::vector<float> upper = clipping.Upper(i), lower = clipping.Lower(i);
      const auto input = context.profile->inputs.find(LayerProfile::InputOwner(l.id));
      const bool unseen = input != context.profile->inputs.end() && input->second.tokens == 0;
      if (worse || unseen) upper.assign(upper.size(), 1.0f), lower.assign(lower.size(), 1.0f);
      absl::StatusOr<QuantizedMatrix> q = l.grid.Finish(&weights[l.at], nullptr, upper.data(), lower.data());
      EAQ_RETURN_IF_ERROR(Annotate(q.status(), l.id.ToString()));
      solved.emplace(l.id, SolvedLinear{*std::move(q), i == 0   ? note
                                                       : unseen ? "no calibration token: rounded to nearest"
                                                                : ""});
    }
    return solved;
  }

 private:
  const OmniQuant options_;
};

class LetTransform : public TransformSlot {
 public:
  explicit LetTransform(const OmniQuantLet& options) : options_(options) {}
  bool needs_hidden() const override { return true; }
  bool needs_full_hidden() const override { return true; }

  absl::Status Apply(const LayerContext& context, LayerParams& params) const override {
    EAQ_RETURN_IF_ERROR(RequirePlainInputs(params, "omniquant_let", "expected it before that transform"));
    EAQ_ASSIGN_OR_RETURN(const auto trainer,
                         BlockTrainer::Create(context, params, options_.batch(), ActivationGradient::kThroughScale));
    for (const auto& [site, what] : trainer->activations().sites) {
      if (what.quantizer.is_static()) {
        return absl::InvalidArgumentError(
            "omniquant_let moves the ranges of activations while it learns; expected dynamic activations, found "
            "static ones");
      }
    }
    std::map<LinearId, GridSpec> plan;  // what is rounded while the scales are learned
    for (const auto& [id, linear] : params.linears) {
      const bool router = id.role == Role::kRouter;
      const GridSpec& grid = router ? context.router->weights() : context.scheme->weights;
      if ((router || context.scheme->Covers(id)) && grid.quantized()) plan.emplace(id, grid);
    }
    EAQ_ASSIGN_OR_RETURN(const std::vector<LearnedLinear> linears, LearnedLinears(*trainer, params, plan));
    const EquivalentTransform<float> transform(trainer->layout(), context.scheme->operands.quantized());
    const std::vector<float> original = trainer->Flatten(params);
    std::vector<float> edited = original, flat, gradient;
    flat = edited;
    RoundToNearest(linears, edited, *context.pool, flat);
    EAQ_ASSIGN_OR_RETURN(const double before, trainer->TotalLoss(flat));

    std::vector<float> s = FirstScales(context, params, transform.scales()), ds(s.size());
    Clipping clipping(linears, options_.lwc_rate() > 0 ? options_.lwc_init() : 30.0);  // sigmoid(30) = 1 in float32
    AdamGroup adam(s.size());
    const auto place = [&] {
      transform.Forward(original.data(), s.data(), edited.data());
      flat = edited;
      clipping.Round(edited, *context.pool, flat);
    };
    EAQ_RETURN_IF_ERROR(ForEveryBatch(*trainer, options_.epochs(), [&](absl::Span<const int64_t> batch) {
      place();
      EAQ_RETURN_IF_ERROR(trainer->Loss(flat, batch, &gradient).status());
      clipping.Step(edited, gradient, /*pass_on=*/true, options_.lwc_rate(), *context.pool);
      transform.Backward(original.data(), s.data(), gradient.data(), ds.data());
      adam.Step(absl::MakeSpan(s), ds, options_.rate());
      for (float& x : s)
        if (!(std::fabs(x) >= kSmallestScale)) x = std::copysign(kSmallestScale, x);
      return absl::OkStatus();
    }));
    place();
    EAQ_ASSIGN_OR_RETURN(const double after, trainer->TotalLoss(flat));
    if (!(after < before)) return absl::OkStatus();  // the layer stays as it was
    return Fold(*trainer, context.scheme->operands.quantized(), original, s, params);
  }

 private:
  // s = clamp(max|x|^a / max|W|^(1-a), 1e-5), |s| >= 1e-2; 1 for channels that are always 0, and between q and k.
  std::vector<float> FirstScales(const LayerContext& context, const LayerParams& params,
                                 const ScaleLayout& layout) const {
    std::vector<float> s(layout.size, 1.0f);
    const auto fill = [&](int64_t at, int64_t size, const LinearId& reader, const std::vector<const Matrix*>& weights) {
      const std::vector<float>& abs_max = context.profile->Of(reader).abs_max;
      for (int64_t j = 0; j < size; ++j) {
        if (abs_max[j] == 0) continue;
        float largest = kSmallestInit;
        for (const Matrix* w : weights)
          for (int64_t r = 0; r < w->rows(); ++r) largest = std::max(largest, std::fabs((*w)(r, j)));
        const double exact = std::pow(abs_max[j], options_.alpha()) / std::pow(largest, 1 - options_.alpha());
        s[at + j] = std::max({static_cast<float>(exact), kSmallestInit, kSmallestScale});
      }
    };
    const int l = params.layer;
    std::vector<const Matrix*> qkv, mlp;
    for (const auto& [id, linear] : params.linears) {
      if (id.role == Role::kQ || id.role == Role::kK || id.role == Role::kV) qkv.push_back(&linear.weight);
      if (id.role == Role::kGate || id.role == Role::kUp || id.role == Role::kSharedGate || id.role == Role::kSharedUp)
        mlp.push_back(&linear.weight);
    }
    fill(layout.attention, layout.attention_size, {l, Role::kQ}, qkv);
    const bool mixture = context.config->IsMoe(l);
    fill(layout.feed_forward, layout.feed_forward_size, {l, mixture ? Role::kRouter : Role::kGate}, mlp);
    fill(layout.value, layout.value_size, {l, Role::kO}, {&params.linears.at({l, Role::kO}).weight});
    return s;
  }

  static absl::Status Fold(const BlockTrainer& trainer, bool qk, const std::vector<float>& original,
                           const std::vector<float>& s, LayerParams& params) {
    const EquivalentTransform<double> exact(trainer.layout(), qk);  // in float64, rounded once
    const std::vector<double> from(original.begin(), original.end()), scales(s.begin(), s.end());
    std::vector<double> to(from.size());
    exact.Forward(from.data(), scales.data(), to.data());
    const auto take = [&](int64_t at, int64_t n, float* out) {
      for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(to[at + i]);
    };
    const ParameterLayout::Layer& o = trainer.layer();
    take(o.input_norm, params.input_norm.size(), params.input_norm.data());
    take(o.post_norm, params.post_norm.size(), params.post_norm.data());
    take(o.q_norm, params.q_norm.size(), params.q_norm.data());
    take(o.k_norm, params.k_norm.size(), params.k_norm.data());
    for (const auto& [id, at] : trainer.offsets()) {
      Matrix& w = params.linears.at(id).weight;
      take(at, w.size(), w.data());
      if (!AllFinite(w.values()))
        return absl::DataLossError(absl::StrCat(id.ToString(),
                                                ": weights that are not finite after learning its "
                                                "scales; lower omniquant_let.rate"));
    }
    return absl::OkStatus();
  }

  const OmniQuantLet options_;
};

absl::Status CheckTraining(absl::string_view stage, int epochs, int batch, double rate, double init) {
  if (epochs < 0 || epochs > 1000 || batch < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(stage, ".epochs is ", epochs, " and batch ", batch, ", expected 0 .. 1000 and at least 1"));
  }
  if (!(rate >= 0 && rate <= 1) || !(std::fabs(init) <= 100)) {
    return absl::InvalidArgumentError(absl::StrCat(stage, ": the rate of clipping is ", rate, " and its first logit ",
                                                   init, ", expected 0 .. 1 and -100 .. 100"));
  }
  return absl::OkStatus();
}

EAQ_REGISTER_STAGE(SolveSlot, OmniQuant, [](const OmniQuant& o) -> absl::StatusOr<std::unique_ptr<SolveSlot>> {
  EAQ_RETURN_IF_ERROR(CheckTraining("omniquant", o.epochs(), o.batch(), o.rate(), o.init()));
  return std::make_unique<OmniQuantSolver>(o);
});
EAQ_REGISTER_STAGE(TransformSlot, OmniQuantLet,
                   [](const OmniQuantLet& o) -> absl::StatusOr<std::unique_ptr<TransformSlot>> {
                     EAQ_RETURN_IF_ERROR(
                         CheckTraining("omniquant_let", o.epochs(), o.batch(), o.lwc_rate(), o.lwc_init()));
                     if (!(o.alpha() >= 0 && o.alpha() <= 1) || !(o.rate() >= 0 && o.rate() <= 1)) {
                       return absl::InvalidArgumentError(absl::StrCat("omniquant_let.alpha is ", o.alpha(),
                                                                      " and rate ", o.rate(), ", expected 0 .. 1"));
                     }
                     return std::make_unique<LetTransform>(o);
                   });

}  // namespace
}  // namespace eaq
