#include "eaq/model/linear.h"

#include <cstring>
#include <utility>

#include "kernels/backend.h"
#include "kernels/cpu/gemm.h"

namespace eaq {

DenseLinear::DenseLinear(Matrix weight, std::vector<float> bias, std::shared_ptr<const OnlineTransform> online)
    : weight_(std::move(weight)), bias_(std::move(bias)), online_(std::move(online)) {}

void DenseLinear::Forward(ConstMatrixView x, MatrixView y) const {
  if (online_ != nullptr && x.rows > 0) {
    thread_local Matrix scratch;  // keeps its storage from call to call
    scratch.Resize(x.rows, x.cols);
    for (int64_t r = 0; r < x.rows; ++r) std::memcpy(scratch.row(r), x.row(r), x.cols * sizeof(float));
    online_->ApplyToInput(scratch.view());
    x = scratch.const_view();
  }
  if (x.rows == 1) {
    kernels::MatVec(weight_.data(), x.data, y.data, weight_.rows(), weight_.cols());
  } else {
    kernels::LinearForward(x.data, x.stride, weight_.data(), y.data, y.stride, x.rows, weight_.rows(), weight_.cols());
  }
  if (bias_.empty()) return;
  for (int64_t r = 0; r < y.rows; ++r) kernels::Axpy(1.0f, bias_.data(), y.row(r), y.cols);
}

}  // namespace eaq
