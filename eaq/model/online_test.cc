#include "eaq/model/online.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"

namespace eaq {
namespace {

constexpr int64_t kWidth = 24, kRows = 5, kOut = 7;

// Gram-Schmidt on a random matrix.
Matrix RandomRotation(int64_t n) {
  Rng rng(3, "online_test/rotation");
  std::vector<double> q(n * n);
  for (double& x : q) x = rng.Normal();
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      double dot = 0;
      for (int64_t k = 0; k < n; ++k) dot += q[i * n + k] * q[j * n + k];
      for (int64_t k = 0; k < n; ++k) q[i * n + k] -= dot * q[j * n + k];
    }
    double norm = 0;
    for (int64_t k = 0; k < n; ++k) norm += q[i * n + k] * q[i * n + k];
    for (int64_t k = 0; k < n; ++k) q[i * n + k] /= std::sqrt(norm);
  }
  Matrix m(n, n);
  for (int64_t i = 0; i < n * n; ++i) m.data()[i] = static_cast<float>(q[i]);
  return m;
}

OnlineTransform Everything() {
  Rng rng(5, "online_test/steps");
  std::vector<float> divisors(kWidth);
  for (float& d : divisors) d = static_cast<float>(std::exp(rng.Normal()));
  std::vector<int32_t> order(kWidth);
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = kWidth - 1; i > 0; --i) std::swap(order[i], order[rng.Below(i + 1)]);
  OnlineTransform t;
  t.steps.push_back(OnlineStep::Divide(divisors));
  t.steps.push_back(OnlineStep::Rotate(RandomRotation(8)));
  t.steps.push_back(OnlineStep::Permute(order));
  t.steps.push_back(OnlineStep::Rotate(RandomRotation(6)));
  t.steps.push_back(OnlineStep::Hadamard(12));
  t.steps.push_back(OnlineStep::Hadamard(4, 3));
  return t;
}

std::vector<double> Random(int64_t n, absl::string_view stream) {
  Rng rng(1, stream);
  std::vector<double> v(n);
  for (double& x : v) x = rng.Normal();
  return v;
}

std::vector<double> Products(const std::vector<double>& x, const std::vector<double>& w) {
  std::vector<double> y(kRows * kOut, 0.0);
  for (int64_t i = 0; i < kRows; ++i)
    for (int64_t o = 0; o < kOut; ++o)
      for (int64_t k = 0; k < kWidth; ++k) y[i * kOut + o] += x[i * kWidth + k] * w[o * kWidth + k];
  return y;
}

// x T (W T^-T)^T = x W^T, in float64 within 1e-10, although R and the divisors are float16 numbers.
TEST(OnlineTransformTest, PreservesTheProduct) {
  const OnlineTransform t = Everything();
  ASSERT_TRUE(t.Validate(kWidth).ok());
  std::vector<double> x = Random(kRows * kWidth, "x"), w = Random(kOut * kWidth, "w");
  const std::vector<double> before = Products(x, w), old_x = x;
  t.ApplyToInput(x.data(), kRows, kWidth);
  t.FoldIntoWeight(w.data(), kOut, kWidth);
  double moved = 0;
  for (size_t i = 0; i < x.size(); ++i) moved = std::max(moved, std::abs(x[i] - old_x[i]));
  EXPECT_GT(moved, 0.5);
  const std::vector<double> after = Products(x, w);
  for (size_t i = 0; i < after.size(); ++i) EXPECT_NEAR(after[i], before[i], 1e-10);
}

TEST(OnlineTransformTest, FloatAgreesWithDouble) {
  const OnlineTransform t = Everything();
  std::vector<double> x = Random(kRows * kWidth, "x");
  Matrix wide(kRows, kWidth + 3);  // a view with a stride
  const MatrixView view = wide.view().Cols(0, kWidth);
  for (int64_t i = 0; i < kRows; ++i)
    for (int64_t j = 0; j < kWidth; ++j) view(i, j) = static_cast<float>(x[i * kWidth + j]);
  Matrix dense(view);
  t.ApplyToInput(x.data(), kRows, kWidth);
  t.ApplyToInput(view);
  t.ApplyToInput(dense.view());
  for (int64_t i = 0; i < kRows; ++i)
    for (int64_t j = 0; j < kWidth; ++j) {
      EXPECT_NEAR(view(i, j), x[i * kWidth + j], 1e-5);
      EXPECT_NEAR(dense(i, j), x[i * kWidth + j], 1e-5);
    }
}

// 4 heads of 6 channels: H of order 4 and stride 6 mixes the same channel of all heads.
TEST(OnlineTransformTest, AStrideMixesChannelsThatLieApart) {
  std::vector<double> x(kWidth, 0.0);
  x[2] = 1;
  OnlineTransform{{OnlineStep::Hadamard(4, 6)}}.ApplyToInput(x.data(), 1, kWidth);
  for (int64_t j = 0; j < kWidth; ++j) EXPECT_NEAR(std::abs(x[j]), j % 6 == 2 ? 0.5 : 0.0, 1e-15) << j;
}

TEST(OnlineTransformTest, CountsWhatItCosts) {
  const OnlineTransform t = Everything();
  // divide 24; rotate 24 * 8; rotate 24 * 6; Hadamard of order 12 = 12 * 1: 24 * 12;
  // Hadamard of order 4: 24 * 2.
  EXPECT_EQ(t.OperationsPerRow(kWidth), 24 + 24 * 8 + 24 * 6 + 24 * 12 + 24 * 2);
  EXPECT_EQ(t.StoredBytes(), 2 * 24 + 2 * 64 + 2 * 24 + 2 * 36);
  EXPECT_EQ(t.ToString(), "divide, rotate 8, permute, rotate 6, Hadamard 12, Hadamard 4 stride 3");
}

TEST(OnlineTransformTest, RefusesWhatDoesNotFit) {
  const auto valid = [](OnlineStep step) { return OnlineTransform{{std::move(step)}}.Validate(kWidth).ok(); };
  EXPECT_FALSE(valid(OnlineStep::Divide({1, 2})));
  EXPECT_FALSE(valid(OnlineStep::Rotate(Matrix(8, 8))));  // zeros
  EXPECT_FALSE(valid(OnlineStep::Rotate(RandomRotation(7))));
  EXPECT_FALSE(valid(OnlineStep::Permute(std::vector<int32_t>(kWidth, 0))));
  EXPECT_FALSE(valid(OnlineStep::Hadamard(6)));
  EXPECT_FALSE(valid(OnlineStep::Hadamard(16)));
  EXPECT_FALSE(valid(OnlineStep::Hadamard(8, 2)));
  EXPECT_FALSE(valid(OnlineStep::Hadamard(8, 0)));
  EXPECT_TRUE(valid(OnlineStep::Hadamard(8, 3)));
  EXPECT_TRUE(valid(OnlineStep::Hadamard(8)));
}

// <g, x T> = <g T^T, x>.
TEST(OnlineTransform, GradientsGoBackByTheTranspose) {
  const OnlineTransform t = Everything();
  Matrix x(kRows, kWidth), g(kRows, kWidth);
  const std::vector<double> xs = Random(x.size(), "x"), gs = Random(g.size(), "g");
  std::copy(xs.begin(), xs.end(), x.data());
  std::copy(gs.begin(), gs.end(), g.data());
  Matrix forward = x, backward = g;
  t.ApplyToInput(forward.view());
  t.ApplyToGradient(backward.view());
  double left = 0, right = 0;
  for (int64_t i = 0; i < x.size(); ++i) {
    left += double{g.data()[i]} * forward.data()[i];
    right += double{backward.data()[i]} * x.data()[i];
  }
  EXPECT_NEAR(left, right, 1e-5 * std::abs(left));
  EXPECT_GT(std::abs(left), 0.1);
}

}  // namespace
}  // namespace eaq
