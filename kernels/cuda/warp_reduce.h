// Reductions over the 32 lanes of a warp and the warps of a block, for device code. Fixed butterfly order: every lane
// gets the same bits, and the same ones in every run.
#ifndef KERNELS_CUDA_WARP_REDUCE_H_
#define KERNELS_CUDA_WARP_REDUCE_H_

#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {

// Of lanes that differ in the low bits below LANES (a power of two, at most 32); all 32 lanes must call.
template <int kLanes = 32, typename T>
__device__ inline T WarpSum(T value) {
#pragma unroll
  for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
  return value;
}

// NaN is passed over: a comparison with it is false.
template <int kLanes = 32, typename T>
__device__ inline T WarpMax(T value) {
#pragma unroll
  for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) {
    const T other = __shfl_xor_sync(0xffffffffu, value, lanes);
    value = other > value ? other : value;
  }
  return value;
}
template <int kLanes = 32, typename T>
__device__ inline T WarpMin(T value) {
#pragma unroll
  for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) {
    const T other = __shfl_xor_sync(0xffffffffu, value, lanes);
    value = other < value ? other : value;
  }
  return value;
}

// Sum over the whole block, the same bits in every thread. SCRATCH: shared, one T a warp; free again after the next
// __syncthreads of the caller.
template <int kThreads, typename T>
__device__ inline T BlockSum(T value, T* scratch) {
  value = WarpSum(value);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  T sum = scratch[0];
#pragma unroll
  for (int warp = 1; warp < kThreads / 32; ++warp) sum += scratch[warp];
  return sum;
}

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_WARP_REDUCE_H_
