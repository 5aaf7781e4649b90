// What a scheme asks of one layer: the grids of weights, activations and attention operands.
#ifndef EAQ_RECIPE_LAYER_SCHEME_H_
#define EAQ_RECIPE_LAYER_SCHEME_H_

#include "absl/status/statusor.h"
#include "eaq/model/linear_id.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/grid.h"

namespace eaq {

struct LayerScheme {
  GridSpec weights, activations;
  GridSpec operands;      // of queries, keys and values, per head and token
  bool attention = true;  // false: the attention's four linears keep full precision

  static absl::StatusOr<LayerScheme> FromProto(const Scheme& scheme);
  // Whether the linear is one that a scheme speaks of: all but the router and a shared expert's gate.
  bool Covers(const LinearId& id) const;
};

}  // namespace eaq

#endif  // EAQ_RECIPE_LAYER_SCHEME_H_
