// bfloat16.h and half.h on the CPU: against the definition of rounding in double precision, and, where there is a CUDA
// toolkit, to the bit against the host side of its cuda_fp16.h and cuda_bf16.h. The device side is one instruction each
// (ptx_test.cc names it).
#include "kernels/cuda/half.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "gtest/gtest.h"
#include "kernels/cuda/bfloat16.h"

#if __has_include(<cuda_fp16.h>)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define HAVE_TOOLKIT 1
#endif

namespace eaq::kernels::cuda {
namespace {

// Every 2^32 / 2^22-th float and its neighbourhood: all exponents, and every pattern of the bits that decide.
template <typename F>
void ForFloats(F f) {
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 1021) f(FloatFromBits(static_cast<uint32_t>(bits)));
  for (uint32_t high = 0; high < 1u << 16; ++high) {
    for (const uint32_t low :
         {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu, 0x0fffu, 0x1000u, 0x1001u, 0x2fffu, 0x3000u, 0x3001u}) {
      f(FloatFromBits(high << 16 | low));
    }
  }
}

// X rounded to a multiple of 2^EXPONENT, ties to even (nearbyint on an exactly scaled double).
double RoundTo(double x, int exponent) { return std::ldexp(std::nearbyint(std::ldexp(x, -exponent)), exponent); }

double Rounded(double x, int fraction_bits, int least_exponent, double largest) {
  if (x == 0 || std::isinf(x)) return x;
  const int exponent = std::max(std::ilogb(x), least_exponent);
  const double y = RoundTo(x, exponent - fraction_bits);
  return std::fabs(y) > largest ? std::copysign(std::numeric_limits<double>::infinity(), x) : y;
}

TEST(HalfTest, RoundsToNearestEven) {
  int64_t wrong = 0;
  ForFloats([&](float x) {
    const float got = ToFloat(ToHalf(x));
    if (std::isnan(x)) {
      wrong += ToHalf(x).bits != 0x7fff;
    } else {
      const double want = Rounded(x, 10, -14, 65504);
      wrong += got != want || std::signbit(got) != std::signbit(x);
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST(Bfloat16Test, RoundsToNearestEven) {
  int64_t wrong = 0;
  ForFloats([&](float x) {
    const float got = ToFloat(ToBf16(x));
    if (std::isnan(x)) {
      wrong += ToBf16(x).bits != 0x7fff;
    } else {
      const double want = Rounded(x, 7, -126, std::ldexp(255.0, 120));
      wrong += got != want || std::signbit(got) != std::signbit(x);
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST(HalfTest, EveryHalfAndBfloat16SurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 1u << 16; ++bits) {
    const auto b = static_cast<uint16_t>(bits);
    const bool half_nan = (b & 0x7fff) > 0x7c00, bf16_nan = (b & 0x7fff) > 0x7f80;
    ASSERT_EQ(std::isnan(ToFloat(Half{b})), half_nan);
    ASSERT_EQ(std::isnan(ToFloat(Bf16{b})), bf16_nan);
    ASSERT_TRUE(half_nan || ToHalf(ToFloat(Half{b})).bits == b) << b;
    ASSERT_TRUE(bf16_nan || ToBf16(ToFloat(Bf16{b})).bits == b) << b;
  }
}

TEST(HalfTest, PackedPairs) {
  EXPECT_EQ(PackHalf(1.0f, -2.0f), 0xc0003c00u);
  EXPECT_EQ(PackBf16(1.0f, -2.0f), 0xc0003f80u);
}

TEST(HalfTest, SameBitsAsTheToolkit) {
#if HAVE_TOOLKIT
  int64_t wrong = 0;
  ForFloats([&](float x) {
    const __half_raw half = __float2half_rn(x);
    const __nv_bfloat16_raw bf16 = __float2bfloat16_rn(x);
    wrong += half.x != ToHalf(x).bits || bf16.x != ToBf16(x).bits;
  });
  EXPECT_EQ(wrong, 0);
  for (uint32_t bits = 0; bits < 1u << 16; ++bits) {
    __half_raw half;
    half.x = static_cast<uint16_t>(bits);
    __nv_bfloat16_raw bf16;
    bf16.x = static_cast<uint16_t>(bits);
    const float a = __half2float(__half(half)), b = __bfloat162float(__nv_bfloat16(bf16));
    const float mine_a = ToFloat(Half{half.x}), mine_b = ToFloat(Bf16{bf16.x});
    ASSERT_TRUE(std::isnan(a) ? std::isnan(mine_a) : BitsOfFloat(a) == BitsOfFloat(mine_a)) << bits;
    ASSERT_TRUE(std::isnan(b) ? std::isnan(mine_b) : BitsOfFloat(b) == BitsOfFloat(mine_b)) << bits;
  }
#else
  GTEST_SKIP() << "no CUDA toolkit: nothing to compare with";
#endif
}

}  // namespace
}  // namespace eaq::kernels::cuda
