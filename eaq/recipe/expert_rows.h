// What the routed experts of one layer read, token by token, and how much their answers count: for stages that judge an
// expert by what its rounding does to the layer's output.
#ifndef EAQ_RECIPE_EXPERT_ROWS_H_
#define EAQ_RECIPE_EXPERT_ROWS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/config.h"
#include "eaq/model/layer.h"
#include "eaq/model/linear_id.h"
#include "eaq/model/params.h"
#include "eaq/quant/clip_search.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/quantize_ops.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct ExpertRows {
  Matrix x;                        // [n, hidden], in window and token order
  std::vector<float> weight;       // [n] the factor on the expert's output
  std::vector<float> probability;  // [n] of the expert in the softmax over all experts (its score, for a sigmoid)
  std::vector<int32_t> token;      // [n] its position in the window
  std::vector<int64_t> begin;      // [windows + 1] where each window's rows begin
};

// Of every expert of layer LAYER; empty for a dense layer. HIDDEN: the layer's inputs, one a window, left as they are.
// The same for any number of threads.
std::vector<ExpertRows> CollectExpertRows(const ModelConfig& config, int layer, const DecoderLayer& decoder,
                                          absl::Span<const Matrix> hidden, ThreadPool& pool);

struct ExpertErrorOptions {
  std::vector<Role> parts = {Role::kGate, Role::kUp, Role::kDown};  // which of an expert's linears are rounded
  // A factor on the square of every number of the layer's output, [tokens, hidden] a window; empty: 1.
  absl::Span<const Matrix> importance = {};
  std::optional<ClipSearchSpec> clip = std::nullopt;  // rounded with this search for the range; else the whole range
  const QuantizeOps* ops = &CpuOps();                 // what rounds and multiplies
};

// The squared Frobenius norm of what happens to the layer's output when one expert alone is rounded to nearest:
//   error[expert][width][window] = sum over the window's tokens of weight^2 ||E(x) - E_q(x)||^2
// (with importance: sum over channels of importance * difference^2 in place of the square) in float64; GRID gives kind
// and granularity, WIDTHS the bits (16: no error). Since a routed expert enters the output as weight * E(x), only its
// own tokens need computing (specs/related_methods.md 13.2). InvalidArgument names the linear that cannot be rounded.
using ExpertErrors = std::vector<std::vector<std::vector<double>>>;
absl::StatusOr<ExpertErrors> MeasureExpertErrors(const LayerParams& params, absl::Span<const ExpertRows> rows,
                                                 const GridSpec& grid, absl::Span<const int> widths, ThreadPool& pool,
                                                 const ExpertErrorOptions& options = {});

}  // namespace eaq

#endif  // EAQ_RECIPE_EXPERT_ROWS_H_
