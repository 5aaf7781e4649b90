#include "eaq/device/device_product.h"

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/device/backend_status.h"
#include "eaq/device/copy_rows.h"
#include "kernels/device/arena.h"

namespace eaq {

absl::StatusOr<Matrix> DeviceProduct(kernels::Backend& backend, ConstMatrixView x, ConstMatrixView w) {
  if (x.rows > 0 && x.cols != w.cols) {
    return absl::InvalidArgumentError(absl::StrCat("product of [", x.rows, ", ", x.cols, "] and [", w.rows, ", ",
                                                   w.cols, "] transposed; expected as many columns"));
  }
  if (x.rows == 0 || w.rows == 0 || x.cols == 0) return Matrix(x.rows, w.rows);
  kernels::Device& device = *backend.device();
  float *d_x = nullptr, *d_w = nullptr, *d_y = nullptr;
  kernels::Arena arena;
  EAQ_RETURN_IF_ERROR(AsStatus(arena.CreateFor(&device, "product", device.checked(), [&](auto take) {
    take(d_x, "rows", x.rows * x.cols);
    take(d_w, "weight", w.rows * w.cols);
    take(d_y, "products", x.rows * w.rows);
  })));
  EAQ_RETURN_IF_ERROR(CopyRowsIn(device, d_x, x));
  EAQ_RETURN_IF_ERROR(CopyRowsIn(device, d_w, w));
  EAQ_RETURN_IF_ERROR(AsStatus(backend.Linear(d_x, x.cols, d_w, d_y, x.rows, w.rows, x.cols)));
  Matrix y(x.rows, w.rows);
  EAQ_RETURN_IF_ERROR(CopyRowsOut(device, y.view(), d_y));
  EAQ_RETURN_IF_ERROR(AsStatus(arena.Check()));
  return y;
}

}  // namespace eaq
