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
//   kStepsOfTokens  steps that share 32 bytes of the tokens' rows
//   Expand      the A operand of step p of the piece, for row tile `tile` of the brick; on_top: GemmConfig::kOnTop;
//               z: 128 + zero point of rows g and g + 8, twice in a word each (bf16 only)
//   Multiply    d += W x for step p
template <int kWeightBits, int kActivationBits>
struct Fragments;

struct PlainFragments {
  static constexpr int kStepsOfTokens = 1;
};

__device__ __forceinline__ uint4 LoadWords(const uint8_t* plane, int piece) {
  return ptx::LoadShared(reinterpret_cast<const uint4*>(plane) + piece * 32 + threadIdx.x % 32);
}

template <>
struct Fragments<8, 8> : PlainFragments {
  static constexpr int kGroups = 4, kProducts = 1;
  using Words = uint4;
  using Sum = int32_t;
  __device__ static __forceinline__ Words Load(const uint8_t* brick, int g) { return LoadWords(brick, g); }
  __device__ static __forceinline__ void Expand(uint32_t (&a)[4], const Words& w, int, bool, int,
                                                const uint32_t (&)[2]) {
    a[0] = w.x;
    a[1] = w.y;
    a[2] = w.z;
    a[3] = w.w;
  }
  __device__ static __forceinline__ void Multiply(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                                                  int) {
    ptx::MmaS8(d, a, b);
  }
};

// Codes of row r (low nibbles, from 0) and row r + 16 (high nibbles, from 8) are in one word.
template <>
struct Fragments<4, 8> : PlainFragments {
  static constexpr int kGroups = 4, kProducts = 1;
  using Words = uint4;
  using Sum = int32_t;
  __device__ static __forceinline__ Words Load(const uint8_t* brick, int g) { return LoadWords(brick, g); }
  __device__ static __forceinline__ void Expand(uint32_t (&a)[4], const Words& w, int tile, bool on_top, int,
                                                const uint32_t (&)[2]) {
    const uint32_t mask = tile == 0 ? 0x0f0f0f0fu : on_top ? 0xffffffffu : 0xf0f0f0f0u;
    a[0] = w.x & mask;
    a[1] = w.y & mask;
    a[2] = w.z & mask;
    a[3] = w.w & mask;
  }
  __device__ static __forceinline__ void Multiply(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                                                  int) {
    ptx::MmaS8(d, a, b);
  }
};

// Both sides int4: 64 columns a step; or (kHalves) a step for each 32 of them, the low nibbles' and the high ones'.
// A nibble in the upper half of a byte is 16 times its value, sign included.
template <bool kHalves>
struct Int4Fragments : PlainFragments {
  static constexpr int kGroups = 2, kProducts = kHalves ? 2 : 1, kStepsOfTokens = kHalves ? 2 : 1;
  using Words = uint4;
  using Sum = int32_t;
  __device__ static __forceinline__ Words Load(const uint8_t* brick, int g) { return LoadWords(brick, g); }
  // One half of the columns: natively nothing is left of the other; by int8 it is in the upper half of its byte.
  __device__ static __forceinline__ uint32_t Pick(uint32_t w, int p, bool by_int8) {
    if (by_int8) return (p == 0 ? w << 4 : w) & 0xf0f0f0f0u;
    return p == 0 ? w & 0x0f0f0f0fu : w & 0xf0f0f0f0u;
  }
  __device__ static __forceinline__ void Expand(uint32_t (&a)[4], const Words& w, int, bool, int p,
                                                const uint32_t (&)[2]) {
    const bool pick = kHalves && !Int4ByInt8();
    a[0] = pick ? Pick(w.x, p, false) : w.x;
    a[1] = pick ? Pick(w.y, p, false) : w.y;
    a[2] = pick ? Pick(w.z, p, false) : w.z;
    a[3] = pick ? Pick(w.w, p, false) : w.w;
  }
  __device__ static __forceinline__ void Multiply(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                                                  int step) {
    if (!Int4ByInt8()) {
      ptx::MmaS4(d, a, b);
      return;
    }
#pragma unroll
    for (int p = kHalves ? step : 0; p < (kHalves ? step + 1 : 2); ++p) {
      uint32_t a8[4], b8[2];
#pragma unroll
      for (int i = 0; i < 4; ++i) a8[i] = Pick(a[i], p, true);
#pragma unroll
      for (int i = 0; i < 2; ++i) b8[i] = Pick(b[i], p, true);
      ptx::MmaS8(d, a8, b8);
    }
  }
};
template <>
struct Fragments<4, 4> : Int4Fragments<false> {};

// Codes become bfloat16s two at a time: a code u in the low bits of 0x4300 is the bfloat16 128 + u. Lay puts bits FROM,
// FROM + 1, ... of either half of w to TO, TO + 1, ... of either half of `bits`, where MASK (of bits at TO) has them.
inline constexpr uint32_t kBf16Of128 = 0x43004300u;

__device__ __forceinline__ uint32_t Lay(uint32_t w, int from, int to, uint32_t mask, uint32_t bits) {
  return ptx::AndOr(from >= to ? w >> (from - to) : w << (to - from), mask * 0x00010001u, bits);
}
// Less 128 + z (exact: both are integers below 256).
__device__ __forceinline__ uint32_t LessZero(uint32_t w, uint32_t z) { return SubtractBf16x2(w, z); }

template <>
struct Fragments<4, 16> : PlainFragments {
  static constexpr int kGroups = 2, kProducts = 4;
  using Words = uint4;
  using Sum = float;
  __device__ static __forceinline__ Words Load(const uint8_t* brick, int g) { return LoadWords(brick, g); }
  __device__ static __forceinline__ void Expand(uint32_t (&a)[4], const Words& w, int, bool, int p,
                                                const uint32_t (&z)[2]) {
    a[0] = LessZero(Lay(w.x, 4 * p, 0, 0xf, kBf16Of128), z[0]);
    a[1] = LessZero(Lay(w.y, 4 * p, 0, 0xf, kBf16Of128), z[1]);
    a[2] = LessZero(Lay(w.z, 4 * p, 0, 0xf, kBf16Of128), z[0]);
    a[3] = LessZero(Lay(w.w, 4 * p, 0, 0xf, kBf16Of128), z[1]);
  }
  __device__ static __forceinline__ void Multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], int) {
    ptx::MmaBf16(d, a, b);
  }
};

template <>
struct Fragments<2, 16> : PlainFragments {
  static constexpr int kGroups = 1, kProducts = 8;
  using Words = uint4;
  using Sum = float;
  __device__ static __forceinline__ Words Load(const uint8_t* brick, int g) { return LoadWords(brick, g); }
  __device__ static __forceinline__ void Expand(uint32_t (&a)[4], const Words& w, int, bool, int p,
                                                const uint32_t (&z)[2]) {
    a[0] = LessZero(Lay(w.x, 2 * p, 0, 0x3, kBf16Of128), z[0]);
    a[1] = LessZero(Lay(w.y, 2 * p, 0, 0x3, kBf16Of128), z[1]);
    a[2] = LessZero(Lay(w.z, 2 * p, 0, 0x3, kBf16Of128), z[0]);
    a[3] = LessZero(Lay(w.w, 2 * p, 0, 0x3, kBf16Of128), z[1]);
  }
  __device__ static __forceinline__ void Multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], int) {
    ptx::MmaBf16(d, a, b);
  }
};

// Low two bits as above, the third in a plane of its own behind them (8 bytes a lane).
template <>
struct Fragments<3, 16> : PlainFragments {
  static constexpr int kGroups = 1, kProducts = 8;
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
  __device__ static __forceinline__ void Expand(uint32_t (&a)[4], const Words& w, int, bool, int p,
                                                const uint32_t (&z)[2]) {
    a[0] = LessZero(Both(w.low.x, w.high.x, 0, p), z[0]);
    a[1] = LessZero(Both(w.low.y, w.high.x, 1, p), z[1]);
    a[2] = LessZero(Both(w.low.z, w.high.y, 0, p), z[0]);
    a[3] = LessZero(Both(w.low.w, w.high.y, 1, p), z[1]);
  }
  __device__ static __forceinline__ void Multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], int) {
    ptx::MmaBf16(d, a, b);
  }
};

// Low four bits, the other two in a plane behind them; piece g has products 4g .. 4g + 3 of either.
template <>
struct Fragments<6, 16> : PlainFragments {
  static constexpr int kGroups = 2, kProducts = 4;
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
  __device__ static __forceinline__ void Expand(uint32_t (&a)[4], const Words& w, int, bool, int p,
                                                const uint32_t (&z)[2]) {
    a[0] = LessZero(Both(w.low.x, w.high.x, p), z[0]);
    a[1] = LessZero(Both(w.low.y, w.high.y, p), z[1]);
    a[2] = LessZero(Both(w.low.z, w.high.z, p), z[0]);
    a[3] = LessZero(Both(w.low.w, w.high.w, p), z[1]);
  }
  __device__ static __forceinline__ void Multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], int) {
    ptx::MmaBf16(d, a, b);
  }
};

// Of weights with kGrids grids for each 128 columns.
template <int kWeightBits, int kActivationBits, int kGrids>
struct FragmentsOf {
  using type = Fragments<kWeightBits, kActivationBits>;
};
template <>
struct FragmentsOf<4, 4, 4> {
  using type = Int4Fragments<true>;
};

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_GROUPED_GEMM_FRAGMENTS_H_
