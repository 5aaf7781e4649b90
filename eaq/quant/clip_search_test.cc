#include "eaq/quant/clip_search.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

GridSpec Spec(int bits, GridKind kind) {
  GridSpec spec;
  spec.bits = bits;
  spec.kind = kind;
  return spec;
}

// The naive twin: pow in float64.
double ExactError(const std::vector<float>& w, GridParams p, int max_code, ClipNorm norm) {
  double sum = 0;
  for (const float value : w) {
    const double u = std::clamp(double{std::nearbyint(value / p.scale)} + p.zero, 0.0, double(max_code));
    const double e = std::fabs(double(p.scale) * (u - p.zero) - value);
    sum += norm == ClipNorm::kMse ? e * e : std::pow(e, 2.4);
  }
  return sum;
}

std::vector<float> HeavyTailed(int n, uint64_t seed) {
  Rng rng(seed, "test/clip");
  std::vector<float> w(n);
  for (float& value : w) value = static_cast<float>(0.02 * std::pow(rng.Normal(), 3));
  return w;
}

TEST(ClipSearchTest, ErrorMatchesPowInFloat64) {
  for (const auto norm : {ClipNorm::kL24, ClipNorm::kMse}) {
    for (const int n : {1, 7, 32, 255, 256, 257, 1000}) {
      const std::vector<float> w = HeavyTailed(n, n);
      for (const float scale : {1e-4f, 0.003f, 0.05f}) {
        const GridParams p{scale, 7};
        const double exact = ExactError(w, p, 15, norm);
        EXPECT_NEAR(GridError(w, p, 15, norm, 1.0f), exact, 3e-6 * exact) << n << " " << scale;
        // `unit` divides every error.
        const double power = norm == ClipNorm::kMse ? 2.0 : 2.4;
        EXPECT_NEAR(GridError(w, p, 15, norm, 0.25f), exact * std::pow(4.0, power),
                    4e-6 * exact * std::pow(4.0, power));
      }
    }
  }
}

TEST(ClipSearchTest, FindsTheBestOfTheReferenceGrid) {
  const ClipSearchSpec clip;
  for (const auto kind : {GridKind::kAsymmetric, GridKind::kSymmetricFullRange, GridKind::kSymmetricRestricted}) {
    for (const int bits : {2, 3, 4, 8}) {
      for (uint64_t seed = 0; seed < 6; ++seed) {
        const GridSpec spec = Spec(bits, kind);
        const std::vector<float> w = HeavyTailed(96, seed);
        const Range range = RangeWithZero(w);
        double best = 1e300;
        for (int i = 0; i < 80; ++i) {
          const float p = 1.0f - i / 100.0f;
          const GridParams params =
              ParamsFromRangeUnchecked(spec, p * range.min, p * range.max, ScaleStorage::kFloat16);
          best = std::min(best, ExactError(w, params, spec.max_code(), clip.norm));
        }
        EAQ_ASSERT_OK_AND_ASSIGN(const GridParams found, SearchClip(w, spec, clip));
        const double error = ExactError(w, found, spec.max_code(), clip.norm);
        EXPECT_LE(error, best * (1 + 1e-5)) << spec.ToString();
        EAQ_ASSERT_OK_AND_ASSIGN(const GridParams plain,
                                 ParamsFromRange(spec, range.min, range.max, ScaleStorage::kFloat16));
        EXPECT_LE(error, ExactError(w, plain, spec.max_code(), clip.norm));
      }
    }
  }
}

TEST(ClipSearchTest, ClippingPaysWhereTailsAreLong) {
  const std::vector<float> w = HeavyTailed(1000, 3);
  const GridSpec spec = Spec(4, GridKind::kAsymmetric);
  const Range range = RangeWithZero(w);
  EAQ_ASSERT_OK_AND_ASSIGN(const GridParams plain, ParamsFromRange(spec, range.min, range.max, ScaleStorage::kFloat16));
  for (const auto norm : {ClipNorm::kL24, ClipNorm::kMse}) {
    ClipSearchSpec clip;
    clip.norm = norm;
    EAQ_ASSERT_OK_AND_ASSIGN(const GridParams found, SearchClip(w, spec, clip));
    EXPECT_LT(found.scale, plain.scale);
    EXPECT_LT(ExactError(w, found, 15, norm), 0.95 * ExactError(w, plain, 15, norm));
  }
}

TEST(ClipSearchTest, TiesKeepTheLargerRange) {
  // Weights that the unshrunk grid holds exactly: error 0, nothing can be strictly smaller.
  const std::vector<float> exact = {0.0f, 1.0f, 2.0f, 3.0f};
  for (const auto norm : {ClipNorm::kL24, ClipNorm::kMse}) {
    ClipSearchSpec clip;
    clip.norm = norm;
    EAQ_ASSERT_OK_AND_ASSIGN(const GridParams p, SearchClip(exact, Spec(2, GridKind::kAsymmetric), clip));
    EXPECT_EQ(p, (GridParams{1.0f, 0}));
    EAQ_ASSERT_OK_AND_ASSIGN(const GridParams zeros,
                             SearchClip(std::vector<float>(9, 0.0f), Spec(4, GridKind::kAsymmetric), clip));
    EXPECT_FLOAT_EQ(zeros.scale, RoundScaleToF16(2.0f / 15));
  }
}

TEST(ClipSearchTest, RejectsBadInput) {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  const GridSpec spec = Spec(4, GridKind::kAsymmetric);
  ClipSearchSpec clip;
  EXPECT_THAT(SearchClip(std::vector<float>{1.0f, NAN}, spec, clip), StatusIs(invalid, ::testing::HasSubstr("NaN")));
  clip.steps = 0;
  EXPECT_THAT(ValidateClipSearch(clip), StatusIs(invalid, ::testing::HasSubstr("steps")));
  clip.steps = 10;
  clip.max_shrink = 1.5;
  EXPECT_THAT(ValidateClipSearch(clip), StatusIs(invalid, ::testing::HasSubstr("max_shrink")));
}

}  // namespace
}  // namespace eaq
