// Device code of attention.h's float32 path: one block's work, over where keys and values come from.
#ifndef KERNELS_CUDA_ATTENTION_FLOAT_KERNEL_H_
#define KERNELS_CUDA_ATTENTION_FLOAT_KERNEL_H_

#include "kernels/cuda/attention.h"
#include "kernels/cuda/exact_math.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/warp_reduce.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {

inline constexpr int kFloatThreads = 256;  // 16 x 16: thread (y, x) has rows 4 y .. 4 y + 3
inline constexpr int kFloatRows = 64;      // queries a block
inline constexpr int kFloatKeys = 32;      // keys a tile; thread x has keys x and x + 16
inline constexpr float kLowestFloat = -1e38f;

// Rows of k are padded by one access of 16 bytes: the sixteen rows that a half warp reads at one column then lie in
// different groups of banks, four rows to a group (the least that sixteen accesses of 16 bytes take).
template <int kDim>
struct FloatTiles {
  static constexpr int kPadded = kDim + 4;
  static constexpr int kPRow = kFloatKeys + 1;
  static constexpr int kQ = 0, kK = kQ + kFloatRows * kPadded, kV = kK + kFloatKeys * kPadded,
                       kP = kV + kFloatKeys * kDim;
  static constexpr int kFloats = kP + kFloatRows * kPRow;
};

template <int kDim, int kStride, int kCount>
__device__ inline void CopyRows(const float* from, int64_t ld, int valid, float* tile) {
  constexpr int kChunks = kDim / 4;
  for (int i = threadIdx.x; i < kCount * kChunks; i += kFloatThreads) {
    const int row = i / kChunks, chunk = i % kChunks;
    const bool there = row < valid;
    ptx::CopyAsync16(tile + row * kStride + chunk * 4, from + (there ? row * ld : 0) + chunk * 4, there);
  }
}

// Keys and values as float32.
template <int kDim>
class FloatRows {
 public:
  __device__ inline FloatRows(const float* k, int64_t ldk, const float* v, int64_t ldv)
      : k_(k), v_(v), ldk_(ldk), ldv_(ldv) {}
  // At row ROW, of a sequence's keys.
  __device__ inline void Start(int64_t row, int kv_head) {
    k_ += row * ldk_ + static_cast<int64_t>(kv_head) * kDim;
    v_ += row * ldv_ + static_cast<int64_t>(kv_head) * kDim;
  }
  // Those from KEY on, VALID of them, in tiles of rows FloatTiles::kPadded and kDim apart; there after the next wait
  // for copies and barrier.
  __device__ inline void Copy(int key, int valid, float* k_tile, float* v_tile) const {
    CopyRows<kDim, FloatTiles<kDim>::kPadded, kFloatKeys>(k_ + key * ldk_, ldk_, valid, k_tile);
    CopyRows<kDim, kDim, kFloatKeys>(v_ + key * ldv_, ldv_, valid, v_tile);
  }

 private:
  const float *k_, *v_;
  int64_t ldk_, ldv_;
};

// One block: 64 queries of one head. SHARED: FloatTiles; KV fills those of keys and values (FloatRows).
template <int kDim, typename Kv>
__device__ __forceinline__ void AttendFloatBlock(const AttentionBatch& b, const float* q, int64_t ldq, Kv kv,
                                                 float* shared, float* out, int64_t ldo) {
  using T = FloatTiles<kDim>;
  float *const q_tile = shared + T::kQ, *const k_tile = shared + T::kK, *const v_tile = shared + T::kV,
               *const p_tile = shared + T::kP;

  const int sequence = blockIdx.z, head = blockIdx.x, kv_head = head / static_cast<int>(b.heads / b.kv_heads);
  const int queries = b.query_begin[sequence + 1] - b.query_begin[sequence];
  const int row = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kFloatRows;
  const int rows = queries - row < kFloatRows ? queries - row : kFloatRows;
  if (rows <= 0) return;
  const int position = b.key_count[sequence] - queries + row, window = static_cast<int>(b.window);
  const int begin = window > 0 && position - window + 1 > 0 ? position - window + 1 : 0, end = position + rows;
  const int64_t query_row = b.query_begin[sequence] + row;
  kv.Start(b.key_begin[sequence], kv_head);
  const int x = threadIdx.x % 16, y = threadIdx.x / 16;

  CopyRows<kDim, T::kPadded, kFloatRows>(q + query_row * ldq + static_cast<int64_t>(head) * kDim, ldq, rows, q_tile);
  ptx::CommitCopies();
  float sums[4][kDim / 16] = {};
  float largest[4] = {kLowestFloat, kLowestFloat, kLowestFloat, kLowestFloat}, total[4] = {};

  for (int key = begin; key < end; key += kFloatKeys) {
    __syncthreads();  // nobody reads the last tiles any more
    kv.Copy(key, end - key, k_tile, v_tile);
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
        s[i][j] = seen[j] ? s[i][j] * b.scale : kLowestFloat;
      }
      const float top = WarpMax<16>(s[i][1] > s[i][0] ? s[i][1] : s[i][0]);
      const float now = top > largest[i] ? top : largest[i];
      const float shrink = largest[i] == kLowestFloat ? 0.0f : FastExp(largest[i] - now);
      largest[i] = now;
      const float p0 = seen[0] ? FastExp(s[i][0] - now) : 0.0f, p1 = seen[1] ? FastExp(s[i][1] - now) : 0.0f;
      total[i] = fmaf(total[i], shrink, WarpSum<16>(p0 + p1));
      p_tile[(y * 4 + i) * T::kPRow + x] = p0;
      p_tile[(y * 4 + i) * T::kPRow + x + 16] = p1;
#pragma unroll
      for (int c = 0; c < kDim / 16; ++c) sums[i][c] *= shrink;
    }
    __syncwarp();  // the rows of p are those of this half warp

    for (int j = 0; j < kFloatKeys; ++j) {
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

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_ATTENTION_FLOAT_KERNEL_H_
