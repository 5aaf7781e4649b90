#include "eaq/device/device_gptq.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "eaq/base/status_macros.h"
#include "eaq/device/backend_status.h"
#include "kernels/cuda/hessian.h"
#include "kernels/cuda/round_block.h"

namespace eaq {
namespace {

constexpr int64_t kTokens = 1024;  // of one AddHessian: a slice of its float32 sums

template <typename T>
int64_t Bytes(int64_t count) {
  return count * static_cast<int64_t>(sizeof(T));
}

}  // namespace

DeviceMoments::DeviceMoments(kernels::Backend& backend, int64_t size) : backend_(backend) { hessian_.size = size; }

absl::Status DeviceMoments::Add(ConstMatrixView x, absl::Span<const float> token_weights) {
  const int64_t n = hessian_.size;
  EAQ_RETURN_IF_ERROR(CheckMomentRows(n, x, token_weights));
  if (pending_.rows() == 0) {
    pending_ = Matrix(kTokens, n);
    weights_.assign(kTokens, 1.0f);
  }
  for (int64_t r = 0; r < x.rows; ++r) {
    std::copy_n(x.row(r), n, pending_.row(filled_));
    weights_[filled_] = token_weights.empty() ? 1.0f : token_weights[r];
    weighted_ = weighted_ || !token_weights.empty();
    if (++filled_ == kTokens) EAQ_RETURN_IF_ERROR(Flush());
  }
  hessian_.tokens += x.rows;
  return absl::OkStatus();
}

absl::Status DeviceMoments::Flush() {
  if (filled_ == 0) return absl::OkStatus();
  const int64_t n = hessian_.size;
  kernels::Device& device = *backend_.device();
  if (h_ == nullptr) {
    EAQ_RETURN_IF_ERROR(AsStatus(arena_.CreateFor(&device, "second moments", device.checked(), [&](auto take) {
      take(h_, "second moments", n * n);
      take(rows_, "inputs", kTokens * n);
      take(row_weights_, "weights of tokens", kTokens);
      take(workspace_, "workspace", kernels::cuda::HessianWorkspace(kTokens, n));
    })));
    EAQ_RETURN_IF_ERROR(AsStatus(device.Fill(h_, 0, Bytes<double>(n * n))));
  }
  EAQ_RETURN_IF_ERROR(AsStatus(device.CopyIn(rows_, pending_.data(), Bytes<float>(filled_ * n))));
  if (weighted_) EAQ_RETURN_IF_ERROR(AsStatus(device.CopyIn(row_weights_, weights_.data(), Bytes<float>(filled_))));
  EAQ_RETURN_IF_ERROR(
      AsStatus(backend_.AddHessian(rows_, n, weighted_ ? row_weights_ : nullptr, h_, n, workspace_, filled_, n)));
  filled_ = 0;
  weighted_ = false;
  return absl::OkStatus();
}

absl::StatusOr<Hessian> DeviceMoments::Finish() {
  const int64_t n = hessian_.size;
  EAQ_RETURN_IF_ERROR(Flush());
  hessian_.values.assign(n * n, 0.0);
  if (h_ == nullptr) return std::move(hessian_);  // no rows
  kernels::Device& device = *backend_.device();
  EAQ_RETURN_IF_ERROR(AsStatus(backend_.MirrorLower(h_, n, n)));
  EAQ_RETURN_IF_ERROR(AsStatus(device.CopyOut(hessian_.values.data(), h_, Bytes<double>(n * n))));
  EAQ_RETURN_IF_ERROR(AsStatus(arena_.Check()));
  return std::move(hessian_);
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
    double *d_work = nullptr, *d_u = nullptr, *d_errors = nullptr;
    kernels::cuda::WeightGrid* d_grids = nullptr;
    int32_t *d_groups = nullptr, *d_order = nullptr;
    uint8_t* d_codes = nullptr;
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
