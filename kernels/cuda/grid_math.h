// The arithmetic of eaq/quant/grid.h, bit for bit, for device code: grids from ranges, codes from weights.
#ifndef KERNELS_CUDA_GRID_MATH_H_
#define KERNELS_CUDA_GRID_MATH_H_

#include <cstdint>

#include "kernels/cuda/exact_math.h"
#include "kernels/cuda/weight_grid.h"

namespace eaq::kernels::cuda {

// To nearest float16, ties to even; below 2^-14 upwards to a multiple of 2^-24, at least 2^-24. Keeps the sign.
__device__ inline float RoundScaleToF16(float scale) {
  const float magnitude = fabsf(scale);
  float rounded;
  if (magnitude < 0x1p-14f) {
    rounded = Mul(ceilf(Mul(magnitude, 0x1p24f)), 0x1p-24f);
    rounded = rounded < 0x1p-24f ? 0x1p-24f : rounded;
  } else {
    const uint32_t bits = BitCast<uint32_t>(magnitude);  // 13 bits too many
    rounded = BitCast<float>((bits + 0xfffu + (bits >> 13 & 1)) & ~0x1fffu);
    rounded = rounded > 65504.0f ? INFINITY : rounded;
  }
  return scale < 0 ? -rounded : rounded;
}

// The grid that covers [low, high] together with 0 (ParamsFromRangeUnchecked, scales stored as float16).
__device__ inline WeightGrid GridOfRange(WeightGridKind kind, int bits, float low, float high) {
  low = low < 0.0f ? low : 0.0f;
  high = high > 0.0f ? high : 0.0f;
  const float max_code = static_cast<float>((1 << bits) - 1);
  const int middle = 1 << (bits - 1);
  WeightGrid grid;
  if (kind == WeightGridKind::kAsymmetric) {
    if (low == 0.0f && high == 0.0f) low = -1.0f, high = 1.0f;
    grid.scale = RoundScaleToF16(Sub(high, low) / max_code);
    float zero = rintf(-low / grid.scale);
    if (!(zero > 0.0f)) zero = 0.0f;
    grid.zero = static_cast<int32_t>(zero < max_code ? zero : max_code);
    return grid;
  }
  float largest = -low > high ? -low : high;
  if (largest == 0.0f) largest = 1e-5f;
  grid.zero = middle;
  if (kind == WeightGridKind::kSymmetricFullRange) {
    grid.scale = RoundScaleToF16((-low > high ? largest : -largest) / static_cast<float>(middle));
  } else {
    grid.scale = RoundScaleToF16(largest / static_cast<float>(middle - 1));
  }
  return grid;
}

// The nearest code (QuantizeCode); NaN becomes 0.
__device__ inline int NearestCode(float value, WeightGrid grid, int max_code) {
  float u = Add(rintf(value / grid.scale), static_cast<float>(grid.zero));
  u = u > 0.0f ? u : 0.0f;
  u = u > static_cast<float>(max_code) ? static_cast<float>(max_code) : u;
  return static_cast<int>(u);
}
__device__ inline float ValueOfCode(int code, WeightGrid grid) {
  return Mul(grid.scale, static_cast<float>(code - grid.zero));
}

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_GRID_MATH_H_
