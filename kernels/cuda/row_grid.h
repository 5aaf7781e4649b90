// Grids of rows of activations, for device code: ParamsFromRangeUnchecked of eaq/quant/grid.cc with a float32 scale,
// bit for bit.
#ifndef KERNELS_CUDA_ROW_GRID_H_
#define KERNELS_CUDA_ROW_GRID_H_

#include "kernels/cuda/quantize_rows.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {

// Smallest and largest with 0 among them; broken: NaN was there (which no comparison lets in).
struct RowRange {
  float low, high;
  bool broken;
};

struct RowGridParams {
  float scale;
  float zero;  // 0 .. 2^bits - 1
};

// NaN as the scale of a row that is broken or not finite.
__device__ inline RowGridParams GridOfRow(const RowQuantizer& q, RowRange range) {
  const float max_code = static_cast<float>((1 << q.bits) - 1), middle = static_cast<float>(1 << (q.bits - 1));
  // __fmul_rn: never fused with the subtraction below, which would change the scale's last bit.
  float low = __fmul_rn(q.clip_ratio, range.low), high = __fmul_rn(q.clip_ratio, range.high);
  RowGridParams grid;
  if (q.grid == RowGrid::kAsymmetric) {
    if (low == 0.0f && high == 0.0f) {
      low = -1.0f;
      high = 1.0f;
    }
    grid.scale = (high - low) / max_code;
    if (fabsf(grid.scale) < 1e-30f) grid.scale = 1e-30f;
    float zero = rintf(-low / grid.scale);
    if (!(zero > 0.0f)) zero = 0.0f;
    grid.zero = zero > max_code ? max_code : zero;
  } else {
    float largest = -low > high ? -low : high;
    if (largest == 0.0f) largest = 1e-5f;
    grid.zero = middle;
    if (q.grid == RowGrid::kSymmetricFullRange) {
      grid.scale = (-low > high ? largest : -largest) / middle;
    } else {
      grid.scale = largest / (middle - 1);
    }
    if (fabsf(grid.scale) < 1e-30f) grid.scale = copysignf(1e-30f, grid.scale);
  }
  if (range.broken || !(fabsf(grid.scale) <= 3.4028235e38f)) grid.scale = NAN;
  return grid;
}

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_ROW_GRID_H_
