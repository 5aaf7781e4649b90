// Slot 4: SignRound (AutoRound). README.md has the equations.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/block_training/block_trainer.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/stage.h"
#include "kernels/cpu/gemm.h"

namespace eaq {
namespace {

struct Offsets {
  explicit Offsets(const LearnedLinear& linear)
      : v(linear.size, 0.0f), upper(linear.grid.grids(), 1.0f), lower(linear.grid.grids(), 1.0f) {}
  std::vector<float> v, upper, lower;
};

// p <- p - rate sign(g); sign(0) = 0.
void SignStep(float rate, const float* g, int64_t n, float* p) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) p[i] -= (g[i] > 0.0f ? rate : 0.0f) - (g[i] < 0.0f ? rate : 0.0f);
}

// One step from G, the gradient of the rounded weight, which is overwritten. W: the weight.
void Step(const LearnedGrid<float>& grid, const float* w, float* g, float rate, float minmax_rate, Offsets& o) {
  std::vector<float> upper(o.upper.size()), lower(o.lower.size());
  grid.Backward(w, o.v.data(), o.upper.data(), o.lower.data(), g,
                {.offset = g, .upper = upper.data(), .lower = lower.data()});
  SignStep(rate, g, o.v.size(), o.v.data());
  SignStep(minmax_rate, upper.data(), upper.size(), o.upper.data());
  SignStep(minmax_rate, lower.data(), lower.size(), o.lower.data());
  for (auto* factors : {&o.upper, &o.lower})
    for (float& f : *factors) f = std::clamp(f, 0.0f, 1.0f);
}

class SignRoundSolver : public SolveSlot {
 public:
  explicit SignRoundSolver(const SignRound& options)
      : options_(options),
        rate_(options.rate() > 0 ? options.rate() : 1.0 / options.iterations()),
        minmax_rate_(options.minmax_rate() > 0 ? options.minmax_rate() : 1.0 / options.iterations()),
        by_linear_(options.objective() == SignRound::LINEAR) {}

  bool needs_second_moments() const override { return by_linear_; }
  bool solves_whole_layers() const override { return !by_linear_; }
  bool needs_full_hidden() const override { return !by_linear_; }

  // The LINEAR objective: loss = tr((W^ - W) H (W^ - W)^T) / tokens, gradient 2 (W^ - W) H / tokens.
  absl::StatusOr<SolvedLinear> Solve(const LinearId&, ConstMatrixView weight, const InputStatistics& input,
                                     const GridSpec& spec, const QuantizeOps&) const override {
    const int64_t rows = weight.rows, cols = weight.cols;
    const Matrix w(weight);
    EAQ_ASSIGN_OR_RETURN(const LearnedGrid<float> grid, LearnedGrid<float>::Create(rows, cols, spec));
    const LearnedLinear linear{{}, 0, w.size(), grid};
    Offsets now(linear), best = now;
    const Hessian& h = input.second_moments;
    if (h.tokens == 0) return Finished(linear, w.data(), best, "no calibration token: rounded to nearest");
    if (h.size != cols) {
      return absl::InvalidArgumentError(
          absl::StrCat("second moments of ", h.size, " channels; expected ", cols, " (the input of the linear)"));
    }
    Matrix moments(cols, cols), error(rows, cols), gradient(rows, cols);
    for (int64_t i = 0; i < moments.size(); ++i)
      moments.data()[i] = static_cast<float>(h.values[i] / static_cast<double>(h.tokens));
    double smallest = std::numeric_limits<double>::infinity();
    for (int t = 0; t < options_.iterations(); ++t) {
      grid.Forward(w.data(), now.v.data(), now.upper.data(), now.lower.data(), error.data());
      for (int64_t i = 0; i < w.size(); ++i) error.data()[i] -= w.data()[i];
      kernels::Gemm(false, false, rows, cols, cols, 2.0f, error.data(), cols, moments.data(), cols, 0.0f,
                    gradient.data(), cols);
      double loss = 0;
      for (int64_t i = 0; i < w.size(); ++i) loss += 0.5 * double{error.data()[i]} * gradient.data()[i];
      if (!std::isfinite(loss)) {
        return absl::DataLossError(absl::StrCat("signround: the error at step ", t, " is ", loss,
                                                "; expected a finite number: look for NaN in weights or inputs"));
      }
      if (loss < smallest || options_.best() == SignRound::LAST) smallest = loss, best = now;
      const double left = 1 - static_cast<double>(t) / options_.iterations();
      Step(grid, w.data(), gradient.data(), rate_ * left, minmax_rate_ * left, now);
    }
    return Finished(linear, w.data(), best, "");
  }

  absl::StatusOr<SolvedLinears> SolveLayer(const LayerContext& context, const LayerParams& params,
                                           const std::map<LinearId, GridSpec>& plan) const override {
    if (plan.empty()) return SolvedLinears();
    EAQ_ASSIGN_OR_RETURN(const auto trainer,
                         BlockTrainer::Create(context, params, options_.batch(), ActivationGradient::kStraightThrough));
    EAQ_ASSIGN_OR_RETURN(const std::vector<LearnedLinear> linears, LearnedLinears(*trainer, params, plan));
    const std::vector<float>& original = trainer->flat();
    std::vector<float> flat = original, gradient;
    std::vector<Offsets> now(linears.begin(), linears.end());
    const auto round = [&](const std::vector<Offsets>& offsets) {
      context.pool->ParallelFor(linears.size(), [&](int64_t i) {
        const auto& [id, at, size, grid] = linears[i];
        grid.Forward(&original[at], offsets[i].v.data(), offsets[i].upper.data(), offsets[i].lower.data(), &flat[at]);
      });
    };
    round(now);
    EAQ_ASSIGN_OR_RETURN(const double nearest_loss, trainer->TotalLoss(flat));
    std::vector<double> window_loss(trainer->windows(), 1.0);  // of rounding to nearest
    for (int64_t w = 0; options_.best() == SignRound::RELATIVE && w < trainer->windows(); ++w) {
      EAQ_ASSIGN_OR_RETURN(window_loss[w], trainer->Loss(flat, {w}, nullptr));
    }

    const std::vector<Offsets> nearest = now;
    std::vector<Offsets> best = now;
    double smallest = std::numeric_limits<double>::infinity();
    int best_step = 0;
    Rng rng(context.seed, absl::StrCat("signround/L", params.layer, "/windows"));
    for (int t = 0; t < options_.iterations(); ++t) {
      const std::vector<int64_t> batch = Draw(trainer->windows(), trainer->batch(), rng);
      if (t > 0) round(now);
      absl::StatusOr<double> loss = trainer->Loss(flat, batch, &gradient);
      EAQ_RETURN_IF_ERROR(Annotate(loss.status(), absl::StrCat("signround, step ", t)));
      double score = *loss;
      if (options_.best() == SignRound::RELATIVE) {
        double sum = 0;
        for (const int64_t w : batch) sum += window_loss[w];
        score = sum > 0 ? score / sum : score;
      }
      if (score < smallest || options_.best() == SignRound::LAST) smallest = score, best = now, best_step = t;
      const double left = 1 - static_cast<double>(t) / options_.iterations();
      context.pool->ParallelFor(linears.size(), [&](int64_t i) {
        const auto& [id, at, size, grid] = linears[i];
        Step(grid, &original[at], &gradient[at], rate_ * left, minmax_rate_ * left, now[i]);
      });
    }

    round(best);
    EAQ_ASSIGN_OR_RETURN(double final_loss, trainer->TotalLoss(flat));
    std::string note =
        absl::StrFormat("signround: error of the layer %.4g -> %.4g, step %d", nearest_loss, final_loss, best_step);
    if (!(final_loss <= nearest_loss)) {
      best = nearest;
      absl::StrAppend(&note, "; worse than rounding to nearest, which was kept");
    }
    SolvedLinears solved;
    for (size_t i = 0; i < linears.size(); ++i) {
      const LinearId& id = linears[i].id;
      const auto input = context.profile->inputs.find(LayerProfile::InputOwner(id));
      const bool unseen = input != context.profile->inputs.end() && input->second.tokens == 0;
      absl::StatusOr<SolvedLinear> one =
          Finished(linears[i], &original[linears[i].at], best[i],
                   i == 0 ? note : (unseen ? "no calibration token: rounded to nearest" : ""));
      EAQ_RETURN_IF_ERROR(Annotate(one.status(), id.ToString()));
      solved.emplace(id, *std::move(one));
    }
    return solved;
  }

 private:
  static absl::StatusOr<SolvedLinear> Finished(const LearnedLinear& linear, const float* w, const Offsets& o,
                                               std::string note) {
    EAQ_ASSIGN_OR_RETURN(QuantizedMatrix q, linear.grid.Finish(w, o.v.data(), o.upper.data(), o.lower.data()));
    return SolvedLinear{std::move(q), std::move(note)};
  }

  // COUNT of N windows without replacement.
  static std::vector<int64_t> Draw(int64_t n, int64_t count, Rng& rng) {
    std::vector<int64_t> all(n);
    std::iota(all.begin(), all.end(), 0);
    for (int64_t i = 0; i < count; ++i) std::swap(all[i], all[i + static_cast<int64_t>(rng.Below(n - i))]);
    all.resize(count);
    return all;
  }

  const SignRound options_;
  const double rate_, minmax_rate_;
  const bool by_linear_;
};

EAQ_REGISTER_STAGE(SolveSlot, SignRound, [](const SignRound& options) -> absl::StatusOr<std::unique_ptr<SolveSlot>> {
  if (options.iterations() < 1 || options.iterations() > 100000 || options.batch() < 1) {
    return absl::InvalidArgumentError(absl::StrCat("signround.iterations is ", options.iterations(), " and batch ",
                                                   options.batch(), ", expected 1 .. 100000 and at least 1"));
  }
  if (!(options.rate() >= 0 && options.rate() <= 1) || !(options.minmax_rate() >= 0 && options.minmax_rate() <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("signround.rate is ", options.rate(), " and minmax_rate ",
                                                   options.minmax_rate(), ", expected 0 .. 1 (0: 1 / iterations)"));
  }
  return std::make_unique<SignRoundSolver>(options);
});

}  // namespace
}  // namespace eaq
