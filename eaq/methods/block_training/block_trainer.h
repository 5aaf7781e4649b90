// The error of one quantized decoder layer on the calibration windows and its gradient: what block-wise methods
// (SignRound, OmniQuant) minimise.
//
//   EAQ_ASSIGN_OR_RETURN(auto trainer, BlockTrainer::Create(context, params, /*batch=*/8, gradient_kind));
//   std::vector<float> flat = trainer->flat(), gradient;
//   ... put rounded weights at trainer->offsets() ...
//   EAQ_ASSIGN_OR_RETURN(const double loss, trainer->Loss(flat, {3, 1, 40}, &gradient));
//
//   loss = mean over tokens and channels of (layer^(x_q) - layer(x))^2
// layer^: the weights of FLAT, activations, router and attention operands quantized as the recipe will; x_q: inputs as
// the recipe propagates them (LayerContext::hidden); layer(x): the full-precision layer on the full-precision model's
// inputs (full_hidden).
//
// Windows run in a fixed number of shares, whose gradients are added in order: the same numbers for any threads.
#ifndef EAQ_METHODS_BLOCK_TRAINING_BLOCK_TRAINER_H_
#define EAQ_METHODS_BLOCK_TRAINING_BLOCK_TRAINER_H_

#include <map>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/methods/block_training/activation_hook.h"
#include "eaq/quant/learned_grid.h"
#include "eaq/recipe/stage.h"
#include "eaq/train/layer_pass.h"

namespace eaq {

class BlockTrainer {
 public:
  // PARAMS is the layer as it is to be rounded; CONTEXT (of the same layer) must outlive the trainer. BATCH: most
  // windows of one Loss. InvalidArgument: an architecture that the passes do not know, biases, windows of different
  // lengths or none.
  static absl::StatusOr<std::unique_ptr<BlockTrainer>> Create(const LayerContext& context, const LayerParams& params,
                                                              int64_t batch, ActivationGradient gradient);

  const ParameterLayout& layout() const { return layout_; }
  const ParameterLayout::Layer& layer() const { return layout_.layers[0]; }
  // Where each linear [out, in] lies in the flat array.
  const std::map<LinearId, int64_t>& offsets() const { return offsets_; }
  // [layout.size] all parameters of the layer in full precision, but the router as slot router rounds it.
  const std::vector<float>& flat() const { return flat_; }
  // The same with the numbers of PARAMS and the router left in full precision.
  std::vector<float> Flatten(const LayerParams& params) const;
  const LayerActivations& activations() const { return activations_; }
  int64_t windows() const { return inputs_.size(); }
  int64_t batch() const { return batch_; }

  // The error on windows BATCH (at most batch() of them); GRADIENT (null: not wanted) is overwritten, [layout.size].
  // DataLoss when it is not finite.
  absl::StatusOr<double> Loss(const std::vector<float>& flat, absl::Span<const int64_t> batch,
                              std::vector<float>* gradient);
  // Over all windows.
  absl::StatusOr<double> TotalLoss(const std::vector<float>& flat);

 private:
  struct Share {
    Share(const BlockTrainer& owner, ActivationGradient gradient);
    ActivationHook hook;
    LayerPass<float> pass;
    std::vector<float> x, out, gradient;
    double sum = 0;
  };
  BlockTrainer(const LayerContext& context, ParameterLayout layout, LayerActivations activations, int64_t batch)
      : context_(context), layout_(std::move(layout)), activations_(std::move(activations)), batch_(batch) {}

  const LayerContext& context_;
  const ParameterLayout layout_;
  const LayerActivations activations_;
  const int64_t batch_;
  int layer_index_ = 0;
  int64_t context_tokens_ = 0, per_share_ = 0;
  std::map<LinearId, int64_t> offsets_;
  std::vector<float> flat_;
  absl::Span<const Matrix> inputs_;
  std::vector<Matrix> targets_;
  std::vector<std::unique_ptr<Share>> shares_;
};

// A linear whose rounding is learned: where its weights lie in the flat array, and their grid.
struct LearnedLinear {
  LinearId id;
  int64_t at = 0, size = 0;
  LearnedGrid<float> grid;
};
// Those of PLAN, in its order.
absl::StatusOr<std::vector<LearnedLinear>> LearnedLinears(const BlockTrainer& trainer, const LayerParams& params,
                                                          const std::map<LinearId, GridSpec>& plan);

// AdamW without weight decay (Loshchilov & Hutter, 2019), for small groups of parameters with a rate of their own.
class AdamGroup {
 public:
  explicit AdamGroup(int64_t size) : m_(size, 0.0f), v_(size, 0.0f) {}
  // p -= rate m' / (sqrt(v') + 1e-8), betas 0.9 and 0.999. P and GRADIENT have the size.
  void Step(absl::Span<float> p, absl::Span<const float> gradient, double rate);

 private:
  int64_t step_ = 0;
  std::vector<float> m_, v_;
};

}  // namespace eaq

#endif  // EAQ_METHODS_BLOCK_TRAINING_BLOCK_TRAINER_H_
