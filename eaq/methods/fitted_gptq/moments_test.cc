#include "eaq/methods/fitted_gptq/moments.h"

#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/quant/activation_quant.h"
#include "gtest/gtest.h"

namespace eaq::fitted_gptq {
namespace {

Matrix Random(int64_t rows, int64_t cols, const char* stream) {
  Rng rng(1, stream);
  Matrix m(rows, cols);
  for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(rng.Normal());
  return m;
}

// || X W^T - Q V^T ||^2 + ridge m || V - W ||^2, naive in float64.
double Objective(const Matrix& x, const Matrix& q, const Matrix& w, const Matrix& v, double ridge) {
  double error = 0, change = 0, mean = 0;
  for (int64_t t = 0; t < x.rows(); ++t) {
    for (int64_t o = 0; o < w.rows(); ++o) {
      double d = 0;
      for (int64_t c = 0; c < x.cols(); ++c)
        d += static_cast<double>(x(t, c)) * w(o, c) - static_cast<double>(q(t, c)) * v(o, c);
      error += d * d;
    }
    for (int64_t c = 0; c < x.cols(); ++c) mean += static_cast<double>(q(t, c)) * q(t, c) / x.cols();
  }
  for (int64_t i = 0; i < w.size(); ++i) change += std::pow(static_cast<double>(v.data()[i]) - w.data()[i], 2);
  return error + ridge * mean * change;
}

Moments Measure(const Matrix& x, const Matrix& q, int64_t cut) {
  MomentAccumulator sums(x.cols());
  EAQ_EXPECT_OK(sums.Add(x.view().Rows(0, cut), q.view().Rows(0, cut)));
  EAQ_EXPECT_OK(sums.Add(x.view().Rows(cut, x.rows() - cut), q.view().Rows(cut, x.rows() - cut)));
  return sums.Finish();
}

TEST(Moments, AreTheSumsWhateverTheCuts) {
  const Matrix x = Random(301, 9, "x"), q = Random(301, 9, "q");
  const Moments m = Measure(x, q, 37);
  EXPECT_EQ(m.seen.tokens, 301);
  for (int64_t i = 0; i < 9; ++i)
    for (int64_t j = 0; j < 9; ++j) {
      double seen = 0, lost = 0;
      for (int64_t t = 0; t < 301; ++t) {
        seen += static_cast<double>(q(t, i)) * q(t, j);
        lost += (static_cast<double>(x(t, i)) - q(t, i)) * q(t, j);
      }
      EXPECT_NEAR(m.seen.at(i, j), seen, 1e-3);
      EXPECT_NEAR(m.lost[i * 9 + j], lost, 1e-3);
    }
}

// The gradient vanishes at the minimum of a convex function: every step away from it costs.
TEST(FitWeight, IsTheMinimum) {
  const Matrix x = Random(60, 7, "x"), w = Random(5, 7, "w"), noise = Random(60, 7, "noise");
  Matrix q = x;
  for (int64_t i = 0; i < q.size(); ++i) q.data()[i] += 0.3f * noise.data()[i];
  for (const double ridge : {1e-6, 0.01, 1.0}) {
    const Matrix v = FitWeight(w.view(), Measure(x, q, 20), ridge);
    const double least = Objective(x, q, w, v, ridge);
    EXPECT_LT(least, Objective(x, q, w, w, ridge));
    for (int64_t i = 0; i < v.size(); ++i) {
      for (const float step : {-0.01f, 0.01f}) {
        Matrix other = v;
        other.data()[i] += step;
        EXPECT_GT(Objective(x, q, w, other, ridge), least) << i;
      }
    }
  }
}

TEST(FitWeight, LeavesTheWeightWhereNothingIsLost) {
  const Matrix x = Random(40, 6, "x"), w = Random(3, 6, "w");
  EXPECT_EQ(FitWeight(w.view(), Measure(x, x, 10), 0.01), w);
  const Matrix none(0, 6), zeros(5, 6);
  EXPECT_EQ(FitWeight(w.view(), Measure(none, none, 0), 0.01), w);
  EXPECT_EQ(FitWeight(w.view(), Measure(zeros, zeros, 2), 0.01), w);
}

// Rounding to 4 bits: the fitted weight loses less on tokens that it was not fitted to.
TEST(FitWeight, HelpsOnOtherTokens) {
  const Matrix basis = Random(4, 32, "basis"), w = Random(16, 32, "w");
  const auto rows = [&](const char* stream) {  // rank 4 and a little noise: most directions hold little but rounding
    const Matrix factors = Random(800, 4, stream);
    Matrix x = Random(800, 32, "small");
    for (int64_t t = 0; t < 800; ++t)
      for (int64_t c = 0; c < 32; ++c) {
        x(t, c) *= 0.05f;
        for (int64_t k = 0; k < 4; ++k) x(t, c) += factors(t, k) * basis(k, c);
      }
    return x;
  };
  EAQ_ASSERT_OK_AND_ASSIGN(const ActivationQuantizer activation, ActivationQuantizer::Dynamic(GridSpec{.bits = 4}));
  const auto rounded = [&](Matrix x) {
    activation.Apply(x.view());
    return x;
  };
  const Matrix seen = rows("seen"), unseen = rows("unseen");
  const Matrix v = FitWeight(w.view(), Measure(seen, rounded(seen), 100), 0.01);
  EXPECT_LT(Objective(unseen, rounded(unseen), w, v, 0), 0.8 * Objective(unseen, rounded(unseen), w, w, 0));
}

TEST(MomentAccumulator, RefusesOtherShapes) {
  MomentAccumulator sums(4);
  EXPECT_FALSE(sums.Add(Matrix(3, 4).view(), Matrix(2, 4).view()).ok());
  EXPECT_FALSE(sums.Add(Matrix(3, 5).view(), Matrix(3, 5).view()).ok());
}

}  // namespace
}  // namespace eaq::fitted_gptq
