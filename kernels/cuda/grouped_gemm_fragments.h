// Device code of grouped_gemm: from packed words to registers of mma, for each pair of weight and activation width.
#ifndef KERNELS_CUDA_GROUPED_GEMM_FRAGMENTS_H_
#define KERNELS_CUDA_GROUPED_GEMM_FRAGMENTS_H_

#include <cstdint>

#include "kernels/cuda/bfloat16.h"
#include "kernels/cuda/ptx.h"
#include "kernels/emulation/cuda_emulation.h"

#if !defined(__CUDACC__)
#include "kernels/emulation/options.h"
#endif

namespace eaq::kernels::cuda {

// Whether 4 x 4 bits go through two int8 products (sm_90 and later have no int4 tensor cores).
__device__ __forceinline__ bool Int4ByInt8() {
#if defined(__CUDA_ARCH__)
  return __CUDA_ARCH__ >= 900;
#elif defined(__CUDACC__)
  return false;  // the host's pass of nvcc, never run
#else
  return emulation::CurrentOptions().architecture >= 90;
#endif
}

// Fragments<bits of weights, bits of activations>:
//   kGroups     pieces of a brick that are loaded at once (words of one lane: Words)
//   kProducts   32-byte steps along the tokens' rows that a piece serves
//   Load        a lane's words of piece g of a brick in shared memory
//   Multiply    d += W x for step p of the piece; z: 128 + zero point of rows g and g + 8, twice in a word each (bf16
//   only)
template <int kWeightBits, int kActivationBits>
struct Fragments;

__device__ __forceinline__ uint4 LoadWords(const uint8_t* plane, int piece) {
  return ptx::LoadShared(reinterpret_cast<const uint4*>(plane) + piece * 32 + threadIdx.x % 32);
}

template <>
struct Fragments<8, 8> {
  static constexpr int kGroups = 4, kProducts = 1;
  static constexpr int kShift = 0;  // sums are 2^kShift times the true ones
  using Words = uint4;
  using Sum = int32_t;
  __device__ static __forceinline__ Words Load(const uint8_t* brick, int g) { return LoadWords(brick, g); }
  __device__ static __forceinline__ void Expand(uint32_t (&a)[4], const Words& w, int, const uint32_t (&)[2]) {
    a[0] = w.x;
    a[1] = w.y;
    a[2] = w.z;
    a[3] = w.w;
  }
  __device__ static __forceinline__ void Multiply(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::MmaS8(d, a, b);
  }
};

// A nibble in the upper half of a byte is 16 times its value, sign included.
template <>
struct Fragments<4, 8> {
  static constexpr int kGroups = 2, kProducts = 2;
  static constexpr int kShift = 4;
  using Words = uint4;
  using Sum = int32_t;
  __device__ static __forceinline__ Words Load(const uint8_t* brick, int g) { return LoadWords(brick, g); }
  __device__ static __forceinline__ uint32_t Pick(uint32_t w, int p) { return (p == 0 ? w << 4 : w) & 0xf0f0f0f0u; }
  __device__ static __forceinline__ void Expand(uint32_t (&a)[4], const Words& w, int p, const uint32_t (&)[2]) {
    a[0] = Pick(w.x, p);
    a[1] = Pick(w.y, p);
    a[2] = Pick(w.z, p);
    a[3] = Pick(w.w, p);
  }
  __device__ static __forceinline__ void Multiply(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::MmaS8(d, a, b);
  }
};

// Both sides int4: 64 columns a step.
template <>
struct Fragments<4, 4> {
  static constexpr int kGroups = 2, kProducts = 1;
  static constexpr int kShift = 8;  // by int8; 0 natively
  using Words = uint4;
  using Sum = int32_t;
  __device__ static __forceinline__ Words Load(const uint8_t* brick, int g) { return LoadWords(brick, g); }
  __device__ static __forceinline__ void Expand(uint32_t (&a)[4], const Words& w, int, const uint32_t (&)[2]) {
    a[0] = w.x;
    a[1] = w.y;
    a[2] = w.z;
    a[3] = w.w;
  }
  __device__ static __forceinline__ void Multiply(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    if (!Int4ByInt8()) {
      ptx::MmaS4(d, a, b);
      return;
    }
#pragma unroll
    for (int p = 0; p < 2; ++p) {
      uint32_t a8[4], b8[2];
#pragma unroll
      for (int i = 0; i < 4; ++i) a8[i] = Fragments<4, 8>::Pick(a[i], p);
#pragma unroll
      for (int i = 0; i < 2; ++i) b8[i] = Fragments<4, 8>::Pick(b[i], p);
      ptx::MmaS8(d, a8, b8);
    }
  }
};

// Codes become bfloat16s two at a time: a code u in the low bits of 0x4300 is the bfloat16 128 + u. Lay puts bits FROM,
// FROM + 1, ... of either half of w to TO, TO + 1, ... of either half of `bits`, where MASK (of bits at TO) has them.
inline constexpr uint32_t kBf16Of128 = 0x43004300u;

__device__ __forceinline__ uint32_t Lay(uint32_t w, int from, int to, uint32_t mask, uint32_t bits) {
  return ptx::AndOr(from >= to ? w >> (from - to) : w << (to - from), mask * 0x00010001u, bits);
}
// Less 128 + z (exact: both are integers below 256).
__device__ __forceinline__ uint32_t LessZero(uint32_t w, uint32_t z) { return SubtractBf16x2(w, z); }

template <>
struct Fragments<4, 16> {
  static constexpr int kGroups = 2, kProducts = 4;
  static constexpr int kShift = 0;
  using Words = uint4;
  using Sum = float;
  __device__ static __forceinline__ Words Load(const uint8_t* brick, int g) { return LoadWords(brick, g); }
  __device__ static __forceinline__ void Expand(uint32_t (&a)[4], const Words& w, int p, const uint32_t (&z)[2]) {
    a[0] = LessZero(Lay(w.x, 4 * p, 0, 0xf, kBf16Of128), z[0]);
    a[1] = LessZero(Lay(w.y, 4 * p, 0, 0xf, kBf16Of128), z[1]);
    a[2] = LessZero(Lay(w.z, 4 * p, 0, 0xf, kBf16Of128), z[0]);
    a[3] = LessZero(Lay(w.w, 4 * p, 0, 0xf, kBf16Of128), z[1]);
  }
  __device__ static __forceinline__ void Multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::MmaBf16(d, a, b);
  }
};

template <>
struct Fragments<2, 16> {
  static constexpr int kGroups = 1, kProducts = 8;
  static constexpr int kShift = 0;
  using Words = uint4;
  using Sum = float;
  __device__ static __forceinline__ Words Load(const uint8_t* brick, int g) { return LoadWords(brick, g); }
  __device__ static __forceinline__ void Expand(uint32_t (&a)[4], const Words& w, int p, const uint32_t (&z)[2]) {
    a[0] = LessZero(Lay(w.x, 2 * p, 0, 0x3, kBf16Of128), z[0]);
    a[1] = LessZero(Lay(w.y, 2 * p, 0, 0x3, kBf16Of128), z[1]);
    a[2] = LessZero(Lay(w.z, 2 * p, 0, 0x3, kBf16Of128), z[0]);
    a[3] = LessZero(Lay(w.w, 2 * p, 0, 0x3, kBf16Of128), z[1]);
  }
  __device__ static __forceinline__ void Multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::MmaBf16(d, a, b);
  }
};

// Low two bits as above, the third in a plane of its own behind them (8 bytes a lane).
template <>
struct Fragments<3, 16> {
  static constexpr int kGroups = 1, kProducts = 8;
  static constexpr int kShift = 0;
  struct Words {
    uint4 low;
    uint2 high;
  };
  using Sum = float;
  __device__ static __forceinline__ Words Load(const uint8_t* brick, int) {
    return {LoadWords(brick, 0), ptx::LoadShared(reinterpret_cast<const uint2*>(brick + 512) + threadIdx.x % 32)};
  }
  __device__ static __forceinline__ uint32_t Both(uint32_t low, uint32_t high, int i, int p) {
    return Lay(low, 2 * p, 0, 0x3, Lay(high, 8 * i + p, 2, 0x4, kBf16Of128));
  }
  __device__ static __forceinline__ void Expand(uint32_t (&a)[4], const Words& w, int p, const uint32_t (&z)[2]) {
    a[0] = LessZero(Both(w.low.x, w.high.x, 0, p), z[0]);
    a[1] = LessZero(Both(w.low.y, w.high.x, 1, p), z[1]);
    a[2] = LessZero(Both(w.low.z, w.high.y, 0, p), z[0]);
    a[3] = LessZero(Both(w.low.w, w.high.y, 1, p), z[1]);
  }
  __device__ static __forceinline__ void Multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::MmaBf16(d, a, b);
  }
};

// Low four bits, the other two in a plane behind them; piece g has products 4g .. 4g + 3 of either.
template <>
struct Fragments<6, 16> {
  static constexpr int kGroups = 2, kProducts = 4;
  static constexpr int kShift = 0;
  struct Words {
    uint4 low, high;
  };
  using Sum = float;
  __device__ static __forceinline__ Words Load(const uint8_t* brick, int g) {
    uint4 high = LoadWords(brick + 1024, 0);
    high.x >>= 8 * g;  // codes of products 4g on to the bottom; what is above is masked away
    high.y >>= 8 * g;
    high.z >>= 8 * g;
    high.w >>= 8 * g;
    return {LoadWords(brick, g), high};
  }
  __device__ static __forceinline__ uint32_t Both(uint32_t low, uint32_t high, int p) {
    return Lay(low, 4 * p, 0, 0xf, Lay(high, 2 * p, 4, 0x30, kBf16Of128));
  }
  __device__ static __forceinline__ void Expand(uint32_t (&a)[4], const Words& w, int p, const uint32_t (&z)[2]) {
    a[0] = LessZero(Both(w.low.x, w.high.x, p), z[0]);
    a[1] = LessZero(Both(w.low.y, w.high.y, p), z[1]);
    a[2] = LessZero(Both(w.low.z, w.high.z, p), z[0]);
    a[3] = LessZero(Both(w.low.w, w.high.w, p), z[1]);
  }
  __device__ static __forceinline__ void Multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::MmaBf16(d, a, b);
  }
};

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_GROUPED_GEMM_FRAGMENTS_H_
