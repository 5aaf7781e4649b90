// Integer grids of weights in the interfaces of kernels: a code u in 0 .. 2^bits - 1 stands for scale * (u - zero), as
// in eaq/quant/grid.h. Weight scales are float16 numbers.
#ifndef KERNELS_CUDA_WEIGHT_GRID_H_
#define KERNELS_CUDA_WEIGHT_GRID_H_

#include <cstdint>

namespace eaq::kernels::cuda {

struct WeightGrid {
  float scale;
  int32_t zero;
};

// As GridKind of eaq/quant/grid.h, where the formulas stand.
enum class WeightGridKind { kAsymmetric, kSymmetricFullRange, kSymmetricRestricted };

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_WEIGHT_GRID_H_
