// How many of the K most likely tokens two models share, on the GPU: the top-k agreement of evaluation.
#ifndef KERNELS_CUDA_TOP_K_AGREEMENT_H_
#define KERNELS_CUDA_TOP_K_AGREEMENT_H_

#include <cstdint>

namespace eaq::kernels::cuda {

// common[r] = |top K of row r of p  and  top K of row r of q|, 0 .. k; divided by k it is the agreement. Rows of n
// logits, ldp and ldq apart. The lowest index wins a tie, NaN counts as the smallest (TopK of kernels/backend.h).
//
// One block a row. A thread keeps the largest of its logits (every 256th) that is still to be taken; of K rounds each
// takes the largest of all threads, and only the thread that had it looks through its logits again, so that a row is
// read once and n / 256 of it K times more. Exact: integers alone are compared.
// 1 <= k <= 32, k <= n <= 2^31 - 1. Returns 0, or the CUDA error; 1 (invalid value) outside these limits, for negative
// sizes or a stride below n.
int TopKAgreement(const float* p, int64_t ldp, const float* q, int64_t ldq, int k, int32_t* common, int64_t rows,
                  int64_t n, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_TOP_K_AGREEMENT_H_
