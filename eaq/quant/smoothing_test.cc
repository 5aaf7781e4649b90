#include "eaq/quant/smoothing.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace eaq {
namespace {

TEST(SmoothingTest, ScalesByHand) {
  const std::vector<float> x = {4, 1, 0, 9}, w = {1, 4, 2, 0};
  const std::vector<float> s = SmoothingScales(x, w, 0.5);
  EXPECT_FLOAT_EQ(s[0], 2);
  EXPECT_FLOAT_EQ(s[1], 0.5);
  EXPECT_FLOAT_EQ(s[2], static_cast<float>(std::sqrt(1e-5f) / std::sqrt(2.0)));
  EXPECT_FLOAT_EQ(s[3], static_cast<float>(3 / std::sqrt(1e-5f)));
  EXPECT_FLOAT_EQ(SmoothingScales(x, w, 0.5, 1e-2f)[2], 1e-2f);
  // alpha 1 takes all of the activation's range, alpha 0 all of the weight's.
  EXPECT_FLOAT_EQ(SmoothingScales(x, w, 1)[3], 9);
  EXPECT_FLOAT_EQ(SmoothingScales(x, w, 0)[1], 0.25);
}

TEST(SmoothingTest, ColumnsAndRows) {
  Matrix a(2, 2), b(1, 2);
  a(0, 0) = -3;
  a(1, 1) = 2;
  b(0, 1) = -5;
  const Matrix* both[] = {&a, &b};
  EXPECT_EQ(ColumnAbsMax(both), (std::vector<float>{3, 5}));
  const std::vector<float> s = {2, 4};
  ScaleColumns(s, a);
  EXPECT_EQ(a(0, 0), -6);
  EXPECT_EQ(a(1, 1), 8);
  std::vector<float> bias = {2, 2};
  DivideRows(s, a, bias);
  EXPECT_EQ(a(0, 0), -3);
  EXPECT_EQ(a(1, 1), 2);
  EXPECT_EQ(bias, (std::vector<float>{1, 0.5}));
}

}  // namespace
}  // namespace eaq
