// Which expert a tile of a grouped launch belongs to: a search by a whole warp, for device code.
#ifndef KERNELS_CUDA_FIND_EXPERT_H_
#define KERNELS_CUDA_FIND_EXPERT_H_

#include <cstdint>

#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {

struct ExpertTiles {
  int expert;
  int first, next;  // its slot tiles: first .. next - 1
};

// The last expert whose tiles begin at or before tile INDEX (experts without tiles begin where the next one does):
// tile_offsets[expert] * per_slot_tile <= index. tile_offsets [experts + 1], rising from 0; experts >= 1; every product
// below 2^31. All 32 lanes must call, with the same arguments.
//
// 32 places at a time (FindExpertLoads): two loads that wait for each other for up to 992 experts, where a binary
// search has ten. At decode a launch is short, and its start is this chain.
__device__ __forceinline__ ExpertTiles FindExpert(const int32_t* tile_offsets, int experts, int per_slot_tile,
                                                  int index) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int low = 0, count = experts;  // it is one of low .. low + count - 1
  while (true) {
    // At most 31 places are looked at one by one, so that the end is among the 32.
    const int step = (count + 32) / 32, ahead = lane * step;
    const int begin = tile_offsets[low + (ahead < count ? ahead : count)];
    const bool begun = ahead < count && begin * per_slot_tile <= index;
    const int last = __popc(__ballot_sync(0xffffffffu, begun)) - 1;
    if (step == 1) {
      return {low + last, __shfl_sync(0xffffffffu, begin, last), __shfl_sync(0xffffffffu, begin, last + 1)};
    }
    low += last * step;
    count = count - last * step < step ? count - last * step : step;
  }
}

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_FIND_EXPERT_H_
