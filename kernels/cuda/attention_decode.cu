#include "kernels/cuda/attention_decode.h"
#include "kernels/cuda/attention_decode_kernel.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

template <typename T, int kDim, int kGroup>
__global__ void __launch_bounds__(kDecodeThreads)
    DecodeSplitKernel(AttentionBatch b, const T* q, int64_t ldq, const T* k, int64_t ldk, const T* v, int64_t ldv,
                      float* workspace) {
  AttendSplit<T, kDim, kGroup>(b, q, ldq, PlainRows<T, kDim>(k, ldk, v, ldv), workspace);
}

template <int kDim, typename Out>
__global__ void __launch_bounds__(kDim)
    DecodeMergeKernel(AttentionBatch b, const float* workspace, int splits, Out* out, int64_t ldo) {
  MergeSplits<kDim>(b, workspace, splits, out, ldo);
}

template <typename T, int kDim, int kGroup>
void LaunchSplits(const AttentionBatch& b, const T* q, int64_t ldq, const T* k, int64_t ldk, const T* v, int64_t ldv,
                  float* workspace, int64_t splits, void* stream) {
  const dim3 grid(static_cast<unsigned>(splits), static_cast<unsigned>(b.heads / kGroup),
                  static_cast<unsigned>(b.sequences));
  EAQ_LAUNCH((DecodeSplitKernel<T, kDim, kGroup>), grid, kDecodeThreads, 0, stream, b, q, ldq, k, ldk, v, ldv,
             workspace);
}

template <typename T, int kDim, typename Out>
int Launch(const AttentionBatch& b, const T* q, int64_t ldq, const T* k, int64_t ldk, const T* v, int64_t ldv,
           float* workspace, Out* out, int64_t ldo, void* stream) {
  const int64_t splits = (b.max_keys + kDecodeSplit - 1) / kDecodeSplit, group = b.heads / b.kv_heads;
  if (splits > 0) {
    if (group % 4 == 0) {
      LaunchSplits<T, kDim, 4>(b, q, ldq, k, ldk, v, ldv, workspace, splits, stream);
    } else if (group % 2 == 0) {
      LaunchSplits<T, kDim, 2>(b, q, ldq, k, ldk, v, ldv, workspace, splits, stream);
    } else {
      LaunchSplits<T, kDim, 1>(b, q, ldq, k, ldk, v, ldv, workspace, splits, stream);
    }
    const int error = EAQ_LAUNCH_ERROR();
    if (error != 0) return error;
  }
  const dim3 grid(static_cast<unsigned>(b.heads), static_cast<unsigned>(b.sequences), 1);
  EAQ_LAUNCH((DecodeMergeKernel<kDim, Out>), grid, kDim, 0, stream, b, workspace, static_cast<int>(splits), out, ldo);
  return EAQ_LAUNCH_ERROR();
}

template <typename T, typename Out>
int Dispatch(const AttentionBatch& b, const T* q, int64_t ldq, const T* k, int64_t ldk, const T* v, int64_t ldv,
             float* workspace, Out* out, int64_t ldo, void* stream) {
  if (!ValidAttention(b) || !ValidRows(q, ldq, b.heads * b.head_dim, 16) ||
      !ValidRows(k, ldk, b.kv_heads * b.head_dim, 16) || !ValidRows(v, ldv, b.kv_heads * b.head_dim, 16) ||
      !ValidRows(out, ldo, b.heads * b.head_dim, sizeof(Out)))
    return 1;
  if (b.sequences == 0) return 0;
  switch (b.head_dim) {
    case 32:
      return Launch<T, 32>(b, q, ldq, k, ldk, v, ldv, workspace, out, ldo, stream);
    case 64:
      return Launch<T, 64>(b, q, ldq, k, ldk, v, ldv, workspace, out, ldo, stream);
    default:
      return Launch<T, 128>(b, q, ldq, k, ldk, v, ldv, workspace, out, ldo, stream);
  }
}

}  // namespace

int64_t DecodeWorkspace(const AttentionBatch& b) {
  return b.sequences * b.heads * ((b.max_keys + kDecodeSplit - 1) / kDecodeSplit) * (b.head_dim + kStatistics);
}

int AttentionDecode(const AttentionBatch& batch, const Bf16* q, int64_t ldq, const Bf16* k, int64_t ldk, const Bf16* v,
                    int64_t ldv, float* workspace, Bf16* out, int64_t ldo, void* stream) {
  return Dispatch(batch, q, ldq, k, ldk, v, ldv, workspace, out, ldo, stream);
}
int AttentionDecode(const AttentionBatch& batch, const Bf16* q, int64_t ldq, const Bf16* k, int64_t ldk, const Bf16* v,
                    int64_t ldv, float* workspace, float* out, int64_t ldo, void* stream) {
  return Dispatch(batch, q, ldq, k, ldk, v, ldv, workspace, out, ldo, stream);
}
int AttentionDecode(const AttentionBatch& batch, const float* q, int64_t ldq, const float* k, int64_t ldk,
                    const float* v, int64_t ldv, float* workspace, float* out, int64_t ldo, void* stream) {
  return Dispatch(batch, q, ldq, k, ldk, v, ldv, workspace, out, ldo, stream);
}

}  // namespace eaq::kernels::cuda
