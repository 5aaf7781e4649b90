#include "eaq/model/linear.h"

#include <utility>

#include "kernels/backend.h"
#include "kernels/cpu/gemm.h"

namespace eaq {

DenseLinear::DenseLinear(Matrix weight, std::vector<float> bias) : weight_(std::move(weight)), bias_(std::move(bias)) {}

void DenseLinear::Forward(ConstMatrixView x, MatrixView y) const {
  if (x.rows == 1) {
    kernels::MatVec(weight_.data(), x.data, y.data, weight_.rows(), weight_.cols());
  } else {
    kernels::LinearForward(x.data, x.stride, weight_.data(), y.data, y.stride, x.rows, weight_.rows(), weight_.cols());
  }
  if (bias_.empty()) return;
  for (int64_t r = 0; r < y.rows; ++r) kernels::Axpy(1.0f, bias_.data(), y.row(r), y.cols);
}

}  // namespace eaq
