// The float32 path of attention.h, on the CUDA cores.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_float_kernel.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

template <int kDim>
__global__ void __launch_bounds__(kFloatThreads)
    AttentionFloatKernel(AttentionBatch b, const float* q, int64_t ldq, const float* k, int64_t ldk, const float* v,
                         int64_t ldv, float* out, int64_t ldo) {
  EAQ_DYNAMIC_SHARED(float, shared);
  AttendFloatBlock<kDim>(b, q, ldq, FloatRows<kDim>(k, ldk, v, ldv), shared, out, ldo);
}

template <int kDim>
int Launch(const AttentionBatch& b, const float* q, int64_t ldq, const float* k, int64_t ldk, const float* v,
           int64_t ldv, float* out, int64_t ldo, void* stream) {
  const int64_t tiles = (b.max_queries + kFloatRows - 1) / kFloatRows;
  if (tiles > 65535) return 1;
  const dim3 grid(static_cast<unsigned>(b.heads), static_cast<unsigned>(tiles), static_cast<unsigned>(b.sequences));
  constexpr int kBytes = FloatTiles<kDim>::kFloats * static_cast<int>(sizeof(float));
  EAQ_LAUNCH((AttentionFloatKernel<kDim>), grid, kFloatThreads, kBytes, stream, b, q, ldq, k, ldk, v, ldv, out, ldo);
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
