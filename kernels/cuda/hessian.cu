#include "kernels/cuda/bfloat16.h"
#include "kernels/cuda/exact_math.h"
#include "kernels/cuda/hessian.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/vector_access.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTile = 128;    // columns of x on either side of a tile of h
constexpr int kTokens = 32;   // a stage
constexpr int kSlice = 1024;  // tokens whose sum is float32
constexpr int kPlanes = 3;
constexpr int kPlane = kTokens * kTile;            // bf16 numbers of one plane of one operand
constexpr int kStage = 2 * kPlanes * kPlane;       // both operands
constexpr int kVectors = kPlane / (4 * kThreads);  // groups of 4 numbers that a thread moves for one operand

// Offset of the 16-byte chunk (8 columns) `chunk` of token `token` in a plane.
__device__ inline int Swizzled(int token, int chunk) { return token * kTile + ((chunk ^ (token & 7)) << 3); }

// The tile (row, column <= row) with number `index` of the lower triangle, counted row by row.
__device__ inline void TileOf(int index, int* row, int* column) {
  int r = static_cast<int>((sqrtf(8.0f * static_cast<float>(index) + 1.0f) - 1.0f) * 0.5f);
  while ((r + 1) * (r + 2) / 2 <= index) ++r;
  while (r * (r + 1) / 2 > index) --r;
  *row = r;
  *column = index - r * (r + 1) / 2;
}

// 32 tokens of 128 columns, from global memory into registers: vector i of a thread is token (thread / 32 + 8 i),
// columns 4 (thread % 32) and on. Zero outside x.
template <bool kFour>
__device__ inline void LoadStage(const float* x, int64_t ldx, const float* factors, int64_t token, int64_t end,
                                 int64_t column, int64_t n, Vector<4> (&to)[kVectors]) {
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const int64_t t = token + threadIdx.x / 32 + i * (kThreads / 32), c = column + threadIdx.x % 32 * 4;
    Vector<4> value = {{0.0f, 0.0f, 0.0f, 0.0f}};
    if (t < end) {
      if (kFour) {
        if (c < n) Load(x + t * ldx + c, &value);
      } else {
#pragma unroll
        for (int l = 0; l < 4; ++l)
          if (c + l < n) value.v[l] = x[t * ldx + c + l];
      }
      if (factors != nullptr) {
        const float factor = factors[t];
#pragma unroll
        for (int l = 0; l < 4; ++l) value.v[l] = Mul(value.v[l], factor);
      }
    }
    to[i] = value;
  }
}

// Splits into three bf16 planes. The differences are exact: |x - x0| has at most 16 significant bits left, then 8.
__device__ inline void StoreStage(const Vector<4> (&from)[kVectors], Bf16* planes) {
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const int token = threadIdx.x / 32 + i * (kThreads / 32), quad = threadIdx.x % 32;
    const int at = Swizzled(token, quad / 2) + quad % 2 * 4;
    Vector<4> rest = from[i];
#pragma unroll
    for (int p = 0; p < kPlanes; ++p) {
      uint2 packed;
      packed.x = PackBf16(rest.v[0], rest.v[1]);
      packed.y = PackBf16(rest.v[2], rest.v[3]);
      ptx::StoreShared(reinterpret_cast<uint2*>(planes + p * kPlane + at), packed);
      rest.v[0] = Sub(rest.v[0], __uint_as_float(packed.x << 16));
      rest.v[1] = Sub(rest.v[1], __uint_as_float(packed.x & 0xffff0000u));
      rest.v[2] = Sub(rest.v[2], __uint_as_float(packed.y << 16));
      rest.v[3] = Sub(rest.v[3], __uint_as_float(packed.y & 0xffff0000u));
    }
  }
}

// The fragments of 16 tokens: rows (A, 64 columns of x) and columns (B, 32 columns of x), transposed on the way.
__device__ inline void LoadRows(const Bf16* plane, int token, int column, uint32_t (&a)[4][4]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int m = 0; m < 4; ++m) {
    ptx::LoadMatrix4Transposed(
        a[m], plane + Swizzled(token + (lane & 7) + (lane >> 4) * 8, column / 8 + m * 2 + ((lane >> 3) & 1)));
  }
}
__device__ inline void LoadColumns(const Bf16* plane, int token, int column, uint32_t (&b)[4][2]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    uint32_t r[4];
    ptx::LoadMatrix4Transposed(r, plane + Swizzled(token + (lane & 15), column / 8 + n * 2 + (lane >> 4)));
    b[2 * n][0] = r[0], b[2 * n][1] = r[1];
    b[2 * n + 1][0] = r[2], b[2 * n + 1][1] = r[3];
  }
}
__device__ inline void Multiply(const uint32_t (&a)[4][4], const uint32_t (&b)[4][2], float (&sum)[4][4][4]) {
#pragma unroll
  for (int m = 0; m < 4; ++m) {
#pragma unroll
    for (int n = 0; n < 4; ++n) ptx::MmaBf16(sum[m][n], a[m], b[n]);
  }
}

// All products of 16 tokens but x0 y0, whose fragments are left in a and b0.
__device__ inline void AddSmallProducts(const Bf16* rows, const Bf16* columns, int token, int row, int column,
                                        uint32_t (&a)[4][4], uint32_t (&b0)[4][2], float (&sum)[4][4][4]) {
  uint32_t b[4][2];
  LoadColumns(columns, token, column, b0);
  LoadRows(rows + 2 * kPlane, token, row, a);
  Multiply(a, b0, sum);  // x2 y0
  LoadRows(rows + kPlane, token, row, a);
  LoadColumns(columns + kPlane, token, column, b);
  Multiply(a, b0, sum);  // x1 y0
  Multiply(a, b, sum);   // x1 y1
  LoadRows(rows, token, row, a);
  Multiply(a, b, sum);  // x0 y1
  LoadColumns(columns + 2 * kPlane, token, column, b);
  Multiply(a, b, sum);  // x0 y2
}

// blockIdx.x: a tile; blockIdx.y: a slice of tokens. workspace: [slices, tiles, 128, 128].
template <bool kFour>
__global__ void __launch_bounds__(kThreads, 1)
    HessianKernel(const float* x, int64_t ldx, const float* factors, float* workspace, int64_t tokens, int64_t n) {
  EAQ_DYNAMIC_SHARED(Bf16, shared);
  int tile_row, tile_column;
  TileOf(blockIdx.x, &tile_row, &tile_column);
  const bool diagonal = tile_row == tile_column;  // then both operands are the same columns
  const int64_t row = static_cast<int64_t>(tile_row) * kTile, column = static_cast<int64_t>(tile_column) * kTile;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * kSlice;
  const int64_t end = begin + kSlice < tokens ? begin + kSlice : tokens;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int warp_row = warp / 4 * 64, warp_column = warp % 4 * 32;

  Vector<4> next_rows[kVectors], next_columns[kVectors];
  const auto load = [&](int64_t token) {
    LoadStage<kFour>(x, ldx, factors, token, end, column, n, next_columns);
    if (!diagonal) LoadStage<kFour>(x, ldx, factors, token, end, row, n, next_rows);
  };
  load(begin);
  StoreStage(next_columns, shared);
  if (!diagonal) StoreStage(next_rows, shared + kPlanes * kPlane);
  if (kFour) load(begin + kTokens);
  __syncthreads();

  float total[4][4][4] = {};
  int stage = 0;
  for (int64_t token = begin; token < end; token += kTokens, stage ^= 1) {
    const Bf16* const columns = shared + stage * kStage;
    const Bf16* const rows = diagonal ? columns : columns + kPlanes * kPlane;
    // The other stage was read before the last barrier. It is filled between the products, where the tensor cores have
    // enough to do.
    Bf16* const next = shared + (stage ^ 1) * kStage;
    const bool more = token + kTokens < end;
    if (!kFour && more) load(token + kTokens);  // number by number: no registers to spare for loading further ahead

    // The small products of both halves first, then the large ones; x0 and y0 of the second half are still in
    // registers.
    float sum[4][4][4] = {};
    uint32_t a[4][4], b0[4][2];
    AddSmallProducts(rows, columns, 0, warp_row, warp_column, a, b0, sum);
    if (more) StoreStage(next_columns, next);
    AddSmallProducts(rows, columns, 16, warp_row, warp_column, a, b0, sum);
    if (more && !diagonal) StoreStage(next_rows, next + kPlanes * kPlane);
    if (kFour && more) load(token + 2 * kTokens);  // zeros beyond the end
    Multiply(a, b0, sum);
    LoadRows(rows, 0, warp_row, a);
    LoadColumns(columns, 0, warp_column, b0);
    Multiply(a, b0, sum);
#pragma unroll
    for (int m = 0; m < 4; ++m) {
#pragma unroll
      for (int c = 0; c < 4; ++c) {
#pragma unroll
        for (int e = 0; e < 4; ++e) total[m][c][e] += sum[m][c][e];
      }
    }
    __syncthreads();  // the next stage is filled, and nobody reads this one any more
  }

  float* to = workspace + (static_cast<int64_t>(blockIdx.y) * gridDim.x + blockIdx.x) * kTile * kTile;
#pragma unroll
  for (int m = 0; m < 4; ++m) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int r = warp_row + m * 16 + lane / 4 + half * 8, at = warp_column + c * 8 + lane % 4 * 2;
        float2 pair;
        pair.x = total[m][c][2 * half], pair.y = total[m][c][2 * half + 1];
        *reinterpret_cast<float2*>(to + r * kTile + at) = pair;
      }
    }
  }
}

// One thread per entry of a tile: the slices in order, in float64.
__global__ void __launch_bounds__(kThreads)
    AddSlicesKernel(const float* workspace, int slices, int tiles, double* h, int64_t ldh, int64_t n) {
  int tile_row, tile_column;
  TileOf(blockIdx.x, &tile_row, &tile_column);
  const int at = blockIdx.y * kThreads + threadIdx.x;
  const int64_t row = static_cast<int64_t>(tile_row) * kTile + at / kTile;
  const int64_t column = static_cast<int64_t>(tile_column) * kTile + at % kTile;
  if (row >= n || column > row) return;
  double sum = 0;
  for (int s = 0; s < slices; ++s)
    sum += static_cast<double>(workspace[(static_cast<int64_t>(s) * tiles + blockIdx.x) * kTile * kTile + at]);
  h[row * ldh + column] += sum;
}

// Tiles of 32 x 32 through shared memory, so that both sides are read and written in whole lines.
__global__ void __launch_bounds__(kThreads) MirrorLowerKernel(double* h, int64_t ldh, int64_t n) {
  EAQ_SHARED(double, tile, 32 * 33);
  int tile_row, tile_column;
  TileOf(blockIdx.x, &tile_row, &tile_column);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t row = static_cast<int64_t>(tile_row) * 32, column = static_cast<int64_t>(tile_column) * 32;
  for (int i = warp; i < 32; i += kThreads / 32)
    if (row + i < n && column + lane < n) tile[i * 33 + lane] = h[(row + i) * ldh + column + lane];
  __syncthreads();
  for (int i = warp; i < 32; i += kThreads / 32)
    if (column + i < row + lane && row + lane < n) h[(column + i) * ldh + row + lane] = tile[lane * 33 + i];
}

// factors[t] = sqrt(weights[t]), once for all tiles: a correctly rounded root is no work for an inner loop.
__global__ void __launch_bounds__(kThreads) RootsKernel(const float* weights, float* factors, int64_t tokens) {
  const int64_t t = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (t < tokens) factors[t] = sqrtf(weights[t]);
}

int64_t Tiles(int64_t n, int64_t size) {
  const int64_t side = (n + size - 1) / size;
  return side * (side + 1) / 2;
}

}  // namespace

int64_t HessianWorkspace(int64_t tokens, int64_t n) {
  return (tokens + kSlice - 1) / kSlice * Tiles(n, kTile) * kTile * kTile + tokens;
}

int AddHessian(const float* x, int64_t ldx, const float* weights, double* h, int64_t ldh, float* workspace,
               int64_t tokens, int64_t n, void* stream) {
  const int64_t slices = (tokens + kSlice - 1) / kSlice, tiles = Tiles(n, kTile);
  if (tokens < 0 || n < 0 || ldx < n || ldh < n || slices > 65535 || n > 1 << 20) return 1;
  if (tokens == 0 || n == 0) return 0;
  const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(slices), 1);
  float* factors = nullptr;
  if (weights != nullptr) {
    factors = workspace + HessianWorkspace(tokens, n) - tokens;
    EAQ_LAUNCH(RootsKernel, static_cast<unsigned>((tokens + kThreads - 1) / kThreads), kThreads, 0, stream, weights,
               factors, tokens);
    const int error = EAQ_LAUNCH_ERROR();
    if (error != 0) return error;
  }
  constexpr int kBytes = 2 * kStage * static_cast<int>(sizeof(Bf16));
  if (n % 4 == 0 && FourAligned(x, ldx)) {
    EAQ_LAUNCH(HessianKernel<true>, grid, kThreads, kBytes, stream, x, ldx, factors, workspace, tokens, n);
  } else {
    EAQ_LAUNCH(HessianKernel<false>, grid, kThreads, kBytes, stream, x, ldx, factors, workspace, tokens, n);
  }
  const int error = EAQ_LAUNCH_ERROR();
  if (error != 0) return error;
  const dim3 add(static_cast<unsigned>(tiles), kTile * kTile / kThreads, 1);
  EAQ_LAUNCH(AddSlicesKernel, add, kThreads, 0, stream, workspace, static_cast<int>(slices), static_cast<int>(tiles), h,
             ldh, n);
  return EAQ_LAUNCH_ERROR();
}

int MirrorLower(double* h, int64_t ldh, int64_t n, void* stream) {
  if (n < 0 || ldh < n || n > 1 << 20) return 1;
  if (n == 0) return 0;
  EAQ_LAUNCH(MirrorLowerKernel, static_cast<unsigned>(Tiles(n, 32)), kThreads, 0, stream, h, ldh, n);
  return EAQ_LAUNCH_ERROR();
}

}  // namespace eaq::kernels::cuda
