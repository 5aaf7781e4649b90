#include "eaq/quant/hessian.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "kernels/cpu/gemm.h"

namespace eaq {
namespace {

constexpr int64_t kBlockRows = 128;
constexpr int64_t kPanel = 256;  // rows of H computed at a time; only columns up to the diagonal are needed

}  // namespace

absl::Status CheckMomentRows(int64_t size, ConstMatrixView x, absl::Span<const float> token_weights) {
  if (x.cols != size) {
    return absl::InvalidArgumentError(
        absl::StrCat("second moments of ", size, " inputs: a batch has ", x.cols, " columns"));
  }
  if (!token_weights.empty() && token_weights.size() != x.rows) {
    return absl::InvalidArgumentError(
        absl::StrCat("second moments: ", token_weights.size(), " token weights for ", x.rows, " tokens"));
  }
  for (const float weight : token_weights) {
    if (!std::isfinite(weight) || weight < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("second moments: token weight ", weight, "; expected finite numbers, 0 or more"));
    }
  }
  return absl::OkStatus();
}

HessianAccumulator::HessianAccumulator(int64_t size) {
  hessian_.size = size;
  hessian_.values.assign(size * size, 0.0);
}

absl::Status HessianAccumulator::Add(ConstMatrixView x, absl::Span<const float> token_weights) {
  const int64_t size = hessian_.size;
  EAQ_RETURN_IF_ERROR(CheckMomentRows(size, x, token_weights));
  if (pending_.rows() == 0) pending_ = Matrix(kBlockRows, size);
  for (int64_t r = 0; r < x.rows; ++r) {
    float* row = pending_.row(filled_);
    std::memcpy(row, x.row(r), size * sizeof(float));
    if (!token_weights.empty()) {  // w x x^T = (sqrt(w) x) (sqrt(w) x)^T
      const float factor = std::sqrt(token_weights[r]);
      for (int64_t c = 0; c < size; ++c) row[c] *= factor;
    }
    if (++filled_ == kBlockRows) Flush();
  }
  hessian_.tokens += x.rows;
  return absl::OkStatus();
}

// H[i, 0 .. i] += (X^T X)[i, 0 .. i], panel by panel of rows i.
void HessianAccumulator::Flush() {
  thread_local Matrix product;  // shared by all accumulators of a thread: a layer has one per expert
  const int64_t size = hessian_.size;
  for (int64_t begin = 0; begin < size && filled_ > 0; begin += kPanel) {
    const int64_t end = std::min(begin + kPanel, size);
    product.Resize(end - begin, end);
    kernels::Gemm(true, false, end - begin, end, filled_, 1.0f, pending_.data() + begin, size, pending_.data(), size,
                  0.0f, product.data(), end);
    for (int64_t i = begin; i < end; ++i) {
      const float* from = product.row(i - begin);
      double* to = hessian_.values.data() + i * size;
      for (int64_t j = 0; j <= i; ++j) to[j] += from[j];
    }
  }
  filled_ = 0;
}

Hessian HessianAccumulator::Finish() {
  Flush();
  const int64_t size = hessian_.size;
  Hessian done = std::move(hessian_);
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j < i; ++j) done.values[j * size + i] = done.values[i * size + j];
  }
  *this = HessianAccumulator(size);
  return done;
}

}  // namespace eaq
