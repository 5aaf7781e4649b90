#include "eaq/device/device_head.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/device/backend_status.h"
#include "eaq/device/copy_rows.h"

namespace eaq {

absl::StatusOr<std::unique_ptr<DeviceHead>> DeviceHead::Create(kernels::Backend& backend, const ModelEnds& ends) {
  std::unique_ptr<DeviceHead> head(new DeviceHead);
  kernels::Device& device = *backend.device();
  const OuterParams& params = ends.params();
  const bool tied = params.head.size() == 0;
  head->backend_ = &backend;
  head->vocabulary_ = params.embedding.rows();
  head->width_ = params.embedding.cols();
  head->eps_ = ends.config().rms_norm_eps;
  const auto lay = [&](auto take) {
    const int64_t table = params.embedding.size(), width = head->width_;
    take(head->embedding_, "embedding", table);
    if (!tied) take(head->head_, "head", table);
    take(head->norm_, "final norm", width);
    take(head->hidden_, "hidden", kRows * width);
    take(head->normed_, "normed", kRows * width);
    take(head->logits_, "logits", kRows * head->vocabulary_);
    take(head->others_, "other logits", kRows * head->vocabulary_);
    take(head->ids_, "ids", kRows);
    take(head->log_probabilities_, "log probabilities", kRows);
    take(head->divergences_, "divergences", kRows);
    take(head->common_, "in common", kRows);
  };
  EAQ_RETURN_IF_ERROR(AsStatus(head->arena_.CreateFor(&device, "embedding and head", device.checked(), lay)));
  const auto put = [&](float* to, const float* from, int64_t count) {
    return AsStatus(device.CopyIn(to, from, count * int64_t{sizeof(float)}));
  };
  EAQ_RETURN_IF_ERROR(put(head->embedding_, params.embedding.data(), params.embedding.size()));
  if (tied) {
    head->head_ = head->embedding_;
  } else {
    EAQ_RETURN_IF_ERROR(put(head->head_, params.head.data(), params.head.size()));
  }
  EAQ_RETURN_IF_ERROR(put(head->norm_, params.final_norm.data(), params.final_norm.size()));
  return head;
}

absl::Status DeviceHead::Embed(absl::Span<const int32_t> ids, MatrixView hidden) {
  kernels::Device& device = *backend_->device();
  const int64_t count = ids.size();
  for (int64_t first = 0; first < count; first += kRows) {
    const int64_t n = std::min(kRows, count - first);
    EAQ_RETURN_IF_ERROR(AsStatus(device.CopyIn(ids_, ids.data() + first, n * int64_t{sizeof(int32_t)})));
    EAQ_RETURN_IF_ERROR(AsStatus(backend_->Embed(embedding_, vocabulary_, ids_, hidden_, n, width_)));
    EAQ_RETURN_IF_ERROR(CopyRowsOut(device, hidden.Rows(first, n), hidden_));
  }
  return absl::OkStatus();
}

absl::Status DeviceHead::Chunk(ConstMatrixView hidden, int64_t first, int64_t n, float* to) {
  EAQ_RETURN_IF_ERROR(CopyRowsIn(*backend_->device(), hidden_, hidden.Rows(first, n)));
  EAQ_RETURN_IF_ERROR(AsStatus(backend_->RmsNorm(hidden_, width_, norm_, eps_, normed_, width_, n, width_)));
  return AsStatus(backend_->Linear(normed_, width_, head_, to, n, vocabulary_, width_));
}

absl::Status DeviceHead::Logits(ConstMatrixView hidden, MatrixView logits) {
  for (int64_t first = 0; first < hidden.rows; first += kRows) {
    const int64_t n = std::min(kRows, hidden.rows - first);
    EAQ_RETURN_IF_ERROR(Chunk(hidden, first, n, logits_));
    EAQ_RETURN_IF_ERROR(CopyRowsOut(*backend_->device(), logits.Rows(first, n), logits_));
  }
  return AsStatus(arena_.Check());
}

absl::StatusOr<std::vector<double>> DeviceHead::LogProbabilities(ConstMatrixView hidden,
                                                                 absl::Span<const int32_t> targets) {
  if (static_cast<int64_t>(targets.size()) != hidden.rows) {
    return absl::InvalidArgumentError(
        absl::StrCat(targets.size(), " targets; expected ", hidden.rows, ", one a hidden state"));
  }
  kernels::Device& device = *backend_->device();
  std::vector<double> result(targets.size());
  for (int64_t first = 0; first < hidden.rows; first += kRows) {
    const int64_t n = std::min(kRows, hidden.rows - first);
    EAQ_RETURN_IF_ERROR(AsStatus(device.CopyIn(ids_, targets.data() + first, n * int64_t{sizeof(int32_t)})));
    EAQ_RETURN_IF_ERROR(Chunk(hidden, first, n, logits_));
    EAQ_RETURN_IF_ERROR(AsStatus(
        backend_->TargetLogProbabilities(logits_, vocabulary_, ids_, log_probabilities_, nullptr, n, vocabulary_)));
    EAQ_RETURN_IF_ERROR(
        AsStatus(device.CopyOut(result.data() + first, log_probabilities_, n * int64_t{sizeof(double)})));
  }
  EAQ_RETURN_IF_ERROR(AsStatus(arena_.Check()));
  return result;
}

absl::StatusOr<DeviceHead::Comparison> DeviceHead::Compare(ConstMatrixView full, ConstMatrixView other,
                                                           absl::Span<const int32_t> targets, int top_k,
                                                           DeviceHead* other_head) {
  DeviceHead& of_other = other_head == nullptr ? *this : *other_head;
  const int64_t rows = full.rows;
  if (other.rows != rows || static_cast<int64_t>(targets.size()) != rows || of_other.vocabulary_ != vocabulary_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "hidden states of ", rows, " and of ", other.rows, " tokens, ", targets.size(), " targets, vocabularies of ",
        vocabulary_, " and ", of_other.vocabulary_, "; expected as many each, and one vocabulary"));
  }
  kernels::Device& device = *backend_->device();
  Comparison result;
  result.divergences.resize(rows);
  result.full.resize(rows);
  result.other.resize(rows);
  if (top_k > 0) result.common.resize(rows);
  for (int64_t first = 0; first < rows; first += kRows) {
    const int64_t n = std::min(kRows, rows - first), v = vocabulary_;
    const auto out = [&](auto& to, const auto* from) {
      return AsStatus(device.CopyOut(to.data() + first, from, n * static_cast<int64_t>(sizeof(*from))));
    };
    EAQ_RETURN_IF_ERROR(Chunk(full, first, n, logits_));
    EAQ_RETURN_IF_ERROR(of_other.Chunk(other, first, n, others_));
    EAQ_RETURN_IF_ERROR(AsStatus(device.CopyIn(ids_, targets.data() + first, n * int64_t{sizeof(int32_t)})));
    EAQ_RETURN_IF_ERROR(AsStatus(backend_->DivergeRows(logits_, v, others_, v, divergences_, n, v)));
    EAQ_RETURN_IF_ERROR(out(result.divergences, divergences_));
    for (const auto& [logits, to] : {std::pair(logits_, &result.full), {others_, &result.other}}) {
      EAQ_RETURN_IF_ERROR(
          AsStatus(backend_->TargetLogProbabilities(logits, v, ids_, log_probabilities_, nullptr, n, v)));
      EAQ_RETURN_IF_ERROR(out(*to, log_probabilities_));
    }
    if (top_k == 0) continue;
    EAQ_RETURN_IF_ERROR(AsStatus(backend_->TopKAgreement(logits_, v, others_, v, top_k, common_, n, v)));
    EAQ_RETURN_IF_ERROR(out(result.common, common_));
  }
  EAQ_RETURN_IF_ERROR(AsStatus(arena_.Check()));
  return result;
}

}  // namespace eaq
