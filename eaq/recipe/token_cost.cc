#include "eaq/recipe/token_cost.h"

#include <algorithm>
#include <map>

#include "eaq/recipe/profile.h"
#include "eaq/tensor/hadamard.h"

namespace eaq {

TokenCost CostOfToken(const ModelConfig& config, const LayerParams& params) {
  const auto share = [&](const LinearId& id) {  // how often a token meets it
    return id.expert < 0 ? 1.0 : static_cast<double>(config.experts_per_token) / config.num_experts;
  };
  TokenCost cost;
  std::map<LinearId, double> inputs;  // by the linear that stands for its sharers
  for (const auto& [id, linear] : params.linears) {
    cost.linears += share(id) * static_cast<double>(linear.weight.size());
    if (linear.online == nullptr) continue;
    double& input = inputs[LayerProfile::InputOwner(id)];
    input = std::max(input, static_cast<double>(linear.online->OperationsPerRow(linear.weight.cols())));
  }
  for (const auto& [id, operations] : inputs) cost.online += share(id) * operations;
  if (params.qk_hadamard > 0) {
    const int64_t heads = config.num_heads + config.num_kv_heads, blocks = config.head_dim / params.qk_hadamard;
    cost.online += static_cast<double>(heads * blocks * HadamardOperations(params.qk_hadamard));
  }
  return cost;
}

}  // namespace eaq
