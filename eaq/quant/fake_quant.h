// Rounding a weight matrix to nearest on an integer grid (RTN), with or without clip search.
//
//   EAQ_ASSIGN_OR_RETURN(QuantizedMatrix q, QuantizeNearest(w.view(), spec));                  // plain min-max
//   EAQ_ASSIGN_OR_RETURN(q, QuantizeNearest(w.view(), spec, &clip));                           // searched
//   Matrix w_hat = Dequantize(q);
#ifndef EAQ_QUANT_FAKE_QUANT_H_
#define EAQ_QUANT_FAKE_QUANT_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/quant/clip_search.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/quantized_matrix.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

// The grids of w[rows, cols]: [rows, groups], or [1] for kTensor. `clip` null: min-max. InvalidArgument: a bad spec,
// NaN or infinity in w (names the first row and column), scale overflow. GROUP_BITS as in QuantizedMatrix. Binary
// groups have no range to search.
absl::StatusOr<std::vector<GridParams>> FindGrids(ConstMatrixView w, const GridSpec& spec,
                                                  const ClipSearchSpec* clip = nullptr,
                                                  absl::Span<const uint8_t> group_bits = {});

// Every weight to the nearest code of its grid. Errors as FindGrids.
absl::StatusOr<QuantizedMatrix> QuantizeNearest(ConstMatrixView w, const GridSpec& spec,
                                                const ClipSearchSpec* clip = nullptr,
                                                absl::Span<const uint8_t> group_bits = {});

// The same on grids found elsewhere (`params` as FindGrids returns them).
absl::StatusOr<QuantizedMatrix> QuantizeOnGrids(ConstMatrixView w, const GridSpec& spec, std::vector<GridParams> params,
                                                absl::Span<const uint8_t> group_bits = {});

}  // namespace eaq

#endif  // EAQ_QUANT_FAKE_QUANT_H_
