// The rows that linears of a layer read, for stages that look at data and not only at its statistics.
//
//   EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(config, params));
//   EAQ_ASSIGN_OR_RETURN(const auto x, CollectInputs(*layer, hidden, {router, down}, *context.ops, pool));
#ifndef EAQ_RECIPE_LAYER_INPUTS_H_
#define EAQ_RECIPE_LAYER_INPUTS_H_

#include <map>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/layer.h"
#include "eaq/model/linear_id.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/quantize_ops.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

// HIDDEN: the inputs of the layer, one [tokens, hidden_size] a window; left as they are. The result has every id of
// LINEARS, with the rows it read in window and token order ([0, in] for an expert that no token reached), after the
// linear's online transform. The same for any number of threads. Errors as OPS.ForwardLayer.
absl::StatusOr<std::map<LinearId, Matrix>> CollectInputs(const DecoderLayer& layer, absl::Span<const Matrix> hidden,
                                                         const std::vector<LinearId>& linears, const QuantizeOps& ops,
                                                         ThreadPool& pool);

// Whose inputs the linears of PLAN read, in the plan's order, repeated where they share one (LayerProfile::InputOwner).
std::vector<LinearId> InputOwners(const std::map<LinearId, GridSpec>& plan);

}  // namespace eaq

#endif  // EAQ_RECIPE_LAYER_INPUTS_H_
