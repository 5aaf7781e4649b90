#include "eaq/model/head.h"

#include <cstring>
#include <utility>

#include "kernels/backend.h"
#include "kernels/cpu/gemm.h"

namespace eaq {

ModelEnds::ModelEnds(const ModelConfig& config, OuterParams params) : config_(config), params_(std::move(params)) {}

void ModelEnds::Embed(absl::Span<const int32_t> ids, MatrixView hidden) const {
  for (size_t i = 0; i < ids.size(); ++i)
    std::memcpy(hidden.row(static_cast<int64_t>(i)), params_.embedding.row(ids[i]), hidden.cols * sizeof(float));
}

void ModelEnds::FinalNorm(ConstMatrixView hidden, MatrixView normed) const {
  kernels::RmsNorm(hidden.data, hidden.stride, params_.final_norm.data(), config_.rms_norm_eps, normed.data,
                   normed.stride, hidden.rows, hidden.cols);
}

void ModelEnds::Logits(ConstMatrixView hidden, MatrixView logits) const {
  const Matrix& head = params_.head.size() == 0 ? params_.embedding : params_.head;
  static thread_local Matrix normed;
  normed.Resize(hidden.rows, hidden.cols);
  FinalNorm(hidden, normed.view());
  kernels::LinearForward(normed.data(), hidden.cols, head.data(), logits.data, logits.stride, hidden.rows, head.rows(),
                         head.cols());
}

}  // namespace eaq
