#include "kernels/cuda/embed.h"
#include "kernels/cuda/vector_access.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// One thread per kWidth numbers of the result, in order.
template <int kWidth, typename In>
__global__ void __launch_bounds__(kThreads)
    EmbedKernel(const In* table, int64_t ldt, int64_t vocabulary, const int32_t* ids, float* y, int64_t ldy,
                int64_t rows, int64_t n) {
  const int64_t in_row = n / kWidth;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= rows * in_row) return;
  const int64_t row = at / in_row, i = at % in_row * kWidth;
  const int64_t id = ids[row];
  Vector<kWidth> value;
  if (id >= 0 && id < vocabulary) {
    Load(table + id * ldt + i, &value);
  } else {
#pragma unroll
    for (int l = 0; l < kWidth; ++l) value.v[l] = __uint_as_float(0x7fc00000u);
  }
  Store(value, y + row * ldy + i);
}

template <typename In>
int Launch(const In* table, int64_t ldt, int64_t vocabulary, const int32_t* ids, float* y, int64_t ldy, int64_t rows,
           int64_t n, void* stream) {
  if (rows < 0 || n < 0 || vocabulary < 0 || ldt < n || ldy < n) return 1;
  if (rows == 0 || n == 0) return 0;
  const bool four = n % 4 == 0 && FourAligned(table, ldt) && FourAligned(y, ldy);
  const int64_t blocks = (rows * (n / (four ? 4 : 1)) + kThreads - 1) / kThreads;
  if (blocks > 0x7fffffff) return 1;
  const unsigned grid = static_cast<unsigned>(blocks);
  if (four) {
    EAQ_LAUNCH((EmbedKernel<4, In>), grid, kThreads, 0, stream, table, ldt, vocabulary, ids, y, ldy, rows, n);
  } else {
    EAQ_LAUNCH((EmbedKernel<1, In>), grid, kThreads, 0, stream, table, ldt, vocabulary, ids, y, ldy, rows, n);
  }
  return EAQ_LAUNCH_ERROR();
}

}  // namespace

int Embed(const float* table, int64_t ldt, int64_t vocabulary, const int32_t* ids, float* y, int64_t ldy, int64_t rows,
          int64_t n, void* stream) {
  return Launch(table, ldt, vocabulary, ids, y, ldy, rows, n, stream);
}
int Embed(const Bf16* table, int64_t ldt, int64_t vocabulary, const int32_t* ids, float* y, int64_t ldy, int64_t rows,
          int64_t n, void* stream) {
  return Launch(table, ldt, vocabulary, ids, y, ldy, rows, n, stream);
}

}  // namespace eaq::kernels::cuda
