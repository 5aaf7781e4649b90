// The decision of the router: which experts a token goes to, and with what weight.
#ifndef EAQ_MODEL_ROUTER_H_
#define EAQ_MODEL_ROUTER_H_

#include <cstdint>
#include <vector>

#include "eaq/model/config.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct Routing {
  std::vector<int32_t> experts;  // [n, k], falling by score; the lowest index wins a tie
  std::vector<float> weights;    // [n, k], the factor on each expert's output
};

// logits[n, experts], raw. scores = softmax over all experts (or sigmoid); the k largest are chosen; their scores are
// the weights, divided by their sum when norm_topk_prob says so, times routed_scaling.
void Route(const ModelConfig& config, ConstMatrixView logits, Routing* routing);

}  // namespace eaq

#endif  // EAQ_MODEL_ROUTER_H_
