// GPTQ on a device: second moments on its tensor cores, columns rounded by its kernels (kernels/cuda/hessian.h,
// round_block.h). Order, grids, damping and the factor of the second moments are found on the host, in float64, by the
// code of eaq/quant.
//
// What differs from the CPU: second moments by at most 2.6e-6 of the sum of magnitudes (float32 products there too: 128
// tokens at a time); and, of the same second moments, codes alone where a weight with its updates, rounded to float32,
// lies within 2 units of its last place of a tie between two codes; after such a code the rest of that row may differ.
#ifndef EAQ_DEVICE_DEVICE_GPTQ_H_
#define EAQ_DEVICE_DEVICE_GPTQ_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/quant/gptq_rounder.h"
#include "eaq/quant/hessian.h"
#include "eaq/tensor/matrix.h"
#include "kernels/backend.h"
#include "kernels/device/arena.h"

namespace eaq {

// X^T diag(w) X over rows that come in batches, as HessianAccumulator's: the sequence of rows alone decides the result.
class DeviceMoments {
 public:
  // Of SIZE channels. BACKEND has a device, and outlives this.
  DeviceMoments(kernels::Backend& backend, int64_t size);
  // As HessianAccumulator::Add.
  absl::Status Add(ConstMatrixView x, absl::Span<const float> token_weights = {});
  // Once, at the end.
  absl::StatusOr<Hessian> Finish();

 private:
  absl::Status Flush();

  kernels::Backend& backend_;
  Hessian hessian_;  // its values are on the device until the end
  Matrix pending_;   // [kTokens, size], `filled_` rows in use
  std::vector<float> weights_;
  bool weighted_ = false;
  int64_t filled_ = 0;
  kernels::Arena arena_;  // empty until the first rows go in
  double* h_ = nullptr;
  float *rows_ = nullptr, *row_weights_ = nullptr, *workspace_ = nullptr;
};

// For GptqSolve; BACKEND outlives it.
//   EAQ_ASSIGN_OR_RETURN(GptqResult r, GptqSolve(w.view(), hessian, spec, options, DeviceRounder(*backend)));
GptqRounder DeviceRounder(kernels::Backend& backend);

}  // namespace eaq

#endif  // EAQ_DEVICE_DEVICE_GPTQ_H_
