// Experts of single tokens are left out at run time: MC's online dynamic pruning (DropExperts of eaq/model/router.h).
#ifndef KERNELS_CUDA_DROP_EXPERTS_H_
#define KERNELS_CUDA_DROP_EXPERTS_H_

#include <cstdint>

namespace eaq::kernels::cuda {

// After RouteTopK. In place on weights[tokens, k], each row's first the token's largest: those below ratio * first
// become 0 and the others grow so that the row's sum is what it was (within k + 2 roundings); a row whose sum is not
// above 0 without them only loses them. keep [tokens], or null: rows with a number other than 0 stay as they are.
// sent [tokens, k]: chosen, or -1 where the weight is 0: what SortTokens gets, so that a dropped expert reads nothing.
// The CPU's bits from the same weights: nothing is fused. A thread a token. k at least 1. Returns 0, a CUDA error, or 1
// (cudaErrorInvalidValue).
int DropExperts(float* weights, const int32_t* chosen, int64_t tokens, int64_t k, float ratio, const int32_t* keep,
                int32_t* sent, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_DROP_EXPERTS_H_
