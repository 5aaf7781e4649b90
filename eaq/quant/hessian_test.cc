#include "eaq/quant/hessian.h"

#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

Matrix Random(int64_t rows, int64_t cols) {
  Rng rng(3, "test/hessian");
  Matrix x(rows, cols);
  for (int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(rng.Normal());
  return x;
}

TEST(HessianTest, MatchesTheSumOfOuterProducts) {
  // 300 tokens: two full blocks and a rest; 270 inputs: two panels.
  const Matrix x = Random(300, 270);
  std::vector<float> weights(300);
  for (int i = 0; i < 300; ++i) weights[i] = 0.25f * (i % 7);
  for (const bool weighted : {false, true}) {
    HessianAccumulator acc(270);
    EAQ_ASSERT_OK(weighted ? acc.Add(x.view(), weights) : acc.Add(x.view()));
    const Hessian h = acc.Finish();
    EXPECT_EQ(h.tokens, 300);
    for (int64_t i = 0; i < 270; i += 13) {
      for (int64_t j = 0; j < 270; ++j) {
        double sum = 0, magnitude = 0;
        for (int64_t t = 0; t < 300; ++t) {
          const double term = static_cast<double>(x(t, i)) * x(t, j) * (weighted ? weights[t] : 1.0f);
          sum += term;
          magnitude += std::fabs(term);
        }
        ASSERT_NEAR(h.at(i, j), sum, 1e-5 * magnitude + 1e-6);
        ASSERT_EQ(h.at(i, j), h.at(j, i));
      }
    }
  }
}

TEST(HessianTest, DependsOnTheTokensNotOnTheCuts) {
  const Matrix x = Random(290, 24);
  HessianAccumulator whole(24), pieces(24);
  EAQ_ASSERT_OK(whole.Add(x.view()));
  for (int64_t begin = 0, step = 1; begin < 290; begin += step, step = step * 2 + 1) {
    EAQ_ASSERT_OK(pieces.Add(x.view().Rows(begin, std::min<int64_t>(step, 290 - begin))));
    EAQ_ASSERT_OK(pieces.Add(x.view().Rows(0, 0)));
  }
  EXPECT_EQ(whole.Finish().values, pieces.Finish().values);
}

TEST(HessianTest, StartsAnewAfterFinish) {
  HessianAccumulator acc(3);
  EXPECT_EQ(acc.Finish().tokens, 0);
  Matrix x(1, 3);
  x(0, 1) = 2;
  EAQ_ASSERT_OK(acc.Add(x.view()));
  EXPECT_EQ(acc.Finish().at(1, 1), 4.0);
  const Hessian empty = acc.Finish();
  EXPECT_EQ(empty.tokens, 0);
  EXPECT_EQ(empty.values, std::vector<double>(9, 0.0));
}

TEST(HessianTest, RejectsDisagreeingShapes) {
  HessianAccumulator acc(3);
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(acc.Add(Matrix(2, 4).const_view()), StatusIs(invalid, ::testing::HasSubstr("4 columns")));
  EXPECT_THAT(acc.Add(Matrix(2, 3).const_view(), {1.0f}), StatusIs(invalid, ::testing::HasSubstr("token weights")));
  EXPECT_THAT(acc.Add(Matrix(1, 3).const_view(), {-1.0f}), StatusIs(invalid, ::testing::HasSubstr("-1")));
}

}  // namespace
}  // namespace eaq
