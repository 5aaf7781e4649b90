#include "eaq/recipe/layer_scheme.h"

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/quant/from_proto.h"

namespace eaq {

absl::StatusOr<LayerScheme> LayerScheme::FromProto(const Scheme& scheme) {
  LayerScheme result;
  EAQ_ASSIGN_OR_RETURN(result.weights, GridFromProto(scheme.weights()));
  EAQ_ASSIGN_OR_RETURN(result.activations, GridFromProto(scheme.activations()));
  EAQ_ASSIGN_OR_RETURN(result.operands, GridFromProto(scheme.attention_operands()));
  result.attention = scheme.quantize_attention();
  if (result.operands.quantized() && !result.attention) {
    return absl::InvalidArgumentError(
        absl::StrCat("scheme ", scheme.name(),
                     ": attention_operands are quantized while quantize_attention is false; expected both or neither"));
  }
  return result;
}

bool LayerScheme::Covers(const LinearId& id) const {
  switch (id.role) {
    case Role::kRouter:
    case Role::kSharedExpertGate:
      return false;
    case Role::kQ:
    case Role::kK:
    case Role::kV:
    case Role::kO:
      return attention;
    default:
      return true;
  }
}

}  // namespace eaq
