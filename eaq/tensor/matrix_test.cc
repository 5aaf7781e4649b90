#include "eaq/tensor/matrix.h"

#include <cstdint>
#include <type_traits>

#include "gtest/gtest.h"

namespace eaq {
namespace {

Matrix Counting(int64_t rows, int64_t cols) {
  Matrix m(rows, cols);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) m(r, c) = 10.0f * r + c;
  return m;
}

TEST(MatrixTest, StartsAtZeroOnACacheLine) {
  for (const int64_t cols : {1, 3, 17, 64}) {
    const Matrix m(5, cols);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(m.data()) % 64, 0u);
    EXPECT_EQ(m.size(), 5 * cols);
    for (const float v : m.values()) EXPECT_EQ(v, 0.0f);
  }
}

TEST(MatrixTest, EmptyMatrices) {
  EXPECT_EQ(Matrix().size(), 0);
  EXPECT_EQ(Matrix(0, 7).rows(), 0);
  EXPECT_EQ(Matrix(0, 7).cols(), 7);
  EXPECT_EQ(Matrix(Matrix(0, 7).view()).cols(), 7);
}

TEST(MatrixTest, ViewsOfRowsAndColumns) {
  Matrix m = Counting(4, 6);
  const MatrixView block = m.view().Rows(1, 2).Cols(2, 3);
  EXPECT_EQ(block.rows, 2);
  EXPECT_EQ(block.cols, 3);
  EXPECT_EQ(block.stride, 6);
  EXPECT_EQ(block(0, 0), 12);
  EXPECT_EQ(block(1, 2), 24);
  EXPECT_EQ(block.row_span(1).size(), 3u);
  block(1, 1) = -1;
  EXPECT_EQ(m(2, 3), -1);
}

TEST(MatrixTest, CopiesAViewWithAStride) {
  const Matrix m = Counting(4, 6);
  const Matrix copy(m.view().Rows(1, 3).Cols(4, 2));
  ASSERT_EQ(copy.rows(), 3);
  ASSERT_EQ(copy.cols(), 2);
  for (int64_t r = 0; r < 3; ++r)
    for (int64_t c = 0; c < 2; ++c) EXPECT_EQ(copy(r, c), m(r + 1, c + 4));
}

TEST(MatrixTest, EqualityIsShapeAndValues) {
  EXPECT_EQ(Counting(2, 3), Counting(2, 3));
  EXPECT_FALSE(Matrix(2, 3) == Matrix(3, 2));
  Matrix changed = Counting(2, 3);
  changed(1, 2) += 1;
  EXPECT_FALSE(changed == Counting(2, 3));
}

TEST(MatrixTest, ResizeChangesTheShape) {
  Matrix m = Counting(2, 3);
  m.Resize(5, 7);
  EXPECT_EQ(m.rows(), 5);
  EXPECT_EQ(m.cols(), 7);
  m(4, 6) = 1;
  EXPECT_EQ(m.view()(4, 6), 1);
}

// A mutable view becomes a const one by itself, never the other way round.
static_assert(std::is_convertible_v<MatrixView, ConstMatrixView>);
static_assert(!std::is_convertible_v<ConstMatrixView, MatrixView>);

}  // namespace
}  // namespace eaq
