#include "kernels/cuda/reduce.h"
#include "kernels/cuda/vector_access.h"
#include "kernels/cuda/warp_reduce.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kRowsABlock = 512;

// NaN fails both comparisons.
__device__ inline void Include(float x, float* low, float* high) {
  *low = x < *low ? x : *low;
  *high = x > *high ? x : *high;
}

// 32 lanes x kWidth columns, every 8th row of a split a warp. workspace: [splits, 2, n].
template <int kWidth>
__global__ void __launch_bounds__(kThreads)
    ColumnRangesKernel(const float* x, int64_t ldx, float* workspace, int64_t rows, int64_t n) {
  EAQ_SHARED(float, lows, kWarps * 32 * kWidth);
  EAQ_SHARED(float, highs, kWarps * 32 * kWidth);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t column = (static_cast<int64_t>(blockIdx.x) * 32 + lane) * kWidth;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * kRowsABlock;
  const int64_t end = begin + kRowsABlock < rows ? begin + kRowsABlock : rows;
  float low[kWidth] = {}, high[kWidth] = {};
  if (column < n) {
#pragma unroll 8
    for (int64_t r = begin + warp; r < end; r += kWarps) {
      Vector<kWidth> values;
      Load(x + r * ldx + column, &values);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) Include(values.v[i], &low[i], &high[i]);
    }
  }
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    lows[(warp * kWidth + i) * 32 + lane] = low[i];
    highs[(warp * kWidth + i) * 32 + lane] = high[i];
  }
  __syncthreads();
  if (warp != 0 || column >= n) return;
  float* to = workspace + static_cast<int64_t>(blockIdx.y) * 2 * n + column;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    for (int w = 1; w < kWarps; ++w) {
      Include(lows[(w * kWidth + i) * 32 + lane], &low[i], &high[i]);
      Include(highs[(w * kWidth + i) * 32 + lane], &low[i], &high[i]);
    }
    to[i] = low[i];
    to[n + i] = high[i];
  }
}

__global__ void __launch_bounds__(kThreads)
    MergeRangesKernel(const float* workspace, int64_t splits, float* low, float* high, bool accumulate, int64_t n) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (column >= n) return;
  float a = accumulate ? low[column] : 0.0f, b = accumulate ? high[column] : 0.0f;
  for (int64_t s = 0; s < splits; ++s) {
    Include(workspace[s * 2 * n + column], &a, &b);
    Include(workspace[(s * 2 + 1) * n + column], &a, &b);
  }
  low[column] = a;
  high[column] = b;
}

// One warp a row.
template <int kWidth>
__global__ void __launch_bounds__(kThreads)
    RowRangesKernel(const float* x, int64_t ldx, float* low_of, float* high_of, int64_t rows, int64_t n) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (row >= rows) return;  // whole warps
  float low = 0, high = 0;
#pragma unroll 4
  for (int64_t at = threadIdx.x % 32; at < n / kWidth; at += 32) {
    Vector<kWidth> values;
    Load(x + row * ldx + at * kWidth, &values);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) Include(values.v[i], &low, &high);
  }
  low = WarpMin(low);
  high = WarpMax(high);
  if (threadIdx.x % 32 == 0) low_of[row] = low, high_of[row] = high;
}

int64_t Splits(int64_t rows) { return (rows + kRowsABlock - 1) / kRowsABlock; }

}  // namespace

int64_t ColumnRangesWorkspace(int64_t rows, int64_t n) { return Splits(rows) * 2 * n; }

int ColumnRanges(const float* x, int64_t ldx, float* low, float* high, bool accumulate, float* workspace, int64_t rows,
                 int64_t n, void* stream) {
  if (rows < 0 || n < 0 || ldx < n || Splits(rows) > 65535) return 1;
  if (n == 0) return 0;
  const bool four = n % 4 == 0 && FourAligned(x, ldx);
  if (rows > 0) {
    const int64_t columns = 32 * (four ? 4 : 1);
    const dim3 grid(static_cast<unsigned>((n + columns - 1) / columns), static_cast<unsigned>(Splits(rows)), 1);
    if (four) {
      EAQ_LAUNCH(ColumnRangesKernel<4>, grid, kThreads, 0, stream, x, ldx, workspace, rows, n);
    } else {
      EAQ_LAUNCH(ColumnRangesKernel<1>, grid, kThreads, 0, stream, x, ldx, workspace, rows, n);
    }
    const int error = EAQ_LAUNCH_ERROR();
    if (error != 0) return error;
  }
  EAQ_LAUNCH(MergeRangesKernel, static_cast<unsigned>((n + kThreads - 1) / kThreads), kThreads, 0, stream, workspace,
             Splits(rows), low, high, accumulate, n);
  return EAQ_LAUNCH_ERROR();
}

int RowRanges(const float* x, int64_t ldx, float* low, float* high, int64_t rows, int64_t n, void* stream) {
  if (rows < 0 || n < 0 || ldx < n || rows > 0x7fffffff) return 1;
  if (rows == 0) return 0;
  const unsigned grid = static_cast<unsigned>((rows + kWarps - 1) / kWarps);
  if (n % 4 == 0 && FourAligned(x, ldx)) {
    EAQ_LAUNCH(RowRangesKernel<4>, grid, kThreads, 0, stream, x, ldx, low, high, rows, n);
  } else {
    EAQ_LAUNCH(RowRangesKernel<1>, grid, kThreads, 0, stream, x, ldx, low, high, rows, n);
  }
  return EAQ_LAUNCH_ERROR();
}

}  // namespace eaq::kernels::cuda
