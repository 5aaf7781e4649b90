// Dense float32 products on a device: what searches judge candidates by.
#ifndef EAQ_DEVICE_DEVICE_PRODUCT_H_
#define EAQ_DEVICE_DEVICE_PRODUCT_H_

#include "absl/status/statusor.h"
#include "eaq/tensor/matrix.h"
#include "kernels/backend.h"

namespace eaq {

// y[n, out] = x[n, in] w[out, in]^T in float32 (Backend::Linear): the CPU's numbers in another order of sums.
// InvalidArgument: numbers of columns that differ. Internal: the device's words, such as memory
// that it has not.
absl::StatusOr<Matrix> DeviceProduct(kernels::Backend& backend, ConstMatrixView x, ConstMatrixView w);

}  // namespace eaq

#endif  // EAQ_DEVICE_DEVICE_PRODUCT_H_
