#include "eaq/model/online.h"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/tensor/f16.h"
#include "eaq/tensor/hadamard.h"
#include "kernels/cpu/gemm.h"
#include "third_party/eigen/dense.h"

namespace eaq {
namespace {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

absl::Status Wrong(size_t step, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("online transform, step ", step + 1, ": ", what));
}

absl::Status CheckRotation(size_t step, const Matrix& r, int64_t width) {
  const int64_t b = r.rows();
  if (b < 1 || r.cols() != b || width % b != 0) {
    return Wrong(step, absl::StrCat("a rotation [", b, ", ", r.cols(), "]; expected square blocks that divide the ",
                                    width, " channels"));
  }
  for (int64_t i = 0; i < b; ++i) {
    for (int64_t j = 0; j <= i; ++j) {
      double dot = 0;
      for (int64_t k = 0; k < b; ++k) dot += static_cast<double>(r(i, k)) * r(j, k);
      if (!(std::abs(dot - (i == j ? 1 : 0)) < 1e-2)) {
        return Wrong(step, absl::StrCat("rows ", i, " and ", j, " of the rotation have the product ", dot,
                                        "; expected a nearly orthogonal matrix"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckStep(size_t index, const OnlineStep& step, int64_t width) {
  switch (step.kind) {
    case OnlineStep::Kind::kDivide:
      if (static_cast<int64_t>(step.divisors.size()) != width)
        return Wrong(index, absl::StrCat(step.divisors.size(), " divisors; expected ", width));
      for (const float d : step.divisors)
        if (!std::isfinite(d) || d == 0) return Wrong(index, absl::StrCat("the divisor ", d));
      return absl::OkStatus();
    case OnlineStep::Kind::kRotate:
      return CheckRotation(index, step.rotation, width);
    case OnlineStep::Kind::kPermute: {
      std::vector<int32_t> sorted = step.permutation;
      std::sort(sorted.begin(), sorted.end());
      bool good = static_cast<int64_t>(sorted.size()) == width;
      for (int64_t j = 0; good && j < width; ++j) good = sorted[j] == j;
      return good ? absl::OkStatus() : Wrong(index, absl::StrCat("not a permutation of ", width, " channels"));
    }
    case OnlineStep::Kind::kHadamard:
      if (step.block < 1 || width % step.block != 0 || !HadamardExists(step.block))
        return Wrong(index, absl::StrCat("no Hadamard blocks of ", step.block, " for ", width, " channels"));
      if (step.stride < 1 || width / step.block % step.stride != 0)
        return Wrong(index, absl::StrCat("Hadamard blocks of ", step.block, " with stride ", step.stride, " for ",
                                         width, " channels; expected block * stride to divide them"));
      return absl::OkStatus();
  }
  return Wrong(index, "unknown kind");
}

RowMajor Widened(const Matrix& m) {
  using Floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  return Eigen::Map<const Floats>(m.data(), m.rows(), m.cols()).cast<double>();
}

// R^-T in float64, R nearly orthogonal, by Newton's iteration Y <- Y (2 - R^T Y) from Y = R: with E = R^T R - 1 the
// error is E, E^2, E^4, ... Validate allows |E| up to 1e-2.
RowMajor InverseTranspose(const Matrix& rotation) {
  const int64_t b = rotation.rows();
  const RowMajor r = Widened(rotation);
  RowMajor y = r;
  for (int step = 0; step < 5; ++step) {
    const RowMajor error = r.transpose() * y - RowMajor::Identity(b, b);
    if (error.cwiseAbs().maxCoeff() < 1e-15) break;
    y -= y * error;
  }
  return y;
}

// x <- x R in every block, for contiguous rows: [n width / b, b] R.
void Rotate(const Matrix& r, float* x, int64_t n, int64_t width) {
  const int64_t b = r.rows(), m = n * width / b;
  thread_local std::vector<float> copy;
  copy.assign(x, x + n * width);
  kernels::Gemm(false, false, m, b, b, 1.0f, copy.data(), b, r.data(), b, 0.0f, x, b);
}
// The same with any [b, b] matrix in float64.
void Rotate(const RowMajor& r, double* x, int64_t n, int64_t width) {
  Eigen::Map<RowMajor> rows(x, n * width / r.rows(), r.rows());
  rows = (rows * r).eval();
}

// The steps that input and weight share.
template <typename T>
void Permute(const std::vector<int32_t>& permutation, T* rows, int64_t n, int64_t width) {
  std::vector<T> row(width);
  for (int64_t i = 0; i < n; ++i) {
    std::copy_n(rows + i * width, width, row.begin());
    for (int64_t j = 0; j < width; ++j) rows[i * width + j] = row[permutation[j]];
  }
}
// TRANSFORM, of `block` channels that lie `stride` apart, everywhere in the rows.
template <typename T, typename F>
void InBlocks(int64_t block, int64_t stride, T* rows, int64_t n, int64_t width, const F& transform) {
  if (stride == 1) {
    for (T* at = rows; at < rows + n * width; at += block) transform(absl::MakeSpan(at, block));
    return;
  }
  std::vector<T> column(block);
  for (T* piece = rows; piece < rows + n * width; piece += block * stride) {
    for (int64_t s = 0; s < stride; ++s) {
      for (int64_t b = 0; b < block; ++b) column[b] = piece[b * stride + s];
      transform(absl::MakeSpan(column));
      for (int64_t b = 0; b < block; ++b) piece[b * stride + s] = column[b];
    }
  }
}
template <typename T>
void Hadamard(int64_t block, int64_t stride, T* rows, int64_t n, int64_t width) {
  InBlocks(block, stride, rows, n, width, [](absl::Span<T> values) { HadamardTransform(values); });
}

template <typename T>
void ApplyInput(const OnlineStep& step, T* rows, int64_t n, int64_t width) {
  switch (step.kind) {
    case OnlineStep::Kind::kDivide:
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < width; ++j) rows[i * width + j] /= step.divisors[j];
      return;
    case OnlineStep::Kind::kRotate:
      if constexpr (std::is_same_v<T, float>) {
        return Rotate(step.rotation, rows, n, width);
      } else {
        return Rotate(Widened(step.rotation), rows, n, width);
      }
    case OnlineStep::Kind::kPermute:
      return Permute(step.permutation, rows, n, width);
    case OnlineStep::Kind::kHadamard:
      return Hadamard(step.block, step.stride, rows, n, width);
  }
}

// The inverse transpose: orthogonal steps are their own.
void ApplyWeight(const OnlineStep& step, double* rows, int64_t n, int64_t width) {
  switch (step.kind) {
    case OnlineStep::Kind::kDivide:
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < width; ++j) rows[i * width + j] *= step.divisors[j];
      return;
    case OnlineStep::Kind::kRotate:
      return Rotate(InverseTranspose(step.rotation), rows, n, width);
    case OnlineStep::Kind::kPermute:
      return Permute(step.permutation, rows, n, width);
    case OnlineStep::Kind::kHadamard:
      return Hadamard(step.block, step.stride, rows, n, width);
  }
}

float ToF16(float value) { return F16ToFloat(FloatToF16(value)); }

}  // namespace

OnlineStep OnlineStep::Divide(std::vector<float> divisors) {
  OnlineStep step;
  step.kind = Kind::kDivide;
  step.divisors = std::move(divisors);
  for (float& d : step.divisors) d = ToF16(std::copysign(std::max(std::abs(d), 0x1p-14f), d));
  return step;
}
OnlineStep OnlineStep::Rotate(Matrix rotation) {
  OnlineStep step;
  step.kind = Kind::kRotate;
  step.rotation = std::move(rotation);
  for (int64_t i = 0; i < step.rotation.size(); ++i) step.rotation.data()[i] = ToF16(step.rotation.data()[i]);
  return step;
}
OnlineStep OnlineStep::Permute(std::vector<int32_t> permutation) {
  OnlineStep step;
  step.kind = Kind::kPermute;
  step.permutation = std::move(permutation);
  return step;
}
OnlineStep OnlineStep::Hadamard(int64_t block, int64_t stride) {
  OnlineStep step;
  step.kind = Kind::kHadamard;
  step.block = block;
  step.stride = stride;
  return step;
}

absl::Status OnlineTransform::Validate(int64_t width) const {
  for (size_t i = 0; i < steps.size(); ++i) {
    const absl::Status status = CheckStep(i, steps[i], width);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

void OnlineTransform::ApplyToInput(double* rows, int64_t n, int64_t width) const {
  for (const OnlineStep& step : steps) ApplyInput(step, rows, n, width);
}
void OnlineTransform::FoldIntoWeight(double* rows, int64_t n, int64_t width) const {
  for (const OnlineStep& step : steps) ApplyWeight(step, rows, n, width);
}

void OnlineTransform::ApplyToInput(MatrixView x) const {
  if (x.stride == x.cols) {
    for (const OnlineStep& step : steps) ApplyInput(step, x.data, x.rows, x.cols);
    return;
  }
  for (int64_t r = 0; r < x.rows; ++r)
    for (const OnlineStep& step : steps) ApplyInput(step, x.row(r), 1, x.cols);
}

void OnlineTransform::ApplyToGradient(MatrixView g) const {
  std::vector<float> row(g.cols);
  std::vector<double> exact;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const int64_t b = step->kind == OnlineStep::Kind::kRotate ? step->rotation.rows() : step->block;
    for (int64_t r = 0; r < g.rows; ++r) {
      float* at = g.row(r);
      switch (step->kind) {
        case OnlineStep::Kind::kDivide:
          for (int64_t j = 0; j < g.cols; ++j) at[j] /= step->divisors[j];
          break;
        case OnlineStep::Kind::kRotate:
          std::copy_n(at, g.cols, row.begin());
          kernels::Gemm(false, true, g.cols / b, b, b, 1.0f, row.data(), b, step->rotation.data(), b, 0.0f, at, b);
          break;
        case OnlineStep::Kind::kPermute:
          std::copy_n(at, g.cols, row.begin());
          for (int64_t j = 0; j < g.cols; ++j) at[step->permutation[j]] = row[j];
          break;
        case OnlineStep::Kind::kHadamard:
          exact.assign(at, at + g.cols);
          InBlocks(b, step->stride, exact.data(), 1, g.cols,
                   [](absl::Span<double> values) { HadamardInverse(values); });
          for (int64_t j = 0; j < g.cols; ++j) at[j] = static_cast<float>(exact[j]);
          break;
      }
    }
  }
}

void OnlineTransform::FoldIntoWeight(MatrixView w) const {
  std::vector<double> rows;
  for (int64_t r = 0; r < w.rows; ++r) rows.insert(rows.end(), w.row(r), w.row(r) + w.cols);
  FoldIntoWeight(rows.data(), w.rows, w.cols);
  for (int64_t r = 0; r < w.rows; ++r)
    for (int64_t c = 0; c < w.cols; ++c) w(r, c) = static_cast<float>(rows[r * w.cols + c]);
}

int64_t OnlineTransform::OperationsPerRow(int64_t width) const {
  int64_t operations = 0;
  for (const OnlineStep& step : steps) {
    if (step.kind == OnlineStep::Kind::kDivide) operations += width;
    if (step.kind == OnlineStep::Kind::kRotate) operations += width * step.rotation.rows();
    if (step.kind == OnlineStep::Kind::kHadamard) operations += width / step.block * HadamardOperations(step.block);
  }
  return operations;
}

int64_t OnlineTransform::StoredBytes() const {
  int64_t bytes = 0;
  for (const OnlineStep& step : steps) {
    const int64_t entries = step.permutation.size();
    bytes +=
        2 * static_cast<int64_t>(step.divisors.size()) + 2 * step.rotation.size() + entries * (entries > 65536 ? 4 : 2);
  }
  return bytes;
}

std::string OnlineTransform::ToString() const {
  std::vector<std::string> names;
  for (const OnlineStep& step : steps) {
    switch (step.kind) {
      case OnlineStep::Kind::kDivide:
        names.push_back("divide");
        break;
      case OnlineStep::Kind::kRotate:
        names.push_back(absl::StrCat("rotate ", step.rotation.rows()));
        break;
      case OnlineStep::Kind::kPermute:
        names.push_back("permute");
        break;
      case OnlineStep::Kind::kHadamard:
        names.push_back(absl::StrCat("Hadamard ", step.block));
        if (step.stride > 1) absl::StrAppend(&names.back(), " stride ", step.stride);
        break;
    }
  }
  return absl::StrJoin(names, ", ");
}

}  // namespace eaq
