// The feed-forward half of a decoder layer: a dense SwiGLU, or a mixture of experts with an optional shared expert.
//   dense:   y = down(silu(gate(x)) * up(x))
//   mixture: y = sum_i w_i Expert_{e_i}(x) + [sigmoid(g(x))] Shared(x)
#ifndef EAQ_MODEL_FEED_FORWARD_H_
#define EAQ_MODEL_FEED_FORWARD_H_

#include <functional>
#include <memory>
#include <vector>

#include "eaq/model/config.h"
#include "eaq/model/linear.h"
#include "eaq/model/linear_id.h"
#include "eaq/model/observer.h"
#include "eaq/model/router.h"
#include "eaq/model/routing_policy.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

class FeedForward {
 public:
  // FIND gives the linear of an id (never null, shapes as LinearShapes says, outliving this object). POLICY: what is
  // left out of a mixture; null: nothing.
  FeedForward(const ModelConfig& config, int layer, const std::function<const Linear*(const LinearId&)>& find,
              std::shared_ptr<const RoutingPolicy> policy = nullptr);

  // out[n, hidden] += FeedForward(x[n, hidden]). Experts are visited in rising order and each adds its tokens' outputs,
  // so the order of the sum is fixed. KEEP_ALL: DropExperts.
  void Add(ConstMatrixView x, MatrixView out, LayerObserver* observer, absl::Span<const uint8_t> keep_all = {}) const;

 private:
  struct SwiGlu {
    LinearId gate_id, up_id, down_id;
    const Linear* gate = nullptr;
    const Linear* up = nullptr;
    const Linear* down = nullptr;
  };
  struct Scratch;
  static Scratch& ThreadScratch();
  // scratch.output[n, hidden] = down(silu(gate x) * up x)
  void Run(const SwiGlu& mlp, ConstMatrixView x, absl::Span<const int32_t> tokens, LayerObserver* observer,
           Scratch& scratch) const;

  ModelConfig config_;
  int layer_;
  std::shared_ptr<const RoutingPolicy> policy_;
  const Linear* router_ = nullptr;
  std::vector<SwiGlu> experts_;  // one entry, always used, in a dense layer
  bool has_shared_ = false;
  SwiGlu shared_;
  const Linear* shared_expert_gate_ = nullptr;
};

}  // namespace eaq

#endif  // EAQ_MODEL_FEED_FORWARD_H_
