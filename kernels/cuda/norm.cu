#include "kernels/cuda/exact_math.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/vector_access.h"
#include "kernels/cuda/warp_reduce.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kBlock = 256;
constexpr int kHeld = 8;  // vectors of a row that a thread keeps in registers

// kThreads (8, 32 or 256) threads a row; kBlock / kThreads rows a block. kWidth numbers an access. x is read through
// `source` and, with kAdd, written back through `sum`; without it both are the same memory or sum is unused.
template <int kThreads, int kWidth, bool kAdd, typename Out>
__global__ void __launch_bounds__(kBlock, 2)
    RmsNormKernel(const float* source, int64_t ldx, float* sum, const float* delta, int64_t ldd, const float* weight,
                  double eps, Out* y, int64_t ldy, int64_t rows, int64_t n) {
  EAQ_SHARED(double, scratch, kBlock / 32);
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (kBlock / kThreads) + threadIdx.x / kThreads;
  const int thread = threadIdx.x % kThreads;
  const float* x = source + row * ldx;
  const int64_t vectors = row < rows ? n / kWidth : 0;  // rows that are not there take part in the shuffles alone

  const auto load = [&](int64_t at) {
    Vector<kWidth> value;
    Load(x + at * kWidth, &value);
    if constexpr (kAdd) {
      Vector<kWidth> more;
      Load(delta + row * ldd + at * kWidth, &more);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) value.v[i] = Add(value.v[i], more.v[i]);
      Store(value, sum + row * ldx + at * kWidth);
    }
    return value;
  };

  Vector<kWidth> held[kHeld];
  double squares = 0;
#pragma unroll
  for (int h = 0; h < kHeld; ++h) {
    const int64_t at = thread + static_cast<int64_t>(h) * kThreads;
    if (at < vectors) held[h] = load(at);
  }
#pragma unroll
  for (int h = 0; h < kHeld; ++h) {
    if (thread + static_cast<int64_t>(h) * kThreads >= vectors) continue;
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      squares = fma(static_cast<double>(held[h].v[i]), static_cast<double>(held[h].v[i]), squares);
  }
  for (int64_t at = thread + static_cast<int64_t>(kHeld) * kThreads; at < vectors; at += kThreads) {
    const Vector<kWidth> value = load(at);
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      squares = fma(static_cast<double>(value.v[i]), static_cast<double>(value.v[i]), squares);
  }
  squares = kThreads <= 32 ? WarpSum < kThreads <= 32 ? kThreads : 32 > (squares) : BlockSum<kBlock>(squares, scratch);
  const float scale = static_cast<float>(1.0 / sqrt(squares / static_cast<double>(n) + eps));

  const auto store = [&](int64_t at, const Vector<kWidth>& value) {
    Vector<kWidth> w, out;
    Load(weight + at * kWidth, &w);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) out.v[i] = Mul(Mul(value.v[i], scale), w.v[i]);
    Store(out, y + row * ldy + at * kWidth);
  };
#pragma unroll
  for (int h = 0; h < kHeld; ++h) {
    const int64_t at = thread + static_cast<int64_t>(h) * kThreads;
    if (at < vectors) store(at, held[h]);
  }
  const float* written = kAdd ? sum + row * ldx : x;
  for (int64_t at = thread + static_cast<int64_t>(kHeld) * kThreads; at < vectors; at += kThreads) {
    Vector<kWidth> value;
    Load(written + at * kWidth, &value);
    store(at, value);
  }
}

template <bool kAdd, typename Out>
int Launch(const float* x, int64_t ldx, float* sum, const float* delta, int64_t ldd, const float* weight, double eps,
           Out* y, int64_t ldy, int64_t rows, int64_t n, void* stream) {
  if (rows < 0 || n < 0 || rows > 0x7fffffff || ldx < n || ldy < n || (kAdd && ldd < n)) return 1;
  if (rows == 0 || n == 0) return 0;
  const bool four = n % 4 == 0 && FourAligned(x, ldx) && FourAligned(weight, 4) && FourAligned(y, ldy) &&
                    (!kAdd || FourAligned(delta, ldd));
  const int64_t vectors = n / (four ? 4 : 1);
  const auto launch = [&](auto kernel, int threads) {
    const int64_t at_once = kBlock / threads;
    EAQ_LAUNCH(kernel, static_cast<unsigned>((rows + at_once - 1) / at_once), kBlock, 0, stream, x, ldx, sum, delta,
               ldd, weight, eps, y, ldy, rows, n);
  };
  // As few threads a row as hold it: less to add up across them.
  if (vectors <= 8 * kHeld) {
    four ? launch(RmsNormKernel<8, 4, kAdd, Out>, 8) : launch(RmsNormKernel<8, 1, kAdd, Out>, 8);
  } else if (vectors <= 32 * kHeld) {
    four ? launch(RmsNormKernel<32, 4, kAdd, Out>, 32) : launch(RmsNormKernel<32, 1, kAdd, Out>, 32);
  } else {
    four ? launch(RmsNormKernel<kBlock, 4, kAdd, Out>, kBlock) : launch(RmsNormKernel<kBlock, 1, kAdd, Out>, kBlock);
  }
  return EAQ_LAUNCH_ERROR();
}

}  // namespace

int RmsNorm(const float* x, int64_t ldx, const float* weight, double eps, float* y, int64_t ldy, int64_t rows,
            int64_t n, void* stream) {
  return Launch<false, float>(x, ldx, nullptr, nullptr, 0, weight, eps, y, ldy, rows, n, stream);
}
int RmsNorm(const float* x, int64_t ldx, const float* weight, double eps, Bf16* y, int64_t ldy, int64_t rows, int64_t n,
            void* stream) {
  return Launch<false, Bf16>(x, ldx, nullptr, nullptr, 0, weight, eps, y, ldy, rows, n, stream);
}
int AddRmsNorm(float* x, int64_t ldx, const float* delta, int64_t ldd, const float* weight, double eps, float* y,
               int64_t ldy, int64_t rows, int64_t n, void* stream) {
  return Launch<true, float>(x, ldx, x, delta, ldd, weight, eps, y, ldy, rows, n, stream);
}
int AddRmsNorm(float* x, int64_t ldx, const float* delta, int64_t ldd, const float* weight, double eps, Bf16* y,
               int64_t ldy, int64_t rows, int64_t n, void* stream) {
  return Launch<true, Bf16>(x, ldx, x, delta, ldd, weight, eps, y, ldy, rows, n, stream);
}

}  // namespace eaq::kernels::cuda
