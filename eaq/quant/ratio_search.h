// DuQuant's and EAQuant's way to a weight grid: the range times a ratio, fixed (swc) or searched over 101 candidates
// (specs/eaquant.md, section 1.5).
//
//   r_t = r0 + t (1 - r0) / 100, t = 0 .. 100;   grid_t = grid of [r_t min, r_t max]
//   error_t = sum (dequantised - w)^2 over the row;  the first of the smallest errors wins: ties keep the smaller
//   ratio.
//
//   EAQ_ASSIGN_OR_RETURN(const auto grids, FindRatioGrids(w.view(), spec, {.search_from = 0.35}));
//   EAQ_ASSIGN_OR_RETURN(const QuantizedMatrix q, QuantizeOnGrids(w.view(), spec, grids));
#ifndef EAQ_QUANT_RATIO_SEARCH_H_
#define EAQ_QUANT_RATIO_SEARCH_H_

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/quant/grid.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct RatioSpec {
  double fixed = 1.0;                                // the ratio, unless a search is asked for
  std::optional<double> search_from = std::nullopt;  // r0 of the search
  // False: [min, max] need not hold 0, as in the references; where it does not, the zero point is still kept within the
  // codes (the references do that in their search alone), so that the grid can be packed. kAsymmetric only.
  bool zero_in_range = true;
};

inline constexpr int kRatioCandidates = 101;
double RatioCandidate(double first, int t);

// InvalidArgument unless the ratios are in (0, 1] and at most one way is chosen.
absl::Status ValidateRatio(const RatioSpec& ratio, const GridSpec& spec);

// The grid of [ratio min, ratio max] of these values, scale rounded to float16. Values must be finite.
GridParams GridAtRatio(Range range, const GridSpec& spec, double ratio, bool zero_in_range);
// The range that GridAtRatio takes: with 0, or as it is. {0, 0} without values.
Range RatioRange(absl::Span<const float> values, bool zero_in_range);

// The grids of w[rows, cols], as FindGrids returns them. InvalidArgument: bad specs, NaN or infinity in w (named), a
// scale beyond float16.
absl::StatusOr<std::vector<GridParams>> FindRatioGrids(ConstMatrixView w, const GridSpec& spec, const RatioSpec& ratio);

}  // namespace eaq

#endif  // EAQ_QUANT_RATIO_SEARCH_H_
