#include "kernels/cuda/exact_math.h"
#include "kernels/cuda/grid_math.h"
#include "kernels/cuda/warp_reduce.h"
#include "kernels/cuda/weight_quant.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr int kRatioCandidates = 101;
constexpr int kFloatTerms = 8;  // of a lane, summed in float32 before they go to float64

// y^1.2 for y = e^2, the function of eaq/quant/clip_search.cc (derived there): y (y r^4) with r = y^(-1/5) by Newton.
__device__ inline float Newton(float y, float r) {
  const float r2 = Mul(r, r);
  return Mul(r, Sub(1.2f, Mul(0.2f, Mul(y, Mul(Mul(r2, r2), r)))));
}
__device__ inline float Power12(float y) {
  y = Add(y, 1e-30f);
  const float bits = static_cast<float>(BitCast<int32_t>(y));
  const float guess = BitCast<float>(static_cast<int32_t>(Sub(1277951360.0f, Mul(0.2f, bits))));
  const float r = Newton(y, Newton(y, Newton(y, guess)));
  const float r2 = Mul(r, r);
  return Mul(y, Mul(y, Mul(r2, r2)));
}

// The summed error of a grid over one warp's walk through the values; the same in every lane.
__device__ inline double WarpError(const float* values, int64_t n, WeightGrid grid, int max_code, bool power24,
                                   float inverse_unit) {
  double sum = 0;
  for (int64_t begin = threadIdx.x % 32; begin < n; begin += 32 * kFloatTerms) {
    float part = 0;
#pragma unroll
    for (int i = 0; i < kFloatTerms; ++i) {
      const int64_t at = begin + i * 32;
      if (at >= n) continue;
      const float value = values[at];
      const float e = Mul(Sub(ValueOfCode(NearestCode(value, grid, max_code), grid), value), inverse_unit);
      const float y = Mul(e, e);
      part = Add(part, power24 ? Power12(y) : y);
    }
    sum += static_cast<double>(part);
  }
  return WarpSum(sum);
}

__device__ inline float Ratio(const GridSearch& search, int t) {
  if (search.way == GridSearch::Way::kClip)
    return static_cast<float>(Sub(1.0, static_cast<double>(t) / static_cast<double>(search.steps)));
  return static_cast<float>(
      Add(search.first, Mul(static_cast<double>(t), Sub(1.0, search.first)) / (kRatioCandidates - 1)));
}

// GridAtRatio of eaq/quant/ratio_search.cc for a range that is shrunk already.
__device__ inline WeightGrid GridOf(WeightGridKind kind, int bits, float low, float high, bool zero_in_range) {
  if (zero_in_range || (low <= 0.0f && high >= 0.0f)) return GridOfRange(kind, bits, low, high);
  const float max_code = static_cast<float>((1 << bits) - 1);
  const float scale = Sub(high, low) / max_code;
  WeightGrid grid;
  grid.scale = RoundScaleToF16(scale < 1e-5f ? 1e-5f : scale);
  const float zero = rintf(-low / grid.scale);
  grid.zero = static_cast<int32_t>(zero < 0.0f ? 0.0f : zero > max_code ? max_code : zero);
  return grid;
}

// One block per grid: blockIdx.x a row, blockIdx.y a group.
__global__ void __launch_bounds__(kThreads, 12)  // 12 blocks: 40 registers, where ptxas would take 32 and spill
    FindGridsKernel(const float* w, int64_t ldw, int64_t cols, int64_t group, WeightGridKind kind, int bits,
                    GridSearch search, int candidates, WeightGrid* grids) {
  EAQ_SHARED(float, lows, kWarps);
  EAQ_SHARED(float, highs, kWarps);
  EAQ_SHARED(double, errors, kWarps);
  EAQ_SHARED(int, chosen, kWarps);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * group;
  const int64_t n = cols - begin < group ? cols - begin : group;
  const float* values = w + blockIdx.x * ldw + begin;

  float low = search.zero_in_range ? 0.0f : INFINITY, high = -low;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) {
    const float value = values[i];
    low = value < low ? value : low;
    high = value > high ? value : high;
  }
  low = WarpMin(low);
  high = WarpMax(high);
  if (lane == 0) lows[warp] = low, highs[warp] = high;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kWarps; ++i) {
    low = lows[i] < low ? lows[i] : low;
    high = highs[i] > high ? highs[i] : high;
  }

  WeightGrid* to = grids + static_cast<int64_t>(blockIdx.x) * gridDim.y + blockIdx.y;
  const float unit = fabsf(low) > fabsf(high) ? fabsf(low) : fabsf(high);
  if (candidates <= 1 || unit < 1.17549435e-38f) {  // fixed, or only zeros: nothing to gain; the whole block alike
    const float ratio = search.way == GridSearch::Way::kFixed ? static_cast<float>(search.first) : 1.0f;
    if (threadIdx.x == 0) *to = GridOf(kind, bits, Mul(ratio, low), Mul(ratio, high), search.zero_in_range);
    return;
  }
  const float inverse_unit = 1.0f / unit;
  double best = INFINITY;
  int best_at = 0x7fffffff;
  for (int t = warp; t < candidates; t += kWarps) {
    const float ratio = Ratio(search, t);
    const WeightGrid grid = GridOf(kind, bits, Mul(ratio, low), Mul(ratio, high), search.zero_in_range);
    const double error = WarpError(values, n, grid, (1 << bits) - 1, search.power24, inverse_unit);
    if (error < best) best = error, best_at = t;
  }
  if (lane == 0) errors[warp] = best, chosen[warp] = best_at;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int i = 1; i < kWarps; ++i) {
    if (errors[i] < best || (errors[i] == best && chosen[i] < best_at)) best = errors[i], best_at = chosen[i];
  }
  const float ratio = best_at < candidates ? Ratio(search, best_at) : 1.0f;
  *to = GridOf(kind, bits, Mul(ratio, low), Mul(ratio, high), search.zero_in_range);
}

__global__ void __launch_bounds__(kThreads)
    QuantizeWeightsKernel(const float* w, int64_t ldw, int64_t rows, int64_t cols, int64_t group, int max_code,
                          const WeightGrid* grids, uint8_t* codes, float* rounded, int64_t ldr) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= rows * cols) return;
  const int64_t row = at / cols, column = at % cols, groups = (cols + group - 1) / group;
  const WeightGrid grid = grids[row * groups + column / group];
  const int code = NearestCode(w[row * ldw + column], grid, max_code);
  if (codes != nullptr) codes[at] = static_cast<uint8_t>(code);
  if (rounded != nullptr) rounded[row * ldr + column] = ValueOfCode(code, grid);
}

}  // namespace

int FindWeightGrids(const float* w, int64_t ldw, int64_t rows, int64_t cols, int64_t group, WeightGridKind kind,
                    int bits, const GridSearch& search, WeightGrid* grids, void* stream) {
  if (bits < 2 || bits > 8 || group < 1 || rows < 0 || cols < 0 || ldw < cols || rows > 0x7fffffff) return 1;
  GridSearch s = search;
  int candidates = 1;
  if (s.way == GridSearch::Way::kClip) {
    if (s.steps < 1 || !(s.max_shrink > 0 && s.max_shrink <= 1)) return 1;
    candidates = static_cast<int>(s.max_shrink * s.steps);
  } else {
    if (!(s.first > 0 && s.first <= 1)) return 1;
    if (s.way == GridSearch::Way::kRatio) candidates = kRatioCandidates;
    s.power24 = false;
  }
  if (!s.zero_in_range && (kind != WeightGridKind::kAsymmetric || s.way == GridSearch::Way::kClip)) return 1;
  if (rows == 0 || cols == 0) return 0;
  const int64_t groups = (cols + group - 1) / group;
  if (groups > 65535) return 1;
  const dim3 grid(static_cast<unsigned>(rows), static_cast<unsigned>(groups), 1);
  EAQ_LAUNCH(FindGridsKernel, grid, kThreads, 0, stream, w, ldw, cols, group, kind, bits, s, candidates, grids);
  return EAQ_LAUNCH_ERROR();
}

int QuantizeWeights(const float* w, int64_t ldw, int64_t rows, int64_t cols, int64_t group, int bits,
                    const WeightGrid* grids, uint8_t* codes, float* rounded, int64_t ldr, void* stream) {
  if (bits < 2 || bits > 8 || group < 1 || rows < 0 || cols < 0 || ldw < cols || (rounded != nullptr && ldr < cols))
    return 1;
  const int64_t blocks = (rows * cols + kThreads - 1) / kThreads;
  if (blocks > 0x7fffffff) return 1;
  if (blocks == 0) return 0;
  EAQ_LAUNCH(QuantizeWeightsKernel, static_cast<unsigned>(blocks), kThreads, 0, stream, w, ldw, rows, cols, group,
             (1 << bits) - 1, grids, codes, rounded, ldr);
  return EAQ_LAUNCH_ERROR();
}

}  // namespace eaq::kernels::cuda
