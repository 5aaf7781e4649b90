// What a running layer can tell: the input of every linear, and the router's decision. A run without an observer
// pays one branch per linear.
#ifndef EAQ_MODEL_OBSERVER_H_
#define EAQ_MODEL_OBSERVER_H_

#include <cstdint>

#include "absl/types/span.h"
#include "eaq/model/linear_id.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

// Called on the thread that computes the window; one object observes one window, so it needs no lock.
class LayerObserver {
 public:
  virtual ~LayerObserver() = default;
  // x[n, in]: the rows that linear ID is about to multiply. For a routed expert: the tokens sent to it, in token
  // order, TOKENS their positions in the window; for all others TOKENS is empty and row i is token i.
  virtual void OnLinearInput(const LinearId& id, ConstMatrixView x, absl::Span<const int32_t> tokens) {}
  // logits[n, experts] raw, of pruned experts too; experts[n, k] chosen, falling by score; weights[n, k] the factor on
  // each output, 0 where a routing policy drops the expert (it then reads nothing).
  virtual void OnRouter(int layer, ConstMatrixView logits, absl::Span<const int32_t> experts,
                        absl::Span<const float> weights) {}
};

}  // namespace eaq

#endif  // EAQ_MODEL_OBSERVER_H_
