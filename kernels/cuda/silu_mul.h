// The gate of a SwiGLU block on the GPU. (SiluMul of kernels/backend.h; Shazeer, "GLU variants improve transformer",
// 2020.) The grouped expert GEMM has it as an epilogue; this is the kernel for dense MLPs and unfused paths.
#ifndef KERNELS_CUDA_SILU_MUL_H_
#define KERNELS_CUDA_SILU_MUL_H_

#include <cstdint>

#include "kernels/cuda/bfloat16.h"

namespace eaq::kernels::cuda {

// out = silu(gate) * up over [rows, n], silu(z) = z / (1 + exp(-z)); rows ldg, ldu, ldo >= n elements apart, so gate
// and up may be the two halves of one [rows, 2n]. Float results have the bits of the CPU backend (the same exponential,
// no fused multiply-add), which are within 6e-7 relative + 1e-30 of exact arithmetic; bf16 ones are those rounded to
// nearest even. out may be gate or up. Memory-bound: three accesses a number, 16 bytes each where n and the strides are
// multiples of 4.
// Returns 0, or the CUDA error; 1 (invalid value) for negative sizes or a stride below n.
int SiluMul(const float* gate, int64_t ldg, const float* up, int64_t ldu, float* out, int64_t ldo, int64_t rows,
            int64_t n, void* stream);
int SiluMul(const float* gate, int64_t ldg, const float* up, int64_t ldu, Bf16* out, int64_t ldo, int64_t rows,
            int64_t n, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_SILU_MUL_H_
