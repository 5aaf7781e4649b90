// The parts of AWQ's two searches that are plain arithmetic (Lin et al., "AWQ", MLSys 2024; base_quantizers.md 4).
#ifndef EAQ_METHODS_AWQ_SEARCH_H_
#define EAQ_METHODS_AWQ_SEARCH_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/quantize_ops.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

// mean over the rows of x[n, c] of |x[c]|; zeros without rows.
std::vector<double> MeanMagnitudes(const Matrix& x);

// mean over all rows of all WEIGHTS, each [*, c], of |w[c]| / max of its group: 1 where a channel always holds its
// group's largest weight (AutoAWQ's w_mean). Groups as GRID cuts rows.
std::vector<double> MeanRelativeWeights(absl::Span<const Matrix* const> weights, const GridSpec& grid);

// s = max(x^r, 1e-4), or with WEIGHT_MEANS s = max(x^r / (w^(1-r) + 1e-4), 1e-4); then s / sqrt(max s * min s).
// Whatever is not finite becomes 1.
std::vector<float> AwqScales(absl::Span<const double> input_means, absl::Span<const double> weight_means, double ratio);

// Q(W diag(s)) diag(1/s), Q rounding to nearest on GRID: what the scaled weight is worth. Errors as QuantizeNearest.
absl::StatusOr<Matrix> RoundScaled(const Matrix& w, absl::Span<const float> scales, const GridSpec& grid,
                                   const QuantizeOps& ops = CpuOps());

// mean over tokens and outputs of (x (W - W')^T)^2; x[n, in], n >= 1. TOKEN_WEIGHTS: a factor on each token's square
// (MoEQuant's affinities), or empty.
absl::StatusOr<double> OutputError(const Matrix& x, const Matrix& w, const Matrix& rounded,
                                   absl::Span<const float> token_weights = {}, const QuantizeOps& ops = CpuOps());

struct AwqClipOptions {
  int steps = 10;
  double max_shrink = 0.5;
  int64_t tokens = 512;
};

// Every max(1, n / TOKENS)-th row of x[n, c], and likewise of one number a row.
Matrix Subsample(const Matrix& x, int64_t tokens);
std::vector<float> Subsample(absl::Span<const float> values, int64_t tokens);

// W clamped row by row and group by group to the best of +-max|w| (1 - max_shrink * i / steps), i = 0 .. steps - 1:
// the one that leaves the smallest mean over the rows of SAMPLE of (sum over the group of x (Q(clamp(w)) - w))^2; the
// largest on a tie. SAMPLE[n, in], n >= 1; TOKEN_WEIGHTS: a factor on each row's square, or empty. InvalidArgument for
// a grid per tensor, which has no rows of its own.
absl::StatusOr<Matrix> ClipWeights(const Matrix& w, const Matrix& sample, const GridSpec& grid,
                                   const AwqClipOptions& options, absl::Span<const float> token_weights = {},
                                   const QuantizeOps& ops = CpuOps());

}  // namespace eaq

#endif  // EAQ_METHODS_AWQ_SEARCH_H_
