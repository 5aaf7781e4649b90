// Messages of recipe.proto -> the plain structs of this room. The only place in quant/ that knows the protos.
#ifndef EAQ_QUANT_FROM_PROTO_H_
#define EAQ_QUANT_FROM_PROTO_H_

#include "absl/status/statusor.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/clip_search.h"
#include "eaq/quant/gptq.h"
#include "eaq/quant/grid.h"

namespace eaq {

// Checked (ValidateGrid); bits 16 passes as "not quantized".
absl::StatusOr<GridSpec> GridFromProto(const Grid& grid);
absl::StatusOr<ClipSearchSpec> ClipSearchFromProto(const ClipSearch& clip);
absl::StatusOr<GptqOptions> GptqFromProto(const Gptq& gptq);

}  // namespace eaq

#endif  // EAQ_QUANT_FROM_PROTO_H_
