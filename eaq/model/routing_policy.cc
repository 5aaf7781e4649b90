#include "eaq/model/routing_policy.h"

#include "absl/strings/str_cat.h"

namespace eaq {

absl::Status RoutingPolicy::Validate(const ModelConfig& config) const {
  for (size_t i = 0; i < kept.size(); ++i) {
    if (kept[i] >= 0 && kept[i] < config.num_experts && (i == 0 || kept[i] > kept[i - 1])) continue;
    return absl::InvalidArgumentError(absl::StrCat("routing policy keeps expert ", kept[i], " in place ", i,
                                                   "; expected rising numbers below ", config.num_experts));
  }
  if (!kept.empty() && static_cast<int64_t>(kept.size()) < config.experts_per_token) {
    return absl::InvalidArgumentError(absl::StrCat("routing policy keeps ", kept.size(), " experts; expected at least ",
                                                   config.experts_per_token, ", which every token needs"));
  }
  if (drop && !(drop->ratio >= 0 && drop->ratio <= 1 && drop->protect >= 0 && drop->protect <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("routing policy drops below ", drop->ratio, " and protects ",
                                                   drop->protect, "; expected both in 0 .. 1"));
  }
  return absl::OkStatus();
}

}  // namespace eaq
