// half: IEEE binary16. Our own type, so that kernels build and run without a CUDA toolkit; the same bits as
// cuda_fp16.h's
// __half and its conversions (half_test.cc says how that was checked).
#ifndef KERNELS_CUDA_HALF_H_
#define KERNELS_CUDA_HALF_H_

#include <cstdint>

#include "kernels/cuda/bfloat16.h"
#include "kernels/cuda/host_device.h"

namespace eaq::kernels::cuda {

struct Half {
  uint16_t bits;
};

EAQ_HOST_DEVICE float ToFloat(Half x) {
#if defined(__CUDA_ARCH__)
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(x.bits));
  return value;
#else
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t exponent = x.bits >> 10 & 0x1f, fraction = x.bits & 0x3ffu;
  if (exponent == 0x1f) return FloatFromBits(sign | 0x7f800000u | fraction << 13);
  if (exponent != 0) return FloatFromBits(sign | (exponent + 112) << 23 | fraction << 13);
  const float magnitude = static_cast<float>(fraction) * 5.9604644775390625e-8f;  // 2^-24
  return sign != 0 ? -magnitude : magnitude;
#endif
}

// To nearest, ties to even; beyond 65504 + 16 infinite; every NaN becomes 0x7fff, as the hardware's does.
EAQ_HOST_DEVICE Half ToHalf(float x) {
#if defined(__CUDA_ARCH__)
  Half half;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half.bits) : "f"(x));
  return half;
#else
  const uint32_t bits = BitsOfFloat(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return Half{0x7fff};
  if (magnitude >= 0x477ff000u) return Half{static_cast<uint16_t>(sign | 0x7c00u)};  // 65520
  if (magnitude >= 0x38800000u) {                                                    // normal: 2^-14 on
    const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1);
    return Half{static_cast<uint16_t>(sign | (rounded - 0x38000000u) >> 13)};
  }
  // Below: a multiple of 2^-24. Adding 0.5 leaves it in the low bits of a float, rounded by the addition.
  const uint32_t shifted = BitsOfFloat(FloatFromBits(magnitude) + 0.5f) - 0x3f000000u;
  return Half{static_cast<uint16_t>(sign | shifted)};
#endif
}

EAQ_HOST_DEVICE uint32_t PackHalf(float low, float high) {
#if defined(__CUDA_ARCH__)
  uint32_t packed;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
#else
  return static_cast<uint32_t>(ToHalf(low).bits) | static_cast<uint32_t>(ToHalf(high).bits) << 16;
#endif
}

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_HALF_H_
