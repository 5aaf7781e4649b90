#include "kernels/cuda/attention.h"
#include "kernels/cuda/ptx.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kRows = 128;  // queries a block; 32 a warp
constexpr int kKeys = 64;   // keys a tile
constexpr float kLog2E = 1.44269504088896341f;
// Instead of -infinity as the first running maximum: exp2(-infinity - kLowest) is 0 where -infinity - -infinity is NaN.
constexpr float kLowest = -1e38f;

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
  constexpr int kStep = kThreads / (kDim / 8);
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

template <int kDim, typename Out>
__global__ void __launch_bounds__(kThreads, 2)
    AttentionKernel(AttentionBatch b, const Bf16* q, int64_t ldq, const Bf16* k, int64_t ldk, const Bf16* v,
                    int64_t ldv, Out* out, int64_t ldo) {
  EAQ_DYNAMIC_SHARED(Bf16, q_tile);
  Bf16* const k_tile = q_tile + kRows * kDim;
  Bf16* const v_tile = k_tile + kKeys * kDim;

  const Span span = BlockSpan(b, kRows);
  if (span.rows <= 0) return;
  const int head = blockIdx.x, kv_head = head / static_cast<int>(b.heads / b.kv_heads);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int group = lane / 4,
            pair = lane % 4 * 2;  // of a C fragment: its rows group, group + 8, columns pair, pair + 1
  const int first_key = span.begin / kKeys * kKeys;
  const int64_t thread_chunk = static_cast<int64_t>(kv_head) * kDim + ThreadChunk<kDim>() * 8;
  k += (span.key_row + first_key + ThreadRow<kDim>()) * ldk + thread_chunk;
  v += (span.key_row + first_key + ThreadRow<kDim>()) * ldv + thread_chunk;
  q += (span.query_row + ThreadRow<kDim>()) * ldq + static_cast<int64_t>(head) * kDim + ThreadChunk<kDim>() * 8;

  CopyTile<kDim, kRows>(q, ldq, span.rows, q_tile);
  CopyTile<kDim, kKeys>(k, ldk, span.end - first_key, k_tile);
  ptx::CommitCopies();

  const float factor = b.scale * kLog2E;  // softmax in powers of two
  float sums[2][kDim / 8][4] = {};        // of p v: [rows of 16][columns of 8][fragment]
  float largest[2][2], total[2][2];       // running maximum (times factor) and this lane's part of the sum of p
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) largest[m][h] = kLowest, total[m][h] = 0;
  }

  for (int key = first_key; key < span.end; key += kKeys) {
    ptx::WaitCopies<0>();
    __syncthreads();  // k's tile is there, and nobody reads v's any more
    CopyTile<kDim, kKeys>(v, ldv, span.end - key, v_tile);
    ptx::CommitCopies();
    v += kKeys * ldv;

    // Scores S = Q K^T of 32 rows and 64 keys.
    float s[2][kKeys / 8][4] = {};
#pragma unroll
    for (int d = 0; d < kDim / 16; ++d) {
      uint32_t a[2][4];
#pragma unroll
      for (int m = 0; m < 2; ++m)
        ptx::LoadMatrix4(a[m], q_tile + Swizzled<kDim>(warp * 32 + m * 16 + (lane & 15), d * 2 + (lane >> 4)));
#pragma unroll
      for (int n = 0; n < kKeys / 16; ++n) {
        uint32_t r[4];
        ptx::LoadMatrix4(r,
                         k_tile + Swizzled<kDim>(n * 16 + (lane & 7) + ((lane >> 4) << 3), d * 2 + ((lane >> 3) & 1)));
        const uint32_t low[2] = {r[0], r[1]}, high[2] = {r[2], r[3]};
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          ptx::MmaBf16(s[m][2 * n], a[m], low);
          ptx::MmaBf16(s[m][2 * n + 1], a[m], high);
        }
      }
    }

    // Keys that a row must not see; only tiles at an edge have any.
    const int window = static_cast<int>(b.window);
    if (key + kKeys - 1 > span.position || (window > 0 && key <= span.position + span.rows - 1 - window)) {
#pragma unroll
      for (int m = 0; m < 2; ++m) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          // The columns low .. high of this tile are seen.
          const int high = span.position + warp * 32 + m * 16 + group + h * 8 - key;
          const int low = window > 0 ? high - window + 1 : 0;
#pragma unroll
          for (int n = 0; n < kKeys / 8; ++n) {
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
    for (int m = 0; m < 2; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float top = s[m][0][2 * h];
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) top = fmaxf(top, fmaxf(s[m][n][2 * h], s[m][n][2 * h + 1]));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
        const float now = fmaxf(largest[m][h], top * factor);
        const float shrink = ptx::Exp2(largest[m][h] - now);
        largest[m][h] = now;
        float part = 0;
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
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
    if (key + kKeys < span.end) {
      k += kKeys * ldk;
      CopyTile<kDim, kKeys>(k, ldk, span.end - key - kKeys, k_tile);
      ptx::CommitCopies();
    }

    // sums += P V. The C fragments of two neighbouring column tiles of P are the A fragment of 16 keys.
#pragma unroll
    for (int j = 0; j < kKeys / 16; ++j) {
      uint32_t p[2][4];
#pragma unroll
      for (int m = 0; m < 2; ++m) {
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
        for (int m = 0; m < 2; ++m) {
          ptx::MmaBf16(sums[m][2 * n], p[m], low);
          ptx::MmaBf16(sums[m][2 * n + 1], p[m], high);
        }
      }
    }
  }
  ptx::WaitCopies<0>();

#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float sum = total[m][h];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      const float inverse = 1.0f / sum;
      const int row = warp * 32 + m * 16 + group + h * 8;
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

template <int kDim, typename Out>
int Launch(const AttentionBatch& b, const Bf16* q, int64_t ldq, const Bf16* k, int64_t ldk, const Bf16* v, int64_t ldv,
           Out* out, int64_t ldo, void* stream) {
  const int64_t tiles = (b.max_queries + kRows - 1) / kRows;
  if (tiles > 65535) return 1;
  const dim3 grid(static_cast<unsigned>(b.heads), static_cast<unsigned>(tiles), static_cast<unsigned>(b.sequences));
  constexpr int kBytes = (kRows + 2 * kKeys) * kDim * static_cast<int>(sizeof(Bf16));
  EAQ_LAUNCH((AttentionKernel<kDim, Out>), grid, kThreads, kBytes, stream, b, q, ldq, k, ldk, v, ldv, out, ldo);
  return EAQ_LAUNCH_ERROR();
}

template <typename Out>
int Dispatch(const AttentionBatch& b, const Bf16* q, int64_t ldq, const Bf16* k, int64_t ldk, const Bf16* v,
             int64_t ldv, Out* out, int64_t ldo, void* stream) {
  if (!ValidAttention(b) || !ValidRows(q, ldq, b.heads * b.head_dim, 16) ||
      !ValidRows(k, ldk, b.kv_heads * b.head_dim, 16) || !ValidRows(v, ldv, b.kv_heads * b.head_dim, 16) ||
      !ValidRows(out, ldo, b.heads * b.head_dim, 2 * sizeof(Out)))
    return 1;
  if (b.sequences == 0 || b.max_queries == 0) return 0;
  switch (b.head_dim) {
    case 32:
      return Launch<32>(b, q, ldq, k, ldk, v, ldv, out, ldo, stream);
    case 64:
      return Launch<64>(b, q, ldq, k, ldk, v, ldv, out, ldo, stream);
    default:
      return Launch<128>(b, q, ldq, k, ldk, v, ldv, out, ldo, stream);
  }
}

}  // namespace

int Attention(const AttentionBatch& batch, const Bf16* q, int64_t ldq, const Bf16* k, int64_t ldk, const Bf16* v,
              int64_t ldv, Bf16* out, int64_t ldo, void* stream) {
  return Dispatch(batch, q, ldq, k, ldk, v, ldv, out, ldo, stream);
}
int Attention(const AttentionBatch& batch, const Bf16* q, int64_t ldq, const Bf16* k, int64_t ldk, const Bf16* v,
              int64_t ldv, float* out, int64_t ldo, void* stream) {
  return Dispatch(batch, q, ldq, k, ldk, v, ldv, out, ldo, stream);
}

}  // namespace eaq::kernels::cuda
