// How much precision an expert deserves, by MoPEQ (specs/mopeq.md 2 to 4) and by the controls of its 10.1.
#ifndef EAQ_METHODS_MOPEQ_SCORES_H_
#define EAQ_METHODS_MOPEQ_SCORES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/tensor/matrix.h"

namespace eaq::mopeq {

// The trace of the Hessian of ||W||_F at W, n = W.size(): (n - 1) / ||W||_F. In closed form, since
//   H = (I - w w^T / ||w||^2) / ||w||;
// what the released code samples with 100 random vectors is this number over n, without noise worth the name.
// InvalidArgument for a matrix of zeros or one that is not finite.
absl::StatusOr<double> HessianTrace(ConstMatrixView w);

// (x - min) / (max - min) over all of them; all 0 when they are equal.
std::vector<double> MinMax(absl::Span<const double> values);

// MinMax(frequency) * MinMax(trace), expert by expert: the least used and the least sensitive expert both score 0.
std::vector<double> Hybrid(absl::Span<const double> frequency, absl::Span<const double> trace);

// The width of each score: k-means on the line into as many clusters as there are WIDTHS (rising); the cluster with
// the largest mean gets the largest width. With fewer distinct scores than widths, the larger widths are used.
absl::StatusOr<std::vector<int>> WidthsOfClusters(absl::Span<const double> scores, absl::Span<const int> widths);

}  // namespace eaq::mopeq

#endif  // EAQ_METHODS_MOPEQ_SCORES_H_
