// Every CPU op against its double-precision twin. Tolerances: 2^-24 is half an ulp of float32 at 1; a sum of n rounded
// terms is off by at most n * 2^-24 of the sum of magnitudes.
#include <cmath>
#include <cstdint>
#include <limits>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/backend.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_transposed.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/reference/reference.h"

namespace eaq::kernels {
namespace {

using reference::Doubles;
using Floats = std::vector<float>;
constexpr double kEps = 0x1p-24;

// Deterministic values in [-scale, scale] with exact float32 representations (kernels/ may not use base/rng).
Floats Values(int64_t n, uint32_t seed, float scale) {
  Floats values(n);
  for (float& v : values) {
    seed = seed * 1664525u + 1013904223u;
    v = (static_cast<float>(seed >> 8) * 0x1p-23f - 1.0f) * scale;
  }
  return values;
}
Doubles Widen(const Floats& x) { return Doubles(x.begin(), x.end()); }

void ExpectNear(const Floats& actual, const Doubles& expected, double relative, double absolute) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i)
    ASSERT_NEAR(actual[i], expected[i], relative * std::abs(expected[i]) + absolute) << "at " << i;
}

TEST(FastExp, RelativeErrorOverTheWholeRange) {
  for (double x = -87.2; x < 88.2; x += 0.00317) {
    const float f = static_cast<float>(x);
    EXPECT_NEAR(FastExp(f) / std::exp(static_cast<double>(f)), 1.0, 2e-7) << x;
  }
  EXPECT_EQ(FastExp(0.0f), 1.0f);
  EXPECT_TRUE(std::isnan(FastExp(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_LT(FastExp(-std::numeric_limits<float>::infinity()), 1.3e-38f);
}

TEST(FastExp64, RelativeErrorOverTheWholeRange) {
  for (double x = -707.9; x < 707.9; x += 0.0173) EXPECT_NEAR(FastExp64(x) / std::exp(x), 1.0, 1e-15) << x;
  EXPECT_EQ(FastExp64(0.0), 1.0);
  EXPECT_TRUE(std::isnan(FastExp64(std::numeric_limits<double>::quiet_NaN())));
}

TEST(RmsNorm, AgreesWithReference) {
  for (const int64_t n : {1, 7, 16, 33, 128}) {
    const int64_t rows = 3, stride = n + 5;
    const Floats x = Values(rows * stride, 1, 3.0f), w = Values(n, 2, 2.0f);
    Doubles packed;
    for (int64_t r = 0; r < rows; ++r) packed.insert(packed.end(), x.begin() + r * stride, x.begin() + r * stride + n);
    Floats y(rows * n);
    RmsNorm(x.data(), stride, w.data(), 1e-5, y.data(), n, rows, n);
    ExpectNear(y, reference::RmsNorm(packed, Widen(w), 1e-5, rows, n), 4 * kEps, 0);
  }
}

TEST(RotaryHalfSplit, AgreesWithReferenceAndKeepsLength) {
  const int64_t rows = 5, heads = 3, dim = 14;
  Floats x = Values(rows * heads * dim, 3, 1.0f), cosines(rows * dim / 2), sines(rows * dim / 2);
  for (size_t i = 0; i < cosines.size(); ++i) cosines[i] = std::cos(0.1f * i), sines[i] = std::sin(0.1f * i);
  const Doubles expected = reference::RotaryHalfSplit(Widen(x), Widen(cosines), Widen(sines), rows, heads, dim);
  double before = 0, after = 0;
  for (const float v : x) before += v * v;
  RotaryHalfSplit(x.data(), heads * dim, cosines.data(), sines.data(), rows, heads, dim);
  for (const float v : x) after += v * v;
  ExpectNear(x, expected, 0, 4 * kEps);
  EXPECT_NEAR(after, before, before * 1e-6);
}

TEST(SoftmaxRows, AgreesWithReference) {
  for (const int64_t n : {1, 3, 16, 61, 300}) {
    const Floats x = Values(2 * n, 4, 20.0f);
    Floats y(2 * n);
    SoftmaxRows(x.data(), n, y.data(), n, 2, n);
    ExpectNear(y, reference::SoftmaxRows(Widen(x), 2, n), 4e-7 + (n + 40) * kEps, 1e-37);
  }
}

TEST(SoftmaxRows, SurvivesHugeLogits) {
  Floats x = {1e30f, -1e30f, 1e30f};
  SoftmaxRows(x.data(), 3, x.data(), 3, 1, 3);
  EXPECT_NEAR(x[0], 0.5, 1e-6);
  EXPECT_NEAR(x[1], 0.0, 1e-37);
}

TEST(SiluMul, AgreesWithReference) {
  const Floats gate = Values(1000, 5, 60.0f), up = Values(1000, 6, 3.0f);
  Floats out(1000);
  SiluMul(gate.data(), up.data(), out.data(), 1000);
  ExpectNear(out, reference::SiluMul(Widen(gate), Widen(up)), 6e-7, 1e-30);
}

TEST(TopK, LowestIndexWinsTiesAndNanIsLast) {
  const Floats scores = {1, 3, 3, 2, 3, 0};
  std::vector<int32_t> top(4);
  TopK(scores.data(), 6, 4, top.data());
  EXPECT_EQ(top, (std::vector<int32_t>{1, 2, 4, 3}));
  EXPECT_EQ(top, reference::TopK(Widen(scores), 4));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Floats bad = {nan, 1, nan, 2};
  TopK(bad.data(), 4, 4, top.data());
  EXPECT_EQ(top, (std::vector<int32_t>{3, 1, 0, 2}));
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const Floats random = Values(40, seed, 1.0f);
    std::vector<int32_t> found(7);
    TopK(random.data(), 40, 7, found.data());
    EXPECT_EQ(found, reference::TopK(Widen(random), 7));
  }
}

TEST(LogSumExp, AgreesWithReference) {
  const Floats x = Values(777, 7, 30.0f);
  EXPECT_NEAR(LogSumExp(x.data(), 777), reference::LogSumExp(Widen(x)), 1e-12);
}

TEST(LogSumExp, NanAndInfinityDoNotPass) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(std::isnan(LogSumExp(Floats{1, nan, 2}.data(), 3)));
  EXPECT_TRUE(std::isnan(LogSumExp(Floats{nan, 1, 2}.data(), 3)));
  EXPECT_EQ(LogSumExp(Floats{1, inf, 2}.data(), 3), inf);
}

TEST(Diverge, AgreesWithReference) {
  for (const int64_t n : {1, 15, 16, 777}) {
    for (const float gap : {0.0f, 1e-3f, 5.0f}) {
      const Floats p = Values(n, 7, 30.0f), change = Values(n, 8, gap);
      Floats q = p;
      for (int64_t i = 0; i < n; ++i) q[i] += change[i];
      const Divergence d = Diverge(p.data(), q.data(), n), expected = reference::Diverge(Widen(p), Widen(q));
      EXPECT_NEAR(d.log_sum_p, expected.log_sum_p, 1e-12);
      EXPECT_NEAR(d.log_sum_q, expected.log_sum_q, 1e-12);
      EXPECT_NEAR(d.kl, expected.kl, 1e-13);
      EXPECT_GE(d.kl, 0.0);
      EXPECT_EQ(d.agree, expected.agree);
      EXPECT_EQ(d.log_sum_p, LogSumExp(p.data(), n));
    }
  }
  EXPECT_TRUE(Diverge(Floats{1, 2, 2}.data(), Floats{0, 3, 3}.data(), 3).agree);
  EXPECT_FALSE(Diverge(Floats{1, 2, 2}.data(), Floats{0, 3, 4}.data(), 3).agree);
}

TEST(Diverge, NanAndInfinityDoNotPass) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const Floats good = {1, 2, 3};
  for (const float bad : {nan, inf, -inf}) {
    for (size_t at = 0; at < good.size(); ++at) {
      Floats x = good;
      x[at] = bad;
      EXPECT_FALSE(std::isfinite(Diverge(x.data(), good.data(), 3).kl)) << bad << " at " << at;
      EXPECT_FALSE(std::isfinite(Diverge(good.data(), x.data(), 3).kl)) << bad << " at " << at;
    }
  }
}

TEST(MatVecAndGemm, AgreeWithReference) {
  for (const int64_t in : {1, 31, 32, 100}) {
    const int64_t out = 9;
    const Floats w = Values(out * in, 8, 1.0f), x = Values(3 * in, 9, 1.0f);
    Floats y(out), z(3 * out);
    MatVec(w.data(), x.data(), y.data(), out, in);
    ExpectNear(y, reference::Gemm(false, true, 1, out, in, Doubles(x.begin(), x.begin() + in), Widen(w)), 0,
               in * in * kEps);
    LinearForward(x.data(), in, w.data(), z.data(), out, 3, out, in);
    ExpectNear(z, reference::Gemm(false, true, 3, out, in, Widen(x), Widen(w)), 0, in * in * kEps);
  }
}

// Ragged tiles, several blocks in each direction, every way to treat C, rows wider than the matrix.
TEST(GemmTransposedTest, AgreesWithReference) {
  for (const auto& [m, n, k] : std::vector<std::tuple<int64_t, int64_t, int64_t>>{
           {1, 1, 1}, {6, 16, 3}, {5, 17, 9}, {64, 64, 64}, {97, 33, 257}, {12, 330, 300}, {200, 20, 70}}) {
    const int64_t lda = m + 3, ldb = n + 1, ldc = n + 2;
    const Floats a = Values(k * lda, 20, 1.0f), b = Values(k * ldb, 21, 1.0f), start = Values(m * ldc, 22, 1.0f);
    Doubles da, db;
    for (int64_t l = 0; l < k; ++l) {
      da.insert(da.end(), a.begin() + l * lda, a.begin() + l * lda + m);
      db.insert(db.end(), b.begin() + l * ldb, b.begin() + l * ldb + n);
    }
    const Doubles product = reference::Gemm(true, false, m, n, k, da, db);
    for (const auto& [alpha, beta] : std::vector<std::pair<float, float>>{{1, 0}, {1, 1}, {0.5f, -2}}) {
      Floats c = start;
      if (beta == 0) c[0] = std::numeric_limits<float>::quiet_NaN();  // must not be read
      GemmTransposed(m, n, k, alpha, a.data(), lda, b.data(), ldb, beta, c.data(), ldc);
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < ldc; ++j) {
          const double old = start[i * ldc + j];
          const double expected = j < n ? alpha * product[i * n + j] + beta * old : old;
          ASSERT_NEAR(c[i * ldc + j], expected, (k + 4) * k * kEps)
              << m << " " << n << " " << k << " at " << i << "," << j;
        }
    }
  }
}

TEST(Attention, AgreesWithReference) {
  for (const auto& [queries, first, heads, kv, window] :
       std::vector<std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t>>{{1, 0, 2, 2, 0},
                                                                            {70, 0, 4, 2, 0},
                                                                            {130, 0, 2, 1, 12},
                                                                            {5, 66, 4, 4, 0},
                                                                            {1, 100, 4, 2, 7},
                                                                            {80, 3, 2, 2, 65}}) {
    const AttentionShape s{queries, first, heads, kv, 8, window, 0.35f};
    const int64_t width = heads * 8, kv_width = kv * 8, keys = first + queries;
    const Floats q = Values(queries * width, 10, 3.0f), k = Values(keys * kv_width, 11, 3.0f),
                 v = Values(keys * kv_width, 12, 1.0f);
    Floats out(queries * width, -1.0f);
    Attention(s, q.data(), width, k.data(), kv_width, v.data(), kv_width, out.data(), width);
    // Scores up to 25 in magnitude, off by about 8 * 25 * eps each; a shift of the exponent is a relative error of p.
    ExpectNear(out, reference::Attention(s, Widen(q), Widen(k), Widen(v)), 0, 2 * 8 * 25 * kEps);
  }
}

}  // namespace
}  // namespace eaq::kernels
