// Dense float32 matrix products on the calling thread, by oneDNN's JIT sgemm, and by gemm_transposed.h where that is
// faster (shares of a core's measured peak: docs/results.md). Row-major.
#ifndef KERNELS_CPU_GEMM_H_
#define KERNELS_CPU_GEMM_H_

#include <cstdint>

namespace eaq::kernels {

// C[m,n] = alpha * op(A) * op(B) + beta * C, op transposing when asked. lda, ldb, ldc: elements between rows of the
// stored matrices (A is stored [m,k], or [k,m] when transposed). m, n or k may be 0. Deterministic: same arguments,
// same bits, on whatever thread and processor.
void Gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
          const float* b, int64_t ldb, float beta, float* c, int64_t ldc);

// The same through the library whatever the shape: what benchmarks compare with.
void GemmByLibrary(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a,
                   int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc);

// y[n,out] = x[n,in] W^T for W[out,in]: the shape of every linear layer. ldx, ldy: row strides; W is contiguous.
inline void LinearForward(const float* x, int64_t ldx, const float* w, float* y, int64_t ldy, int64_t n, int64_t out,
                          int64_t in) {
  Gemm(false, true, n, out, in, 1.0f, x, ldx, w, in, 0.0f, y, ldy);
}

}  // namespace eaq::kernels

#endif  // KERNELS_CPU_GEMM_H_
