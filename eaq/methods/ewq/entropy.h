// How much information the weights of a matrix carry, by EWQ's two formulas (specs/related_methods.md 8), in float64.
#ifndef EAQ_METHODS_EWQ_ENTROPY_H_
#define EAQ_METHODS_EWQ_ENTROPY_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/tensor/matrix.h"

namespace eaq::ewq {

// -sum p log(p + 0.01) in nats, p the softmax of all weights together (the paper's formula). Since p is about 1 / n,
// far below 0.01, this is -log(0.01) - 100 (1 + var W) / n to first order: matrices of one shape differ by their
// variances alone, in the eighth digit. InvalidArgument: no weight, or one that is not finite.
absl::StatusOr<double> SoftmaxEntropy(ConstMatrixView w);

// -sum p log2(p) in bits, p the shares of 256 equal bins between the smallest and the largest weight (an independent
// implementation). 0 when all weights are equal. The same errors.
absl::StatusOr<double> HistogramEntropy(ConstMatrixView w);

// Classes 0, 1, 2 of units by their entropies, as published: 0 at DEVIATIONS standard deviations below the mean or
// lower, 1 up to the mean, 2 above.
std::vector<int> ClassesByDeviation(absl::Span<const double> entropies, double deviations);

// As the independent implementation has it: 2 from the 75th percentile on (linear between ranks), 1 from mean - 0.65
// standard deviations on, else 0.
std::vector<int> ClassesByPercentile(absl::Span<const double> entropies);

}  // namespace eaq::ewq

#endif  // EAQ_METHODS_EWQ_ENTROPY_H_
