// One decoder layer through the slots allocate, solve, router and activation.
//
//   EAQ_ASSIGN_OR_RETURN(const SolvedLinears solved, SolveLayer(context, params, slots, plan));
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
#include "eaq/quant/row_cache.h"
#include "eaq/quant/size_account.h"
#include "eaq/recipe/slots.h"
#include "eaq/recipe/stage_bytes.h"
#include "eaq/recipe/switching.h"

namespace eaq {

// The grids of the layer's linears: those of ALLOCATED, the plan of the whole model, and the router's; what keeps 16
// bits is left out. Internal when the plan lacks a linear that the scheme covers.
absl::StatusOr<std::map<LinearId, GridSpec>> PlanLayer(const LayerParams& params, const BitPlan& allocated,
                                                       const RecipeSlots& slots, const LayerScheme& scheme);

// Rounds the weights of PLAN, several at a time. CONTEXT is of the layer PARAMS. Errors name the linear.
absl::StatusOr<SolvedLinears> SolveLayer(const LayerContext& context, const LayerParams& params,
                                         const RecipeSlots& slots, const std::map<LinearId, GridSpec>& plan);

struct QuantizedLayer {
  std::shared_ptr<const DecoderLayer> layer;  // fake-quantized, runs
  // What calibration goes on through: the same, but no token drops an expert.
  std::shared_ptr<const DecoderLayer> without_dropping;
  std::vector<LinearReport> linears;  // in the order of LinearId; those left alone have 16 bits, pruned ones 0
  ModelSize size;                     // of this layer
  // Of a model that switches: the rows that it keeps in float16, and the layer as it serves each data set of the plan;
  // `layer` serves none. Where nothing changes a state is `layer` itself.
  std::map<LinearId, RowCache> caches;
  std::vector<std::shared_ptr<const DecoderLayer>> states;
};

// PARAMS with SOLVED in place of its weights and the activation quantizers of slot 6. Experts that PARAMS.routing does
// not keep store nothing, nor do their rows of a router left at 16 bits. SWITCHING: what is kept to switch by.
absl::StatusOr<QuantizedLayer> AssembleLayer(const ModelConfig& config, const LayerParams& params,
                                             const LayerProfile& profile, const SolvedLinears& solved,
                                             const RecipeSlots& slots, const LayerScheme& scheme, ThreadPool& pool,
                                             const SwitchPlan* switching = nullptr);

}  // namespace eaq

#endif  // EAQ_RECIPE_QUANTIZE_LAYER_H_
