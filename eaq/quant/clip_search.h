// Clip search: shrink the range of a row or group until the rounding error of its weights is smallest
// (GPTQ's `mse`, QuaRot's and MoEQuant's `w_clip`; specs/base_quantizers.md, section 1).
//
//   for i = 0 .. max_shrink * steps - 1:   p = 1 - i / steps
//     grid_i = grid of [p * min, p * max];  error_i = sum |dequantised - w|^2.4   (or ^2)
//   the first of the smallest errors wins: ties keep the larger range.
//
//   EAQ_ASSIGN_OR_RETURN(GridParams p, SearchClip(row, spec, ClipSearchSpec{}));
#ifndef EAQ_QUANT_CLIP_SEARCH_H_
#define EAQ_QUANT_CLIP_SEARCH_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/quant/grid.h"

namespace eaq {

enum class ClipNorm { kL24, kMse };

struct ClipSearchSpec {
  ClipNorm norm = ClipNorm::kL24;
  int steps = 100;
  double max_shrink = 0.8;
};

// InvalidArgument unless steps >= 1 and 0 < max_shrink <= 1.
absl::Status ValidateClipSearch(const ClipSearchSpec& clip);

// The best grid for these values (one row or group), scale rounded to float16. Errors as ParamsFromRange; NaN or
// infinity among the values is InvalidArgument.
absl::StatusOr<GridParams> SearchClip(absl::Span<const float> values, const GridSpec& spec, const ClipSearchSpec& clip);

// sum over the values of |dequantised - value|^2.4 (or ^2), relative error about 1e-6 against exact arithmetic.
// `unit` divides every error first (an overflow guard: the largest magnitude), > 0.
double GridError(absl::Span<const float> values, GridParams params, int max_code, ClipNorm norm, float unit);

}  // namespace eaq

#endif  // EAQ_QUANT_CLIP_SEARCH_H_
