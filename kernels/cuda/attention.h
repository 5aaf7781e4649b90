// Causal attention of one or several sequences on the GPU. (Attention of kernels/backend.h for each sequence.)
//
//   out[i, h] = sum_j softmax_j(scale * q[i, h] . k[j, h']) v[j, h'],   h' = h / (heads / kv_heads)
//
// over the keys j <= p and, when window > 0, j > p - window of a query at position p. Tiled with an online softmax, so
// that no score is stored (Milakov & Gimelshein, "Online normalizer calculation for softmax", 2018; Dao,
// "FlashAttention-2", 2023, algorithm 1). attention_decode.h is the way for one query per sequence.
#ifndef KERNELS_CUDA_ATTENTION_H_
#define KERNELS_CUDA_ATTENTION_H_

#include <cstdint>

#include "kernels/cuda/bfloat16.h"

namespace eaq::kernels::cuda {

// Where the sequences lie. q and out: [sum of queries, heads * head_dim]; k and v: [rows, kv_heads * head_dim], keys
// already rotated; a KV cache may have room after each sequence. Sequence b has
//   queries at rows query_begin[b] .. query_begin[b + 1] - 1,
//   keys at rows key_begin[b] .. key_begin[b] + key_count[b] - 1,
// and its last query sits at its last key: query row i has position key_count[b] - (queries of b) + i.
struct AttentionBatch {
  int64_t sequences = 0;
  const int32_t* query_begin = nullptr;  // [sequences + 1], device
  const int32_t* key_begin = nullptr;    // [sequences], device
  const int32_t* key_count = nullptr;    // [sequences], device
  int64_t max_queries = 0;               // an upper bound of one sequence's queries; sizes the grid
  int64_t max_keys = 0;                  // an upper bound of key_count; sizes decode's workspace
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t window = 0;  // 0: all keys
  float scale = 1.0f;  // above 0
};

// The limits of the shape that all attention kernels share; they check them themselves.
inline bool ValidAttention(const AttentionBatch& b) {
  return b.sequences >= 0 && b.sequences <= 65535 && b.max_queries >= 0 && b.max_keys >= 0 && b.heads >= 1 &&
         b.kv_heads >= 1 && b.heads % b.kv_heads == 0 && b.window >= 0 && b.window <= 0x3fffffff && b.scale > 0 &&
         (b.head_dim == 32 || b.head_dim == 64 || b.head_dim == 128);
}
// Rows of T at `pointer`, `ld` apart, of which `n` numbers are used, in accesses of `bytes`.
template <typename T>
inline bool ValidRows(const T* pointer, int64_t ld, int64_t n, int bytes) {
  return ld >= n && ld * static_cast<int64_t>(sizeof(T)) % bytes == 0 &&
         reinterpret_cast<uintptr_t>(pointer) % static_cast<uintptr_t>(bytes) == 0;
}

// bf16 on the tensor cores. Scores and sums are float32; the probabilities are rounded to bf16 before they meet v, so a
// result is within about 2^-8 * sum_j p_j |v_j| of exact arithmetic on the same inputs (the bound with its small terms
// is derived in attention_check.cc). Fixed order: the same bits in every run, and a sequence's results do not depend on
// the others in the batch.
//
// A block of 4 warps takes 128 queries of one head, each warp 32 of them as two rows of m16n8k16 tiles, so that every
// fragment of k or v that ldmatrix reads feeds two MMAs; keys come in tiles of 64 by cp.async, v's tile while the
// scores are computed and the next k's while v is used. 64 KiB of shared memory at head_dim 128 (two blocks an SM).
// Rows are stored swizzled (16-byte chunk number xor row) against bank conflicts. Blocks with the most keys start
// first.
//
// Limits (else 1, invalid value): head_dim 32, 64 or 128; heads a multiple of kv_heads; strides multiples of 8 (of 2
// for out) and pointers 16-byte aligned; scale > 0; sequences <= 65535. A query without any key gets NaN. NaN or
// infinity in v reaches all queries of a 64-key tile that some of them may not see (0 * NaN).
int Attention(const AttentionBatch& batch, const Bf16* q, int64_t ldq, const Bf16* k, int64_t ldk, const Bf16* v,
              int64_t ldv, Bf16* out, int64_t ldo, void* stream);
int Attention(const AttentionBatch& batch, const Bf16* q, int64_t ldq, const Bf16* k, int64_t ldk, const Bf16* v,
              int64_t ldv, float* out, int64_t ldo, void* stream);

// float32 on the CUDA cores, for evaluation: fused multiply-adds in float32, the CPU backend's exponential. Strides
// multiples of 4, the other limits as above.
int Attention(const AttentionBatch& batch, const float* q, int64_t ldq, const float* k, int64_t ldk, const float* v,
              int64_t ldv, float* out, int64_t ldo, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_ATTENTION_H_
