#include "kernels/cuda/exact_math.h"
#include "kernels/cuda/rotary.h"
#include "kernels/cuda/vector_access.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// One thread per kWidth pairs (i, i + half). Threads count over [rows, heads * half / kWidth] in order, so that
// neighbours read neighbouring addresses.
template <int kWidth, typename Out>
__global__ void __launch_bounds__(kThreads)
    RotaryKernel(const float* x, int64_t ldx, const float* cosines, const float* sines, Out* y, int64_t ldy,
                 int64_t rows, int64_t heads, int64_t half) {
  const int64_t in_head = half / kWidth, in_row = heads * in_head;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= rows * in_row) return;
  const int64_t row = at / in_row, head = at % in_row / in_head, i = at % in_head * kWidth;

  const float* from = x + row * ldx + head * 2 * half + i;
  Vector<kWidth> low, high, c, s, low_out, high_out;
  Load(from, &low);
  Load(from + half, &high);
  Load(cosines + row * half + i, &c);
  Load(sines + row * half + i, &s);
#pragma unroll
  for (int l = 0; l < kWidth; ++l) {
    low_out.v[l] = Sub(Mul(low.v[l], c.v[l]), Mul(high.v[l], s.v[l]));
    high_out.v[l] = Add(Mul(high.v[l], c.v[l]), Mul(low.v[l], s.v[l]));
  }
  Out* to = y + row * ldy + head * 2 * half + i;
  Store(low_out, to);
  Store(high_out, to + half);
}

template <typename Out>
int Launch(const float* x, int64_t ldx, const float* cosines, const float* sines, Out* y, int64_t ldy, int64_t rows,
           int64_t heads, int64_t head_dim, void* stream) {
  if (rows < 0 || heads < 0 || head_dim < 0 || head_dim % 2 != 0 || ldx < heads * head_dim || ldy < heads * head_dim)
    return 1;
  const int64_t half = head_dim / 2;
  if (rows == 0 || heads == 0 || half == 0) return 0;
  const bool four =
      half % 4 == 0 && FourAligned(x, ldx) && FourAligned(y, ldy) && FourAligned(cosines, 4) && FourAligned(sines, 4);
  const int64_t blocks = (rows * heads * (half / (four ? 4 : 1)) + kThreads - 1) / kThreads;
  if (blocks > 0x7fffffff) return 1;
  const unsigned grid = static_cast<unsigned>(blocks);
  if (four) {
    EAQ_LAUNCH((RotaryKernel<4, Out>), grid, kThreads, 0, stream, x, ldx, cosines, sines, y, ldy, rows, heads, half);
  } else {
    EAQ_LAUNCH((RotaryKernel<1, Out>), grid, kThreads, 0, stream, x, ldx, cosines, sines, y, ldy, rows, heads, half);
  }
  return EAQ_LAUNCH_ERROR();
}

}  // namespace

int RotaryHalfSplit(const float* x, int64_t ldx, const float* cosines, const float* sines, float* y, int64_t ldy,
                    int64_t rows, int64_t heads, int64_t head_dim, void* stream) {
  return Launch(x, ldx, cosines, sines, y, ldy, rows, heads, head_dim, stream);
}
int RotaryHalfSplit(const float* x, int64_t ldx, const float* cosines, const float* sines, Bf16* y, int64_t ldy,
                    int64_t rows, int64_t heads, int64_t head_dim, void* stream) {
  return Launch(x, ldx, cosines, sines, y, ldy, rows, heads, head_dim, stream);
}

}  // namespace eaq::kernels::cuda
