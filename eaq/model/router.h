// The decision of the router: which experts a token goes to, and with what weight.
#ifndef EAQ_MODEL_ROUTER_H_
#define EAQ_MODEL_ROUTER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "eaq/model/config.h"
#include "eaq/model/routing_policy.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct Routing {
  std::vector<int32_t> experts;  // [n, k], falling by score; the lowest index wins a tie
  std::vector<float> weights;    // [n, k], the factor on each expert's output; 0: the expert is left out
};

// logits[n, experts], raw. scores = softmax over all experts (or sigmoid); the k largest are chosen; their scores are
// the weights, divided by their sum when norm_topk_prob says so, times routed_scaling. KEPT not empty: as if the router
// had the rows of these experts alone.
void Route(const ModelConfig& config, ConstMatrixView logits, Routing* routing, absl::Span<const int32_t> kept = {});

// Weights below drop.ratio times the token's first become 0, and the others of the token grow in proportion, so that
// their sum stays. A token whose entry of KEEP_ALL is not 0 stays as it is; empty: none does.
void DropExperts(const ExpertDrop& drop, int64_t k, absl::Span<const uint8_t> keep_all, Routing* routing);

}  // namespace eaq

#endif  // EAQ_MODEL_ROUTER_H_
