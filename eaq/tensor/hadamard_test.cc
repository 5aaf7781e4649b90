#include "eaq/tensor/hadamard.h"

#include <bit>
#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

Matrix Random(int64_t rows, int64_t cols) {
  Rng rng(4, "test/values");
  Matrix w(rows, cols);
  for (int64_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(rng.Normal());
  return w;
}

TEST(HadamardTest, MatchesTheClosedForm) {
  // H[i][j] = (-1)^popcount(i & j).
  for (const int n : {1, 2, 4, 64}) {
    for (int j = 0; j < n; ++j) {
      std::vector<double> v(n, 0.0);
      v[j] = 1.0;
      WalshHadamard(absl::MakeSpan(v));
      for (int i = 0; i < n; ++i) {
        const double sign = std::popcount(static_cast<unsigned>(i & j)) % 2 == 0 ? 1.0 : -1.0;
        EXPECT_NEAR(v[i], sign / std::sqrt(n), 1e-15);
      }
    }
  }
}

TEST(HadamardTest, IsOrthogonal) {
  EAQ_ASSERT_OK_AND_ASSIGN(const RandomHadamard q, RandomHadamard::Create(128, 9, "test"));
  Matrix identity(128, 128);
  for (int i = 0; i < 128; ++i) identity(i, i) = 1;
  q.ApplyRight(identity.view());  // now Q
  for (int i = 0; i < 128; ++i) {
    for (int j = 0; j < 128; ++j) {
      double dot = 0;
      for (int k = 0; k < 128; ++k) dot += static_cast<double>(identity(i, k)) * identity(j, k);
      EXPECT_NEAR(dot, i == j ? 1.0 : 0.0, 1e-6);
    }
  }
  // In float64, away from storage: the transform is its own inverse to 1e-12.
  Rng rng(1, "test/v");
  std::vector<double> v(256);
  for (double& value : v) value = rng.Normal();
  std::vector<double> back = v;
  WalshHadamard(absl::MakeSpan(back));
  WalshHadamard(absl::MakeSpan(back));
  for (size_t i = 0; i < v.size(); ++i) EXPECT_NEAR(back[i], v[i], 1e-12);
}

TEST(HadamardTest, RotationsUndoEachOtherInsideANetwork) {
  // A writer A [n, 20] followed by a reader B [30, n]: (B Q)(Q^T A) = B A.
  EAQ_ASSERT_OK_AND_ASSIGN(const RandomHadamard q, RandomHadamard::Create(64, 3, "test"));
  Matrix a = Random(64, 20), b = Random(30, 64);
  const Matrix a0 = a, b0 = b;
  q.ApplyTransposedLeft(a.view());
  q.ApplyRight(b.view());
  for (int i = 0; i < 30; ++i) {
    for (int j = 0; j < 20; ++j) {
      double expected = 0, found = 0;
      for (int k = 0; k < 64; ++k) {
        expected += static_cast<double>(b0(i, k)) * a0(k, j);
        found += static_cast<double>(b(i, k)) * a(k, j);
      }
      EXPECT_NEAR(found, expected, 1e-5);
    }
  }
  q.ApplyTransposedRight(b.view());
  for (int64_t i = 0; i < b.size(); ++i) EXPECT_NEAR(b.data()[i], b0.data()[i], 1e-6);
}

TEST(HadamardTest, SpreadsAnOutlier) {
  EAQ_ASSERT_OK_AND_ASSIGN(const RandomHadamard q, RandomHadamard::Create(1024, 3, "test"));
  Matrix x(1, 1024);
  x(0, 77) = 32.0f;
  q.ApplyRight(x.view());
  for (int c = 0; c < 1024; ++c) EXPECT_NEAR(std::fabs(x(0, c)), 1.0f, 1e-6);
}

TEST(HadamardTest, SignsDependOnSeedAndStream) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto a, RandomHadamard::Create(64, 1, "a"));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto b, RandomHadamard::Create(64, 1, "b"));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto again, RandomHadamard::Create(64, 1, "a"));
  EXPECT_NE(a.signs(), b.signs());
  EXPECT_EQ(a.signs(), again.signs());
  EXPECT_THAT(RandomHadamard::Create(6, 1, "a"),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("power of two")));
}

// Orders from quadratic residues, both kinds of Paley's construction, with and without a power of two beside: all
// entries +-1 / sqrt(n), H H^T = 1, and the inverse undoes the transform.
TEST(HadamardTest, OtherOrdersAreHadamardMatrices) {
  for (const int64_t n : {1, 2, 12, 20, 24, 28, 36, 40, 44, 52 * 2, 60, 96, 108, 140}) {
    ASSERT_TRUE(HadamardExists(n)) << n;
    std::vector<double> h(n * n, 0.0);
    for (int64_t i = 0; i < n; ++i) {
      h[i * n + i] = 1;
      const auto row = absl::MakeSpan(&h[i * n], n);
      HadamardTransform(row);
      std::vector<double> back(row.begin(), row.end());
      HadamardInverse(absl::MakeSpan(back));
      for (int64_t j = 0; j < n; ++j) {
        ASSERT_NEAR(std::abs(row[j]), 1 / std::sqrt(n), 1e-12) << n;
        ASSERT_NEAR(back[j], i == j ? 1 : 0, 1e-12) << n;
      }
    }
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j <= i; ++j) {
        double dot = 0;
        for (int64_t k = 0; k < n; ++k) dot += h[i * n + k] * h[j * n + k];
        ASSERT_NEAR(dot, i == j ? 1 : 0, 1e-12) << n;
      }
  }
  for (const int64_t n : {0, 3, 6, 10, 14, 22}) EXPECT_FALSE(HadamardExists(n)) << n;
}

}  // namespace
}  // namespace eaq
