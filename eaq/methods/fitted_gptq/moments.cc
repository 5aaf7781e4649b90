#include "eaq/methods/fitted_gptq/moments.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "kernels/cpu/gemm.h"
#include "third_party/eigen/dense.h"

namespace eaq::fitted_gptq {
namespace {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr int64_t kBlockRows = 128;  // float32 products of so many rows, summed in float64

}  // namespace

absl::Status MomentAccumulator::Add(ConstMatrixView x, ConstMatrixView q) {
  if (x.rows != q.rows || x.cols != q.cols) {
    return absl::InvalidArgumentError(absl::StrCat("moments: rows [", x.rows, ", ", x.cols,
                                                   "] before quantization and [", q.rows, ", ", q.cols,
                                                   "] after; expected the same"));
  }
  EAQ_RETURN_IF_ERROR(seen_.Add(q));
  const int64_t size = x.cols;
  Matrix difference(kBlockRows, size), product(size, size);
  for (int64_t begin = 0; begin < x.rows; begin += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, x.rows - begin);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < size; ++c) difference(r, c) = x(begin + r, c) - q(begin + r, c);
    kernels::Gemm(true, false, size, size, rows, 1.0f, difference.data(), size, q.row(begin), q.stride, 0.0f,
                  product.data(), size);
    for (int64_t i = 0; i < size * size; ++i) lost_[i] += product.data()[i];
  }
  return absl::OkStatus();
}

Moments MomentAccumulator::Finish() { return {seen_.Finish(), std::move(lost_)}; }

Matrix FitWeight(ConstMatrixView w, const Moments& moments, double ridge) {
  Matrix fitted(w);
  const int64_t n = w.cols;
  const Eigen::Map<const RowMajor> seen(moments.seen.values.data(), n, n), lost(moments.lost.data(), n, n);
  const double mean = n == 0 ? 0 : seen.trace() / static_cast<double>(n);
  if (!(mean > 0)) return fitted;
  const Eigen::LLT<RowMajor> factor(seen + ridge * mean * RowMajor::Identity(n, n));
  if (factor.info() != Eigen::Success) return fitted;
  RowMajor weight(w.rows, n);
  for (int64_t r = 0; r < w.rows; ++r)
    for (int64_t c = 0; c < n; ++c) weight(r, c) = w(r, c);
  const RowMajor change = factor.solve((weight * lost).transpose());  // [in, out]
  for (int64_t r = 0; r < w.rows; ++r)
    for (int64_t c = 0; c < n; ++c) fitted(r, c) = static_cast<float>(weight(r, c) + change(c, r));
  return fitted;
}

}  // namespace eaq::fitted_gptq
