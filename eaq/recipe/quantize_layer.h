// One decoder layer through the slots allocate, solve, router and activation.
//
//   EAQ_ASSIGN_OR_RETURN(const SolvedLinears solved, SolveLayer(config, params, profile, slots, scheme, pool));
//   EAQ_ASSIGN_OR_RETURN(const QuantizedLayer layer, AssembleLayer(config, params, profile, solved, slots, scheme));
#ifndef EAQ_RECIPE_QUANTIZE_LAYER_H_
#define EAQ_RECIPE_QUANTIZE_LAYER_H_

#include <map>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/layer.h"
#include "eaq/proto/trial.pb.h"
#include "eaq/quant/size_account.h"
#include "eaq/recipe/slots.h"
#include "eaq/recipe/stage_bytes.h"

namespace eaq {

// What a recipe applies to one layer, from the scheme: the grids of weights and activations.
struct LayerScheme {
  GridSpec weights, activations;
  bool attention = true;  // false: the attention's four linears keep full precision

  static absl::StatusOr<LayerScheme> FromProto(const Scheme& scheme);
  // Whether the linear is one that a scheme speaks of: all but the router and a shared expert's gate.
  bool Covers(const LinearId& id) const;
};

// The grids that slots allocate and router give to the linears of the layer; what keeps 16 bits is left out.
absl::StatusOr<std::map<LinearId, GridSpec>> PlanLayer(const ModelConfig& config, const LayerParams& params,
                                                       const RecipeSlots& slots, const LayerScheme& scheme);

// Rounds the weights of PLAN, several at a time. PROFILE is of the layer PARAMS (empty when the recipe uses no data).
// The router is rounded to nearest. Errors name the linear.
absl::StatusOr<SolvedLinears> SolveLayer(const LayerParams& params, const LayerProfile& profile,
                                         const RecipeSlots& slots, const std::map<LinearId, GridSpec>& plan,
                                         ThreadPool& pool);

struct QuantizedLayer {
  std::shared_ptr<const DecoderLayer> layer;  // fake-quantized, runs
  std::vector<LinearReport> linears;          // in the order of LinearId
  ModelSize size;                             // of this layer
};

// PARAMS with SOLVED in place of its weights and the activation quantizers of slot 6.
absl::StatusOr<QuantizedLayer> AssembleLayer(const ModelConfig& config, const LayerParams& params,
                                             const LayerProfile& profile, const SolvedLinears& solved,
                                             const RecipeSlots& slots, const LayerScheme& scheme, ThreadPool& pool);

}  // namespace eaq

#endif  // EAQ_RECIPE_QUANTIZE_LAYER_H_
