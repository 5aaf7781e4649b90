#include "eaq/methods/eaquant/outliers.h"

#include <algorithm>
#include <cmath>

#include "eaq/base/rng.h"
#include "gtest/gtest.h"

namespace eaq::eaquant {
namespace {

TEST(EaquantOutliers, QuantileInterpolates) {
  const std::vector<double> v = {4, 1, 3, 2};
  EXPECT_DOUBLE_EQ(Quantile(v, 0), 1);
  EXPECT_DOUBLE_EQ(Quantile(v, 1), 4);
  EXPECT_DOUBLE_EQ(Quantile(v, 0.5), 2.5);
  EXPECT_NEAR(Quantile(v, 0.65), 2.95, 1e-12);
  EXPECT_EQ(Quantile(std::vector<double>{7}, 0.65), 7);
}

TEST(EaquantOutliers, SplitByHand) {
  // Cuts of 9 8 3 2.9: gaps 1, 5, 0.1 less Var(rest) = Var(8,3,2.9) = 8.52.., Var(3,2.9) = 0.005, 0 -> between 8 and 3.
  EXPECT_EQ(SplitThreshold({3, 9, 2.9, 8}, true), 3);
  // Mirrored, the variance is of the top: Var(-2.9, -3) -> between -3 and -8; the threshold is the last of the top.
  EXPECT_EQ(SplitThreshold({-3, -9, -2.9, -8}, false), -3);
  EXPECT_EQ(SplitThreshold({5}, true), 5);
  // A far tail whose variance is beyond the reference's floor of -1000, where its code breaks.
  EXPECT_EQ(SplitThreshold({1e6, 1e3, 1}, true), 1e3);
}

// Every cut, from the text of eaquant.md 1.4.
double NaiveSplit(std::vector<double> v, bool upper) {
  std::sort(v.rbegin(), v.rend());
  double best = -1e300, threshold = v[0];
  for (size_t t = 0; t + 1 < v.size(); ++t) {
    const std::vector<double> top(v.begin(), v.begin() + t + 1), rest(v.begin() + t + 1, v.end());
    const std::vector<double>& part = upper ? rest : top;
    double mean = 0, variance = 0;
    for (const double x : part) mean += x / part.size();
    for (const double x : part) variance += part.size() > 1 ? (x - mean) * (x - mean) / (part.size() - 1) : 0;
    const double metric =
        std::fabs(*std::min_element(top.begin(), top.end()) - *std::max_element(rest.begin(), rest.end())) - variance;
    if (metric > best) {
      best = metric;
      threshold = upper ? rest.front() : top.back();
    }
  }
  return threshold;
}

TEST(EaquantOutliers, SplitEqualsTheNaiveTwin) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Rng rng(seed, "split");
    std::vector<double> v(1 + rng.Below(12));
    for (double& x : v) x = std::pow(rng.Normal(), 3) + 5;
    EXPECT_EQ(SplitThreshold(v, true), NaiveSplit(v, true)) << seed;
    for (double& x : v) x = -x;
    EXPECT_EQ(SplitThreshold(v, false), NaiveSplit(v, false)) << seed;
  }
}

TEST(EaquantOutliers, ScalesByHand) {
  // 20 channels with extremes 1.00 .. 1.19, two of them set to 10 and 8; quantiles 0.35 and 0.65 lie near 1.1.
  std::vector<double> emax(20), emin(20);
  for (int i = 0; i < 20; ++i) {
    emax[i] = 1 + 0.01 * i;
    emin[i] = -emax[i];
  }
  emax[4] = 10;
  emax[9] = 8;
  emin[11] = -4;
  const std::vector<float> s = OutlierScales(emax, emin, {});
  // Candidates 10 and 8: one cut, metric |10 - 8|, the threshold is 8, so that 10 alone stands above it and 8 counts
  // as normal.
  EXPECT_NEAR(s[4], std::pow(10.0 / 8, 0.7), 1e-6);
  EXPECT_EQ(s[9], 1);
  // One candidate below: no split. The normal minimum is -1.19.
  EXPECT_NEAR(s[11], std::pow(4 / 1.19, 0.7), 1e-6);
  for (int i = 0; i < 20; ++i) {
    if (i == 4 || i == 11) continue;
    EXPECT_EQ(s[i], 1) << i;
  }
  EXPECT_NEAR(OutlierScales(emax, emin, {.rate = 1})[11], 4 / 1.19, 1e-6);
}

TEST(EaquantOutliers, AlwaysFiniteAndPositive) {
  // All zero but one; all negative maxima (an expert of few tokens); two channels; one.
  std::vector<double> zeros(30, 0.0), one = zeros, negative(30, -1.0);
  one[3] = 5;
  negative[7] = 4;
  for (const auto& emax : {zeros, one, negative, std::vector<double>{1, 100}, std::vector<double>{3}}) {
    std::vector<double> emin = emax;
    for (double& x : emin) x = -x;
    for (const auto& lower : {emin, emax}) {
      for (const float s : OutlierScales(emax, lower, {})) {
        EXPECT_TRUE(std::isfinite(s));
        EXPECT_GE(s, 1e-6f);
      }
    }
  }
  EXPECT_EQ(OutlierScales(one, zeros, {})[3], 1);       // the normal maximum is 0: nothing to compare with
  EXPECT_EQ(OutlierScales(negative, zeros, {})[7], 1);  // of the other sign
  EXPECT_TRUE(OutlierScales({}, {}, {}).empty());
}

}  // namespace
}  // namespace eaq::eaquant
