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
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "eaq/model/config.h"
#include "eaq/model/linear_id.h"
#include "eaq/model/params.h"
#include "eaq/quant/activation_quant.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/quantized_matrix.h"
#include "eaq/recipe/profile.h"
#include "eaq/recipe/registry.h"
#include "eaq/text/windows.h"

namespace eaq {

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

// How many times each expert was chosen by the tokens of a window: [layers * experts].
using ExpertCounts = std::vector<int32_t>;

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
                                                      const std::vector<ExpertCounts>& use, int64_t count) const = 0;
};

// Slot 2: which function-preserving edits first?
class TransformSlot {
 public:
  virtual ~TransformSlot() = default;
  // False: the edit looks at the weights alone, and PROFILE may be empty.
  virtual bool needs_profile() const { return true; }
  // Edits PARAMS so that the layer computes the same function. PROFILE belongs to the layer as it is now.
  virtual absl::Status Apply(const ModelConfig& config, const LayerProfile& profile, LayerParams& params) const = 0;
};

// Slot 3: how many bits for which linear?
class AllocateSlot {
 public:
  virtual ~AllocateSlot() = default;
  // LINEARS: those to quantize, in order. The result has a grid for each; bits 16 leaves a linear in full precision.
  virtual absl::StatusOr<std::map<LinearId, GridSpec>> Allocate(const ModelConfig& config, const GridSpec& requested,
                                                                const std::vector<LinearId>& linears) const = 0;
};

// Slot 4: how to round?
class SolveSlot {
 public:
  virtual ~SolveSlot() = default;
  // Whether Solve reads InputStatistics::second_moments.
  virtual bool needs_second_moments() const { return false; }
  virtual absl::StatusOr<SolvedLinear> Solve(const LinearId& id, ConstMatrixView weight, const InputStatistics& input,
                                             const GridSpec& grid) const = 0;
};

// Slot 5: what happens to expert selection?
class RouterSlot {
 public:
  virtual ~RouterSlot() = default;
  // How the router's weight and input are quantized; bits 16 keeps them.
  virtual GridSpec weights() const = 0;
  virtual GridSpec activations() const = 0;
};

// Slot 6: how are activations quantized at run time?
class ActivationSlot {
 public:
  virtual ~ActivationSlot() = default;
  virtual bool needs_profile() const { return false; }
  virtual absl::StatusOr<ActivationQuantizer> Make(const LinearId& id, const InputStatistics& input,
                                                   const GridSpec& grid) const = 0;
};

}  // namespace eaq

#endif  // EAQ_RECIPE_STAGE_H_
