// Fake quantization of activations on the GPU, per token and dynamic.
#ifndef KERNELS_CUDA_FAKE_QUANT_H_
#define KERNELS_CUDA_FAKE_QUANT_H_

#include <cstdint>

namespace eaq::kernels::cuda {

// In place on x[rows, n], rows ldx >= n elements apart, in device memory. Every row on its own asymmetric grid of BITS
// bits (2 .. 8), with lo = clip_ratio * min(0, min x), hi = clip_ratio * max(0, max x), both -1 and 1 for a row of
// zeros:
//   s = max((hi - lo) / (2^bits - 1), 1e-30)      z = clamp(rint(-lo / s), 0, 2^bits - 1)
//   x <- s * clamp(rint(x / s), -z, 2^bits - 1 - z)
// Rounding is to nearest, ties to even; NaN entries are no part of the range and stay NaN. The bits of the result are
// those of quant/activation_quant.h on the CPU (tests/cuda_agrees_test.cc).
//
// stream: a cudaStream_t, or null. Returns 0, or the CUDA error of the launch. rows or n may be 0.
int FakeQuantPerToken(float* x, int64_t ldx, int64_t rows, int64_t n, int bits, float clip_ratio, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_FAKE_QUANT_H_
