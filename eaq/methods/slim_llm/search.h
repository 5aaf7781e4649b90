// SBA of SliM-LLM (arXiv 2405.14917, section 3.2; specs/related_methods.md 6): which groups of a matrix get a bit more
// and which a bit less.
#ifndef EAQ_METHODS_SLIM_LLM_SEARCH_H_
#define EAQ_METHODS_SLIM_LLM_SEARCH_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/quantize_ops.h"
#include "eaq/tensor/matrix.h"

namespace eaq::slim_llm {

// [groups]: sum over the group's columns and all rows of w[out, in]^2 / u^2, U the diagonal of GPTQ's inverse factor.
std::vector<double> GroupSalience(ConstMatrixView w, absl::Span<const double> u, int64_t group_size);

// Mean over rows of KL(softmax(rounded) || softmax(exact)), both softmaxes over the columns and raised to 1e-6 where
// they are less, in nats; in float64. The released code's direction. 0 rows: 0.
double OutputDivergence(const Matrix& exact, const Matrix& rounded);

// The widths of the groups of W on GRID, whose width is b: the n of least SALIENCE get b - 1, the n of most b + 1, the
// rest b; of n = 1 .. groups/2 - 1 (and 0 if MAY_STAY_UNIFORM) the first with the least OutputDivergence of X W^T when
// all is rounded to nearest. X[tokens, in]. Of equal saliences the group that comes first counts as the lesser. Fewer
// than 4 groups leave nothing to search: all b. OPS multiplies. InvalidArgument: GRID is not per group, or b is not
// 2 .. 7.
absl::StatusOr<std::vector<uint8_t>> SearchGroupBits(ConstMatrixView w, const Matrix& x,
                                                     absl::Span<const double> salience, const GridSpec& grid,
                                                     bool may_stay_uniform, const QuantizeOps& ops = CpuOps());

}  // namespace eaq::slim_llm

#endif  // EAQ_METHODS_SLIM_LLM_SEARCH_H_
