// Branch-free elementary functions that compilers vectorise inside `#pragma omp simd` loops.
#ifndef KERNELS_CPU_VECTOR_MATH_H_
#define KERNELS_CPU_VECTOR_MATH_H_

#include <bit>
#include <cstdint>

namespace eaq::kernels {

// exp(x) with relative error below 2e-7 for x in [-87.3, 88.3]; clamped outside, so below -87.3 it is about 1e-38,
// never 0, and above 88.3 about 2e38, never infinite. NaN stays NaN.
//
// exp(x) = 2^n exp(r), n = round(x / ln 2), r = x - n ln 2 in two parts (Cody & Waite, 1980), exp(r) by the Taylor
// polynomial of degree 7 whose remainder on |r| <= ln(2)/2 is below r^8/40320 < 6e-9.
inline float FastExp(float x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  x = x < -87.3f ? -87.3f : x;
  x = x > 88.3f ? 88.3f : x;
  // Fused by name, since the house compiles without contraction.
  const float shifted = __builtin_fmaf(x, 1.44269504088896341f, kMagic);
  const float n = shifted - kMagic;
  const float r = __builtin_fmaf(n, 2.12194440e-4f, __builtin_fmaf(n, -0.693359375f, x));
  float p = 1.0f / 5040;
  p = __builtin_fmaf(p, r, 1.0f / 720);
  p = __builtin_fmaf(p, r, 1.0f / 120);
  p = __builtin_fmaf(p, r, 1.0f / 24);
  p = __builtin_fmaf(p, r, 1.0f / 6);
  p = __builtin_fmaf(p, r, 0.5f);
  p = __builtin_fmaf(p, r, 1.0f);
  p = __builtin_fmaf(p, r, 1.0f);
  const uint32_t exponent = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kMagic) + 127u;
  return p * std::bit_cast<float>(exponent << 23);
}

// The same in float64 for x in [-708, 708], clamped outside; relative error below 1e-15. Taylor polynomial of degree
// 13: its remainder on |r| <= ln(2)/2 is below r^14/14! < 5e-18.
inline double FastExp64(double x) {
  constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52
  constexpr double kInverseFactorial[] = {
      1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
      1.0 / 720,        1.0 / 120,       1.0 / 24,       1.0 / 6,       1.0 / 2,      1.0,         1.0};
  x = x < -708.0 ? -708.0 : x;
  x = x > 708.0 ? 708.0 : x;
  const double shifted = __builtin_fma(x, 1.4426950408889634074, kMagic);
  const double n = shifted - kMagic;
  const double r = __builtin_fma(n, -1.90821492927058770002e-10, __builtin_fma(n, -6.93147180369123816490e-01, x));
  double p = kInverseFactorial[0];
#pragma GCC unroll 13
  for (int i = 1; i < 14; ++i) p = __builtin_fma(p, r, kInverseFactorial[i]);
  const uint64_t exponent = std::bit_cast<uint64_t>(shifted) - std::bit_cast<uint64_t>(kMagic) + 1023u;
  return p * std::bit_cast<double>(exponent << 52);
}

// silu(z) = z * sigmoid(z).
inline float FastSilu(float z) { return z / (1.0f + FastExp(-z)); }

}  // namespace eaq::kernels

#endif  // KERNELS_CPU_VECTOR_MATH_H_
