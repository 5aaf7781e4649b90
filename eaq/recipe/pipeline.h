// The pipeline: a recipe walks through a model, layer by layer, one layer resident at a time.
//
//   EAQ_ASSIGN_OR_RETURN(PipelineReport report, QuantizeModel(inputs, [&](const FinishedLayer& layer) {
//     tracer.Advance(layer.index, *layer.quantized, pool);     // evaluation goes along
//     return absl::OkStatus();
//   }));
//
// First slot allocate gives every linear of the model its grid, after a walk through all layers in full precision where
// it asks for one (survey); experts at 0 bits are pruned from then on. A recipe with online_pruning then measures which
// layers may drop experts of single tokens; calibration goes on without. Then per layer, with the hidden states of all
// calibration windows at its entrance:
//   profile    the full-precision layer runs over them; the input of every linear is recorded
//   transform  each edits the layer without changing its function; the edited layer is profiled anew
//   solve      rounds the weights to their grids;  router, activation  their quantizers
//   advance    the hidden states go on through the quantized layer (Recipe::QUANTIZED) or the untouched one
// A recipe without calibration data skips profiles.
//
// Stage results (profile, transformed layer, solved layer) are cached under the hash of all that enters them, so trials
// that share a prefix share the work. The report's hashes are of the outputs: they are the same with any cache.
#ifndef EAQ_RECIPE_PIPELINE_H_
#define EAQ_RECIPE_PIPELINE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/base/progress.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/head.h"
#include "eaq/model/params.h"
#include "eaq/proto/trial.pb.h"
#include "eaq/quant/size_account.h"
#include "eaq/recipe/quantize_layer.h"
#include "eaq/recipe/stage_cache.h"

namespace eaq {

struct PipelineInputs {
  const ModelSource* source = nullptr;
  const ModelEnds* ends = nullptr;  // of the same model
  const Recipe* recipe = nullptr;
  const Scheme* scheme = nullptr;
  const std::vector<CalibrationWindow>* calibration = nullptr;  // empty when the recipe uses no data
  // Windows of data sets that the model may be told beside the calibration's; null: none. Only for recipes that switch
  // (AllocateSlot::switching).
  const std::vector<CalibrationWindow>* further = nullptr;
  uint64_t seed = 0;  // of the trial's calibration: what stages draw from (LayerContext::seed)
  const StageCache* cache = nullptr;
  std::string cache_salt;              // enters every cache key: the program's own hash
  const QuantizeOps* ops = &CpuOps();  // what the arithmetic of quantization runs on
  ThreadPool* pool = nullptr;
  ProgressSink* progress = nullptr;
};

struct FinishedLayer {
  int index = 0;
  const DecoderLayer* quantized = nullptr;  // valid during the call
  const LayerParams* params = nullptr;      // after the transforms, in full precision; its routing is the layer's
  const SolvedLinears* solved = nullptr;
  // Of a model that switches, else null and empty: QuantizedLayer's.
  const SwitchPlan* switching = nullptr;
  const std::map<LinearId, RowCache>* caches = nullptr;
  absl::Span<const std::shared_ptr<const DecoderLayer>> states;
};
using LayerSink = std::function<absl::Status(const FinishedLayer&)>;

struct PipelineReport {
  std::vector<LinearReport> linears;  // in the order of LinearId
  std::vector<StageRun> stages;
  ModelSize size;        // of the whole model, embedding and head included
  TrialResult analyses;  // SwitchPlan::analyses
};

// The model that RECIPE walks through: SOURCE itself, or what the recipe's transforms of whole models make of it
// (TransformSlot::Wrap; they must stand before all others). PipelineInputs::source and ends are of this model.
absl::StatusOr<std::shared_ptr<const ModelSource>> WrapModel(const Recipe& recipe,
                                                             std::shared_ptr<const ModelSource> source);

// Errors of stages name layer and linear. InvalidArgument for a recipe that cannot run (RecipeSlots::Make).
absl::StatusOr<PipelineReport> QuantizeModel(const PipelineInputs& inputs, const LayerSink& sink);

}  // namespace eaq

#endif  // EAQ_RECIPE_PIPELINE_H_
