#include "kernels/cuda/rank_key.h"
#include "kernels/cuda/top_k_agreement.h"
#include "kernels/cuda/warp_reduce.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kMost = 32;  // of k

// The largest key below LIMIT of this thread's logits of a row; 0: none is left.
__device__ inline uint64_t LargestBelow(const float* row, int n, uint64_t limit) {
  uint64_t largest = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) {
    const uint64_t key = RankKey(row[i], static_cast<int>(i));
    if (key < limit && key > largest) largest = key;
  }
  return largest;
}

// The keys of the K largest of a row into shared memory, falling. SCRATCH: kWarps.
__device__ inline void FindTop(const float* row, int n, int k, uint64_t* top, uint64_t* scratch) {
  uint64_t mine = LargestBelow(row, n, ~uint64_t{0});
  for (int i = 0; i < k; ++i) {
    const uint64_t of_warp = WarpMax(mine);
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = of_warp;
    __syncthreads();
    uint64_t largest = scratch[0];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) largest = scratch[w] > largest ? scratch[w] : largest;
    if (threadIdx.x == 0) top[i] = largest;
    if (mine == largest) mine = LargestBelow(row, n, largest);
    __syncthreads();  // scratch is free again
  }
}

__global__ void __launch_bounds__(kThreads)
    TopKAgreementKernel(const float* p, int64_t ldp, const float* q, int64_t ldq, int k, int32_t* common, int n) {
  EAQ_SHARED(uint64_t, scratch, kWarps);
  EAQ_SHARED(uint64_t, top_p, kMost);
  EAQ_SHARED(uint64_t, top_q, kMost);
  const int64_t row = blockIdx.x;
  FindTop(p + row * ldp, n, k, top_p, scratch);
  FindTop(q + row * ldq, n, k, top_q, scratch);
  if (threadIdx.x >= 32) return;
  int found = 0;
  if (static_cast<int>(threadIdx.x) < k) {
    const int index = IndexOfKey(top_p[threadIdx.x]);
    for (int i = 0; i < k; ++i) found += IndexOfKey(top_q[i]) == index ? 1 : 0;
  }
  found = WarpSum(found);
  if (threadIdx.x == 0) common[row] = found;
}

}  // namespace

int TopKAgreement(const float* p, int64_t ldp, const float* q, int64_t ldq, int k, int32_t* common, int64_t rows,
                  int64_t n, void* stream) {
  if (rows < 0 || rows > 0x7fffffff || n > 0x7fffffff || k < 1 || k > kMost || k > n || ldp < n || ldq < n) {
    return kInvalidValue;
  }
  if (rows == 0) return 0;
  EAQ_LAUNCH(TopKAgreementKernel, static_cast<unsigned>(rows), kThreads, 0, stream, p, ldp, q, ldq, k, common,
             static_cast<int>(n));
  return EAQ_LAUNCH_ERROR();
}

}  // namespace eaq::kernels::cuda
