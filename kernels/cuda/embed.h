// Token embedding on the GPU: a gather of rows.
#ifndef KERNELS_CUDA_EMBED_H_
#define KERNELS_CUDA_EMBED_H_

#include <cstdint>

#include "kernels/cuda/bfloat16.h"

namespace eaq::kernels::cuda {

// y[r, i] = table[ids[r], i] for r < rows, i < n; table[vocabulary, n], rows ldt and ldy >= n elements apart. A bf16
// table is widened, which is exact. An id outside 0 .. vocabulary - 1 fills its row with NaN, so that no check passes
// over it. ids: device memory.
// Returns 0, or the CUDA error; 1 (invalid value) for negative sizes or a stride below n.
int Embed(const float* table, int64_t ldt, int64_t vocabulary, const int32_t* ids, float* y, int64_t ldy, int64_t rows,
          int64_t n, void* stream);
int Embed(const Bf16* table, int64_t ldt, int64_t vocabulary, const int32_t* ids, float* y, int64_t ldy, int64_t rows,
          int64_t n, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_EMBED_H_
