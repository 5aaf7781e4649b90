// What a layer leaves out of its mixture: experts that are gone for good (SEER-MoE's pruning), and at run time single
// experts of single tokens (MC's online dynamic pruning, specs/related_methods.md 1.2).
//
//   LayerParams params = ...;
//   params.routing = std::make_shared<const RoutingPolicy>(RoutingPolicy{.kept = {0, 2, 3}});   // experts 1, 4, ...
//   gone
#ifndef EAQ_MODEL_ROUTING_POLICY_H_
#define EAQ_MODEL_ROUTING_POLICY_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "eaq/model/config.h"

namespace eaq {

struct ExpertDrop {
  float ratio = 0;    // an expert whose weight is below so many times the first's is left out of the token
  float protect = 0;  // this share of a sequence's tokens, the most important (token_importance.h), keep all of theirs
  friend bool operator==(const ExpertDrop&, const ExpertDrop&) = default;
};

struct RoutingPolicy {
  std::vector<int32_t>
      kept;  // the experts that can be chosen, rising; the router is one of these rows alone. Empty: all
  std::optional<ExpertDrop> drop;

  bool Keeps(int expert) const { return kept.empty() || std::binary_search(kept.begin(), kept.end(), expert); }
  // InvalidArgument unless KEPT are different experts of CONFIG, rising and at least top-k, and the numbers of DROP are
  // in 0 .. 1.
  absl::Status Validate(const ModelConfig& config) const;
  friend bool operator==(const RoutingPolicy&, const RoutingPolicy&) = default;
};

}  // namespace eaq

#endif  // EAQ_MODEL_ROUTING_POLICY_H_
