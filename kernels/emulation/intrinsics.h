// CUDA's device functions under their own names, for kernels that run emulated. What one lane computes alone is here in
// full; what lanes do together calls the emulator. The results are CUDA's to the bit for integers, conversions and
// correctly rounded arithmetic; the approximate ones (__expf, rsqrtf, ...) are more exact here than on a GPU.
#ifndef KERNELS_EMULATION_INTRINSICS_H_
#define KERNELS_EMULATION_INTRINSICS_H_

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/emulation/atomics.h"
#include "kernels/emulation/barrier.h"
#include "kernels/emulation/coordinates.h"
#include "kernels/emulation/launch.h"
#include "kernels/emulation/shuffle.h"
#include "kernels/emulation/site.h"

#define EAQ_SITE ::eaq::kernels::emulation::Site site = ::eaq::kernels::emulation::Site::Here()

// ---- barriers and order
inline void __syncthreads(EAQ_SITE) { ::eaq::kernels::emulation::ArriveAndWait(0, 0, true, site); }
inline int __syncthreads_count(int predicate, EAQ_SITE) {
  return static_cast<int>(::eaq::kernels::emulation::ArriveAndWait(0, 0, predicate != 0, site).count_true);
}
inline int __syncthreads_or(int predicate, EAQ_SITE) {
  return ::eaq::kernels::emulation::ArriveAndWait(0, 0, predicate != 0, site).count_true != 0;
}
inline int __syncthreads_and(int predicate, EAQ_SITE) {
  const auto result = ::eaq::kernels::emulation::ArriveAndWait(0, 0, predicate != 0, site);
  return result.count_true == result.threads;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, EAQ_SITE) { ::eaq::kernels::emulation::SyncWarp(mask, site); }
inline void __threadfence() { ::eaq::kernels::emulation::Fence(); }
inline void __threadfence_block() { ::eaq::kernels::emulation::Fence(); }
// A loop that waits for another thread's word must call this in every turn: nobody else runs otherwise.
inline void __nanosleep(unsigned, EAQ_SITE) { ::eaq::kernels::emulation::Spin(site); }

// ---- lanes among each other
#define EAQ_SHUFFLE(name, kind, Argument)                                                                     \
  template <typename T>                                                                                       \
  T name(unsigned mask, T value, Argument argument, int width = 32, EAQ_SITE) {                               \
    return ::eaq::kernels::emulation::ShuffleValue(::eaq::kernels::emulation::ShuffleKind::kind, mask, value, \
                                                   static_cast<int>(argument), width, site);                  \
  }
EAQ_SHUFFLE(__shfl_sync, kIndex, int)
EAQ_SHUFFLE(__shfl_up_sync, kUp, unsigned)
EAQ_SHUFFLE(__shfl_down_sync, kDown, unsigned)
EAQ_SHUFFLE(__shfl_xor_sync, kXor, int)
#undef EAQ_SHUFFLE
inline unsigned __ballot_sync(unsigned mask, int predicate, EAQ_SITE) {
  return ::eaq::kernels::emulation::Ballot(mask, predicate != 0, site);
}
inline int __any_sync(unsigned mask, int predicate, EAQ_SITE) {
  return ::eaq::kernels::emulation::Any(mask, predicate != 0, site);
}
inline int __all_sync(unsigned mask, int predicate, EAQ_SITE) {
  return ::eaq::kernels::emulation::All(mask, predicate != 0, site);
}
template <typename T>
unsigned __match_any_sync(unsigned mask, T value, EAQ_SITE) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return ::eaq::kernels::emulation::MatchAny(mask, bits, site);
}
#define EAQ_REDUCE(name, T, kind)                                                                             \
  inline T name(unsigned mask, T value, EAQ_SITE) {                                                           \
    return static_cast<T>(::eaq::kernels::emulation::Reduce(::eaq::kernels::emulation::Reduction::kind, mask, \
                                                            static_cast<uint32_t>(value), site));             \
  }
EAQ_REDUCE(__reduce_add_sync, unsigned, kAdd)
EAQ_REDUCE(__reduce_add_sync, int, kAdd)
EAQ_REDUCE(__reduce_min_sync, unsigned, kUnsignedMin)
EAQ_REDUCE(__reduce_min_sync, int, kMin)
EAQ_REDUCE(__reduce_max_sync, unsigned, kUnsignedMax)
EAQ_REDUCE(__reduce_max_sync, int, kMax)
EAQ_REDUCE(__reduce_and_sync, unsigned, kAnd)
EAQ_REDUCE(__reduce_or_sync, unsigned, kOr)
EAQ_REDUCE(__reduce_xor_sync, unsigned, kXor)
#undef EAQ_REDUCE

// ---- atomics: relaxed, return the old value
template <typename T>
T atomicAdd(T* address, std::common_type_t<T> value) {
  return ::eaq::kernels::emulation::AtomicUpdate(address, [=](T old) { return static_cast<T>(old + value); });
}
template <typename T>
T atomicSub(T* address, std::common_type_t<T> value) {
  return ::eaq::kernels::emulation::AtomicUpdate(address, [=](T old) { return static_cast<T>(old - value); });
}
template <typename T>
T atomicMin(T* address, std::common_type_t<T> value) {
  return ::eaq::kernels::emulation::AtomicUpdate(address, [=](T old) { return value < old ? value : old; });
}
template <typename T>
T atomicMax(T* address, std::common_type_t<T> value) {
  return ::eaq::kernels::emulation::AtomicUpdate(address, [=](T old) { return old < value ? value : old; });
}
template <typename T>
T atomicAnd(T* address, std::common_type_t<T> value) {
  return ::eaq::kernels::emulation::AtomicUpdate(address, [=](T old) { return old & value; });
}
template <typename T>
T atomicOr(T* address, std::common_type_t<T> value) {
  return ::eaq::kernels::emulation::AtomicUpdate(address, [=](T old) { return old | value; });
}
template <typename T>
T atomicXor(T* address, std::common_type_t<T> value) {
  return ::eaq::kernels::emulation::AtomicUpdate(address, [=](T old) { return old ^ value; });
}
template <typename T>
T atomicExch(T* address, std::common_type_t<T> value) {
  return ::eaq::kernels::emulation::AtomicUpdate(address, [=](T) { return value; });
}
template <typename T>
T atomicCAS(T* address, std::common_type_t<T> expected, std::common_type_t<T> value) {
  return ::eaq::kernels::emulation::AtomicUpdate(address, [=](T old) { return old == expected ? value : old; });
}
// Counts round: old >= limit ? 0 : old + 1.
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return ::eaq::kernels::emulation::AtomicUpdate(address, [=](unsigned old) { return old >= limit ? 0 : old + 1; });
}

// ---- bits
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= (x >> i & 1) << (31 - i);
  return reversed;
}
// Four bytes picked from the eight of y:x by the nibbles of SELECT; bit 3 of a nibble spreads the byte's sign.
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned select) {
  const uint64_t bytes = uint64_t{y} << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned nibble = select >> (4 * i) & 0xf;
    unsigned byte = static_cast<unsigned>(bytes >> (8 * (nibble & 7))) & 0xff;
    if (nibble & 8) byte = byte & 0x80 ? 0xff : 0;
    result |= byte << (8 * i);
  }
  return result;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  shift &= 31;
  return shift == 0 ? high : high << shift | low >> (32 - shift);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  shift &= 31;
  return shift == 0 ? low : high << (32 - shift) | low >> shift;
}
inline int __dp4a(int a, int b, int c) {
  auto sum = static_cast<unsigned>(c);
  for (int i = 0; i < 4; ++i) {
    sum += static_cast<unsigned>(static_cast<int8_t>(a >> (8 * i)) * static_cast<int8_t>(b >> (8 * i)));
  }
  return static_cast<int>(sum);
}
inline int __mulhi(int a, int b) { return static_cast<int>(int64_t{a} * b >> 32); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(uint64_t{a} * b >> 32); }

// ---- conversions
template <typename To, typename From>
To EaqBitCast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}
inline unsigned __float_as_uint(float x) { return EaqBitCast<unsigned>(x); }
inline int __float_as_int(float x) { return EaqBitCast<int>(x); }
inline float __uint_as_float(unsigned x) { return EaqBitCast<float>(x); }
inline float __int_as_float(int x) { return EaqBitCast<float>(x); }
// Of a value already rounded; what does not fit saturates, NaN gives 0, as cvt does.
inline int EaqToInt(float x) {
  if (std::isnan(x)) return 0;
  if (x >= 2147483648.0f) return std::numeric_limits<int>::max();
  if (x < -2147483648.0f) return std::numeric_limits<int>::min();
  return static_cast<int>(x);
}
inline int __float2int_rn(float x) { return EaqToInt(std::nearbyintf(x)); }
inline int __float2int_rd(float x) { return EaqToInt(std::floor(x)); }
inline int __float2int_ru(float x) { return EaqToInt(std::ceil(x)); }
inline int __float2int_rz(float x) { return EaqToInt(std::trunc(x)); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline float __double2float_rn(double x) { return static_cast<float>(x); }

// ---- arithmetic
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }  // NaN: 0
inline float __expf(float x) { return std::exp(x); }
inline float __exp10f(float x) { return std::pow(10.0f, x); }
inline float __logf(float x) { return std::log(x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __powf(float x, float y) { return std::pow(x, y); }
inline float __sinf(float x) { return std::sin(x); }
inline float __cosf(float x) { return std::cos(x); }
inline void __sincosf(float x, float* sine, float* cosine) { *sine = std::sin(x), *cosine = std::cos(x); }
inline float rsqrtf(float x) { return static_cast<float>(1.0 / std::sqrt(double{x})); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }

template <typename A, typename B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  return static_cast<T>(b) < static_cast<T>(a) ? static_cast<T>(b) : static_cast<T>(a);
}
template <typename A, typename B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a);
}

// ---- loads and stores with a cache hint
template <typename T>
T __ldg(const T* p) {
  return *p;
}
template <typename T>
T __ldcs(const T* p) {
  return *p;
}
template <typename T>
T __ldcg(const T* p) {
  return *p;
}
template <typename T>
void __stcs(T* p, T value) {
  *p = value;
}
template <typename T>
void __stcg(T* p, T value) {
  *p = value;
}

#endif  // KERNELS_EMULATION_INTRINSICS_H_
