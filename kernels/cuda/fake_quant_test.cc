// The kernel's very source, run by kernels/emulation, against its definition in double precision.
#include "kernels/cuda/fake_quant.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace eaq::kernels::cuda {
namespace {

struct Grid {
  double scale, zero, max_code;
};

Grid RowGrid(const float* row, int64_t n, int bits, double clip_ratio) {
  double low = 0, high = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (std::isnan(row[i])) continue;
    low = std::min(low, double{row[i]});
    high = std::max(high, double{row[i]});
  }
  low *= clip_ratio;
  high *= clip_ratio;
  if (low == 0 && high == 0) low = -1, high = 1;
  const double max_code = std::ldexp(1.0, bits) - 1;
  const double scale = (high - low) / max_code;
  return {scale, std::clamp(std::nearbyint(-low / scale), 0.0, max_code), max_code};
}

// Every value of y must be a level of its row's grid, and as near to x as the nearest level is (up to float rounding
// of x / scale, which may take the other level at a tie).
void ExpectFakeQuantized(const std::vector<float>& x, const std::vector<float>& y, int64_t ldx, int64_t rows, int64_t n,
                         int bits, double clip_ratio) {
  for (int64_t r = 0; r < rows; ++r) {
    const Grid g = RowGrid(&x[r * ldx], n, bits, clip_ratio);
    for (int64_t i = 0; i < n; ++i) {
      const double value = x[r * ldx + i], got = y[r * ldx + i];
      const double level = got / g.scale;
      ASSERT_NEAR(level, std::nearbyint(level), 1e-4) << "no level of the grid: row " << r << ", " << i;
      ASSERT_GE(level, -g.zero - 1e-4);
      ASSERT_LE(level, g.max_code - g.zero + 1e-4);
      const double nearest = std::clamp(std::nearbyint(value / g.scale), -g.zero, g.max_code - g.zero);
      ASSERT_LE(std::fabs(got - value), std::fabs(nearest * g.scale - value) + 2e-6 * std::fabs(value) + 1e-6 * g.scale)
          << "row " << r << ", " << i;
    }
    for (int64_t i = n; i < ldx; ++i) ASSERT_EQ(y[r * ldx + i], x[r * ldx + i]) << "wrote beyond the row";
  }
}

std::vector<float> Random(int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& v : values) v = normal(generator);
  return values;
}

TEST(FakeQuantCudaTest, FollowsItsDefinitionForAnyShapeAndBits) {
  unsigned seed = 1;
  for (const int64_t n : {1, 31, 32, 33, 127, 128, 129, 300}) {
    for (const int bits : {2, 4, 8}) {
      for (const float clip_ratio : {1.0f, 0.8f}) {
        const int64_t rows = 2, ldx = n + 3;
        const std::vector<float> x = Random(rows * ldx, seed++);
        std::vector<float> y = x;
        ASSERT_EQ(FakeQuantPerToken(y.data(), ldx, rows, n, bits, clip_ratio, nullptr), 0);
        ASSERT_NO_FATAL_FAILURE(ExpectFakeQuantized(x, y, ldx, rows, n, bits, clip_ratio)) << n << " " << bits;
      }
    }
  }
}

TEST(FakeQuantCudaTest, RowsOfOneSignHaveZeroAtTheirEnd) {
  std::vector<float> x = {1, 2, 3, 15, -1, -2, -3, -15};
  ASSERT_EQ(FakeQuantPerToken(x.data(), 4, 2, 4, 4, 1.0f, nullptr), 0);
  EXPECT_EQ(x, (std::vector<float>{1, 2, 3, 15, -1, -2, -3, -15}));  // scale 1: all on the grid
}

TEST(FakeQuantCudaTest, ZerosStayZeroAndTinyRowsStayFinite) {
  std::vector<float> x(64, 0.0f);
  for (int i = 32; i < 64; ++i) x[i] = 1e-38f;
  ASSERT_EQ(FakeQuantPerToken(x.data(), 32, 2, 32, 4, 1.0f, nullptr), 0);
  for (const float v : x) EXPECT_EQ(v, 0.0f);
}

TEST(FakeQuantCudaTest, BrokenTokensStayBrokenAndLeaveTheOthersAlone) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  std::vector<float> x = Random(3 * 40, 5);
  x[7] = nan;
  x[40 + 7] = infinity;
  std::vector<float> alone(x.begin() + 80, x.end());
  ASSERT_EQ(FakeQuantPerToken(x.data(), 40, 3, 40, 4, 1.0f, nullptr), 0);
  EXPECT_TRUE(std::isnan(x[7]));
  EXPECT_FALSE(std::isnan(x[8]));  // NaN is no part of the range
  for (int i = 40; i < 80; ++i) EXPECT_TRUE(std::isnan(x[i])) << i;
  ASSERT_EQ(FakeQuantPerToken(alone.data(), 40, 1, 40, 4, 1.0f, nullptr), 0);
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), x.begin() + 80));
}

TEST(FakeQuantCudaTest, NothingToDo) {
  EXPECT_EQ(FakeQuantPerToken(nullptr, 8, 0, 8, 4, 1.0f, nullptr), 0);
  EXPECT_EQ(FakeQuantPerToken(nullptr, 8, 8, 0, 4, 1.0f, nullptr), 0);
}

}  // namespace
}  // namespace eaq::kernels::cuda
