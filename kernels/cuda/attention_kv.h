// Keys and values as codes of 8 or 4 bits, on a grid for each head and token: half or a quarter of a bf16 cache. What
// eaq/quant/quantized_attention.h does to them, in the form that attention reads.
#ifndef KERNELS_CUDA_ATTENTION_KV_H_
#define KERNELS_CUDA_ATTENTION_KV_H_

#include <cstdint>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/bfloat16.h"
#include "kernels/cuda/quantize_rows.h"

namespace eaq::kernels::cuda {

// The keys, or the values, of all rows. A number is scale * (code - zero), code and zero 0 .. 2^b - 1.
struct KvCodes {
  int bits = 8;  // in which a code is held: 8, or 4: column 2 i in the low half of byte i, 2 i + 1 in the high
  uint8_t* codes = nullptr;  // [rows, kv_heads * head_dim * bits / 8], ld bytes from row to row
  int64_t ld = 0;
  float* grids = nullptr;  // [rows, kv_heads, 2]: scale and zero, contiguous
};

// x[rows, kv_heads * head_dim] onto grids of QUANTIZER (bits, grid and clip_ratio of quantize_rows.h, dynamic; at most
// kv.bits), one a head: the codes, scales and zeros of eaq/quant/activation_quant.h to the bit. A head with NaN or an
// infinity gets the scale NaN. A warp a head.
// Returns 0, a CUDA error, or 1 (cudaErrorInvalidValue): other bits, a head that is not 32, 64 or 128, fixed grids.
int QuantizeKv(const float* x, int64_t ldx, int64_t rows, int64_t kv_heads, int64_t head_dim,
               const RowQuantizer& quantizer, const KvCodes& kv, void* stream);

// Attention of attention.h and AttentionDecode of attention_decode.h with keys and values held as codes, both of the
// same bits. What they compute:
//   bf16 queries   products of codes on the tensor cores: code - zero is an exact bf16, the scale of a key multiplies
//   its
//                  score and that of a value its probability, before that is rounded to bf16. Nothing else is rounded
//                  but p, as without codes: within the same bounds.
//   float queries  scale * (code - zero) in float32, then as the float path: the bits that it gives for rows of
//                  QuantizedAttention.
//   decode         the same numbers, in the decode path's own order.
// Raw codes come by cp.async and are expanded from shared memory to shared memory, once for a tile that a block uses.
// Limits as there; codes 16-byte aligned, kv.ld a multiple of 16, grids 8-byte aligned.
int AttentionKv(const AttentionBatch& batch, const Bf16* q, int64_t ldq, const KvCodes& k, const KvCodes& v, float* out,
                int64_t ldo, void* stream);
int AttentionKv(const AttentionBatch& batch, const float* q, int64_t ldq, const KvCodes& k, const KvCodes& v,
                float* out, int64_t ldo, void* stream);
int AttentionDecodeKv(const AttentionBatch& batch, const Bf16* q, int64_t ldq, const KvCodes& k, const KvCodes& v,
                      float* workspace, float* out, int64_t ldo, void* stream);
int AttentionDecodeKv(const AttentionBatch& batch, const float* q, int64_t ldq, const KvCodes& k, const KvCodes& v,
                      float* workspace, float* out, int64_t ldo, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_ATTENTION_KV_H_
