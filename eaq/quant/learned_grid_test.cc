#include "eaq/quant/learned_grid.h"

#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/quant/fake_quant.h"

namespace eaq {
namespace {

std::vector<GridSpec> Specs() {
  std::vector<GridSpec> specs;
  for (const GridKind kind : {GridKind::kAsymmetric, GridKind::kSymmetricFullRange, GridKind::kSymmetricRestricted})
    for (const int bits : {2, 4}) {
      specs.push_back({.bits = bits, .kind = kind});
      specs.push_back({.bits = bits, .kind = kind, .granularity = Granularity::kTensor});
      specs.push_back({.bits = bits, .kind = kind, .granularity = Granularity::kGroup, .group_size = 4});
    }
  return specs;
}

constexpr int64_t kRows = 3, kCols = 10;  // the last group has 2 columns

template <typename T>
std::vector<T> Normal(int64_t n, const char* stream) {
  Rng rng(1, stream);
  std::vector<T> x(n);
  for (T& v : x) v = rng.Normal();
  return x;
}

TEST(LearnedGrid, WithoutOffsetsAndFactorsItRoundsToNearest) {
  for (const GridSpec& spec : Specs()) {
    Matrix w(kRows, kCols);
    const std::vector<float> values = Normal<float>(w.size(), "w");
    std::copy(values.begin(), values.end(), w.data());
    for (int64_t c = 0; c < kCols; ++c) w(2, c) = c < 5 ? 0.0f : std::fabs(w(2, c));  // zeros, and one sign only
    EAQ_ASSERT_OK_AND_ASSIGN(const auto grid, LearnedGrid<float>::Create(kRows, kCols, spec));
    const std::vector<float> one(grid.grids(), 1.0f), zero(w.size(), 0.0f);
    EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix nearest, QuantizeNearest(w.view(), spec));
    EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix learned, grid.Finish(w.data(), zero.data(), one.data(), one.data()));
    EXPECT_EQ(learned, nearest) << spec.ToString();
    for (const float* v : {static_cast<const float*>(nullptr), zero.data()}) {
      Matrix hat(kRows, kCols);
      grid.Forward(w.data(), v, one.data(), one.data(), hat.data());
      EXPECT_EQ(hat, Dequantize(nearest)) << spec.ToString();
    }
  }
}

TEST(LearnedGrid, WhatIsFinishedIsWhatForwardComputes) {
  for (const GridSpec& spec : Specs()) {
    const std::vector<float> w = Normal<float>(kRows * kCols, "w");
    std::vector<float> v = Normal<float>(kRows * kCols, "v");
    for (float& x : v) x *= 0.4f;
    EAQ_ASSERT_OK_AND_ASSIGN(const auto grid, LearnedGrid<float>::Create(kRows, kCols, spec));
    std::vector<float> upper(grid.grids()), lower(grid.grids());
    Rng rng(2, "factors");
    for (int64_t i = 0; i < grid.grids(); ++i) upper[i] = rng.Uniform(), lower[i] = rng.Uniform();
    Matrix hat(kRows, kCols);
    grid.Forward(w.data(), v.data(), upper.data(), lower.data(), hat.data());
    EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix q, grid.Finish(w.data(), v.data(), upper.data(), lower.data()));
    ASSERT_THAT(ValidateQuantized(q), IsOk());
    EXPECT_EQ(Dequantize(q), hat) << spec.ToString();
  }
}

// Every single gradient against central differences of the soft function; factors below 1 so that the clamp binds.
TEST(LearnedGrid, GradientsMatchCentralDifferences) {
  for (const GridSpec& spec : Specs()) {
    std::vector<double> w = Normal<double>(kRows * kCols, "w"), v = Normal<double>(kRows * kCols, "v"),
                        g = Normal<double>(kRows * kCols, "g");
    for (double& x : v) x *= 0.3;
    EAQ_ASSERT_OK_AND_ASSIGN(const auto grid, LearnedGrid<double>::Create(kRows, kCols, spec, /*soft=*/true));
    std::vector<double> upper(grid.grids()), lower(grid.grids());
    Rng rng(3, "factors");
    for (int64_t i = 0; i < grid.grids(); ++i)
      upper[i] = 0.5 + 0.5 * rng.Uniform(), lower[i] = 0.5 + 0.5 * rng.Uniform();
    const auto loss = [&] {
      std::vector<double> hat(w.size());
      grid.Forward(w.data(), v.data(), upper.data(), lower.data(), hat.data());
      double sum = 0;
      for (size_t i = 0; i < hat.size(); ++i) sum += g[i] * hat[i];
      return sum;
    };
    std::vector<double> dv(w.size()), dw(w.size()), du(grid.grids()), dl(grid.grids());
    grid.Backward(w.data(), v.data(), upper.data(), lower.data(), g.data(),
                  {.offset = dv.data(), .weight = dw.data(), .upper = du.data(), .lower = dl.data()});
    const auto check = [&](std::vector<double>& x, const std::vector<double>& analytic, const char* what) {
      for (size_t i = 0; i < x.size(); ++i) {
        const double keep = x[i];
        x[i] = keep + 1e-6;
        const double plus = loss();
        x[i] = keep - 1e-6;
        const double minus = loss();
        x[i] = keep;
        EXPECT_NEAR((plus - minus) / 2e-6, analytic[i], 1e-6) << spec.ToString() << ' ' << what << ' ' << i;
      }
    };
    check(v, dv, "offset");
    check(w, dw, "weight");
    check(upper, du, "upper");
    check(lower, dl, "lower");
  }
}

// The float path that rounds, against the definition written out.
TEST(LearnedGrid, HardGradientsAreTheClosedForm) {
  const GridSpec spec{.bits = 2};
  const std::vector<float> w = {-1.0f, -0.2f, 0.4f, 0.9f}, v = {0.1f, 0.0f, 0.3f, 0.0f}, g = {1.0f, 2.0f, -1.0f, 3.0f};
  EAQ_ASSERT_OK_AND_ASSIGN(const auto grid, LearnedGrid<float>::Create(1, 4, spec));
  const float upper = 0.5f, lower = 1.0f;
  std::vector<float> dv(4), dw(4);
  float du, dl;
  grid.Backward(w.data(), v.data(), &upper, &lower, g.data(),
                {.offset = dv.data(), .weight = dw.data(), .upper = &du, .lower = &dl});
  const GridParams p = ParamsFromRangeUnchecked(spec, -1.0f, 0.45f, ScaleStorage::kFloat16);
  const float s = p.scale;  // 0.4834, z = 2: levels -2 .. 1; w / s + v = -1.97, -0.41, 1.13, 1.86: the last is clamped
  EXPECT_EQ(p.zero, 2);
  const std::vector<float> q = {-2, 0, 1, 1}, m = {1, 1, 1, 0};
  float ds = 0, gz = 0;
  for (int i = 0; i < 4; ++i) {
    EXPECT_FLOAT_EQ(dv[i], g[i] * s * m[i]);
    ds += g[i] * (q[i] - m[i] * w[i] / s);
    gz += g[i] * s * (m[i] - 1);
  }
  const float dst = ds + gz * (-1.0f) / (s * s);
  EXPECT_NEAR(du, dst * 0.9f / 3, 1e-5);
  EXPECT_NEAR(dl, -dst * -1.0f / 3 - gz * -1.0f / s, 1e-5);
  EXPECT_NEAR(dw[3], dst / 3 * upper, 1e-5);
  EXPECT_NEAR(dw[0], g[0] - dst / 3 - gz / s, 1e-5);
  EXPECT_EQ(dw[1], g[1]);
}

TEST(LearnedGrid, RefusesWhatIsNotFinite) {
  EXPECT_FALSE(LearnedGrid<float>::Create(2, 2, {.bits = 9}).ok());
  EAQ_ASSERT_OK_AND_ASSIGN(const auto grid, LearnedGrid<float>::Create(1, 2, {.bits = 4}));
  const std::vector<float> w = {1.0f, std::nanf("")};
  const float one = 1;
  EXPECT_THAT(grid.Finish(w.data(), nullptr, &one, &one).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("weight 1")));
}

}  // namespace
}  // namespace eaq
