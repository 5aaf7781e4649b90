#include "eaq/quant/activation_quant.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

Matrix Random(int64_t rows, int64_t cols) {
  Rng rng(7, "test/activations");
  Matrix x(rows, cols);
  for (int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(rng.Normal() + 0.3);
  return x;
}

GridSpec Spec(int bits, GridKind kind) {
  GridSpec spec;
  spec.bits = bits;
  spec.kind = kind;
  return spec;
}

// Codes and back, one value at a time, by the definition of grid.h.
float Twin(float x, GridParams p, int max_code) {
  const double q = std::clamp(std::nearbyint(x / p.scale) + p.zero, 0.0f, static_cast<float>(max_code));
  return p.scale * static_cast<float>(q - p.zero);
}

TEST(ActivationQuantTest, DynamicPerTokenMatchesTheTwinBitForBit) {
  for (const auto kind : {GridKind::kAsymmetric, GridKind::kSymmetricFullRange, GridKind::kSymmetricRestricted}) {
    for (const int bits : {2, 4, 8}) {
      for (const double ratio : {1.0, 0.9}) {
        const GridSpec spec = Spec(bits, kind);
        EAQ_ASSERT_OK_AND_ASSIGN(const auto quantizer, ActivationQuantizer::Dynamic(spec, ratio));
        const Matrix before = Random(5, 77);
        Matrix after = before;
        quantizer.Apply(after.view());
        for (int64_t r = 0; r < before.rows(); ++r) {
          float min = 0, max = 0;
          for (int64_t c = 0; c < before.cols(); ++c) {
            min = std::min(min, before(r, c));
            max = std::max(max, before(r, c));
          }
          const float f = static_cast<float>(ratio);
          const GridParams p = ParamsFromRangeUnchecked(spec, f * min, f * max, ScaleStorage::kFloat32);
          for (int64_t c = 0; c < before.cols(); ++c) {
            ASSERT_EQ(after(r, c), Twin(before(r, c), p, spec.max_code())) << quantizer.ToString();
          }
        }
      }
    }
  }
}

TEST(ActivationQuantTest, EightBitsStayWithinHalfAStep) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto quantizer, ActivationQuantizer::Dynamic(Spec(8, GridKind::kAsymmetric)));
  const Matrix before = Random(20, 64);
  Matrix after = before;
  quantizer.Apply(after.view());
  for (int64_t r = 0; r < 20; ++r) {
    const Range range = RangeWithZero(absl::MakeConstSpan(before.row(r), 64));
    const double step = (static_cast<double>(range.max) - range.min) / 255;
    for (int64_t c = 0; c < 64; ++c) {
      // Half a step, and for the extremes the half step by which the zero point was rounded.
      ASSERT_LE(std::fabs(after(r, c) - before(r, c)), 1.0001 * step);
    }
  }
}

TEST(ActivationQuantTest, ATokenDoesNotDependOnItsNeighbours) {
  GridSpec group = Spec(4, GridKind::kAsymmetric);
  group.granularity = Granularity::kGroup;
  group.group_size = 10;
  for (const GridSpec& spec : {Spec(4, GridKind::kAsymmetric), group}) {
    EAQ_ASSERT_OK_AND_ASSIGN(const auto quantizer, ActivationQuantizer::Dynamic(spec));
    Matrix all = Random(6, 33);
    Matrix one(ConstMatrixView(all.view().Rows(3, 1)));
    quantizer.Apply(all.view());
    quantizer.Apply(one.view());
    for (int64_t c = 0; c < 33; ++c) EXPECT_EQ(one(0, c), all(3, c));
  }
}

TEST(ActivationQuantTest, StridedViewsKeepTheirNeighbours) {
  Matrix wide = Random(3, 20);
  const Matrix before = wide;
  EAQ_ASSERT_OK_AND_ASSIGN(const auto quantizer, ActivationQuantizer::Dynamic(Spec(2, GridKind::kAsymmetric)));
  quantizer.Apply(wide.view().Cols(4, 8));
  for (int64_t r = 0; r < 3; ++r) {
    for (int64_t c = 0; c < 20; ++c) {
      if (c < 4 || c >= 12) {
        EXPECT_EQ(wide(r, c), before(r, c));
      }
    }
  }
}

TEST(ActivationQuantTest, StaticClampsToTheSeenRange) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto quantizer,
                           ActivationQuantizer::Static(Spec(4, GridKind::kAsymmetric), {-5.0f, 10.0f}));
  EXPECT_EQ(quantizer.static_params(), (GridParams{1.0f, 5}));
  Matrix x(1, 5);
  const float in[] = {-100.0f, -2.5f, 0.4f, 9.5f, 100.0f};
  std::copy(in, in + 5, x.data());
  quantizer.Apply(x.view());
  const float expected[] = {-5.0f, -2.0f, 0.0f, 10.0f, 10.0f};  // halves to even
  for (int c = 0; c < 5; ++c) EXPECT_EQ(x(0, c), expected[c]);
}

TEST(ActivationQuantTest, NanAndInfinityStayVisible) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto quantizer, ActivationQuantizer::Dynamic(Spec(8, GridKind::kAsymmetric)));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const int64_t at : {0, 5, 31, 32, 36}) {
      Matrix x = Random(2, 37);
      x(1, at) = bad;
      quantizer.Apply(x.view());
      EXPECT_FALSE(std::isfinite(x(1, at))) << bad << " at " << at;
      EXPECT_TRUE(AllFinite(absl::MakeConstSpan(x.row(0), 37)));
    }
  }
}

TEST(ActivationQuantTest, ZeroTokensAndIdentity) {
  Matrix zeros(2, 9);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto quantizer, ActivationQuantizer::Dynamic(Spec(4, GridKind::kAsymmetric)));
  quantizer.Apply(zeros.view());
  for (const float value : zeros.values()) EXPECT_EQ(value, 0.0f);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto none, ActivationQuantizer::Dynamic(GridSpec{}));
  EXPECT_TRUE(none.identity());
  Matrix x = Random(2, 9);
  const Matrix before = x;
  none.Apply(x.view());
  EXPECT_EQ(x, before);
}

TEST(ActivationQuantTest, RejectsBadOptions) {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  GridSpec tensor = Spec(8, GridKind::kAsymmetric);
  tensor.granularity = Granularity::kTensor;
  EXPECT_THAT(ActivationQuantizer::Dynamic(tensor), StatusIs(invalid, ::testing::HasSubstr("PER_CHANNEL")));
  EXPECT_THAT(ActivationQuantizer::Dynamic(Spec(8, GridKind::kAsymmetric), 0.0),
              StatusIs(invalid, ::testing::HasSubstr("clip ratio")));
  EXPECT_THAT(ActivationQuantizer::Static(tensor, {1.0f, -1.0f}), StatusIs(invalid, ::testing::HasSubstr("reversed")));
  EXPECT_THAT(ActivationQuantizer::Static(tensor, {NAN, 1.0f}), StatusIs(invalid, ::testing::HasSubstr("finite")));
}

}  // namespace
}  // namespace eaq
