#include "kernels/cuda/exact_math.h"
#include "kernels/cuda/silu_mul.h"
#include "kernels/cuda/vector_access.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// One thread per kWidth numbers, in order.
template <int kWidth, typename Out>
__global__ void __launch_bounds__(kThreads) SiluMulKernel(const float* gate, int64_t ldg, const float* up, int64_t ldu,
                                                          Out* out, int64_t ldo, int64_t rows, int64_t n) {
  const int64_t in_row = n / kWidth;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= rows * in_row) return;
  const int64_t row = at / in_row, i = at % in_row * kWidth;
  Vector<kWidth> g, u, result;
  Load(gate + row * ldg + i, &g);
  Load(up + row * ldu + i, &u);
#pragma unroll
  for (int l = 0; l < kWidth; ++l) result.v[l] = Mul(FastSilu(g.v[l]), u.v[l]);
  Store(result, out + row * ldo + i);
}

template <typename Out>
int Launch(const float* gate, int64_t ldg, const float* up, int64_t ldu, Out* out, int64_t ldo, int64_t rows, int64_t n,
           void* stream) {
  if (rows < 0 || n < 0 || ldg < n || ldu < n || ldo < n) return 1;
  if (rows == 0 || n == 0) return 0;
  const bool four = n % 4 == 0 && FourAligned(gate, ldg) && FourAligned(up, ldu) && FourAligned(out, ldo);
  const int64_t blocks = (rows * (n / (four ? 4 : 1)) + kThreads - 1) / kThreads;
  if (blocks > 0x7fffffff) return 1;
  const unsigned grid = static_cast<unsigned>(blocks);
  if (four) {
    EAQ_LAUNCH((SiluMulKernel<4, Out>), grid, kThreads, 0, stream, gate, ldg, up, ldu, out, ldo, rows, n);
  } else {
    EAQ_LAUNCH((SiluMulKernel<1, Out>), grid, kThreads, 0, stream, gate, ldg, up, ldu, out, ldo, rows, n);
  }
  return EAQ_LAUNCH_ERROR();
}

}  // namespace

int SiluMul(const float* gate, int64_t ldg, const float* up, int64_t ldu, float* out, int64_t ldo, int64_t rows,
            int64_t n, void* stream) {
  return Launch(gate, ldg, up, ldu, out, ldo, rows, n, stream);
}
int SiluMul(const float* gate, int64_t ldg, const float* up, int64_t ldu, Bf16* out, int64_t ldo, int64_t rows,
            int64_t n, void* stream) {
  return Launch(gate, ldg, up, ldu, out, ldo, rows, n, stream);
}

}  // namespace eaq::kernels::cuda
