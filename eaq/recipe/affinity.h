// How much a token counts in what an expert does for it: the factor c on the expert's output, as the layer computes it
// at inference,
//
//   y(x) = sum over chosen e of c_e(x) E_e(x) + c_s(x) Shared(x)
//
// c_e: the router's weight of the expert, after top-k, renormalisation and scaling as the family has them (Mixtral:
// softmax renormalised over the chosen; Qwen and DeepSeek: the softmax value itself). c_s: the sigmoid of a gated
// shared expert; 1 for one without a gate. (MoEQuant, ICML 2025, equations 1 and 17 to 19; specs/moequant.md,
// section 2.)
#ifndef EAQ_RECIPE_AFFINITY_H_
#define EAQ_RECIPE_AFFINITY_H_

#include <map>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/config.h"
#include "eaq/model/layer.h"
#include "eaq/model/linear_id.h"
#include "eaq/model/observer.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/quantize_ops.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

// 0, 1 or 2; InvalidArgument otherwise. An absent message is for the caller to see.
absl::StatusOr<int> AffinityPower(const Affinity& affinity);

// Whether a layer has affinities for the rows of a linear in this place: routed experts, gated shared ones.
bool HasAffinity(const ModelConfig& config, const LinearId& id);

// Watches one window go through a layer. An expert's rows are asked for after the router's decision, which comes first.
class AffinityRecorder : public LayerObserver {
 public:
  explicit AffinityRecorder(const DecoderLayer& layer) : layer_(&layer) {}
  void OnLinearInput(const LinearId& id, ConstMatrixView x, absl::Span<const int32_t> tokens) override;
  void OnRouter(int layer, ConstMatrixView logits, absl::Span<const int32_t> experts,
                absl::Span<const float> weights) override;
  // c^POWER of the rows that linear ID has read, in their order; empty where all rows count alike.
  std::vector<float> Of(const LinearId& id, int power) const;

 private:
  const DecoderLayer* layer_;
  std::map<int, std::vector<float>> routed_;  // by expert
  std::vector<float> shared_;                 // empty: not gated
};

// c^POWER of all rows that LINEARS read, in the order of CollectInputs (layer_inputs.h); empty vectors where all rows
// count alike. HIDDEN: the layer's inputs, left as they are. The same for any number of threads. Errors as
// OPS.ForwardLayer.
absl::StatusOr<std::map<LinearId, std::vector<float>>> CollectAffinities(const DecoderLayer& layer,
                                                                         absl::Span<const Matrix> hidden,
                                                                         const std::vector<LinearId>& linears,
                                                                         int power, const QuantizeOps& ops,
                                                                         ThreadPool& pool);

}  // namespace eaq

#endif  // EAQ_RECIPE_AFFINITY_H_
