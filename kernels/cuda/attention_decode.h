// Attention of one query per sequence against its KV cache, on the GPU: the decode step. (Attention of
// kernels/backend.h with queries = 1 for each sequence.) It only reads the cache once, so the time is that of reading.
#ifndef KERNELS_CUDA_ATTENTION_DECODE_H_
#define KERNELS_CUDA_ATTENTION_DECODE_H_

#include <cstdint>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/bfloat16.h"

namespace eaq::kernels::cuda {

// Keys are cut into splits of this many, by their index in the sequence: a result depends on its own sequence alone,
// not on the batch or the GPU.
inline constexpr int64_t kDecodeSplit = 256;

// Floats of workspace: [sequences, heads, splits, head_dim + 2], splits = ceil(max_keys / 256).
int64_t DecodeWorkspace(const AttentionBatch& batch);

// q, out: [sequences, heads * head_dim], row b for sequence b; k, v as in attention.h; of the batch query_begin and
// max_queries are not used, max_keys is an upper bound of key_count. The query sits at the last key of its sequence.
//
// Split-KV ("Flash-Decoding", Dao, Haziza, Massa & Sizov, 2023): a block takes one split of one key/value head and all
// up to 4 of the query heads that share it (more would cost the registers that keep loads on their way; the next block
// finds the keys in the cache); head_dim / 8 lanes read a bf16 key in one 16-byte access each (head_dim / 4
// a float one), each subgroup of lanes keeps its own online softmax over every n-th key, and the subgroups are merged
// in order in shared memory. Then a second kernel merges the splits in order. No atomics: the same bits in every run.
// All arithmetic is float32; on bf16 inputs the result is within attention's float32 bound (nothing is rounded to
// bf16).
//
// Limits (else 1): as attention.h. A sequence with key_count 0 gets NaN; key_count above max_keys is not allowed and
// reads as max_keys rounded up to a split. workspace: DecodeWorkspace(batch) floats, 16-byte aligned.
int AttentionDecode(const AttentionBatch& batch, const Bf16* q, int64_t ldq, const Bf16* k, int64_t ldk, const Bf16* v,
                    int64_t ldv, float* workspace, Bf16* out, int64_t ldo, void* stream);
int AttentionDecode(const AttentionBatch& batch, const Bf16* q, int64_t ldq, const Bf16* k, int64_t ldk, const Bf16* v,
                    int64_t ldv, float* workspace, float* out, int64_t ldo, void* stream);
int AttentionDecode(const AttentionBatch& batch, const float* q, int64_t ldq, const float* k, int64_t ldk,
                    const float* v, int64_t ldv, float* workspace, float* out, int64_t ldo, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_ATTENTION_DECODE_H_
