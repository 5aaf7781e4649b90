// SQC of SliM-LLM (arXiv 2405.14917; specs/related_methods.md 6): the range of a group whose rounding errors are
// counted apart for its few salient weights and for the rest.
//
//   salience(r, c) = w(r, c)^2 / u(c)^2,  u the diagonal of GPTQ's inverse factor
//   salient: the weights at least as salient as the least of those that lie more than `deviations` standard deviations
//            off the group's mean (all rows of the group together, as the released code)
//   p = 1, then 1 + range/steps .. 1 + range, then 1 - range/steps .. 1 - range:
//     error = sum |e|^2.4 over the rest + weight * sum |e|^2.4 over the salient, on the grid of [p min, p max]
//   the first of the smallest errors wins, row by row.
#ifndef EAQ_QUANT_SALIENT_SEARCH_H_
#define EAQ_QUANT_SALIENT_SEARCH_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/quant/grid.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct SalientSearchSpec {
  double weight = 1;      // of the salient weights' error; 1: an ordinary search
  double deviations = 2;  // paper: 3
  double range = 0.1;
  int steps = 50;  // to either side
};

// InvalidArgument unless weight and deviations are finite and not negative, 0 < range < 1 and steps >= 1.
absl::Status ValidateSalientSearch(const SalientSearchSpec& spec);

// 1 for every salient entry of w[rows, cols], one group of columns; FACTOR_DIAGONAL[cols] is u.
std::vector<uint8_t> SalientWeights(ConstMatrixView w, absl::Span<const double> factor_diagonal, double deviations);

// A grid for every row of W, likewise. GRID: of the group, its granularity is of no matter; a binary one has no range,
// and gets BinaryParams. InvalidArgument as FindGrids.
absl::StatusOr<std::vector<GridParams>> SearchSalient(ConstMatrixView w, absl::Span<const double> factor_diagonal,
                                                      const GridSpec& grid, const SalientSearchSpec& spec);

}  // namespace eaq

#endif  // EAQ_QUANT_SALIENT_SEARCH_H_
