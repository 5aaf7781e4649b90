#include "eaq/recipe/stage.h"

#include <utility>

#include "eaq/base/status_macros.h"
#include "eaq/quant/fake_quant.h"

namespace eaq {

absl::StatusOr<SolvedLinear> RouterSlot::Solve(const LayerContext&, const LayerParams&, ConstMatrixView weight) const {
  EAQ_ASSIGN_OR_RETURN(QuantizedMatrix q, QuantizeNearest(weight, weights()));
  return SolvedLinear{std::move(q), ""};
}

}  // namespace eaq
