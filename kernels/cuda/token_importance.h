// Which tokens of a sequence matter most, on the GPU: attention received times the size of the hidden state
// (eaq/model/token_importance.h, MC's token protection; shared/specs/related_methods.md 1.2).
#ifndef KERNELS_CUDA_TOKEN_IMPORTANCE_H_
#define KERNELS_CUDA_TOKEN_IMPORTANCE_H_

#include <cstdint>

#include "kernels/cuda/attention.h"

namespace eaq::kernels::cuda {

// Device memory that ProtectTokens works in; of an earlier call nothing is needed.
struct ImportanceWorkspace {
  float* softmax = nullptr;      // [queries, heads, 2]: largest score of the row, 1 / sum of exponentials
  double* importance = nullptr;  // [queries]; afterwards the numbers that were compared
};

// keep[t] = 1 for the counts[b] (device, [sequences]) most important queries of each sequence b, of equals the first;
// 0 for all others. Of a sequence whose queries are its keys,
//   importance(t) = received(t) * ||h_t||_1
//   received(t)   = mean over heads of (sum over the queries that see t of their softmax weight on t) / their number;
// in one that has more keys than queries nothing is important. q, k and BATCH as in attention.h; hidden [queries,
// width], rows ldh apart: after the attention. keep [queries].
//
// Three kernels, a warp each time: for a query and head, the softmax row's two numbers; for a key, what it received,
// over heads and then lanes of queries; for a token, how many are more important. Scores and probabilities are float32
// as on the CPU (products added in the order of the channels), sums over queries, heads and channels of h float64 in a
// fixed order: the same bits in every run. Relative error of an importance below (2 (head_dim + 2) M + n + 16) 2^-24, M
// the largest scale * sum |q_i k_i| of a head, n the tokens. The products of attention are made twice again: nothing
// here is tuned. A token of NaN importance is kept.
//
// Limits (else 1): as attention.h; k and q 16-byte aligned, strides multiples of 4; width >= 1.
int ProtectTokens(const AttentionBatch& batch, const float* q, int64_t ldq, const float* k, int64_t ldk,
                  const float* hidden, int64_t ldh, int64_t width, const int32_t* counts,
                  const ImportanceWorkspace& workspace, int32_t* keep, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_TOKEN_IMPORTANCE_H_
