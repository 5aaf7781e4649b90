// What evaluation asks of rows of logits, on the GPU: log-probabilities of targets, and the divergence of two models.
// Each row is read once and nothing of its length is stored. (LogSumExp and Diverge of kernels/backend.h, a row each.)
#ifndef KERNELS_CUDA_LOGITS_LOSS_H_
#define KERNELS_CUDA_LOGITS_LOSS_H_

#include <cstdint>

#include "kernels/backend.h"

namespace eaq::kernels::cuda {

// log_probabilities[r] = x_target - log(sum_i exp(x_i)), nats, over row r of logits[rows, n]; log_sums[r] the second
// term (may be null). A target outside 0 .. n - 1 gives NaN.
//
// One block a row. A thread keeps the largest logit so far and, in float64, the sum of exp(x - largest), rescaled when
// the largest grows; exponentials are float64 (relative error below 1e-15); threads are
// merged in a fixed order: the same bits in every run. Against the CPU: the sums differ by their order, so that the
// results differ by at most n 2^-53 + 2e-15 + 2^-52 |log_sum|. A row whose largest logit is +infinity has log_sum
// +infinity, one of -infinity alone has -infinity; with NaN in the row (and no +infinity) it is NaN.
//
// About 17 float64 instructions a logit: near the memory's speed where float64 runs at half of float32's rate (sm_80,
// sm_90), far below it on sm_86, sm_89.
// n <= 2^31 - 1. Returns 0, or the CUDA error; 1 (invalid value) for negative sizes or a stride below n.
int TargetLogProbabilities(const float* logits, int64_t ld, const int32_t* targets, double* log_probabilities,
                           double* log_sums, int64_t rows, int64_t n, void* stream);

// out[r] = Diverge(row r of p, row r of q): both log-sums, KL(p || q) in nats and whether the largest logits, the first
// of equals, are at the same place. Every term as above; kl is within (n 2^-52 + 4e-15) (1 + sum_i p_i |p'_i - q'_i|) +
// 2^-51 (|log_sum_p| + |log_sum_q|) of the CPU's (p', q': the logits), never below 0, and not finite for bad input.
int DivergeRows(const float* p, int64_t ldp, const float* q, int64_t ldq, Divergence* out, int64_t rows, int64_t n,
                void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_LOGITS_LOSS_H_
