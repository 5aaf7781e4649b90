#include "eaq/quant/grid.h"

#include <cmath>
#include <limits>
#include <vector>

#include "eaq/base/status_matchers.h"
#include "eaq/tensor/f16.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

constexpr auto kF32 = ScaleStorage::kFloat32;
constexpr auto kF16 = ScaleStorage::kFloat16;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

GridSpec Spec(int bits, GridKind kind) {
  GridSpec spec;
  spec.bits = bits;
  spec.kind = kind;
  return spec;
}

// The value that `w` becomes.
float RoundTrip(float w, GridParams p, const GridSpec& spec) {
  return DequantizeCode(QuantizeCode(w, p, spec.max_code()), p);
}

TEST(GridTest, FourBitScalesOfTheSpecification) {
  // specs/base_quantizers.md, section 1, for absmax a = 1: restricted a/7, full range a/8 with the extreme on level -8.
  const GridSpec restricted = Spec(4, GridKind::kSymmetricRestricted);
  EAQ_ASSERT_OK_AND_ASSIGN(GridParams p, ParamsFromRange(restricted, -1.0f, 0.5f, kF32));
  EXPECT_FLOAT_EQ(p.scale, 1.0f / 7);
  EXPECT_EQ(p.zero, 8);
  EXPECT_FLOAT_EQ(RoundTrip(-1.0f, p, restricted), -1.0f);

  const GridSpec full = Spec(4, GridKind::kSymmetricFullRange);
  EAQ_ASSERT_OK_AND_ASSIGN(p, ParamsFromRange(full, -1.0f, 0.5f, kF32));
  EXPECT_EQ(p.scale, 0.125f);
  EXPECT_EQ(QuantizeCode(-1.0f, p, 15), 0);
  EXPECT_EQ(RoundTrip(-1.0f, p, full), -1.0f);
  EAQ_ASSERT_OK_AND_ASSIGN(p, ParamsFromRange(full, -0.5f, 1.0f, kF32));
  EXPECT_EQ(p.scale, -0.125f) << "the scale is negative when the largest magnitude is positive";
  EXPECT_EQ(RoundTrip(1.0f, p, full), 1.0f);
  EAQ_ASSERT_OK_AND_ASSIGN(p, ParamsFromRange(full, -1.0f, 1.0f, kF32));
  EXPECT_EQ(p.scale, -0.125f) << "a tie of magnitudes gives the negative scale";

  EAQ_ASSERT_OK_AND_ASSIGN(p, ParamsFromRange(Spec(2, GridKind::kSymmetricRestricted), -1.0f, 1.0f, kF32));
  EXPECT_EQ(p.scale, 1.0f) << "2 bits restricted: levels -2a .. a";
  EAQ_ASSERT_OK_AND_ASSIGN(p, ParamsFromRange(Spec(2, GridKind::kSymmetricFullRange), -1.0f, 0.0f, kF32));
  EXPECT_EQ(p.scale, 0.5f);

  EAQ_ASSERT_OK_AND_ASSIGN(p, ParamsFromRange(Spec(4, GridKind::kAsymmetric), -0.5f, 1.0f, kF32));
  EXPECT_FLOAT_EQ(p.scale, 0.1f);
  EXPECT_EQ(p.zero, 5);
}

TEST(GridTest, RangeIsTakenTogetherWithZero) {
  const GridSpec spec = Spec(4, GridKind::kAsymmetric);
  EAQ_ASSERT_OK_AND_ASSIGN(GridParams p, ParamsFromRange(spec, 3.0f, 15.0f, kF16));
  EXPECT_EQ(p, (GridParams{1.0f, 0}));
  EAQ_ASSERT_OK_AND_ASSIGN(p, ParamsFromRange(spec, -15.0f, -3.0f, kF16));
  EXPECT_EQ(p, (GridParams{1.0f, 15}));
  const std::vector<float> positive = {3.0f, 7.0f, 5.0f};
  const Range range = RangeWithZero(positive);
  EXPECT_EQ(range.min, 0.0f);
  EXPECT_EQ(range.max, 7.0f);
}

TEST(GridTest, RoundsHalfToEven) {
  const GridParams p{1.0f, 8};
  EXPECT_EQ(QuantizeCode(0.5f, p, 15), 8);
  EXPECT_EQ(QuantizeCode(1.5f, p, 15), 10);
  EXPECT_EQ(QuantizeCode(2.5f, p, 15), 10);
  EXPECT_EQ(QuantizeCode(-0.5f, p, 15), 8);
  EXPECT_EQ(QuantizeCode(-1.5f, p, 15), 6);
  EXPECT_EQ(QuantizeCode(100.0f, p, 15), 15);
  EXPECT_EQ(QuantizeCode(-100.0f, p, 15), 0);
}

TEST(GridTest, ZeroRowsStayZero) {
  for (const auto kind : {GridKind::kAsymmetric, GridKind::kSymmetricFullRange, GridKind::kSymmetricRestricted}) {
    for (int bits = 2; bits <= 8; ++bits) {
      for (const auto storage : {kF16, kF32}) {
        const GridSpec spec = Spec(bits, kind);
        EAQ_ASSERT_OK_AND_ASSIGN(const GridParams p, ParamsFromRange(spec, 0.0f, 0.0f, storage));
        EXPECT_NE(p.scale, 0.0f);
        EXPECT_EQ(RoundTrip(0.0f, p, spec), 0.0f) << spec.ToString();
      }
    }
  }
}

TEST(GridTest, RejectsWhatHasNoGrid) {
  const GridSpec spec = Spec(4, GridKind::kAsymmetric);
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(ParamsFromRange(spec, kNan, 1.0f, kF16), StatusIs(invalid, HasSubstr("not finite")));
  EXPECT_THAT(ParamsFromRange(spec, 0.0f, kInfinity, kF16), StatusIs(invalid, HasSubstr("not finite")));
  EXPECT_THAT(ParamsFromRange(spec, 0.0f, 1e7f, kF16), StatusIs(invalid, HasSubstr("65504")));
  EXPECT_THAT(ParamsFromRange(spec, 0.0f, 1e7f, kF32), IsOk());
  GridSpec bad = spec;
  bad.bits = 9;
  EXPECT_THAT(ValidateGrid(bad), StatusIs(invalid, HasSubstr("9 bits")));
  bad = spec;
  bad.granularity = Granularity::kGroup;
  EXPECT_THAT(ValidateGrid(bad), StatusIs(invalid, HasSubstr("group_size")));
  bad = spec;
  bad.group_size = 32;
  EXPECT_THAT(ValidateGrid(bad), StatusIs(invalid, HasSubstr("not per group")));
  EXPECT_TRUE(AllFinite(std::vector<float>{1.0f, -3e38f, 0.0f}));
  EXPECT_FALSE(AllFinite(std::vector<float>{1.0f, kNan, 0.0f}));
  EXPECT_FALSE(AllFinite(std::vector<float>(33, -kInfinity)));
}

// Every kind, width and a sweep of ranges from 1e-9 to 1e5: float16 scales are what is stored, values inside the range
// move by at most half a step (plus what rounding the scale clips off, at most 2^-11 of the range).
TEST(GridTest, Float16ScalesCoverTheirRange) {
  for (const auto kind : {GridKind::kAsymmetric, GridKind::kSymmetricFullRange, GridKind::kSymmetricRestricted}) {
    for (const int bits : {2, 3, 4, 5, 6, 7, 8}) {
      const GridSpec spec = Spec(bits, kind);
      for (double magnitude = 1e-9; magnitude < 1e5; magnitude *= 2.7) {
        for (const double low : {-1.0, -0.7, -0.1, 0.0}) {
          const float min = static_cast<float>(low * magnitude), max = static_cast<float>((low + 1.0) * magnitude);
          EAQ_ASSERT_OK_AND_ASSIGN(const GridParams p, ParamsFromRange(spec, min, max, kF16));
          ASSERT_EQ(F16ToFloat(FloatToF16(p.scale)), p.scale);
          ASSERT_NE(p.scale, 0.0f);
          const double step = std::fabs(p.scale);
          for (int i = 0; i <= 40; ++i) {
            const float w = min + (max - min) * static_cast<float>(i) / 40.0f;
            // Full range, and the side of the grid opposite to its extreme: one level less, up to one step is clipped.
            const bool clipped_side = kind == GridKind::kSymmetricFullRange;
            const double bound = clipped_side ? 1.01 * step : 0.5 * step + (max - min) * 0x1p-11 + 1e-6 * step;
            const double asymmetric_shift = kind == GridKind::kAsymmetric ? 0.5 * step : 0.0;  // of the rounded zero
            ASSERT_LE(std::fabs(RoundTrip(w, p, spec) - w), bound + asymmetric_shift)
                << spec.ToString() << " [" << min << ", " << max << "] w " << w << " scale " << p.scale;
          }
        }
      }
    }
  }
}

TEST(GridTest, TinyScalesAreRoundedUpToFloat16) {
  EXPECT_EQ(RoundScaleToF16(1e-12f), 0x1p-24f);
  EXPECT_EQ(RoundScaleToF16(-1e-12f), -0x1p-24f);
  EXPECT_EQ(RoundScaleToF16(0x1.4p-24f), 0x1p-23f) << "upwards: to nearest would clip the range to 80 %";
  EXPECT_EQ(RoundScaleToF16(0x1p-20f), 0x1p-20f);
  EXPECT_EQ(RoundScaleToF16(1.0f + 0x1p-12f), 1.0f);
  EXPECT_TRUE(std::isinf(RoundScaleToF16(70000.0f)));
}

TEST(GridTest, BinaryIsTheSignTimesTheMeanMagnitude) {
  const GridSpec spec = WithBits({.bits = 3, .granularity = Granularity::kGroup, .group_size = 4}, 1);
  EXPECT_EQ(spec.kind, GridKind::kBinary);
  EXPECT_EQ(spec.ToString(), "int1 binary group 4");
  EXPECT_THAT(ValidateGrid(spec), IsOk());
  const std::vector<float> w = {0.5f, -1.0f, 0.0f, 2.5f};
  const GridParams p = BinaryParams(w);
  EXPECT_EQ(p, (GridParams{2.0f, 0.5f}));  // 2 mean|w|, zero 1/2
  const float expected[] = {1, -1, 1, 1};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(DequantizeCode(QuantizeCode(w[i], p, spec.max_code()), p), expected[i]);
  EXPECT_EQ(BinaryParams(std::vector<float>{0, 0}).scale, 0x1p-24f);
  // No other size of sign(w) comes closer.
  const auto error = [&](double size) {
    double sum = 0;
    for (int i = 0; i < 4; ++i) sum += (size * expected[i] - w[i]) * (size * expected[i] - w[i]);
    return sum;
  };
  for (const double size : {0.9, 0.99, 1.01, 1.1}) EXPECT_GT(error(size), error(1));
}

TEST(GridTest, OneBitIsBinaryAndBinaryIsOneBit) {
  EXPECT_EQ(WithBits(Spec(4, GridKind::kSymmetricRestricted), 3), Spec(3, GridKind::kSymmetricRestricted));
  EXPECT_EQ(WithBits(WithBits(Spec(4, GridKind::kAsymmetric), 1), 2), Spec(2, GridKind::kAsymmetric));
  EXPECT_THAT(ValidateGrid(Spec(1, GridKind::kAsymmetric)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2 to 8, or 1 of kind BINARY")));
  EXPECT_THAT(ValidateGrid(Spec(2, GridKind::kBinary)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected 1")));
  EXPECT_THAT(ParamsFromRange(Spec(1, GridKind::kBinary), -1, 1, kF16).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no range")));
}

}  // namespace
}  // namespace eaq
