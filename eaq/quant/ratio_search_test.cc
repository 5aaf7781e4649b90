#include "eaq/quant/ratio_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/tensor/f16.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

Matrix Weights(int64_t rows, int64_t cols, float offset) {
  Matrix w(rows, cols);
  Rng rng(3, "test/ratio");
  for (int64_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(0.05 * std::pow(rng.Normal(), 3)) + offset;
  return w;
}

// The naive twin, written from eaquant.md 1.5 in float64 (scales rounded to float16, since they are stored so).
double NaiveError(const Matrix& w, int64_t row, int bits, double ratio, bool zero_in_range) {
  double min = w(row, 0), max = min;
  for (int64_t c = 0; c < w.cols(); ++c) {
    min = std::min<double>(min, w(row, c));
    max = std::max<double>(max, w(row, c));
  }
  if (zero_in_range) {
    min = std::min(min, 0.0);
    max = std::max(max, 0.0);
  }
  const int top = (1 << bits) - 1;
  const double scale = F16ToFloat(FloatToF16(static_cast<float>((max - min) * ratio / top)));
  const double zero = std::clamp(std::nearbyint(-min * ratio / scale), 0.0, double(top));
  double error = 0;
  for (int64_t c = 0; c < w.cols(); ++c) {
    const double u = std::clamp(std::nearbyint(w(row, c) / scale) + zero, 0.0, double(top));
    error += std::pow((u - zero) * scale - w(row, c), 2);
  }
  return error;
}

double ErrorOf(const Matrix& w, int64_t row, GridParams p, int max_code) {
  double error = 0;
  for (int64_t c = 0; c < w.cols(); ++c)
    error += std::pow(double{DequantizeCode(QuantizeCode(w(row, c), p, max_code), p)} - w(row, c), 2);
  return error;
}

TEST(RatioSearchTest, FindsTheBestOfAllCandidates) {
  for (const double first : {0.35, 0.65}) {
    for (const int bits : {2, 3, 4}) {
      for (const bool with_zero : {true, false}) {
        for (const float offset : {0.0f, 1.0f, -1.0f}) {
          const Matrix w = Weights(5, 70, offset);
          const GridSpec spec{.bits = bits};
          EAQ_ASSERT_OK_AND_ASSIGN(const auto grids,
                                   FindRatioGrids(w.view(), spec, {.search_from = first, .zero_in_range = with_zero}));
          for (int64_t r = 0; r < w.rows(); ++r) {
            double best = std::numeric_limits<double>::infinity();
            for (int t = 0; t <= 100; ++t)
              best = std::min(best, NaiveError(w, r, bits, first + t * (1 - first) / 100, with_zero));
            EXPECT_NEAR(ErrorOf(w, r, grids[r], spec.max_code()), best, 1e-4 * best)
                << "bits " << bits << " first " << first << " offset " << offset << " row " << r;
          }
        }
      }
    }
  }
}

TEST(RatioSearchTest, CandidatesRunFromFirstToOne) {
  EXPECT_EQ(RatioCandidate(0.35, 0), 0.35);
  EXPECT_EQ(RatioCandidate(0.35, 100), 1.0);
  const Matrix zeros(1, 4);
  const GridSpec spec{.bits = 4};
  EAQ_ASSERT_OK_AND_ASSIGN(const auto grids, FindRatioGrids(zeros.view(), spec, {.search_from = 0.5}));
  EXPECT_EQ(DequantizeCode(QuantizeCode(0.0f, grids[0], 15), grids[0]), 0.0f);
  // Levels -2 -1 0 1 times r: the values 1 and -1 err 1 - r each, so that the last candidate alone is exact.
  Matrix pair(1, 2);
  pair(0, 0) = 1;
  pair(0, 1) = -1;
  const GridSpec symmetric{.bits = 2, .kind = GridKind::kSymmetricRestricted};
  EAQ_ASSERT_OK_AND_ASSIGN(const auto exact, FindRatioGrids(pair.view(), symmetric, {.search_from = 0.35}));
  EXPECT_EQ(exact[0].scale, 1.0f);
}

TEST(RatioSearchTest, FixedRatioScalesTheRange) {
  Matrix w(1, 3);
  w(0, 0) = -1;
  w(0, 2) = 2;
  const GridSpec spec{.bits = 4};
  EAQ_ASSERT_OK_AND_ASSIGN(const auto grids, FindRatioGrids(w.view(), spec, {.fixed = 0.8}));
  EXPECT_NEAR(grids[0].scale, 0.8 * 3 / 15, 1e-3 * 0.16);
  EXPECT_EQ(grids[0].zero, 5);
}

TEST(RatioSearchTest, RangeWithoutZeroWhereTheValuesAreOfOneSign) {
  Matrix w(1, 3);
  w(0, 0) = -3;
  w(0, 1) = -2.5f;
  w(0, 2) = -2;
  const GridSpec spec{.bits = 4};
  EAQ_ASSERT_OK_AND_ASSIGN(const auto grids, FindRatioGrids(w.view(), spec, {.zero_in_range = false}));
  EXPECT_NEAR(grids[0].scale, 1.0 / 15, 1e-4);
  EXPECT_EQ(grids[0].zero, 15);  // -min / scale = 45, kept within the codes
}

TEST(RatioSearchTest, RefusesWhatMakesNoSense) {
  Matrix w(2, 2);
  const GridSpec spec{.bits = 4};
  EXPECT_THAT(FindRatioGrids(w.view(), spec, {.fixed = 0}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ratio of weights is 0")));
  EXPECT_THAT(FindRatioGrids(w.view(), spec, {.search_from = std::nan("")}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("starts at nan")));
  EXPECT_THAT(FindRatioGrids(w.view(), spec, {.fixed = 0.8, .search_from = 0.35}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("one of them")));
  EXPECT_THAT(FindRatioGrids(w.view(), {.bits = 4, .kind = GridKind::kSymmetricFullRange}, {.zero_in_range = false}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("zero_in_range")));
  w(1, 0) = std::nanf("");
  EXPECT_THAT(FindRatioGrids(w.view(), spec, {.search_from = 0.35}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("entry [1, 0] of [2, 2] is nan")));
  w(1, 0) = 3e6f;
  EXPECT_THAT(FindRatioGrids(w.view(), spec, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("row 1, columns from 0")));
}

TEST(RatioSearchTest, GroupsAndTensorHaveTheirOwnGrids) {
  const Matrix w = Weights(3, 20, 0);
  const GridSpec groups{.bits = 3, .granularity = Granularity::kGroup, .group_size = 8};
  EAQ_ASSERT_OK_AND_ASSIGN(const auto grids, FindRatioGrids(w.view(), groups, {.search_from = 0.35}));
  ASSERT_EQ(grids.size(), 9);
  Matrix last(1, 4);
  for (int c = 0; c < 4; ++c) last(0, c) = w(1, 16 + c);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto alone, FindRatioGrids(last.view(), {.bits = 3}, {.search_from = 0.35}));
  EXPECT_EQ(grids[5], alone[0]);
  const GridSpec tensor{.bits = 3, .granularity = Granularity::kTensor};
  EAQ_ASSERT_OK_AND_ASSIGN(const auto one, FindRatioGrids(w.view(), tensor, {.search_from = 0.35}));
  EXPECT_EQ(one.size(), 1);
}

}  // namespace
}  // namespace eaq
