#include "eaq/device/device_gptq.h"

#include <algorithm>
#include <vector>

#include "eaq/base/status_macros.h"
#include "eaq/device/backend_status.h"
#include "kernels/cuda/hessian.h"
#include "kernels/cuda/round_block.h"
#include "kernels/device/arena.h"

namespace eaq {
namespace {

constexpr int64_t kTokens = 1024;  // of one AddHessian: a slice of its float32 sums

template <typename T>
int64_t Bytes(int64_t count) {
  return count * static_cast<int64_t>(sizeof(T));
}

}  // namespace

absl::StatusOr<Hessian> DeviceHessian(kernels::Backend& backend, ConstMatrixView x) {
  const int64_t n = x.cols, workspace = kernels::cuda::HessianWorkspace(kTokens, n);
  kernels::Device& device = *backend.device();
  double* h;
  float *rows, *scratch;
  kernels::Arena arena;
  EAQ_RETURN_IF_ERROR(AsStatus(arena.CreateFor(&device, "second moments", device.checked(), [&](auto take) {
    take(h, "second moments", n * n);
    take(rows, "inputs", kTokens * n);
    take(scratch, "workspace", workspace);
  })));
  EAQ_RETURN_IF_ERROR(AsStatus(device.Fill(h, 0, Bytes<double>(n * n))));
  for (int64_t first = 0; first < x.rows; first += kTokens) {
    const Matrix some(x.Rows(first, std::min(kTokens, x.rows - first)));
    EAQ_RETURN_IF_ERROR(AsStatus(device.CopyIn(rows, some.data(), Bytes<float>(some.size()))));
    EAQ_RETURN_IF_ERROR(AsStatus(backend.AddHessian(rows, n, nullptr, h, n, scratch, some.rows(), n)));
  }
  EAQ_RETURN_IF_ERROR(AsStatus(backend.MirrorLower(h, n, n)));
  Hessian result;
  result.size = n;
  result.tokens = x.rows;
  result.values.resize(n * n);
  EAQ_RETURN_IF_ERROR(AsStatus(device.CopyOut(result.values.data(), h, Bytes<double>(n * n))));
  EAQ_RETURN_IF_ERROR(AsStatus(arena.Check()));
  return result;
}

GptqRounder DeviceRounder(kernels::Backend& backend) {
  return [&backend](const GptqColumns& columns) -> absl::StatusOr<std::vector<uint8_t>> {
    const int64_t rows = columns.weights.rows, cols = columns.weights.cols;
    const GridSpec& grid = columns.grid;
    const int64_t groups = grid.GroupsPerRow(cols);
    std::vector<double> work(rows * cols);
    std::vector<int32_t> group_of(cols, 0);
    for (int64_t i = 0; i < cols; ++i) {
      const int32_t column = columns.order[i];
      if (grid.granularity == Granularity::kGroup) group_of[i] = static_cast<int32_t>(column / grid.group_size);
      for (int64_t r = 0; r < rows; ++r) work[r * cols + i] = columns.weights(r, column);
    }
    std::vector<kernels::cuda::WeightGrid> grids;
    for (const GridParams& p : columns.grids) grids.push_back({p.scale, static_cast<int32_t>(p.zero)});

    kernels::Device& device = *backend.device();
    double *d_work, *d_u, *d_errors;
    kernels::cuda::WeightGrid* d_grids;
    int32_t *d_groups, *d_order;
    uint8_t* d_codes;
    const auto lay = [&](auto take) {
      take(d_work, "weights", rows * cols);
      take(d_u, "factor", cols * cols);
      take(d_errors, "errors", rows * kernels::cuda::kMaxRoundBlock);
      take(d_grids, "grids", static_cast<int64_t>(grids.size()));
      take(d_groups, "groups", cols);
      take(d_order, "order", cols);
      take(d_codes, "codes", rows * cols);
    };
    kernels::Arena arena;
    EAQ_RETURN_IF_ERROR(AsStatus(arena.CreateFor(&device, "GPTQ", device.checked(), lay)));
    EAQ_RETURN_IF_ERROR(AsStatus(device.CopyIn(d_work, work.data(), Bytes<double>(rows * cols))));
    EAQ_RETURN_IF_ERROR(AsStatus(device.CopyIn(d_u, columns.u.data(), Bytes<double>(cols * cols))));
    EAQ_RETURN_IF_ERROR(AsStatus(device.CopyIn(d_grids, grids.data(), Bytes<kernels::cuda::WeightGrid>(grids.size()))));
    EAQ_RETURN_IF_ERROR(AsStatus(device.CopyIn(d_groups, group_of.data(), Bytes<int32_t>(cols))));
    EAQ_RETURN_IF_ERROR(AsStatus(device.CopyIn(d_order, columns.order.data(), Bytes<int32_t>(cols))));

    kernels::cuda::RoundProblem problem;
    problem.work = d_work;
    problem.ldw = problem.ldu = cols;
    problem.rows = rows;
    problem.cols = cols;
    problem.u = d_u;
    problem.grids = d_grids;
    problem.grid_stride = grid.granularity == Granularity::kTensor ? 0 : groups;
    problem.group_of = d_groups;
    problem.bits = grid.bits;
    problem.column_of = d_order;
    problem.codes = d_codes;
    problem.errors = d_errors;
    for (int64_t begin = 0; begin < cols; begin += kernels::cuda::kMaxRoundBlock) {
      const int64_t end = std::min(begin + kernels::cuda::kMaxRoundBlock, cols);
      EAQ_RETURN_IF_ERROR(AsStatus(backend.RoundBlock(problem, begin, end)));
      EAQ_RETURN_IF_ERROR(AsStatus(backend.UpdateRest(problem, begin, end)));
    }
    std::vector<uint8_t> codes(rows * cols);
    EAQ_RETURN_IF_ERROR(AsStatus(device.CopyOut(codes.data(), d_codes, rows * cols)));
    EAQ_RETURN_IF_ERROR(AsStatus(arena.Check()));
    return codes;
  };
}

}  // namespace eaq
