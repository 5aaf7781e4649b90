#include "eaq/eval/rank_correlation.h"

#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;

TEST(MeanRanks, EqualValuesShareTheMean) {
  EXPECT_THAT(MeanRanks(std::vector<double>{5, 1, 5, 3, 5}), ElementsAre(4, 1, 4, 2, 4));
}

// Closed forms: 1 - 6 sum d^2 / (n (n^2 - 1)) without ties; of n! orders, the rising and the falling one are extreme.
TEST(CorrelateRanks, ClosedForms) {
  EAQ_ASSERT_OK_AND_ASSIGN(
      RankCorrelation r, CorrelateRanks(std::vector<double>{1, 2, 3, 4, 5}, std::vector<double>{1, 8, 27, 64, 125}, 0));
  EXPECT_DOUBLE_EQ(r.rho, 1);
  EXPECT_TRUE(r.exact);
  EXPECT_DOUBLE_EQ(r.p_value, 2.0 / 120);
  EAQ_ASSERT_OK_AND_ASSIGN(r, CorrelateRanks(std::vector<double>{1, 2, 3, 4}, std::vector<double>{2, 1, 4, 3}, 0));
  EXPECT_NEAR(r.rho, 1 - 6.0 * 4 / (4 * 15), 1e-15);
  // Of the 24 orders those with sum d^2 in {0, 2, 4} or {16, 18, 20}: 1 + 3 + 1, twice.
  EXPECT_DOUBLE_EQ(r.p_value, 10.0 / 24);
}

// Table of exact two-sided critical values (Zar, 1972): n = 8, alpha = 0.05: |rho| >= 0.738.
TEST(CorrelateRanks, PublishedCriticalValue) {
  const std::vector<double> x = {1, 2, 3, 4, 5, 6, 7, 8};
  EAQ_ASSERT_OK_AND_ASSIGN(const RankCorrelation at, CorrelateRanks(x, std::vector<double>{1, 2, 5, 6, 7, 4, 3, 8}, 0));
  EXPECT_NEAR(at.rho, 1 - 6.0 * 32 / 504, 1e-12);
  EXPECT_GT(at.p_value, 0.05);
  EAQ_ASSERT_OK_AND_ASSIGN(const RankCorrelation in, CorrelateRanks(x, std::vector<double>{1, 4, 3, 2, 7, 6, 8, 5}, 0));
  EXPECT_GT(in.rho, 0.738);
  EXPECT_LE(in.p_value, 0.05);
}

TEST(CorrelateRanks, SampledOrdersAreAboutRight) {
  Rng rng(1, "test");
  int rejected = 0;
  for (int run = 0; run < 200; ++run) {
    std::vector<double> x, y;
    for (int i = 0; i < 12; ++i) x.push_back(rng.Normal()), y.push_back(rng.Normal());
    EAQ_ASSERT_OK_AND_ASSIGN(const RankCorrelation r, CorrelateRanks(x, y, run));
    EXPECT_FALSE(r.exact);
    rejected += r.p_value < 0.1;
  }
  EXPECT_NEAR(rejected, 20, 15);  // 3.5 standard deviations
}

TEST(CorrelateRanks, RefusesWhatHasNoOrder) {
  const std::vector<double> x = {1, 2, 3};
  EXPECT_FALSE(CorrelateRanks(x, std::vector<double>{1, 1, 1}, 0).ok());
  EXPECT_FALSE(CorrelateRanks(x, std::vector<double>{1, 2}, 0).ok());
  EXPECT_FALSE(CorrelateRanks(x, std::vector<double>{1, 2, NAN}, 0).ok());
}

}  // namespace
}  // namespace eaq
