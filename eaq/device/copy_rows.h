// Rows of the host's matrices to and from contiguous arrays of a device: one copy where they are contiguous here, too.
#ifndef EAQ_DEVICE_COPY_ROWS_H_
#define EAQ_DEVICE_COPY_ROWS_H_

#include "absl/status/status.h"
#include "eaq/tensor/matrix.h"
#include "kernels/device/device.h"

namespace eaq {

absl::Status CopyRowsIn(kernels::Device& device, float* to, ConstMatrixView from);
absl::Status CopyRowsOut(kernels::Device& device, MatrixView to, const float* from);

}  // namespace eaq

#endif  // EAQ_DEVICE_COPY_ROWS_H_
