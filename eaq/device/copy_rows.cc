#include "eaq/device/copy_rows.h"

#include "eaq/base/status_macros.h"
#include "eaq/device/backend_status.h"

namespace eaq {
namespace {

// COPY(first row, its place on the device, bytes) for as few pieces as VIEW's rows lie in.
template <typename View, typename Copy>
absl::Status ByPieces(const View& view, Copy copy) {
  const bool together = view.stride == view.cols;
  const int64_t pieces = together ? 1 : view.rows, rows = together ? view.rows : 1;
  for (int64_t r = 0; r < pieces; ++r) {
    EAQ_RETURN_IF_ERROR(AsStatus(copy(view.row(r), r * view.cols, rows * view.cols * int64_t{sizeof(float)})));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CopyRowsIn(kernels::Device& device, float* to, ConstMatrixView from) {
  return ByPieces(from,
                  [&](const float* rows, int64_t at, int64_t bytes) { return device.CopyIn(to + at, rows, bytes); });
}

absl::Status CopyRowsOut(kernels::Device& device, MatrixView to, const float* from) {
  return ByPieces(to, [&](float* rows, int64_t at, int64_t bytes) { return device.CopyOut(rows, from + at, bytes); });
}

}  // namespace eaq
