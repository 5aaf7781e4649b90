#include "kernels/cuda/bfloat16.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/row_grid.h"
#include "kernels/cuda/warp_reduce.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr unsigned kAll = 0xffffffffu;
constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

// A warp works on one brick of 128 columns at a time; lane l holds columns 4l .. 4l + 3 of it.
struct Four {
  float v[4];
};

struct Row {
  const float* x;
  const float* divisors;  // or null
  int64_t cols;           // 0: a row of zeros
};

__device__ inline Row RowOf(const RowSource& s, int64_t i) {
  int64_t from = i;
  if (s.gather != nullptr) from = s.gather[i] < 0 ? -1 : s.gather[i] / s.gather_divisor;
  if (from < 0) return {nullptr, nullptr, 0};
  return {s.x + from * s.ldx, s.divisors, s.cols};
}

// kVector: one access of 16 bytes, which needs aligned rows of a multiple of four columns. No branches but predicates,
// so that a thread's loads are all on their way before the first is needed.
template <bool kVector>
__device__ inline Four Load(const Row& row, int64_t column) {
  Four f = {{0, 0, 0, 0}};
  if constexpr (kVector) {
    float4 v = make_float4(0, 0, 0, 0);
    if (column < row.cols) v = *reinterpret_cast<const float4*>(row.x + column);
    f.v[0] = v.x;
    f.v[1] = v.y;
    f.v[2] = v.z;
    f.v[3] = v.w;
  } else {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (column + j < row.cols) f.v[j] = row.x[column + j];
    }
  }
  return f;
}

__device__ inline Four Divided(const Row& row, Four f, int64_t column) {
  if (row.divisors == nullptr) return f;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    if (column + j < row.cols) f.v[j] /= row.divisors[column + j];
  }
  return f;
}

__device__ inline int64_t ColumnOf(int64_t brick, int lane) { return brick * 128 + lane * 4; }

__device__ inline void Widen(RowRange* range, const Four& f) {
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    range->low = f.v[j] < range->low ? f.v[j] : range->low;
    range->high = f.v[j] > range->high ? f.v[j] : range->high;
    range->broken = range->broken || f.v[j] != f.v[j];
  }
}

__device__ inline RowRange OfWarp(RowRange range) {
  range.low = WarpMin(range.low);
  range.high = WarpMax(range.high);
  range.broken = __any_sync(kAll, range.broken) != 0;
  return range;
}

// Codes of a lane's four columns, each in a byte, and their sum. Columns beyond the row have code 0.
__device__ inline uint32_t Codes(const RowQuantizer& q, const RowGridParams& grid, const Four& f, int64_t column,
                                 int64_t cols, int* sum) {
  const float middle = static_cast<float>(1 << (q.bits - 1));
  const float zero = grid.zero - middle;  // around 0
  const float first = -middle, last = middle - 1;
  uint32_t bytes = 0;
  int total = 0;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    float code = rintf(f.v[j] / grid.scale) + zero;
    code = code > first ? code : first;  // also NaN
    code = code < last ? code : last;
    const int value = column + j < cols ? static_cast<int>(code) : 0;
    total += value;
    bytes |= (static_cast<uint32_t>(value) & 0xffu) << (8 * j);
  }
  *sum = total;
  return bytes;
}

// The sum over the lane's part of a brick, of which there are PARTS; and over all parts. Without branches: a shuffle
// behind one becomes a call.
__device__ inline int SumOfPart(int value, int parts) {
#pragma unroll
  for (int step = 1; step < 8; step *= 2) value += __shfl_xor_sync(kAll, value, step);
  const int half = value + __shfl_xor_sync(kAll, value, 8), whole = half + __shfl_xor_sync(kAll, half, 16);
  return parts == 1 ? whole : parts == 2 ? half : value;
}
__device__ inline int SumOfParts(int value, int parts) {
  const int half = value + __shfl_xor_sync(kAll, value, 8), of_quarters = half + __shfl_xor_sync(kAll, half, 16);
  const int of_halves = value + __shfl_xor_sync(kAll, value, 16);
  return parts == 1 ? value : parts == 2 ? of_halves : of_quarters;
}

struct Arguments {
  RowSource source;
  RowQuantizer quantizer;
  int64_t bricks;
  int8_t* codes;
  float* scales;
  int32_t* zeros;
  int32_t* sums;
};

// kRowWarps warps a row, 8 / kRowWarps rows a block. kHeld bricks of a warp stay in registers: all of the row where
// kRowWarps * kHeld bricks are enough, and then it is read once; what is beyond is read twice, the second time from a
// cache.
template <int kRowWarps, int kHeld, bool kVector>
__global__ void __launch_bounds__(kThreads) QuantizeRowsKernel(Arguments a) {
  EAQ_SHARED(float, lows, kWarps);
  EAQ_SHARED(float, highs, kWarps);
  EAQ_SHARED(int, broken, kWarps);
  EAQ_SHARED(int, totals, kWarps);
  const int lane = threadIdx.x % 32, block_warp = threadIdx.x / 32;
  const int warp = block_warp % kRowWarps,
            first_warp = block_warp - warp;  // within the row; the row's first in the block
  const int64_t i = static_cast<int64_t>(blockIdx.x) * (kWarps / kRowWarps) + block_warp / kRowWarps;
  const bool exists = i < a.source.rows;  // for a row's warps alike; they must meet the barriers all the same
  const RowQuantizer& q = a.quantizer;
  Row row = {nullptr, nullptr, 0};
  if (exists) row = RowOf(a.source, i);
  const int middle = 1 << (q.bits - 1), parts = q.sums_of_brick, lanes_of_part = 32 / parts;
  const int part = lane / lanes_of_part;

  Four held[kHeld];
#pragma unroll
  for (int j = 0; j < kHeld; ++j) held[j] = Load<kVector>(row, ColumnOf(warp + j * kRowWarps, lane));
#pragma unroll
  for (int j = 0; j < kHeld; ++j) held[j] = Divided(row, held[j], ColumnOf(warp + j * kRowWarps, lane));

  RowGridParams grid = {q.fixed_scale, static_cast<float>(q.fixed_zero)};
  if (!q.per_group) {
    RowRange range = {0, 0, false};
#pragma unroll
    for (int j = 0; j < kHeld; ++j) Widen(&range, held[j]);
    for (int64_t brick = warp + kHeld * kRowWarps; brick < a.bricks; brick += kRowWarps) {
      Widen(&range, Divided(row, Load<kVector>(row, ColumnOf(brick, lane)), ColumnOf(brick, lane)));
    }
    range = OfWarp(range);
    if constexpr (kRowWarps > 1) {
      if (lane == 0) {
        lows[block_warp] = range.low;
        highs[block_warp] = range.high;
        broken[block_warp] = range.broken;
      }
      __syncthreads();
      for (int w = first_warp; w < first_warp + kRowWarps; ++w) {
        range.low = lows[w] < range.low ? lows[w] : range.low;
        range.high = highs[w] > range.high ? highs[w] : range.high;
        range.broken = range.broken || broken[w] != 0;
      }
    }
    if (!q.fixed) {
      grid = GridOfRow(q, range);
    } else if (range.broken || !(fabsf(range.low) <= 3.4028235e38f && range.high <= 3.4028235e38f)) {
      grid.scale = NAN;
    }
    if (exists && warp == 0 && lane == 0) {
      a.scales[i] = grid.scale;
      a.zeros[i] = static_cast<int32_t>(grid.zero) - middle;
    }
  }

  int total = 0;
  const auto round = [&](int64_t brick, const Four& f) {
    if (q.per_group) {
      RowRange range = {0, 0, false};
      Widen(&range, f);
      grid = GridOfRow(q, OfWarp(range));
      if (exists && lane == 0) {
        a.scales[i * a.bricks + brick] = grid.scale;
        a.zeros[i * a.bricks + brick] = static_cast<int32_t>(grid.zero) - middle;
      }
    }
    int of_lane;
    const uint32_t bytes = Codes(q, grid, f, brick * 128 + lane * 4, a.source.cols, &of_lane);
    const int sum = SumOfPart(of_lane, parts);
    total += sum;
    if (q.pack4) {
      // Lanes 0 to 7 of every 16 hold columns 0 to 31 of 64, lanes 8 to 15 the other 32.
      const uint32_t high = __shfl_down_sync(kAll, bytes, 8);
      if (exists && lane % 16 < 8) {
        const int64_t word = (i * a.bricks + brick) * 16 + lane / 16 * 8 + lane % 16;
        reinterpret_cast<uint32_t*>(a.codes)[word] = (bytes & 0x0f0f0f0fu) | ((high & 0x0f0f0f0fu) << 4);
      }
    } else if (exists) {
      reinterpret_cast<uint32_t*>(a.codes)[(i * a.bricks + brick) * 32 + lane] = bytes;
    }
    if (exists && lane == part * lanes_of_part && a.sums != nullptr) {
      a.sums[i * (a.bricks * parts + 1) + brick * parts + part] = sum;
    }
  };
#pragma unroll
  for (int j = 0; j < kHeld; ++j) {
    if (warp + j * kRowWarps < a.bricks) round(warp + j * kRowWarps, held[j]);
  }
  for (int64_t brick = warp + kHeld * kRowWarps; brick < a.bricks; brick += kRowWarps) {
    round(brick, Divided(row, Load<kVector>(row, ColumnOf(brick, lane)), ColumnOf(brick, lane)));
  }
  if (a.sums == nullptr) return;
  total = SumOfParts(total, parts);
  if constexpr (kRowWarps > 1) {
    if (lane == 0) totals[block_warp] = total;
    __syncthreads();
    total = 0;
    for (int w = first_warp; w < first_warp + kRowWarps; ++w) total += totals[w];
  }
  if (exists && warp == 0 && lane == 0) a.sums[(i + 1) * (a.bricks * parts + 1) - 1] = total;
}

bool CanVector(const RowSource& s) {
  return s.ldx % 4 == 0 && s.cols % 4 == 0 && reinterpret_cast<uintptr_t>(s.x) % 16 == 0;
}

template <int kRowWarps, int kHeld>
void LaunchQuantize(const Arguments& a, void* stream) {
  constexpr int64_t kBlockRows = kWarps / kRowWarps;
  const int64_t blocks = (a.source.rows + kBlockRows - 1) / kBlockRows;
  if (CanVector(a.source)) {
    EAQ_LAUNCH((QuantizeRowsKernel<kRowWarps, kHeld, true>), static_cast<unsigned>(blocks), kThreads, 0, stream, a);
  } else {
    EAQ_LAUNCH((QuantizeRowsKernel<kRowWarps, kHeld, false>), static_cast<unsigned>(blocks), kThreads, 0, stream, a);
  }
}

template <bool kVector>
__global__ void __launch_bounds__(kThreads)
    GatherRowsBf16Kernel(RowSource source, int64_t bricks, int terms, uint16_t* y) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t i = blockIdx.x;
  const Row row = RowOf(source, i);
  for (int64_t brick = warp; brick < bricks; brick += kWarps) {
    Four f = Divided(row, Load<kVector>(row, ColumnOf(brick, lane)), ColumnOf(brick, lane));
    for (int t = 0; t < terms; ++t) {
      uint2 packed;
      packed.x = PackBf16(f.v[0], f.v[1]);
      packed.y = PackBf16(f.v[2], f.v[3]);
      reinterpret_cast<uint2*>(y)[((t * source.rows + i) * bricks + brick) * 32 + lane] = packed;
      const uint32_t words[2] = {packed.x, packed.y};
#pragma unroll
      for (int j = 0; j < 4; ++j) {  // exact: what is left has fewer bits
        f.v[j] -= __uint_as_float(j % 2 == 0 ? words[j / 2] << 16 : words[j / 2] & 0xffff0000u);
      }
    }
  }
}

bool Valid(const RowSource& s) {
  return s.rows >= 0 && s.rows < (int64_t{1} << 31) && s.cols >= 0 && s.gather_divisor >= 1;
}

}  // namespace

int QuantizeRows(const RowSource& source, const RowQuantizer& quantizer, int8_t* codes, float* scales, int32_t* zeros,
                 int32_t* sums, void* stream) {
  const RowQuantizer& q = quantizer;
  if (!Valid(source) || q.bits < 2 || q.bits > 8 || (q.pack4 && q.bits > 4) || (q.fixed && q.per_group) ||
      (q.sums_of_brick != 1 && q.sums_of_brick != 2 && q.sums_of_brick != 4) ||
      reinterpret_cast<uintptr_t>(codes) % 4 != 0) {
    return kInvalidValue;
  }
  if (source.rows == 0) return 0;
  const Arguments a{source, q, PaddedColumns(source.cols) / kBrickColumns, codes, scales, zeros, sums};
  // Many short rows: a warp each. Few or long ones: all eight warps.
  if (a.bricks <= 8 && source.rows >= 1024) {
    LaunchQuantize<1, 8>(a, stream);
  } else if (a.bricks <= 16 && source.rows >= 1024) {
    LaunchQuantize<2, 8>(a, stream);
  } else if (a.bricks <= 32) {
    LaunchQuantize<8, 4>(a, stream);
  } else {
    LaunchQuantize<8, 14>(a, stream);
  }
  return EAQ_LAUNCH_ERROR();
}

int GatherRowsBf16(const RowSource& source, int terms, uint16_t* y, void* stream) {
  if (!Valid(source) || terms < 1 || terms > 3 || reinterpret_cast<uintptr_t>(y) % 8 != 0) return kInvalidValue;
  if (source.rows == 0) return 0;
  const int64_t bricks = PaddedColumns(source.cols) / kBrickColumns;
  const auto rows = static_cast<unsigned>(source.rows);
  if (CanVector(source)) {
    EAQ_LAUNCH(GatherRowsBf16Kernel<true>, rows, kThreads, 0, stream, source, bricks, terms, y);
  } else {
    EAQ_LAUNCH(GatherRowsBf16Kernel<false>, rows, kThreads, 0, stream, source, bricks, terms, y);
  }
  return EAQ_LAUNCH_ERROR();
}

}  // namespace eaq::kernels::cuda
