// C = alpha A^T B + beta C for tall A and B, the shape of every weight's gradient, by AVX2 and FMA. oneDNN 2.6 packs a
// transposed A so slowly there that it reaches 40 to 70 % of what this does (docs/results.md).
#ifndef KERNELS_CPU_GEMM_TRANSPOSED_H_
#define KERNELS_CPU_GEMM_TRANSPOSED_H_

#include <cstdint>

namespace eaq::kernels {

// A stored [k, m], B [k, n], C [m, n], row-major with lda, ldb, ldc elements between rows; m, n, k >= 1. The sum over k
// runs in the same order for every entry, whatever m and n are.
void GemmTransposed(int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda, const float* b,
                    int64_t ldb, float beta, float* c, int64_t ldc);

}  // namespace eaq::kernels

#endif  // KERNELS_CPU_GEMM_TRANSPOSED_H_
