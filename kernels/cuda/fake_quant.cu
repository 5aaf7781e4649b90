#include "kernels/cuda/fake_quant.h"
#include "kernels/cuda/row_grid.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr unsigned kAll = 0xffffffffu;

// One block per row. Reads the row twice: for its range, then to round it. A row of a few thousand floats stays in the
// cache between the two, so the time is that of one read and one write.
__global__ void FakeQuantPerTokenKernel(float* x, int64_t ldx, int64_t n, RowQuantizer q) {
  float* row = x + static_cast<int64_t>(blockIdx.x) * ldx;

  // Smallest and largest, 0 among them. Comparisons with NaN are false: NaN never enters.
  float low = 0.0f, high = 0.0f;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) {
    const float v = row[i];
    low = v < low ? v : low;
    high = v > high ? v : high;
  }
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const float other_low = __shfl_xor_sync(kAll, low, lanes);
    const float other_high = __shfl_xor_sync(kAll, high, lanes);
    low = other_low < low ? other_low : low;
    high = other_high > high ? other_high : high;
  }
  EAQ_SHARED(float, lows, kWarps);
  EAQ_SHARED(float, highs, kWarps);
  if (threadIdx.x % 32 == 0) {
    lows[threadIdx.x / 32] = low;
    highs[threadIdx.x / 32] = high;
  }
  __syncthreads();
  for (int w = 0; w < kWarps; ++w) {
    low = lows[w] < low ? lows[w] : low;
    high = highs[w] > high ? highs[w] : high;
  }

  // The grid: every thread computes the same numbers.
  const float max_code = static_cast<float>((1 << q.bits) - 1);
  RowGridParams grid = {q.fixed_scale, static_cast<float>(q.fixed_zero)};
  if (!q.fixed) grid = GridOfRow(q, {low, high, false});

  const float first = 0.0f - grid.zero, last = max_code - grid.zero;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) {
    float level = rintf(row[i] / grid.scale);
    level = level < first ? first : level;
    level = level > last ? last : level;
    row[i] = grid.scale * level;
  }
}

}  // namespace

int FakeQuantPerToken(float* x, int64_t ldx, int64_t rows, int64_t n, const RowQuantizer& quantizer, void* stream) {
  if (rows == 0 || n == 0) return 0;
  EAQ_LAUNCH(FakeQuantPerTokenKernel, static_cast<unsigned>(rows), kThreads, 0, stream, x, ldx, n, quantizer);
  return EAQ_LAUNCH_ERROR();
}

}  // namespace eaq::kernels::cuda
