// Row-major float32 matrices: an owner and two views. All computation in the house is float32 (float64 for losses
// and statistics); storage formats are converted at the edge (checkpoint/).
//
//   Matrix w(out_features, in_features);          // zeros, cache-line aligned
//   ConstMatrixView head = w.view().Rows(0, 4);   // [4, in_features], no copy
//
// A view does not own; it is valid while its owner lives and keeps its size.
#ifndef EAQ_TENSOR_MATRIX_H_
#define EAQ_TENSOR_MATRIX_H_

#include <cstdint>
#include <cstring>

#include "absl/types/span.h"
#include "eaq/base/buffer.h"

namespace eaq {

template <typename T>  // float or const float
struct BasicMatrixView {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // elements from one row to the next, >= cols

  BasicMatrixView() = default;
  BasicMatrixView(T* d, int64_t r, int64_t c) : BasicMatrixView(d, r, c, c) {}
  BasicMatrixView(T* d, int64_t r, int64_t c, int64_t s) : data(d), rows(r), cols(c), stride(s) {}
  // A mutable view is also a const one.
  operator BasicMatrixView<const T>() const { return {data, rows, cols, stride}; }

  T* row(int64_t r) const { return data + r * stride; }
  absl::Span<T> row_span(int64_t r) const { return absl::MakeSpan(row(r), cols); }
  T& operator()(int64_t r, int64_t c) const { return data[r * stride + c]; }
  BasicMatrixView Rows(int64_t begin, int64_t count) const { return {row(begin), count, cols, stride}; }
  BasicMatrixView Cols(int64_t begin, int64_t count) const { return {data + begin, rows, count, stride}; }
};
using MatrixView = BasicMatrixView<float>;
using ConstMatrixView = BasicMatrixView<const float>;

class Matrix {
 public:
  Matrix() = default;
  Matrix(int64_t rows, int64_t cols) : rows_(rows), cols_(cols), values_(rows * cols, 0.0f) {}
  explicit Matrix(ConstMatrixView from) : Matrix(from.rows, from.cols) {
    for (int64_t r = 0; r < rows_; ++r) std::memcpy(row(r), from.row(r), cols_ * sizeof(float));
  }

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t size() const { return rows_ * cols_; }
  float* data() { return values_.data(); }
  const float* data() const { return values_.data(); }
  float* row(int64_t r) { return data() + r * cols_; }
  const float* row(int64_t r) const { return data() + r * cols_; }
  float& operator()(int64_t r, int64_t c) { return data()[r * cols_ + c]; }
  float operator()(int64_t r, int64_t c) const { return data()[r * cols_ + c]; }
  absl::Span<const float> values() const { return absl::MakeConstSpan(data(), size()); }

  MatrixView view() { return {data(), rows_, cols_}; }
  ConstMatrixView view() const { return {data(), rows_, cols_}; }
  ConstMatrixView const_view() const { return view(); }

  // New shape, contents unspecified; storage is kept when it suffices.
  void Resize(int64_t rows, int64_t cols) {
    rows_ = rows;
    cols_ = cols;
    values_.resize(rows * cols);
  }

  friend bool operator==(const Matrix& a, const Matrix& b) {
    return a.rows_ == b.rows_ && a.cols_ == b.cols_ && a.values_ == b.values_;
  }

 private:
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  Buffer<float> values_;
};

}  // namespace eaq

#endif  // EAQ_TENSOR_MATRIX_H_
