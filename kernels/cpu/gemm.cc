#include "kernels/cpu/gemm.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

#include <cstdlib>

#include "kernels/cpu/gemm_transposed.h"

namespace eaq::kernels {

void GemmByLibrary(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a,
                   int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  if (m == 0 || n == 0) return;
  // Debian's oneDNN would start an OpenMP team inside every call. Threads are ours (base/thread_pool): one each.
  static thread_local const bool single = [] {
    omp_set_num_threads(1);
    return true;
  }();
  (void)single;
  // AVX2 on every machine: AVX-512 sums in another order, and results must not depend on who computes them.
  static const dnnl_status_t same_everywhere = dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
  (void)same_everywhere;
  if (k == 0) {  // oneDNN leaves C alone; the product of nothing is zero
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) c[i * ldc + j] = beta == 0.0f ? 0.0f : beta * c[i * ldc + j];
    return;
  }
  const dnnl_status_t status =
      dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  if (status != dnnl_success) std::abort();  // only for arguments no caller of ours may pass (strides below widths)
}

void Gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
          const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  if (transpose_a && !transpose_b && m * n >= 128 * 128 && k > 0) {  // where the library is slow
    GemmTransposed(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  } else {
    GemmByLibrary(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  }
}

}  // namespace eaq::kernels
