// How a linear's rows look before and after they are quantized at run time: second moments of both.
#ifndef EAQ_METHODS_FITTED_GPTQ_MOMENTS_H_
#define EAQ_METHODS_FITTED_GPTQ_MOMENTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "eaq/quant/hessian.h"
#include "eaq/tensor/matrix.h"

namespace eaq::fitted_gptq {

// X[n, in]: what the weight ought to see. Q[n, in]: what it will see.
struct Moments {
  Hessian seen;              // sum of q q^T
  std::vector<double> lost;  // [in, in] sum of (x - q) q^T, row-major
};

class MomentAccumulator {
 public:
  explicit MomentAccumulator(int64_t size) : seen_(size), lost_(size * size, 0.0) {}
  // Rows of both, in the same order, as often as needed.
  absl::Status Add(ConstMatrixView x, ConstMatrixView q);
  Moments Finish();

 private:
  HessianAccumulator seen_;
  std::vector<double> lost_;
};

// The weight [out, in] that makes up for the difference: the minimum over V of
//   || X W^T - Q V^T ||_F^2 + ridge m || V - W ||_F^2,   m the mean diagonal of Q^T Q,
// V = W + W (X - Q)^T Q (Q^T Q + ridge m 1)^-1, in float64. W itself where Q saw no token, or only zeros.
Matrix FitWeight(ConstMatrixView w, const Moments& moments, double ridge);

}  // namespace eaq::fitted_gptq

#endif  // EAQ_METHODS_FITTED_GPTQ_MOMENTS_H_
