// The two ends of the model on a device (model/head.h): token ids -> hidden states, hidden states -> logits or what
// evaluation asks of them, without storing logits. All float32; sums over the vocabulary float64.
#ifndef EAQ_DEVICE_DEVICE_HEAD_H_
#define EAQ_DEVICE_DEVICE_HEAD_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/model/head.h"
#include "eaq/tensor/matrix.h"
#include "kernels/backend.h"
#include "kernels/device/arena.h"

namespace eaq {

class DeviceHead {
 public:
  // Copies embedding, head and final norm. BACKEND has a device and outlives the result.
  static absl::StatusOr<std::unique_ptr<DeviceHead>> Create(kernels::Backend& backend, const ModelEnds& ends);

  // hidden[ids, hidden_size]. An id outside the vocabulary gives NaN.
  absl::Status Embed(absl::Span<const int32_t> ids, MatrixView hidden);
  // logits[n, vocab] of hidden[n, hidden_size].
  absl::Status Logits(ConstMatrixView hidden, MatrixView logits);
  // log p(targets[r]) by the logits of row r, natural logarithm.
  absl::StatusOr<std::vector<double>> LogProbabilities(ConstMatrixView hidden, absl::Span<const int32_t> targets);
  // Of rows of two models: FULL through this head, OTHER through OTHER_HEAD (null: this one too), of the same backend
  // and vocabulary. TARGETS [rows]; TOP_K: 0, or 1 to 32.
  struct Comparison {
    std::vector<kernels::Divergence> divergences;  // KL(full || other), and whether they agree greedily
    std::vector<double> full, other;               // log p(target)
    std::vector<int32_t> common;                   // of the top k of both; empty without
  };
  absl::StatusOr<Comparison> Compare(ConstMatrixView full, ConstMatrixView other, absl::Span<const int32_t> targets,
                                     int top_k, DeviceHead* other_head = nullptr);

 private:
  static constexpr int64_t kRows = 64;  // of logits at once

  DeviceHead() = default;
  // Rows first .. first + n - 1 of HIDDEN through norm and head into TO, in the workspace.
  absl::Status Chunk(ConstMatrixView hidden, int64_t first, int64_t n, float* to);

  kernels::Backend* backend_ = nullptr;
  int64_t vocabulary_ = 0, width_ = 0;
  double eps_ = 0;
  kernels::Arena arena_;
  float *embedding_ = nullptr, *head_ = nullptr, *norm_ = nullptr;
  float *hidden_ = nullptr, *normed_ = nullptr, *logits_ = nullptr, *others_ = nullptr;
  int32_t* ids_ = nullptr;
  double* log_probabilities_ = nullptr;
  kernels::Divergence* divergences_ = nullptr;
  int32_t* common_ = nullptr;
};

}  // namespace eaq

#endif  // EAQ_DEVICE_DEVICE_HEAD_H_
