// Fake quantization of activations on the GPU, per token (dynamic) or on one fixed grid.
#ifndef KERNELS_CUDA_FAKE_QUANT_H_
#define KERNELS_CUDA_FAKE_QUANT_H_

#include <cstdint>

#include "kernels/cuda/quantize_rows.h"

namespace eaq::kernels::cuda {

// In place on x[rows, n], rows ldx >= n elements apart, in device memory. Every row on its own grid of QUANTIZER (bits,
// grid, clip_ratio; its other members but `fixed` do not matter). Asymmetric, with lo = clip_ratio * min(0, min x), hi
// = clip_ratio * max(0, max x), both -1 and 1 for a row of zeros:
//   s = max((hi - lo) / (2^bits - 1), 1e-30)      z = clamp(rint(-lo / s), 0, 2^bits - 1)
//   x <- s * clamp(rint(x / s), -z, 2^bits - 1 - z)
// and likewise for the symmetric kinds (eaq/quant/grid.h), or with the one grid that is fixed. Rounding is to nearest,
// ties to even; NaN entries are no part of the range and stay NaN. The bits of the result are those of
// quant/activation_quant.h on the CPU (tests/cuda_agrees_test.cc).
//
// stream: a cudaStream_t, or null. Returns 0, or the CUDA error of the launch. rows or n may be 0.
int FakeQuantPerToken(float* x, int64_t ldx, int64_t rows, int64_t n, const RowQuantizer& quantizer, void* stream);

// The same, asymmetric.
inline int FakeQuantPerToken(float* x, int64_t ldx, int64_t rows, int64_t n, int bits, float clip_ratio, void* stream) {
  RowQuantizer quantizer;
  quantizer.bits = bits;
  quantizer.clip_ratio = clip_ratio;
  return FakeQuantPerToken(x, ldx, rows, n, quantizer, stream);
}

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_FAKE_QUANT_H_
