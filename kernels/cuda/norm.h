// RMSNorm on the GPU, with the residual addition before it as an option. (RmsNorm of kernels/backend.h; Zhang &
// Sennrich, "Root Mean Square Layer Normalization", 2019, eq. 4.)
#ifndef KERNELS_CUDA_NORM_H_
#define KERNELS_CUDA_NORM_H_

#include <cstdint>

#include "kernels/cuda/bfloat16.h"

namespace eaq::kernels::cuda {

// Per row of x[rows, n]:   y_i = x_i * s * weight_i,   s = float(1 / sqrt(sum x_i^2 / n + eps)).
//
// The squares are exact in float64 and summed there, as on the CPU; only the order of the sum differs (each thread
// takes every 8th, 32nd or 256th vector, then a butterfly). The sums differ by at most n * 2^-53 relative, so s is the
// CPU's float or its neighbour, and |y - CPU's y| <= 3 * 2^-24 |y|; against exact arithmetic y is within
// 3 * 2^-24 (1 + 2^-20) |y| (s, two products). bf16 output rounds that to nearest even.
//
// Rows are ldx, ldy >= n elements apart. y may be x (float). One read of x, one write of y: a row of up to 8192 numbers
// stays in registers between the sum and the product, a longer one is read twice. 16-byte accesses when n and the
// strides are multiples of 4 and the pointers 16-byte aligned, else scalar ones.
// Returns 0, or the CUDA error; 1 (invalid value) for negative sizes, rows > 2^31 - 1 or a stride below n.
int RmsNorm(const float* x, int64_t ldx, const float* weight, double eps, float* y, int64_t ldy, int64_t rows,
            int64_t n, void* stream);
int RmsNorm(const float* x, int64_t ldx, const float* weight, double eps, Bf16* y, int64_t ldy, int64_t rows, int64_t n,
            void* stream);

// The same after x += delta (one float addition each; x[rows, n] is written): the residual stream of a decoder layer.
// delta must not overlap x.
int AddRmsNorm(float* x, int64_t ldx, const float* delta, int64_t ldd, const float* weight, double eps, float* y,
               int64_t ldy, int64_t rows, int64_t n, void* stream);
int AddRmsNorm(float* x, int64_t ldx, const float* delta, int64_t ldd, const float* weight, double eps, Bf16* y,
               int64_t ldy, int64_t rows, int64_t n, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_NORM_H_
