// The six slots of a recipe as interfaces, and how a stage gets into the house.
//
//   calibration -> transform* -> allocate -> solve -> router -> activation        (recipe.proto)
//
// A stage is configured by a protobuf message of its own. Shipped stages are typed options of recipe.proto; a stage
// from outside the tree defines its message, registers under it, and is named in a spec through `external`:
//
//   class MySolve : public SolveSlot { ... };
//   EAQ_REGISTER_STAGE(SolveSlot, MyOptions, [](const MyOptions& options) -> absl::StatusOr<std::unique_ptr<SolveSlot>>
//   {
//     return std::make_unique<MySolve>(options);
//   });
//
//   solve { external { [type.googleapis.com/my.MyOptions] { strength: 2 } } }
//
// Link the library with alwayslink; nothing includes it. Stages are stateless after construction and thread-safe.
#ifndef EAQ_RECIPE_STAGE_H_
#define EAQ_RECIPE_STAGE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/base/progress.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/config.h"
#include "eaq/model/head.h"
#include "eaq/model/linear_id.h"
#include "eaq/model/params.h"
#include "eaq/quant/activation_quant.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/quantize_ops.h"
#include "eaq/quant/quantized_attention.h"
#include "eaq/quant/quantized_matrix.h"
#include "eaq/recipe/allocation.h"
#include "eaq/recipe/layer_scheme.h"
#include "eaq/recipe/profile.h"
#include "eaq/recipe/registry.h"
#include "eaq/recipe/switching.h"
#include "eaq/text/windows.h"

namespace eaq {

class ActivationSlot;
class RouterSlot;

// What a stage may look at besides the weights: one layer and all that comes into it. Pointers are never null.
struct LayerContext {
  const ModelConfig* config = nullptr;
  const LayerScheme* scheme = nullptr;
  const LayerProfile* profile = nullptr;  // of the layer as it is now; empty when the recipe uses no data
  // Inputs of the layer, one [tokens, hidden_size] a calibration window: HIDDEN as the recipe propagates them,
  // FULL_HIDDEN from the full-precision model (empty unless a stage of the recipe needs_full_hidden).
  absl::Span<const Matrix> hidden, full_hidden;
  absl::Span<const std::string> domains;  // of the windows, one each; empty: all of one domain
  const RouterSlot* router = nullptr;     // what will be done to the router and to activations, for stages that train
  const ActivationSlot* activation = nullptr;
  const QuantizeOps* ops = &CpuOps();  // what the arithmetic of quantization runs on
  ThreadPool* pool = nullptr;
  uint64_t seed = 0;  // of the trial's calibration; a stage draws from Rng(seed, "its name/L3/its purpose")
};

// What a solver hands back for one linear.
struct SolvedLinear {
  QuantizedMatrix weight;
  std::string note;  // what is worth saying in the report; empty otherwise
};

// A calibration window and the domain it comes from.
struct CalibrationWindow {
  Window window;
  std::string domain;
};

// What an allocator may look at that wants the whole model at once, in full precision. Pointers are never null.
struct ModelContext {
  const ModelSource* source = nullptr;
  const ModelEnds* ends = nullptr;  // of the same model
  const LayerScheme* scheme = nullptr;
  absl::Span<const CalibrationWindow> calibration;
  const QuantizeOps* ops = &CpuOps();  // as a LayerContext's
  ThreadPool* pool = nullptr;
  ProgressSink* progress = nullptr;
};

// How many times each expert was chosen by the tokens of a window: [layers * experts].
using ExpertCounts = std::vector<int32_t>;
using SolvedLinears = std::map<LinearId, SolvedLinear>;

// What a stage that writes its own windows may look at. Pointers are never null.
struct SampleContext {
  const ModelSource* source = nullptr;  // in full precision, as it came
  absl::Span<const char> banned;        // [vocab_size] not 0: a token that is no text (end of text, padding, unused)
  int64_t windows = 0, window = 0;      // so many windows of so many tokens
  uint64_t seed = 0;
  ThreadPool* pool = nullptr;
};

// Slot 1: which tokens?
class CalibrationSlot {
 public:
  virtual ~CalibrationSlot() = default;
  // False: the recipe uses no data.
  virtual bool uses_data() const { return true; }
  // Windows offered per window chosen; 1: no choice is made.
  virtual int pool_factor() const { return 1; }
  // Chooses COUNT of CANDIDATES (their indices, ascending). USE[i]: the experts that candidate i chooses in the
  // full-precision model; empty when pool_factor() is 1.
  virtual absl::StatusOr<std::vector<int64_t>> Choose(const std::vector<CalibrationWindow>& candidates,
                                                      const std::vector<ExpertCounts>& use, int64_t count) const;
  // True: the windows are not taken from texts; Sample is called, and Choose need not be there.
  virtual bool samples() const { return false; }
  virtual absl::StatusOr<std::vector<CalibrationWindow>> Sample(const SampleContext& context) const;
};

// Slot 2: which function-preserving edits first?
class TransformSlot {
 public:
  virtual ~TransformSlot() = default;
  // False: the edit looks at the weights alone, and the profile may be empty.
  virtual bool needs_profile() const { return true; }
  // True: it looks at more of its context than the configuration and the profile.
  virtual bool needs_hidden() const { return false; }
  virtual bool needs_full_hidden() const { return false; }
  // Of one that looks at more: whether it runs the router's or the activations' slot. False: of the other slots it
  // looks at how the router is quantized, no more, and its result serves all routers quantized alike.
  virtual bool runs_other_slots() const { return true; }
  // A transform of the whole model, embedding and head included (QuaRot's rotation of the residual stream): the model
  // that recipes then walk through. Null: this transform works layer by layer alone.
  virtual absl::StatusOr<std::shared_ptr<const ModelSource>> Wrap(std::shared_ptr<const ModelSource> source) const {
    return std::shared_ptr<const ModelSource>();
  }
  // Edits PARAMS so that the layer computes the same function.
  virtual absl::Status Apply(const LayerContext& context, LayerParams& params) const = 0;
};

// Slot 3: how many bits for which linear? Decided for the whole model before anything is quantized.
class AllocateSlot {
 public:
  virtual ~AllocateSlot() = default;
  // True: Survey is called for every layer of the model first, before the transforms of single layers.
  virtual bool surveys() const { return false; }
  // True: Survey looks at the layer's inputs; or at its profile, which takes a pass of them through the layer.
  virtual bool needs_hidden() const { return false; }
  virtual bool needs_profile() const { return false; }
  // Numbers about one layer, whatever Allocate wants to know. CONTEXT: hidden and profile are full precision's.
  virtual absl::StatusOr<std::vector<double>> Survey(const LayerContext& context, const LayerParams& params) const {
    return std::vector<double>();
  }
  // True: SurveyModel is called once in place of Survey, for numbers that no layer shows by itself (gradients of the
  // loss). It returns them by layer. A recipe without calibration data is refused if needs_hidden().
  virtual bool surveys_model() const { return false; }
  virtual absl::StatusOr<std::vector<std::vector<double>>> SurveyModel(const ModelContext& context) const {
    return std::vector<std::vector<double>>();
  }
  // SURVEYS: by layer; empty unless surveys() or surveys_model(). The result has a grid for each of problem.linears.
  virtual absl::StatusOr<BitPlan> Allocate(const AllocationProblem& problem,
                                           const std::vector<std::vector<double>>& surveys) const = 0;
  // Present: the model switches by data set, and PlanSwitching is called after Allocate with its PLAN, the surveys of
  // the calibration's domains and those of further data sets (none: no names). Needs needs_hidden().
  virtual std::optional<SwitchingOptions> switching() const { return std::nullopt; }
  virtual absl::StatusOr<SwitchPlan> PlanSwitching(const AllocationProblem& problem, const SurveyedSets& known,
                                                   const SurveyedSets& further, const BitPlan& plan) const;
};

// Slot 4: how to round?
class SolveSlot {
 public:
  virtual ~SolveSlot() = default;
  // Whether Solve reads InputStatistics::second_moments.
  virtual bool needs_second_moments() const { return false; }
  // True: SolveLayer is called, with everything in its context; else Solve, linear by linear. The other one need not be
  // there.
  virtual bool solves_whole_layers() const { return false; }
  virtual bool needs_full_hidden() const { return false; }
  virtual absl::StatusOr<SolvedLinear> Solve(const LinearId& id, ConstMatrixView weight, const InputStatistics& input,
                                             const GridSpec& grid, const QuantizeOps& ops) const;
  // PLAN: the grids of the linears to round, the router not among them; the result has each of them.
  virtual absl::StatusOr<SolvedLinears> SolveLayer(const LayerContext& context, const LayerParams& params,
                                                   const std::map<LinearId, GridSpec>& plan) const;
};

// Slot 5: what happens to expert selection?
class RouterSlot {
 public:
  virtual ~RouterSlot() = default;
  // How the router's weight and input are quantized; bits 16 keeps them.
  virtual GridSpec weights() const = 0;
  virtual GridSpec activations() const = 0;
  virtual double activation_clip_ratio() const { return 1.0; }
  // True: Solve looks at more than the weight.
  virtual bool needs_hidden() const { return false; }
  // Rounds the router's WEIGHT to weights(); by default to nearest.
  virtual absl::StatusOr<SolvedLinear> Solve(const LayerContext& context, const LayerParams& params,
                                             ConstMatrixView weight) const;
};

// Slot 6: how are activations quantized at run time?
class ActivationSlot {
 public:
  virtual ~ActivationSlot() = default;
  virtual bool needs_profile() const { return false; }
  virtual absl::StatusOr<ActivationQuantizer> Make(const LinearId& id, const InputStatistics& input,
                                                   const GridSpec& grid) const = 0;
  // How queries, keys and values are quantized; by default per head and token without clipping.
  virtual absl::StatusOr<QuantizedAttention> MakeOperands(const GridSpec& grid, int64_t head_dim) const {
    return QuantizedAttention::Create(grid, head_dim, 1.0, 1.0);
  }
};

// SOLVE for every linear of PLAN, in parallel; the first error in order, with the linear's name before it.
absl::StatusOr<SolvedLinears> SolveEach(
    const std::map<LinearId, GridSpec>& plan, ThreadPool& pool,
    absl::FunctionRef<absl::StatusOr<SolvedLinear>(const LinearId&, const GridSpec&)> solve);

// How the input of the linear ID is quantized at run time: the router's as slot 5 says, that of a linear which the
// scheme covers as slot 6 says, any other not at all (the identity). Errors are the slots'.
absl::StatusOr<ActivationQuantizer> MakeActivation(const LinearId& id, const LayerProfile& profile,
                                                   const LayerScheme& scheme, const RouterSlot& router,
                                                   const ActivationSlot& activation);

}  // namespace eaq

#endif  // EAQ_RECIPE_STAGE_H_
