// Routing policies inside the file of packed weights (docs/formats/packed_weights.md): how packed_file.h stores them.
#ifndef EAQ_QUANT_PACKED_ROUTING_H_
#define EAQ_QUANT_PACKED_ROUTING_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/model/routing_policy.h"

namespace eaq {

// "keep 0 2 3; drop 0.512345678 0.02": the experts kept, the ratio and the share of protected tokens; either part
// alone.
std::string DescribeRouting(const RoutingPolicy& policy);

// The policy that TEXT says, to the bit. InvalidArgument: anything else. Whether it fits a model is
// RoutingPolicy::Validate's to say.
absl::StatusOr<RoutingPolicy> ParseRouting(absl::string_view text);

}  // namespace eaq

#endif  // EAQ_QUANT_PACKED_ROUTING_H_
