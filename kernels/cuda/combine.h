// The sum over a token's experts, in the order of its slots.
#ifndef KERNELS_CUDA_COMBINE_H_
#define KERNELS_CUDA_COMBINE_H_

#include <cstdint>

namespace eaq::kernels::cuda {

// out[t, i] = (add ? out[t, i] : 0) + sum_{j < k} x[slot_of_pair[t * k + j], i] for every token t, summed in float in
// the order j = 0, 1, ...: the same bits in every run. A slot of -1 adds nothing. x [slots, hidden], rows ldx apart:
// the results of the down product, already times the router's weights; out [tokens, hidden], rows ldo apart. No row of
// out may overlap x. A block for each 1024 numbers of a token. k at least 1. Returns 0, a CUDA error, or 1 (invalid).
int CombineExperts(const float* x, int64_t ldx, const int32_t* slot_of_pair, int64_t tokens, int64_t k, int64_t hidden,
                   bool add, float* out, int64_t ldo, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_COMBINE_H_
