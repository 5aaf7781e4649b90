// The float32 path of attention.h, on the CUDA cores.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/exact_math.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/warp_reduce.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kThreads = 256;  // 16 x 16: thread (y, x) has rows 4 y .. 4 y + 3
constexpr int kRows = 64;      // queries a block
constexpr int kKeys = 32;      // keys a tile; thread x has keys x and x + 16
constexpr float kLowest = -1e38f;

// Rows of k are padded by one access of 16 bytes: the sixteen rows that a half warp reads at one column then lie in
// different groups of banks, four rows to a group (the least that sixteen accesses of 16 bytes take).
template <int kDim>
struct Tiles {
  static constexpr int kPadded = kDim + 4;
  static constexpr int kPRow = kKeys + 1;
  static constexpr int kQ = 0, kK = kQ + kRows * kPadded, kV = kK + kKeys * kPadded, kP = kV + kKeys * kDim;
  static constexpr int kFloats = kP + kRows * kPRow;
};

template <int kDim, int kStride, int kCount>
__device__ inline void CopyRows(const float* from, int64_t ld, int valid, float* tile) {
  constexpr int kChunks = kDim / 4;
  for (int i = threadIdx.x; i < kCount * kChunks; i += kThreads) {
    const int row = i / kChunks, chunk = i % kChunks;
    const bool there = row < valid;
    ptx::CopyAsync16(tile + row * kStride + chunk * 4, from + (there ? row * ld : 0) + chunk * 4, there);
  }
}

template <int kDim>
__global__ void __launch_bounds__(kThreads)
    AttentionFloatKernel(AttentionBatch b, const float* q, int64_t ldq, const float* k, int64_t ldk, const float* v,
                         int64_t ldv, float* out, int64_t ldo) {
  using T = Tiles<kDim>;
  EAQ_DYNAMIC_SHARED(float, shared);
  float *const q_tile = shared + T::kQ, *const k_tile = shared + T::kK, *const v_tile = shared + T::kV,
               *const p_tile = shared + T::kP;

  const int sequence = blockIdx.z, head = blockIdx.x, kv_head = head / static_cast<int>(b.heads / b.kv_heads);
  const int queries = b.query_begin[sequence + 1] - b.query_begin[sequence];
  const int row = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kRows;
  const int rows = queries - row < kRows ? queries - row : kRows;
  if (rows <= 0) return;
  const int position = b.key_count[sequence] - queries + row, window = static_cast<int>(b.window);
  const int begin = window > 0 && position - window + 1 > 0 ? position - window + 1 : 0, end = position + rows;
  const int64_t query_row = b.query_begin[sequence] + row;
  k += static_cast<int64_t>(b.key_begin[sequence]) * ldk + static_cast<int64_t>(kv_head) * kDim;
  v += static_cast<int64_t>(b.key_begin[sequence]) * ldv + static_cast<int64_t>(kv_head) * kDim;
  const int x = threadIdx.x % 16, y = threadIdx.x / 16;

  CopyRows<kDim, T::kPadded, kRows>(q + query_row * ldq + static_cast<int64_t>(head) * kDim, ldq, rows, q_tile);
  ptx::CommitCopies();
  float sums[4][kDim / 16] = {};
  float largest[4] = {kLowest, kLowest, kLowest, kLowest}, total[4] = {};

  for (int key = begin; key < end; key += kKeys) {
    __syncthreads();  // nobody reads the last tiles any more
    CopyRows<kDim, T::kPadded, kKeys>(k + key * ldk, ldk, end - key, k_tile);
    CopyRows<kDim, kDim, kKeys>(v + key * ldv, ldv, end - key, v_tile);
    ptx::CommitCopies();
    ptx::WaitCopies<0>();
    __syncthreads();

    float s[4][2] = {};
    for (int d = 0; d < kDim; d += 4) {
      float4 keys[2];
      keys[0] = *reinterpret_cast<const float4*>(k_tile + x * T::kPadded + d);
      keys[1] = *reinterpret_cast<const float4*>(k_tile + (x + 16) * T::kPadded + d);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float4 query = *reinterpret_cast<const float4*>(q_tile + (y * 4 + i) * T::kPadded + d);
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          s[i][j] = fmaf(query.x, keys[j].x, s[i][j]);
          s[i][j] = fmaf(query.y, keys[j].y, s[i][j]);
          s[i][j] = fmaf(query.z, keys[j].z, s[i][j]);
          s[i][j] = fmaf(query.w, keys[j].w, s[i][j]);
        }
      }
    }

    // Online softmax over the sixteen threads of a row.
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int at = position + y * 4 + i;
      bool seen[2];
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int column = key + x + 16 * j;
        seen[j] = column <= at && !(window > 0 && column <= at - window);
        s[i][j] = seen[j] ? s[i][j] * b.scale : kLowest;
      }
      const float top = WarpMax<16>(s[i][1] > s[i][0] ? s[i][1] : s[i][0]);
      const float now = top > largest[i] ? top : largest[i];
      const float shrink = largest[i] == kLowest ? 0.0f : FastExp(largest[i] - now);
      largest[i] = now;
      const float p0 = seen[0] ? FastExp(s[i][0] - now) : 0.0f, p1 = seen[1] ? FastExp(s[i][1] - now) : 0.0f;
      total[i] = fmaf(total[i], shrink, WarpSum<16>(p0 + p1));
      p_tile[(y * 4 + i) * T::kPRow + x] = p0;
      p_tile[(y * 4 + i) * T::kPRow + x + 16] = p1;
#pragma unroll
      for (int c = 0; c < kDim / 16; ++c) sums[i][c] *= shrink;
    }
    __syncwarp();  // the rows of p are those of this half warp

    for (int j = 0; j < kKeys; ++j) {
      float p[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) p[i] = p_tile[(y * 4 + i) * T::kPRow + j];
#pragma unroll
      for (int c = 0; c < kDim / 16; ++c) {
        const float value = v_tile[j * kDim + c * 16 + x];
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[i][c] = fmaf(p[i], value, sums[i][c]);
      }
    }
  }
  ptx::WaitCopies<0>();

#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (y * 4 + i >= rows) continue;
    float* to = out + (query_row + y * 4 + i) * ldo + static_cast<int64_t>(head) * kDim + x;
    const float inverse = position + y * 4 + i >= 0 ? 1.0f / total[i] : NAN;
#pragma unroll
    for (int c = 0; c < kDim / 16; ++c) to[c * 16] = sums[i][c] * inverse;
  }
}

template <int kDim>
int Launch(const AttentionBatch& b, const float* q, int64_t ldq, const float* k, int64_t ldk, const float* v,
           int64_t ldv, float* out, int64_t ldo, void* stream) {
  const int64_t tiles = (b.max_queries + kRows - 1) / kRows;
  if (tiles > 65535) return 1;
  const dim3 grid(static_cast<unsigned>(b.heads), static_cast<unsigned>(tiles), static_cast<unsigned>(b.sequences));
  constexpr int kBytes = Tiles<kDim>::kFloats * static_cast<int>(sizeof(float));
  EAQ_LAUNCH((AttentionFloatKernel<kDim>), grid, kThreads, kBytes, stream, b, q, ldq, k, ldk, v, ldv, out, ldo);
  return EAQ_LAUNCH_ERROR();
}

}  // namespace

int Attention(const AttentionBatch& batch, const float* q, int64_t ldq, const float* k, int64_t ldk, const float* v,
              int64_t ldv, float* out, int64_t ldo, void* stream) {
  if (!ValidAttention(batch) || !ValidRows(q, ldq, batch.heads * batch.head_dim, 16) ||
      !ValidRows(k, ldk, batch.kv_heads * batch.head_dim, 16) ||
      !ValidRows(v, ldv, batch.kv_heads * batch.head_dim, 16) || !ValidRows(out, ldo, batch.heads * batch.head_dim, 4))
    return 1;
  if (batch.sequences == 0 || batch.max_queries == 0) return 0;
  switch (batch.head_dim) {
    case 32:
      return Launch<32>(batch, q, ldq, k, ldk, v, ldv, out, ldo, stream);
    case 64:
      return Launch<64>(batch, q, ldq, k, ldk, v, ldv, out, ldo, stream);
    default:
      return Launch<128>(batch, q, ldq, k, ldk, v, ldv, out, ldo, stream);
  }
}

}  // namespace eaq::kernels::cuda
