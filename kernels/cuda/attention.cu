#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_kernel.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kM = 2;           // tiles of 16 queries a warp
constexpr int kRows = kM * 64;  // queries a block

template <int kDim, typename Out>
__global__ void __launch_bounds__(kPrefillThreads, 2)
    AttentionKernel(AttentionBatch b, const Bf16* q, int64_t ldq, const Bf16* k, int64_t ldk, const Bf16* v,
                    int64_t ldv, Out* out, int64_t ldo) {
  EAQ_DYNAMIC_SHARED(Bf16, shared);
  AttendBlock<kDim, kM>(b, q, ldq, Bf16Tiles<kDim>(k, ldk, v, ldv), shared, out, ldo);
}

template <int kDim, typename Out>
int Launch(const AttentionBatch& b, const Bf16* q, int64_t ldq, const Bf16* k, int64_t ldk, const Bf16* v, int64_t ldv,
           Out* out, int64_t ldo, void* stream) {
  const int64_t tiles = (b.max_queries + kRows - 1) / kRows;
  if (tiles > 65535) return 1;
  const dim3 grid(static_cast<unsigned>(b.heads), static_cast<unsigned>(tiles), static_cast<unsigned>(b.sequences));
  constexpr int kBytes = (kRows + 2 * kPrefillKeys) * kDim * static_cast<int>(sizeof(Bf16));
  EAQ_LAUNCH((AttentionKernel<kDim, Out>), grid, kPrefillThreads, kBytes, stream, b, q, ldq, k, ldk, v, ldv, out, ldo);
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
