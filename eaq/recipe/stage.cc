#include "eaq/recipe/stage.h"

#include <utility>

#include "eaq/base/status_macros.h"
#include "eaq/quant/fake_quant.h"

namespace eaq {

absl::StatusOr<SolvedLinear> RouterSlot::Solve(const LayerContext&, const LayerParams&, ConstMatrixView weight) const {
  EAQ_ASSIGN_OR_RETURN(QuantizedMatrix q, QuantizeNearest(weight, weights()));
  return SolvedLinear{std::move(q), ""};
}

absl::StatusOr<ActivationQuantizer> MakeActivation(const LinearId& id, const LayerProfile& profile,
                                                   const LayerScheme& scheme, const RouterSlot& router,
                                                   const ActivationSlot& activation) {
  if (id.role == Role::kRouter) {
    if (!router.activations().quantized()) return ActivationQuantizer();
    return ActivationQuantizer::Dynamic(router.activations(), router.activation_clip_ratio());
  }
  if (!scheme.Covers(id) || !scheme.activations.quantized()) return ActivationQuantizer();
  return activation.Make(id, profile.OfOrNone(id), scheme.activations);
}

}  // namespace eaq
