// ODP, the online dynamic pruning of MC (specs/related_methods.md 1.2): which layers may drop experts of single tokens
// at run time, and below which ratio of weights. Measured on the full-precision model.
//
//   EAQ_ASSIGN_OR_RETURN(const DropMeasure m, MeasureDropping(config, params, hidden, options, ops, pool));   // layer
//   by layer EAQ_ASSIGN_OR_RETURN(const auto drops, ChooseDropping(config, measures, options)); params.routing =
//   WithDrop(params.routing, drops.at(layer));
#ifndef EAQ_RECIPE_ONLINE_PRUNING_H_
#define EAQ_RECIPE_ONLINE_PRUNING_H_

#include <map>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/config.h"
#include "eaq/model/params.h"
#include "eaq/model/routing_policy.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/quantize_ops.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct DropMeasure {
  double ratio =
      0;            // the quantile of g_i / g_1 over tokens and all chosen experts but the first, linearly interpolated
  double loss = 0;  // ||out - out'||^2 / ||out||^2 of the layer's output when every token keeps its first expert alone
};

// InvalidArgument: options out of range, a model without experts or of one expert a token, rule SECOND where a token
// has more than two.
absl::Status ValidateOnlinePruning(const ModelConfig& config, const OnlinePruning& options);

// Of the layer PARAMS, which routes; HIDDEN: its inputs, one a window, left as they are. The same for any number of
// threads. Errors as OPS.ForwardLayer.
absl::StatusOr<DropMeasure> MeasureDropping(const ModelConfig& config, const LayerParams& params,
                                            absl::Span<const Matrix> hidden, const OnlinePruning& options,
                                            const QuantizeOps& ops, ThreadPool& pool);

// The layers of MEASURES (by layer) with the smallest losses, of equals the first, and what each drops.
absl::StatusOr<std::map<int, ExpertDrop>> ChooseDropping(const std::map<int, DropMeasure>& measures,
                                                         const OnlinePruning& options);

// ROUTING (null: plain) that drops as well.
std::shared_ptr<const RoutingPolicy> WithDrop(const std::shared_ptr<const RoutingPolicy>& routing,
                                              const ExpertDrop& drop);

}  // namespace eaq

#endif  // EAQ_RECIPE_ONLINE_PRUNING_H_
