#include "eaq/quant/fake_quant.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

Matrix Random(int64_t rows, int64_t cols, uint64_t seed = 1) {
  Rng rng(seed, "test/weights");
  Matrix w(rows, cols);
  for (int64_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(0.05 * rng.Normal());
  return w;
}

GridSpec Spec(int bits, GridKind kind, Granularity granularity, int64_t group = 0) {
  GridSpec spec;
  spec.bits = bits;
  spec.kind = kind;
  spec.granularity = granularity;
  spec.group_size = group;
  return spec;
}

// Textbook min-max quantization, one value at a time, in float64 apart from the float16 scale.
double Twin(const Matrix& w, const GridSpec& spec, int64_t row, int64_t col) {
  int64_t r0 = row, r1 = row + 1, c0 = 0, c1 = w.cols();
  if (spec.granularity == Granularity::kTensor) r0 = 0, r1 = w.rows();
  if (spec.granularity == Granularity::kGroup) {
    c0 = col / spec.group_size * spec.group_size;
    c1 = std::min(c0 + spec.group_size, w.cols());
  }
  double min = 0, max = 0;
  for (int64_t r = r0; r < r1; ++r) {
    for (int64_t c = c0; c < c1; ++c) min = std::min<double>(min, w(r, c)), max = std::max<double>(max, w(r, c));
  }
  const int levels = 1 << spec.bits;
  double scale, zero;
  if (spec.kind == GridKind::kAsymmetric) {
    scale = RoundScaleToF16(static_cast<float>((max - min) / (levels - 1)));
    zero = std::nearbyint(-min / scale);
  } else if (spec.kind == GridKind::kSymmetricFullRange) {
    scale = RoundScaleToF16(static_cast<float>((-min > max ? 1 : -1) * std::max(-min, max) / (levels / 2)));
    zero = levels / 2;
  } else {
    scale = RoundScaleToF16(static_cast<float>(std::max(-min, max) / (levels / 2 - 1)));
    zero = levels / 2;
  }
  const double u = std::clamp(std::nearbyint(w(row, col) / scale) + zero, 0.0, levels - 1.0);
  return scale * (u - zero);
}

TEST(FakeQuantTest, MatchesTheTwinForEveryKindWidthAndGranularity) {
  const Matrix w = Random(9, 70);
  for (const auto kind : {GridKind::kAsymmetric, GridKind::kSymmetricFullRange, GridKind::kSymmetricRestricted}) {
    for (int bits = 2; bits <= 8; ++bits) {
      for (const auto granularity : {Granularity::kChannel, Granularity::kTensor, Granularity::kGroup}) {
        // 70 columns: the last group of a row is shorter.
        const GridSpec spec = Spec(bits, kind, granularity, granularity == Granularity::kGroup ? 16 : 0);
        EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix q, QuantizeNearest(w.view(), spec));
        EAQ_ASSERT_OK(ValidateQuantized(q));
        const Matrix back = Dequantize(q);
        for (int64_t r = 0; r < w.rows(); ++r) {
          for (int64_t c = 0; c < w.cols(); ++c) {
            ASSERT_FLOAT_EQ(back(r, c), static_cast<float>(Twin(w, spec, r, c)))
                << spec.ToString() << " at " << r << ", " << c;
          }
        }
      }
    }
  }
}

TEST(FakeQuantTest, DequantizedWeightsAreFixedPoints) {
  const Matrix w = Random(8, 64);
  const GridSpec spec = Spec(3, GridKind::kAsymmetric, Granularity::kGroup, 32);
  EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix once, QuantizeNearest(w.view(), spec));
  EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix again,
                           QuantizeOnGrids(Dequantize(once).const_view(), spec, once.params));
  EXPECT_EQ(once, again);
}

TEST(FakeQuantTest, MoreBitsAndSmallerGroupsAreNearer) {
  const Matrix w = Random(32, 128);
  const auto error = [&](const GridSpec& spec, const ClipSearchSpec* clip = nullptr) {
    const auto q = QuantizeNearest(w.view(), spec, clip);
    EXPECT_THAT(q, IsOk());
    const Matrix back = Dequantize(*q);
    double sum = 0;
    for (int64_t i = 0; i < w.size(); ++i) sum += std::pow(back.data()[i] - w.data()[i], 2);
    return sum;
  };
  const auto asym = GridKind::kAsymmetric;
  double last = 1e300;
  for (int bits = 2; bits <= 8; ++bits) {
    const double now = error(Spec(bits, asym, Granularity::kChannel));
    EXPECT_LT(now, 0.5 * last);
    last = now;
  }
  const double channel = error(Spec(3, asym, Granularity::kChannel));
  EXPECT_LT(error(Spec(3, asym, Granularity::kGroup, 32)), channel);
  EXPECT_GT(error(Spec(3, asym, Granularity::kTensor)), channel);
  ClipSearchSpec mse;
  mse.norm = ClipNorm::kMse;
  EXPECT_LT(error(Spec(3, asym, Granularity::kChannel), &mse), channel);
  EXPECT_LT(error(Spec(3, asym, Granularity::kTensor), &mse), error(Spec(3, asym, Granularity::kTensor)));
}

TEST(FakeQuantTest, RejectsNanAndWrongGrids) {
  Matrix w = Random(4, 8);
  const GridSpec spec = Spec(4, GridKind::kAsymmetric, Granularity::kChannel);
  using ::testing::HasSubstr;
  EXPECT_THAT(QuantizeOnGrids(w.view(), spec, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected 4, found 0")));
  w(2, 5) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(QuantizeNearest(w.view(), spec), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("[2, 5]")));
  EXPECT_THAT(QuantizeNearest(w.view(), GridSpec{}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("16 bits")));
}

TEST(QuantizedMatrixTest, ValidationNamesWhatIsWrong) {
  const Matrix w = Random(4, 8);
  EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix good,
                           QuantizeNearest(w.view(), Spec(4, GridKind::kAsymmetric, Granularity::kGroup, 4)));
  using ::testing::HasSubstr;
  const auto invalid = absl::StatusCode::kInvalidArgument;
  QuantizedMatrix q = good;
  q.codes[3] = 16;
  EXPECT_THAT(ValidateQuantized(q), StatusIs(invalid, HasSubstr("largest code")));
  q = good;
  q.params.pop_back();
  EXPECT_THAT(ValidateQuantized(q), StatusIs(invalid, HasSubstr("number of grids")));
  q = good;
  q.params[0].scale = 0;
  EXPECT_THAT(ValidateQuantized(q), StatusIs(invalid, HasSubstr("scale")));
  q = good;
  q.group_of_column.assign(8, 2);
  EXPECT_THAT(ValidateQuantized(q), StatusIs(invalid, HasSubstr("largest group")));
}

TEST(QuantizedMatrixTest, GroupIndexScattersColumns) {
  QuantizedMatrix q;
  q.grid = Spec(2, GridKind::kAsymmetric, Granularity::kGroup, 2);
  q.rows = 1;
  q.cols = 4;
  q.codes = {1, 2, 3, 0};
  q.params = {{1.0f, 0}, {10.0f, 1}};
  q.group_of_column = {1, 0, 0, 1};
  EAQ_ASSERT_OK(ValidateQuantized(q));
  const Matrix w = Dequantize(q);
  EXPECT_EQ(w(0, 0), 0.0f);
  EXPECT_EQ(w(0, 1), 2.0f);
  EXPECT_EQ(w(0, 2), 3.0f);
  EXPECT_EQ(w(0, 3), -10.0f);
}

}  // namespace
}  // namespace eaq
