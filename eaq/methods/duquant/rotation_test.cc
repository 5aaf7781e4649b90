#include "eaq/methods/duquant/rotation.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "gtest/gtest.h"

namespace eaq::duquant {
namespace {

// The largest |R R^T - 1|.
template <typename T>
double Defect(const T* r, int64_t n) {
  double worst = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double dot = 0;
      for (int64_t k = 0; k < n; ++k) dot += double{r[i * n + k]} * r[j * n + k];
      worst = std::max(worst, std::fabs(dot - (i == j)));
    }
  }
  return worst;
}

// Normal numbers with two channels of outliers.
Matrix Outliers(int64_t rows, int64_t width, uint64_t seed) {
  Rng rng(seed, "test/duquant");
  Matrix x(rows, width);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < width; ++c)
      x(r, c) = static_cast<float>(rng.Normal() * (c == 3 || c == width - 2 ? 60 : 1));
  return x;
}

double RangeOf(const std::vector<double>& y) {
  return *std::max_element(y.begin(), y.end()) - *std::min_element(y.begin(), y.end());
}

std::vector<double> Product(const std::vector<double>& a, const std::vector<double>& r, int64_t b) {
  std::vector<double> y(a.size(), 0.0);
  for (size_t row = 0; row < a.size() / b; ++row)
    for (int64_t k = 0; k < b; ++k)
      for (int64_t j = 0; j < b; ++j) y[row * b + j] += a[row * b + k] * r[k * b + j];
  return y;
}

TEST(DuQuantRotation, BlockIsTheLargestPowerOfTwoThatDivides) {
  EXPECT_EQ(BlockFor(2048, 128), 128);
  EXPECT_EQ(BlockFor(64, 128), 64);
  EXPECT_EQ(BlockFor(1344, 128), 64);  // 21 * 64, Pangu's
  EXPECT_EQ(BlockFor(24, 128), 8);
  EXPECT_EQ(BlockFor(96, 16), 16);
  EXPECT_EQ(BlockFor(7, 128), 1);
}

TEST(DuQuantRotation, HelmertBaseIsTheClosedForm) {
  for (const int64_t n : {1, 2, 4, 32, 128}) {
    const std::vector<double> b = HelmertBase(n);
    EXPECT_LT(Defect(b.data(), n), 1e-13) << n;
    for (int64_t c = 0; c < n; ++c) EXPECT_NEAR(b[c], 1 / std::sqrt(double(n)), 1e-15);
  }
  // n = 4 by hand: the Helmert matrix with its rows 0 and 3 and its columns 0 and 3 swapped.
  const double h = 0.5, s2 = std::sqrt(2.0), s6 = std::sqrt(6.0), s12 = std::sqrt(12.0);
  const std::vector<double> expected = {h,        h,       h,       h,        //
                                        0,        1 / s6,  -2 / s6, 1 / s6,   //
                                        -3 / s12, 1 / s12, 1 / s12, 1 / s12,  //
                                        0,        -1 / s2, 0,       1 / s2};
  const std::vector<double> b = HelmertBase(4);
  for (int i = 0; i < 16; ++i) EXPECT_NEAR(b[i], expected[i], 1e-15) << i;
}

TEST(DuQuantRotation, RandomBaseIsOrthogonalAndKeepsItsFirstColumn) {
  Rng rng(1, "test"), other(2, "test");
  for (const int64_t n : {1, 2, 8, 64}) {
    const std::vector<double> r = RandomBase(n, rng), h = HelmertBase(n);
    EXPECT_LT(Defect(r.data(), n), 1e-12) << n;
    for (int64_t i = 0; i < n; ++i) EXPECT_DOUBLE_EQ(r[i * n], h[i * n]);
  }
  EXPECT_NE(RandomOrthogonal(5, rng), RandomOrthogonal(5, other));
}

// The naive twin in float64, from the pseudo-code of eaquant.md 1.6, with swap matrices written out.
TEST(DuQuantRotation, GreedyEqualsTheNaiveTwin) {
  const int64_t b = 8;
  for (const Pick pick : {Pick::kChannel, Pick::kRow}) {
    for (uint64_t seed = 0; seed < 6; ++seed) {
      const Matrix x = Outliers(11, 24, seed);
      Rng rng(seed, "twin"), again(seed, "twin");
      const GreedyRotation found = FindRotation(x, {.block = b, .steps = 12, .pick = pick}, rng);

      const std::vector<double> base = RandomBase(b, again);
      std::vector<double> y(x.data(), x.data() + x.size()), r(b * b, 0.0), best_r;
      for (int64_t i = 0; i < b; ++i) r[i * b + i] = 1;
      double best = RangeOf(y);
      int best_step = 0;
      best_r = r;
      for (int s = 1; s <= 12; ++s) {
        const auto max = std::max_element(y.begin(), y.end()), min = std::min_element(y.begin(), y.end());
        const int64_t at = (std::fabs(*max) > std::fabs(*min) ? max : min) - y.begin();
        const int64_t e = pick == Pick::kChannel ? at % b : (at / b) % b;
        std::vector<double> swapped = base;
        for (int64_t j = 0; j < b; ++j) std::swap(swapped[j], swapped[e * b + j]);
        for (int64_t i = 0; i < b; ++i) std::swap(swapped[i * b], swapped[i * b + e]);
        y = Product(y, swapped, b);
        r = Product(r, swapped, b);
        if (RangeOf(y) < best) {
          best = RangeOf(y);
          best_step = s;
          best_r = r;
        }
      }
      EXPECT_EQ(found.steps, best_step);
      EXPECT_NEAR(found.after, best, 1e-4 * best);
      for (int64_t i = 0; i < b * b; ++i) EXPECT_NEAR(found.rotation.data()[i], best_r[i], 1e-5);
    }
  }
}

TEST(DuQuantRotation, ManyStepsStayOrthogonalAndFlattenOutliers) {
  for (const Pick pick : {Pick::kChannel, Pick::kRow}) {
    Matrix x = Outliers(40, 128, 9);
    Rng rng(4, "many");
    const GreedyRotation r = FindRotation(x, {.block = 64, .steps = 256, .pick = pick}, rng);
    EXPECT_LT(Defect(r.rotation.data(), 64), 1e-6);
    EXPECT_LT(r.after, 0.5 * r.before);
    RotateBlocks(r.rotation, x);
    std::vector<double> y(x.data(), x.data() + x.size());
    EXPECT_NEAR(RangeOf(y), r.after, 1e-4 * r.after);
  }
}

TEST(DuQuantRotation, NothingBetterIsTheUnitMatrixAndNoRowsARandomRotation) {
  // All entries equal: max - min is 0, which nothing beats.
  Matrix flat(3, 4);
  for (int64_t i = 0; i < flat.size(); ++i) flat.data()[i] = 1;
  Rng rng(1, "flat");
  const GreedyRotation r = FindRotation(flat, {.block = 4}, rng);
  EXPECT_EQ(r.steps, 0);
  for (int64_t i = 0; i < 16; ++i) EXPECT_EQ(r.rotation.data()[i], i % 5 == 0 ? 1.0f : 0.0f);
  const GreedyRotation blind = FindRotation(Matrix(0, 8), {.block = 4}, rng);
  EXPECT_EQ(blind.steps, 1);
  EXPECT_LT(Defect(blind.rotation.data(), 4), 1e-6);
}

TEST(DuQuantRotation, ZigzagByHand) {
  // Magnitudes by channel: 1 8 3 6 5 4 7 2 ; sorted: channels 1 6 3 4 5 2 7 0 ; two blocks of four, dealt 0 1 1 0 0 1 1
  // 0.
  Matrix x(1, 8);
  const float values[] = {1, -8, 3, 6, -5, 4, 7, 2};
  std::copy_n(values, 8, x.data());
  EXPECT_EQ(ZigzagOrder(x, 4), (std::vector<int32_t>{1, 4, 5, 0, 6, 3, 2, 7}));
  EXPECT_EQ(ZigzagOrder(x, 8), (std::vector<int32_t>{1, 6, 3, 4, 5, 2, 7, 0}));
  Matrix ties(2, 6);
  EXPECT_EQ(ZigzagOrder(ties, 2), (std::vector<int32_t>{0, 5, 1, 4, 2, 3}));
  const std::vector<int32_t> order = ZigzagOrder(Outliers(5, 96, 1), 32);
  EXPECT_EQ(std::set<int32_t>(order.begin(), order.end()).size(), 96);
  // The two outlier channels, 3 and 94, lead two blocks.
  EXPECT_EQ((std::set<int32_t>{order[0], order[32]}), (std::set<int32_t>{3, 94}));
}

}  // namespace
}  // namespace eaq::duquant
