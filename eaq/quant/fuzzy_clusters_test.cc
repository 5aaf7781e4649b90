// Fuzzy c-means against its definition: a stationary point of the objective, found from the equations alone.
#include "eaq/quant/fuzzy_clusters.h"

#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

double Objective(const std::vector<double>& x, const FuzzyClusters& f, double m) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    for (size_t k = 0; k < f.centre.size(); ++k) {
      sum += std::pow(f.degree[i][k], m) * (x[i] - f.centre[k]) * (x[i] - f.centre[k]);
    }
  }
  return sum;
}

TEST(FuzzyClusters, IsAStationaryPointOfItsObjective) {
  Rng rng(3, "fuzzy_clusters_test");
  for (int round = 0; round < 30; ++round) {
    const double m = round % 2 == 0 ? 2.0 : 1.6;
    const int n = 6 + static_cast<int>(rng.Below(60)), k = 2 + round % 3;
    std::vector<double> x;
    for (int i = 0; i < n; ++i) x.push_back(std::exp(rng.Normal()));
    const auto found = FuzzyMeans(x, k, {.fuzzifier = m, .tolerance = 1e-12, .most_rounds = 20000});
    ASSERT_THAT(found.status(), IsOk());
    for (int i = 0; i < n; ++i) {
      double sum = 0;
      for (int c = 0; c < k; ++c) {
        double ratios = 0;
        for (int h = 0; h < k; ++h) {
          ratios += std::pow(std::abs(x[i] - found->centre[c]) / std::abs(x[i] - found->centre[h]), 2 / (m - 1));
        }
        EXPECT_NEAR(found->degree[i][c], 1 / ratios, 1e-6);
        sum += found->degree[i][c];
      }
      EXPECT_NEAR(sum, 1, 1e-12);
    }
    for (int c = 0; c < k; ++c) {
      double weight = 0, sum = 0;
      for (int i = 0; i < n; ++i) {
        weight += std::pow(found->degree[i][c], m);
        sum += std::pow(found->degree[i][c], m) * x[i];
      }
      EXPECT_NEAR(found->centre[c], sum / weight, 1e-6 * std::abs(sum / weight));
      if (c > 0) {
        EXPECT_LE(found->centre[c - 1], found->centre[c]);
      }
      // No small step of a centre does better.
      for (const double step : {-1e-3, 1e-3}) {
        FuzzyClusters moved = *found;
        moved.centre[c] += step;
        EXPECT_GE(Objective(x, moved, m), Objective(x, *found, m));
      }
    }
  }
}

TEST(FuzzyClusters, SeparatesWhatIsApartAndPrefersTheLowerOfOverlapping) {
  const auto found = FuzzyMeans({10, 0.1, 0, 5, 5.1, 10.1}, 3, {});
  ASSERT_THAT(found.status(), IsOk());
  EXPECT_THAT(LowerOfOverlapping(*found, 0), ElementsAre(2, 0, 0, 1, 1, 2));
  FuzzyClusters made;
  made.degree = {{0.45, 0.55}, {0.35, 0.65}, {0.6, 0.4}, {0.5, 0.5}};
  EXPECT_THAT(LowerOfOverlapping(made, 0.2), ElementsAre(0, 1, 0, 0));
  EXPECT_THAT(LowerOfOverlapping(made, 0), ElementsAre(1, 1, 0, 0));
}

// A common factor, and where the zero is, change nothing: a significance may be normalised either way.
TEST(FuzzyClusters, ScaleAndShiftDoNotMatter) {
  const std::vector<double> x = {0.02, 0.03, 0.11, 0.02, 0.4, 0.09, 0.33, 0.01};
  std::vector<double> y;
  for (const double v : x) y.push_back(64 * v);
  EXPECT_EQ(LowerOfOverlapping(*FuzzyMeans(x, 4, {}), 0.2), LowerOfOverlapping(*FuzzyMeans(y, 4, {}), 0.2));
}

TEST(FuzzyClusters, EqualValuesAndWhatIsWrong) {
  const auto equal = FuzzyMeans({3, 3, 3}, 2, {});
  ASSERT_THAT(equal.status(), IsOk());
  EXPECT_THAT(equal->centre, ElementsAre(3, 3));
  EXPECT_THAT(LowerOfOverlapping(*equal, 0), ElementsAre(0, 0, 0));
  EXPECT_THAT(FuzzyMeans({7}, 3, {}).status(), IsOk());
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(FuzzyMeans({}, 2, {}).status(), invalid("0 values"));
  EXPECT_THAT(FuzzyMeans({1, 2}, 0, {}).status(), invalid("0 clusters"));
  EXPECT_THAT(FuzzyMeans({1, 2}, 2, {.fuzzifier = 1}).status(), invalid("fuzzifier 1"));
  EXPECT_THAT(FuzzyMeans({1, NAN}, 2, {}).status(), invalid("value 1 is nan"));
}

}  // namespace
}  // namespace eaq
