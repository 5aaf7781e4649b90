// bfloat16: the upper half of a float. Our own type, so that kernels build and run without a CUDA toolkit; the same
// bits as cuda_bf16.h's __nv_bfloat16 and its conversions (half_test.cc says how that was checked).
#ifndef KERNELS_CUDA_BFLOAT16_H_
#define KERNELS_CUDA_BFLOAT16_H_

#include <cstdint>
#include <cstring>

#include "kernels/cuda/host_device.h"

namespace eaq::kernels::cuda {

struct Bf16 {
  uint16_t bits;
};

EAQ_HOST_DEVICE float FloatFromBits(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
#endif
}

EAQ_HOST_DEVICE uint32_t BitsOfFloat(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(x);
#else
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
#endif
}

EAQ_HOST_DEVICE float ToFloat(Bf16 x) { return FloatFromBits(static_cast<uint32_t>(x.bits) << 16); }

// Two at once: LOW in bits 0 to 15. To nearest, ties to even; every NaN becomes 0x7fff, as the hardware's does.
EAQ_HOST_DEVICE uint32_t PackBf16(float low, float high) {
#if defined(__CUDA_ARCH__)  // one instruction from sm_80 on
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
#else
  uint32_t packed = 0;
  const float values[2] = {low, high};
  for (int i = 0; i < 2; ++i) {
    const uint32_t bits = BitsOfFloat(values[i]);
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    const uint32_t rounded = nan ? 0x7fffu : (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    packed |= rounded << (16 * i);
  }
  return packed;
#endif
}

EAQ_HOST_DEVICE Bf16 ToBf16(float x) { return Bf16{static_cast<uint16_t>(PackBf16(x, 0.0f))}; }

// a - b for two in a word each, rounded to nearest even: a * 1 + (-b), which sm_80 has as one instruction.
EAQ_HOST_DEVICE uint32_t SubtractBf16x2(uint32_t a, uint32_t b) {
#if defined(__CUDA_ARCH__)
  uint32_t difference;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(difference) : "r"(a), "r"(0x3f803f80u), "r"(b ^ 0x80008000u));
  return difference;
#else
  float halves[2];
  for (int i = 0; i < 2; ++i) {
    halves[i] =
        ToFloat(Bf16{static_cast<uint16_t>(a >> (16 * i))}) - ToFloat(Bf16{static_cast<uint16_t>(b >> (16 * i))});
  }
  return PackBf16(halves[0], halves[1]);
#endif
}

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_BFLOAT16_H_
