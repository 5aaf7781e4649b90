// Half-split rotary position embedding on the GPU. (RotaryHalfSplit of kernels/backend.h; Su et al., "RoFormer", 2021,
// with the "NeoX" pairing.)
#ifndef KERNELS_CUDA_ROTARY_H_
#define KERNELS_CUDA_ROTARY_H_

#include <cstdint>

#include "kernels/cuda/bfloat16.h"

namespace eaq::kernels::cuda {

// For each of HEADS heads of each row of x[rows, heads * head_dim], d = head_dim, i < d / 2:
//   y_i = x_i cos_i - x_{i+d/2} sin_i,   y_{i+d/2} = x_{i+d/2} cos_i + x_i sin_i
// cosines, sines: [rows, d / 2], the angles of each row's position. Each of the four products and two sums is rounded
// on its own (no fused multiply-add): float results have the bits of the CPU backend, bf16 ones are those rounded to
// nearest even. In place (x is y) or not; other overlaps are not allowed. Memory-bound: every number is read and
// written once; 16-byte accesses when d / 2 and the strides are multiples of 4.
// head_dim is even. Returns 0, or the CUDA error; 1 (invalid value) for an odd head_dim, negative sizes or a stride
// below heads * head_dim.
int RotaryHalfSplit(const float* x, int64_t ldx, const float* cosines, const float* sines, float* y, int64_t ldy,
                    int64_t rows, int64_t heads, int64_t head_dim, void* stream);
int RotaryHalfSplit(const float* x, int64_t ldx, const float* cosines, const float* sines, Bf16* y, int64_t ldy,
                    int64_t rows, int64_t heads, int64_t head_dim, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_ROTARY_H_
