// Second moments of a linear's inputs on the GPU, H += sum_t w_t x_t x_t^T: what GPTQ minimises against.
// (HessianAccumulator of eaq/quant/hessian.h; the weights are MoEQuant's affinities.)
#ifndef KERNELS_CUDA_HESSIAN_H_
#define KERNELS_CUDA_HESSIAN_H_

#include <cstdint>

namespace eaq::kernels::cuda {

// Floats of AddHessian's workspace: a tile of 128 x 128 for each slice of 1024 tokens and each tile on or below the
// diagonal, about tokens / 1024 * n^2 / 2, and a float a token. Large batches may be added in several calls.
int64_t HessianWorkspace(int64_t tokens, int64_t n);

// The lower triangle of h[n, n] (float64, rows ldh >= n apart) gains X^T diag(w) X for x[tokens, n] float32, rows ldx
// >= n apart; entries above the diagonal are not touched (MirrorLower). weights: [tokens], >= 0, or null for all 1; a
// token enters as float(sqrt(w)) * x, rounded to float32, as on the CPU.
//
// On the bf16 tensor cores with float32's accuracy: every (scaled) input is the sum of three bf16 numbers, exactly,
// x = x0 + x1 + x2, |x1| <= 2^-8 |x|, |x2| <= 2^-16 |x| (8 significant bits each, 24 in all; what falls below bf16's
// smallest number, 2^-133, is lost). Of the nine products six are added, x0 y0, x0 y1, x1 y0, x1 y1, x0 y2, x2 y0
// (Henry, Tang & Heinecke, "Leveraging the bfloat16 artificial intelligence datatype for higher-precision
// computations", 2019); the dropped ones are below (2 * 2^-24 + 2^-32) |x y|. Products of bf16 are exact in float32.
// For 32 tokens the small products are added first, then the two MMAs of x0 y0; that float32 sum goes into a second one
// over the slice's 32 such steps, slices are added in float64.
//
// Error bound, with a_ij = sum_t w_t |x_ti x_tj| and an MMA that adds 16 products to its accumulator with an error of
// at most 2^-22 of the sum of magnitudes (tensor cores align to the largest term and truncate; Fasi, Higham, Mikaitis &
// Pranesh, "Numerical behavior of NVIDIA tensor cores", 2021). Per step of 32 tokens: dropped products 2^-23; ten small
// MMAs, of 2^-7 of the size together, 10 * 2^-29; two large ones 2 * 2^-22. Per slice: 32 roundings of its sum, 2^-24
// each (about 6 * 2^-25 in all when they are independent).
//   |error| <= (2^-23 + 10 * 2^-29 + 2 * 2^-22 + 32 * 2^-24) a_ij < 2.6e-6 a_ij
// Measured on an H100, normal inputs, 4096 tokens: 9e-8 of the norm of H (cuBLAS in float32: 5.5e-7).
// No atomics and a fixed order: the same bits in every run; they depend on how calls cut the tokens.
//
// Blocks of 8 warps take tiles of 128 x 128, each warp 64 x 32 in m16n8k16; the three planes of the next 32 tokens
// are made between the products of these, while the 32 after them are on their way from memory. Two stages of 48 KiB of
// shared memory, swizzled; ldmatrix transposes.
// Tiles above the diagonal are left out; tiles on it load one operand.
// Returns 0, or the CUDA error; 1 (invalid value) for negative sizes or a stride below n. tokens may be 0. NaN or
// infinity in an input makes its row and column of h NaN or infinite.
int AddHessian(const float* x, int64_t ldx, const float* weights, double* h, int64_t ldh, float* workspace,
               int64_t tokens, int64_t n, void* stream);

// h[j, i] = h[i, j] for i > j.
int MirrorLower(double* h, int64_t ldh, int64_t n, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_HESSIAN_H_
