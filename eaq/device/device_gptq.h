// GPTQ on a device: second moments on its tensor cores, columns rounded by its kernels (kernels/cuda/hessian.h,
// round_block.h). Order, grids, damping and the factor of the second moments are found on the host, in float64, by the
// code of eaq/quant.
//
// What differs from the CPU: second moments by at most 2.6e-6 of the sum of magnitudes (float32 products there too: 128
// tokens at a time); and, of the same second moments, codes alone where a weight with its updates, rounded to float32,
// lies within 2 units of its last place of a tie between two codes; after such a code the rest of that row may differ.
#ifndef EAQ_DEVICE_DEVICE_GPTQ_H_
#define EAQ_DEVICE_DEVICE_GPTQ_H_

#include "absl/status/statusor.h"
#include "eaq/quant/gptq_rounder.h"
#include "eaq/quant/hessian.h"
#include "eaq/tensor/matrix.h"
#include "kernels/backend.h"

namespace eaq {

// X^T X of x[tokens, n], as HessianAccumulator's. BACKEND has a device.
absl::StatusOr<Hessian> DeviceHessian(kernels::Backend& backend, ConstMatrixView x);

// For GptqSolve; BACKEND outlives it.
//   EAQ_ASSIGN_OR_RETURN(GptqResult r, GptqSolve(w.view(), hessian, spec, options, DeviceRounder(*backend)));
GptqRounder DeviceRounder(kernels::Backend& backend);

}  // namespace eaq

#endif  // EAQ_DEVICE_DEVICE_GPTQ_H_
