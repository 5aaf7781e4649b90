// What the recipe will do to the inputs of a layer's linears at run time, put into the passes of train/: online
// transforms, activation quantizers of slots router and activation, quantized attention operands.
//
//   EAQ_ASSIGN_OR_RETURN(const LayerActivations activations, LayerActivations::Create(context, params));
//   ActivationHook hook(activations, ActivationGradient::kStraightThrough);      // one a pass
#ifndef EAQ_METHODS_BLOCK_TRAINING_ACTIVATION_HOOK_H_
#define EAQ_METHODS_BLOCK_TRAINING_ACTIVATION_HOOK_H_

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/model/online.h"
#include "eaq/quant/activation_quant.h"
#include "eaq/quant/quantized_attention.h"
#include "eaq/recipe/stage.h"
#include "eaq/tensor/matrix.h"
#include "eaq/train/row_hook.h"

namespace eaq {

struct LayerActivations {
  struct Site {
    ActivationQuantizer quantizer;
    std::shared_ptr<const OnlineTransform> online;  // null: none
  };
  std::map<std::pair<RowSite, int64_t>, Site> sites;  // by site and expert (-1: none); those that do nothing left out
  std::optional<QuantizedAttention> operands;
  int64_t head_dim = 0, qk_hadamard = 0, num_heads = 0, num_kv_heads = 0;

  // As AssembleLayer (recipe/quantize_layer.h) would build them. InvalidArgument: linears that read the same rows have
  // different online transforms; options of the stages.
  static absl::StatusOr<LayerActivations> Create(const LayerContext& context, const LayerParams& params);
};

enum class ActivationGradient {
  kStraightThrough,  // the identity
  // That of s (clamp(round(x / s) + z) - z) with the range of the token, so that the gradient knows that one large
  // channel coarsens all others. Dynamic quantizers only; static ones pass it straight through.
  kThroughScale,
};

class ActivationHook : public RowHook<float> {
 public:
  // ACTIVATIONS must outlive the hook.
  ActivationHook(const LayerActivations& activations, ActivationGradient gradient)
      : activations_(activations), gradient_(gradient) {}
  void Forward(RowSite site, int64_t expert, float* rows, int64_t n, int64_t width) override;
  void Backward(RowSite site, int64_t expert, float* gradient, int64_t n, int64_t width) override;
  void Operands(float* q, float* k, int64_t ld_qk, float* v, int64_t ld_v, int64_t n) override;

 private:
  const LayerActivations& activations_;
  const ActivationGradient gradient_;
  std::map<std::pair<RowSite, int64_t>, std::vector<float>> seen_;  // rows before rounding; kThroughScale only
};

}  // namespace eaq

#endif  // EAQ_METHODS_BLOCK_TRAINING_ACTIVATION_HOOK_H_
