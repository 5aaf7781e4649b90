// Device code of attention.h's bf16 path: one block's work, over where keys and values come from.
#ifndef KERNELS_CUDA_ATTENTION_KERNEL_H_
#define KERNELS_CUDA_ATTENTION_KERNEL_H_

#include "kernels/cuda/attention.h"
#include "kernels/cuda/ptx.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {

inline constexpr int kPrefillThreads = 128;
inline constexpr int kPrefillKeys = 64;  // keys a tile
inline constexpr float kLog2E = 1.44269504088896341f;
// Instead of -infinity as the first running maximum: exp2(-infinity - kLowestScore) is 0 where -infinity - -infinity is
// NaN.
inline constexpr float kLowestScore = -1e38f;

// The element offset of 16-byte chunk `chunk` of row `row` in a tile [rows][kDim] of bf16. Eight consecutive rows at
// one chunk fall into eight different groups of four banks, which is what ldmatrix reads at a time.
template <int kDim>
__device__ inline int Swizzled(int row, int chunk) {
  return row * kDim + ((kDim == 32 ? chunk ^ ((row >> 1) & 3) : chunk ^ (row & 7)) << 3);
}

// Copies rows 0 .. kCount - 1 of a matrix to a tile; rows from `valid` on become 0. `from`: the chunk of row
// ThreadRow<kDim>() that belongs to this thread; never read where that row is not valid.
template <int kDim>
__device__ inline int ThreadRow() {
  return threadIdx.x / (kDim / 8);
}
template <int kDim>
__device__ inline int ThreadChunk() {
  return threadIdx.x % (kDim / 8);
}
template <int kDim, int kCount>
__device__ inline void CopyTile(const Bf16* from, int64_t ld, int valid, Bf16* tile) {
  constexpr int kStep = kPrefillThreads / (kDim / 8);
#pragma unroll
  for (int i = 0; i < kCount / kStep; ++i) {
    const int row = ThreadRow<kDim>() + i * kStep;
    ptx::CopyAsync16(tile + Swizzled<kDim>(row, ThreadChunk<kDim>()), from + i * kStep * ld, row < valid);
  }
}

__device__ inline void StorePair(float* to, float low, float high) {
  float2 pair;
  pair.x = low, pair.y = high;
  *reinterpret_cast<float2*>(to) = pair;
}
__device__ inline void StorePair(Bf16* to, float low, float high) {
  *reinterpret_cast<uint32_t*>(to) = PackBf16(low, high);
}

// One block's share of one sequence.
struct Span {
  int rows;           // query rows of the block
  int position;       // of its first row: the last key that this row sees
  int begin, end;     // keys that some row of the block sees
  int64_t query_row;  // row of q and out where the block starts
  int64_t key_row;    // row of k and v where the sequence starts
};
__device__ inline Span BlockSpan(const AttentionBatch& b, int rows_a_block) {
  Span s;
  const int sequence = blockIdx.z;
  const int queries = b.query_begin[sequence + 1] - b.query_begin[sequence];
  // Blocks start in the order of their index, head fastest: the last rows, which see most keys, first.
  const int row = static_cast<int>(gridDim.y - 1 - blockIdx.y) * rows_a_block;
  s.rows = queries - row < rows_a_block ? queries - row : rows_a_block;
  s.position = b.key_count[sequence] - queries + row;
  s.query_row = b.query_begin[sequence] + row;
  s.key_row = b.key_begin[sequence];
  const int window = static_cast<int>(b.window);
  s.begin = window > 0 && s.position - window + 1 > 0 ? s.position - window + 1 : 0;
  s.end = s.position + s.rows;
  return s;
}

// Keys and values as bf16, from memory straight into their tiles.
template <int kDim>
class Bf16Tiles {
 public:
  static constexpr bool kCodes = false;

  __device__ inline Bf16Tiles(const Bf16* k, int64_t ldk, const Bf16* v, int64_t ldv)
      : k_(k), v_(v), ldk_(ldk), ldv_(ldv) {}
  // At row ROW, of a sequence's keys.
  __device__ inline void Start(int64_t row, int kv_head) {
    const int64_t thread_chunk = static_cast<int64_t>(kv_head) * kDim + ThreadChunk<kDim>() * 8;
    k_ += (row + ThreadRow<kDim>()) * ldk_ + thread_chunk;
    v_ += (row + ThreadRow<kDim>()) * ldv_ + thread_chunk;
  }
  // The next tile, of which VALID rows are there.
  __device__ inline void CopyKeys(int valid, Bf16* tile) {
    CopyTile<kDim, kPrefillKeys>(k_, ldk_, valid, tile);
    k_ += kPrefillKeys * ldk_;
  }
  __device__ inline void CopyValues(int valid, Bf16* tile) {
    CopyTile<kDim, kPrefillKeys>(v_, ldv_, valid, tile);
    v_ += kPrefillKeys * ldv_;
  }

 private:
  const Bf16 *k_, *v_;
  int64_t ldk_, ldv_;
};

// One block: kM * 64 queries of one head, kM * 16 a warp. SHARED: the tiles of q, k and v; KV reads the latter two
// (Bf16Tiles; with kCodes tiles are expanded after their copy, and scores and probabilities take scales).
template <int kDim, int kM, typename Kv, typename Out>
__device__ __forceinline__ void AttendBlock(const AttentionBatch& b, const Bf16* q, int64_t ldq, Kv kv, Bf16* shared,
                                            Out* out, int64_t ldo) {
  constexpr int kRows = kM * 64;
  Bf16* const q_tile = shared;
  Bf16* const k_tile = q_tile + kRows * kDim;
  Bf16* const v_tile = k_tile + kPrefillKeys * kDim;

  const Span span = BlockSpan(b, kRows);
  if (span.rows <= 0) return;
  const int head = blockIdx.x, kv_head = head / static_cast<int>(b.heads / b.kv_heads);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int group = lane / 4,
            pair = lane % 4 * 2;  // of a C fragment: its rows group, group + 8, columns pair, pair + 1
  const int first_key = span.begin / kPrefillKeys * kPrefillKeys;
  kv.Start(span.key_row + first_key, kv_head);
  q += (span.query_row + ThreadRow<kDim>()) * ldq + static_cast<int64_t>(head) * kDim + ThreadChunk<kDim>() * 8;

  CopyTile<kDim, kRows>(q, ldq, span.rows, q_tile);
  kv.CopyKeys(span.end - first_key, k_tile);
  ptx::CommitCopies();

  const float factor = b.scale * kLog2E;  // softmax in powers of two
  float sums[kM][kDim / 8][4] = {};       // of p v: [rows of 16][columns of 8][fragment]
  float largest[kM][2], total[kM][2];     // running maximum (times factor) and this lane's part of the sum of p
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) largest[m][h] = kLowestScore, total[m][h] = 0;
  }

  for (int key = first_key; key < span.end; key += kPrefillKeys) {
    ptx::WaitCopies<0>();
    __syncthreads();  // k's tile is there, and nobody reads v's any more
    kv.CopyValues(span.end - key, v_tile);
    ptx::CommitCopies();
    if constexpr (Kv::kCodes) {
      kv.ExpandKeys(k_tile);
      __syncthreads();
    }

    // Scores S = Q K^T of kM * 16 rows and 64 keys.
    float s[kM][kPrefillKeys / 8][4] = {};
#pragma unroll
    for (int d = 0; d < kDim / 16; ++d) {
      uint32_t a[kM][4];
#pragma unroll
      for (int m = 0; m < kM; ++m)
        ptx::LoadMatrix4(a[m], q_tile + Swizzled<kDim>(warp * 16 * kM + m * 16 + (lane & 15), d * 2 + (lane >> 4)));
#pragma unroll
      for (int n = 0; n < kPrefillKeys / 16; ++n) {
        uint32_t r[4];
        ptx::LoadMatrix4(r,
                         k_tile + Swizzled<kDim>(n * 16 + (lane & 7) + ((lane >> 4) << 3), d * 2 + ((lane >> 3) & 1)));
        const uint32_t low[2] = {r[0], r[1]}, high[2] = {r[2], r[3]};
#pragma unroll
        for (int m = 0; m < kM; ++m) {
          ptx::MmaBf16(s[m][2 * n], a[m], low);
          ptx::MmaBf16(s[m][2 * n + 1], a[m], high);
        }
      }
    }

    if constexpr (Kv::kCodes) {
#pragma unroll
      for (int n = 0; n < kPrefillKeys / 8; ++n) {
        const float2 scale = kv.KeyScales(n * 8 + pair);
#pragma unroll
        for (int m = 0; m < kM; ++m) {
#pragma unroll
          for (int h = 0; h < 2; ++h) s[m][n][2 * h] *= scale.x, s[m][n][2 * h + 1] *= scale.y;
        }
      }
    }

    // Keys that a row must not see; only tiles at an edge have any.
    const int window = static_cast<int>(b.window);
    if (key + kPrefillKeys - 1 > span.position || (window > 0 && key <= span.position + span.rows - 1 - window)) {
#pragma unroll
      for (int m = 0; m < kM; ++m) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          // The columns low .. high of this tile are seen.
          const int high = span.position + warp * 16 * kM + m * 16 + group + h * 8 - key;
          const int low = window > 0 ? high - window + 1 : 0;
#pragma unroll
          for (int n = 0; n < kPrefillKeys / 8; ++n) {
#pragma unroll
            for (int e = 0; e < 2; ++e) {
              const int column = n * 8 + pair + e;
              if (column > high || column < low) s[m][n][2 * h + e] = -INFINITY;
            }
          }
        }
      }
    }

    // Online softmax; s becomes p.
#pragma unroll
    for (int m = 0; m < kM; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float top = s[m][0][2 * h];
#pragma unroll
        for (int n = 0; n < kPrefillKeys / 8; ++n) top = fmaxf(top, fmaxf(s[m][n][2 * h], s[m][n][2 * h + 1]));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
        const float now = fmaxf(largest[m][h], top * factor);
        const float shrink = ptx::Exp2(largest[m][h] - now);
        largest[m][h] = now;
        float part = 0;
#pragma unroll
        for (int n = 0; n < kPrefillKeys / 8; ++n) {
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            const float p = ptx::Exp2(fmaf(s[m][n][2 * h + e], factor, -now));
            s[m][n][2 * h + e] = p;
            part += p;
          }
        }
        total[m][h] = fmaf(total[m][h], shrink, part);
#pragma unroll
        for (int n = 0; n < kDim / 8; ++n) sums[m][n][2 * h] *= shrink, sums[m][n][2 * h + 1] *= shrink;
      }
    }

    ptx::WaitCopies<0>();
    __syncthreads();  // v's tile is there, and nobody reads k's any more
    if (key + kPrefillKeys < span.end) {
      kv.CopyKeys(span.end - key - kPrefillKeys, k_tile);
      ptx::CommitCopies();
    }
    if constexpr (Kv::kCodes) {
      kv.ExpandValues(v_tile);
      __syncthreads();
#pragma unroll
      for (int n = 0; n < kPrefillKeys / 8; ++n) {
        const float2 scale = kv.ValueScales(n * 8 + pair);
#pragma unroll
        for (int m = 0; m < kM; ++m) {
#pragma unroll
          for (int h = 0; h < 2; ++h) s[m][n][2 * h] *= scale.x, s[m][n][2 * h + 1] *= scale.y;
        }
      }
    }

    // sums += P V. The C fragments of two neighbouring column tiles of P are the A fragment of 16 keys.
#pragma unroll
    for (int j = 0; j < kPrefillKeys / 16; ++j) {
      uint32_t p[kM][4];
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        p[m][0] = PackBf16(s[m][2 * j][0], s[m][2 * j][1]);
        p[m][1] = PackBf16(s[m][2 * j][2], s[m][2 * j][3]);
        p[m][2] = PackBf16(s[m][2 * j + 1][0], s[m][2 * j + 1][1]);
        p[m][3] = PackBf16(s[m][2 * j + 1][2], s[m][2 * j + 1][3]);
      }
#pragma unroll
      for (int n = 0; n < kDim / 16; ++n) {
        uint32_t r[4];
        ptx::LoadMatrix4Transposed(r, v_tile + Swizzled<kDim>(j * 16 + (lane & 15), n * 2 + (lane >> 4)));
        const uint32_t low[2] = {r[0], r[1]}, high[2] = {r[2], r[3]};
#pragma unroll
        for (int m = 0; m < kM; ++m) {
          ptx::MmaBf16(sums[m][2 * n], p[m], low);
          ptx::MmaBf16(sums[m][2 * n + 1], p[m], high);
        }
      }
    }
  }
  ptx::WaitCopies<0>();

#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float sum = total[m][h];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      const float inverse = 1.0f / sum;
      const int row = warp * 16 * kM + m * 16 + group + h * 8;
      if (row >= span.rows) continue;
      Out* to = out + (span.query_row + row) * ldo + static_cast<int64_t>(head) * kDim + pair;
      const bool keys = span.position + row >= 0;
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        StorePair(to + n * 8, keys ? sums[m][n][2 * h] * inverse : NAN, keys ? sums[m][n][2 * h + 1] * inverse : NAN);
      }
    }
  }
}

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_ATTENTION_KERNEL_H_
