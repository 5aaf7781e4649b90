// What a token costs in the linears of a layer, and what transforms add to it at run time.
#ifndef EAQ_RECIPE_TOKEN_COST_H_
#define EAQ_RECIPE_TOKEN_COST_H_

#include "eaq/model/config.h"
#include "eaq/model/params.h"

namespace eaq {

struct TokenCost {
  double linears = 0;  // multiply-adds of the linears that a token goes through: of experts, the chosen ones
  // On top: rotations, divisions (Hadamards: additions) of their inputs, each input once, and of queries and keys.
  double online = 0;
};

// Of one layer, a mean over its experts. Permutations cost nothing.
TokenCost CostOfToken(const ModelConfig& config, const LayerParams& params);

}  // namespace eaq

#endif  // EAQ_RECIPE_TOKEN_COST_H_
