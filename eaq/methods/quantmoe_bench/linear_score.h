// QuantMoE-Bench's score of a linear: how far its largest weight stands out of its column.
#ifndef EAQ_METHODS_QUANTMOE_BENCH_LINEAR_SCORE_H_
#define EAQ_METHODS_QUANTMOE_BENCH_LINEAR_SCORE_H_

#include "absl/status/statusor.h"
#include "eaq/tensor/matrix.h"

namespace eaq::quantmoe_bench {

// s(W) = max_j ( max_i |W_ij| / mean_i |W_ij| ) over input columns j; columns of zeros do not count. 0 for a matrix of
// zeros, at least 1 for any other, at most the number of rows. InvalidArgument: a weight that is not finite.
absl::StatusOr<double> LinearScore(ConstMatrixView w);

}  // namespace eaq::quantmoe_bench

#endif  // EAQ_METHODS_QUANTMOE_BENCH_LINEAR_SCORE_H_
