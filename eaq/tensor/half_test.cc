// bf16.h and f16.h: every one of the 65536 patterns, and rounding against a naive twin in double precision.
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "eaq/base/rng.h"
#include "eaq/tensor/bf16.h"
#include "eaq/tensor/f16.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

struct Format {
  int exponent_bits;
  int fraction_bits;
  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
};
constexpr Format kF16 = {5, 10};
constexpr Format kBf16 = {8, 7};

// The value of a pattern by the definition of IEEE 754: (-1)^s * 2^(e - bias) * 1.f, subnormals 2^(1 - bias) * 0.f.
double Value(Format format, uint16_t bits) {
  const int exponent = (bits >> format.fraction_bits) & ((1 << format.exponent_bits) - 1);
  const double fraction = bits & ((1 << format.fraction_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << format.exponent_bits) - 1) {
    return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  }
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - format.bias() - format.fraction_bits);
  return sign * std::ldexp(fraction + (1 << format.fraction_bits), exponent - format.bias() - format.fraction_bits);
}

// Rounding by definition: of the two finite patterns around |x| (patterns of one sign are ordered like their values)
// the nearer, at a tie the even one; infinity stands for 2^(bias + 1), the next power of two.
uint16_t Round(Format format, float x) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const double magnitude = std::fabs(double{x});
  const uint16_t infinity = ((1 << format.exponent_bits) - 1) << format.fraction_bits;
  if (std::isinf(x)) return sign | infinity;
  auto value = [&](uint16_t p) { return p == infinity ? std::ldexp(1.0, format.bias() + 1) : Value(format, p); };
  if (magnitude >= value(infinity)) return sign | infinity;
  uint16_t low = 0, high = infinity;  // value(low) <= magnitude < value(high)
  while (high - low > 1) {
    const uint16_t middle = (low + high) / 2;
    (value(middle) <= magnitude ? low : high) = middle;
  }
  const double below = magnitude - value(low), above = value(high) - magnitude;
  if (below != above) return sign | (below < above ? low : high);
  return sign | (low % 2 == 0 ? low : high);
}

// Interesting floats: around every pattern's value, every midpoint between neighbours, and random bits.
std::vector<float> Probes(Format format) {
  std::vector<float> probes;
  for (int bits = 0; bits < 0x8000; ++bits) {
    const double here = Value(format, bits), next = Value(format, bits + 1);
    if (!std::isfinite(here)) break;
    const double middle =
        std::isfinite(next) ? (here + next) / 2 : here + std::ldexp(1.0, format.bias() - format.fraction_bits - 1);
    for (const double value : {here, middle}) {
      const float f = static_cast<float>(value);
      for (const float probe : {f, std::nextafterf(f, 0), std::nextafterf(f, INFINITY)}) {
        probes.push_back(probe);
        probes.push_back(-probe);
      }
    }
  }
  Rng rng(1, "half_test");
  for (int i = 0; i < 200000; ++i) probes.push_back(std::bit_cast<float>(static_cast<uint32_t>(rng.Next64())));
  for (const float special : {0.0f, INFINITY, std::numeric_limits<float>::max(), std::numeric_limits<float>::min(),
                              std::numeric_limits<float>::denorm_min(), 65504.0f, 65519.0f, 65520.0f, 65535.0f}) {
    probes.push_back(special);
    probes.push_back(-special);
  }
  return probes;
}

TEST(F16Test, EveryPatternHasItsValueAndComesBack) {
  for (int bits = 0; bits < 65536; ++bits) {
    const float f = F16ToFloat(bits);
    const double expected = Value(kF16, bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(f)) << bits;
      ASSERT_TRUE(std::isnan(F16ToFloat(FloatToF16(f)))) << bits;
      continue;
    }
    ASSERT_EQ(f, expected) << bits;
    ASSERT_EQ(std::signbit(f), (bits & 0x8000) != 0) << bits;
    ASSERT_EQ(FloatToF16(f), bits);
  }
}

TEST(Bf16Test, EveryPatternHasItsValueAndComesBack) {
  for (int bits = 0; bits < 65536; ++bits) {
    const float f = Bf16ToFloat(bits);
    const double expected = Value(kBf16, bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(f)) << bits;
      ASSERT_TRUE(std::isnan(Bf16ToFloat(FloatToBf16(f)))) << bits;
      continue;
    }
    ASSERT_EQ(f, expected) << bits;
    ASSERT_EQ(std::signbit(f), (bits & 0x8000) != 0) << bits;
    ASSERT_EQ(FloatToBf16(f), bits);
  }
}

TEST(F16Test, RoundsToNearestEven) {
  for (const float x : Probes(kF16)) {
    if (std::isnan(x)) {
      ASSERT_TRUE(std::isnan(F16ToFloat(FloatToF16(x))));
    } else {
      ASSERT_EQ(FloatToF16(x), Round(kF16, x)) << x;
    }
  }
}

TEST(Bf16Test, RoundsToNearestEven) {
  for (const float x : Probes(kBf16)) {
    if (std::isnan(x)) {
      ASSERT_TRUE(std::isnan(Bf16ToFloat(FloatToBf16(x))));
    } else {
      ASSERT_EQ(FloatToBf16(x), Round(kBf16, x)) << x;
    }
  }
}

// A NaN whose set bits all lie below the cut must not become an infinity.
TEST(HalfTest, NanWithLowBitsStaysNan) {
  const float nan = std::bit_cast<float>(0x7f800001u);
  EXPECT_TRUE(std::isnan(Bf16ToFloat(FloatToBf16(nan))));
  EXPECT_TRUE(std::isnan(F16ToFloat(FloatToF16(nan))));
}

}  // namespace
}  // namespace eaq
