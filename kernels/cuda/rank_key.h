// The order of scores, as integers: what top-k selections compare.
#ifndef KERNELS_CUDA_RANK_KEY_H_
#define KERNELS_CUDA_RANK_KEY_H_

#include <cstdint>

#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {

// Larger scores have larger keys; of equal ones the lower index; NaN below everything, and 0 below NaN: taken.
// 0 <= index < 2^31.
__device__ inline uint64_t RankKey(float score, int index) {
  uint32_t order = 0;
  if (score == score) {
    const uint32_t bits = __float_as_uint(score + 0.0f);  // -0 becomes 0
    order = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  }
  return (static_cast<uint64_t>(order) << 32) | (0xffffffffu - static_cast<uint32_t>(index));
}
__device__ inline int IndexOfKey(uint64_t key) { return static_cast<int>(0xffffffffu - static_cast<uint32_t>(key)); }

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_RANK_KEY_H_
