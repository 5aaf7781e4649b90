// Arithmetic with the very bits of the CPU backend, for device code.
//
// nvcc fuses a * b + c by its own choice; the house compiles C++ without that (.bazelrc). Where a kernel promises the
// CPU's bits it writes Mul, Add and Sub, which are never fused, and FastExp, FastExp64, which are the functions of
// kernels/cpu/vector_math.h (same constants, same order; that header needs C++20) built from fmaf and fma alone.
#ifndef KERNELS_CUDA_EXACT_MATH_H_
#define KERNELS_CUDA_EXACT_MATH_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {

#if defined(__CUDACC__)
__device__ inline float Mul(float a, float b) { return __fmul_rn(a, b); }
__device__ inline float Add(float a, float b) { return __fadd_rn(a, b); }
__device__ inline float Sub(float a, float b) { return __fsub_rn(a, b); }
__device__ inline double Mul(double a, double b) { return __dmul_rn(a, b); }
__device__ inline double Add(double a, double b) { return __dadd_rn(a, b); }
__device__ inline double Sub(double a, double b) { return __dsub_rn(a, b); }
#else
inline float Mul(float a, float b) { return a * b; }
inline float Add(float a, float b) { return a + b; }
inline float Sub(float a, float b) { return a - b; }
inline double Mul(double a, double b) { return a * b; }
inline double Add(double a, double b) { return a + b; }
inline double Sub(double a, double b) { return a - b; }
#endif

template <typename To, typename From>
__device__ inline To BitCast(From from) {
  static_assert(sizeof(To) == sizeof(From), "a bit cast keeps the size");
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

// exp(x), relative error below 2e-7; clamped to about 1e-38 .. 2e38; NaN stays NaN.
__device__ inline float FastExp(float x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23
  x = x < -87.3f ? -87.3f : x;
  x = x > 88.3f ? 88.3f : x;
  const float shifted = fmaf(x, 1.44269504088896341f, kMagic);
  const float n = Sub(shifted, kMagic);
  const float r = fmaf(n, 2.12194440e-4f, fmaf(n, -0.693359375f, x));
  float p = 1.0f / 5040;
  p = fmaf(p, r, 1.0f / 720);
  p = fmaf(p, r, 1.0f / 120);
  p = fmaf(p, r, 1.0f / 24);
  p = fmaf(p, r, 1.0f / 6);
  p = fmaf(p, r, 0.5f);
  p = fmaf(p, r, 1.0f);
  p = fmaf(p, r, 1.0f);
  const uint32_t exponent = BitCast<uint32_t>(shifted) - BitCast<uint32_t>(kMagic) + 127u;
  return Mul(p, BitCast<float>(exponent << 23));
}

// The same in float64 for x in [-708, 708], clamped outside; relative error below 1e-15.
__device__ inline double FastExp64(double x) {
  constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52
  x = x < -708.0 ? -708.0 : x;
  x = x > 708.0 ? 708.0 : x;
  const double shifted = fma(x, 1.4426950408889634074, kMagic);
  const double n = Sub(shifted, kMagic);
  const double r = fma(n, -1.90821492927058770002e-10, fma(n, -6.93147180369123816490e-01, x));
  double p = 1.0 / 6227020800;
  p = fma(p, r, 1.0 / 479001600);
  p = fma(p, r, 1.0 / 39916800);
  p = fma(p, r, 1.0 / 3628800);
  p = fma(p, r, 1.0 / 362880);
  p = fma(p, r, 1.0 / 40320);
  p = fma(p, r, 1.0 / 5040);
  p = fma(p, r, 1.0 / 720);
  p = fma(p, r, 1.0 / 120);
  p = fma(p, r, 1.0 / 24);
  p = fma(p, r, 1.0 / 6);
  p = fma(p, r, 1.0 / 2);
  p = fma(p, r, 1.0);
  p = fma(p, r, 1.0);
  const uint64_t exponent = BitCast<uint64_t>(shifted) - BitCast<uint64_t>(kMagic) + 1023u;
  return Mul(p, BitCast<double>(exponent << 52));
}

// exp(x) for x <= 0 (NaN stays NaN), relative error below 6e-16, at least 1e-304: two thirds of the float64
// instructions of FastExp64, for kernels that they hold up. Not the CPU's bits. `roughly`: x in float32, which decides
// alone whether x is below -700. The polynomial is a Chebyshev fit of degree 10 on |r| <= ln(2) / 2 (error 3.4e-16),
// exact at 0.
__device__ inline double ExpOfNegative(double x, float roughly) {
  constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52
  x = roughly < -700.0f ? -700.0 : x;
  const double shifted = fma(x, 1.4426950408889634074, kMagic);
  const double n = Sub(shifted, kMagic);
  const double r = fma(n, -1.90821492927058770002e-10, fma(n, -6.93147180369123816490e-01, x));
  double p = 2.7626371065696354e-07;
  p = fma(p, r, 2.764019739169484e-06);
  p = fma(p, r, 2.480150431378554e-05);
  p = fma(p, r, 0.00019841170230570286);
  p = fma(p, r, 0.001388888893251478);
  p = fma(p, r, 0.008333333385699212);
  p = fma(p, r, 0.041666666666573066);
  p = fma(p, r, 0.16666666666554314);
  p = fma(p, r, 0.5000000000000006);
  p = fma(p, r, 1.0000000000000067);
  p = fma(p, r, 1.0);
  const uint64_t exponent = BitCast<uint64_t>(shifted) - BitCast<uint64_t>(kMagic) + 1023u;
  return Mul(p, BitCast<double>(exponent << 52));
}

// z * sigmoid(z), as FastSilu.
__device__ inline float FastSilu(float z) { return z / Add(1.0f, FastExp(-z)); }

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_EXACT_MATH_H_
