#include "eaq/eval/score.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "kernels/backend.h"

namespace eaq {
namespace {

// Rows of logits held at a time: bounds memory to kRows * vocabulary floats a model.
constexpr int64_t kRows = 64;

absl::Status CheckShape(const ModelEnds& ends, absl::Span<const int32_t> ids, ConstMatrixView hidden) {
  const int64_t length = ids.size(), vocab = ends.config().vocab_size;
  if (hidden.rows != length || hidden.cols != ends.config().hidden_size) {
    return absl::InvalidArgumentError(absl::StrCat("hidden states are [", hidden.rows, ", ", hidden.cols,
                                                   "], expected [", length, ", ", ends.config().hidden_size, "]"));
  }
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab) {
      return absl::InvalidArgumentError(absl::StrCat("token id ", id, " is outside of the model's vocabulary of ",
                                                     vocab, "; does the tokenizer belong to the model?"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckWindow(const ModelEnds& ends, absl::Span<const int32_t> ids, ConstMatrixView hidden) {
  if (ids.size() < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("a window to score has ", ids.size(), " tokens; at least 2 are needed"));
  }
  return CheckShape(ends, ids, hidden);
}

absl::Status RequireFinite(double value, int64_t position) {
  if (std::isfinite(value)) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the log-probability at position ", position, " is ", value,
                                          ", expected a finite number; the model's weights or activations overflow"));
}

}  // namespace

double WindowScore::nll() const {
  double sum = 0;
  for (const double log_prob : log_probs) sum -= log_prob;
  return sum / static_cast<double>(log_probs.size());
}

double KlFromLogits(absl::Span<const float> full, absl::Span<const float> quantized) {
  return kernels::Diverge(full.data(), quantized.data(), static_cast<int64_t>(full.size())).kl;
}

absl::StatusOr<TargetScore> ScoreTargets(const ModelEnds& ends, absl::Span<const int32_t> targets,
                                         ConstMatrixView hidden, int64_t first_position) {
  EAQ_RETURN_IF_ERROR(CheckShape(ends, targets, hidden));
  const int64_t predictions = targets.size(), vocab = ends.config().vocab_size;
  TargetScore score;
  score.log_probs.reserve(predictions);
  Matrix logits(std::min(kRows, predictions), vocab);
  for (int64_t begin = 0; begin < predictions; begin += kRows) {
    const int64_t rows = std::min(kRows, predictions - begin);
    ends.Logits(hidden.Rows(begin, rows), logits.view().Rows(0, rows));
    for (int64_t r = 0; r < rows; ++r) {
      const int32_t target = targets[begin + r];
      const double log_prob = double{logits(r, target)} - kernels::LogSumExp(logits.row(r), vocab);
      EAQ_RETURN_IF_ERROR(RequireFinite(log_prob, first_position + begin + r));
      score.log_probs.push_back(log_prob);
      score.greedy = score.greedy && std::max_element(logits.row(r), logits.row(r) + vocab) == logits.row(r) + target;
    }
  }
  return score;
}

absl::StatusOr<WindowScore> ScoreWindow(const ModelEnds& ends, absl::Span<const int32_t> ids, ConstMatrixView hidden) {
  EAQ_RETURN_IF_ERROR(CheckWindow(ends, ids, hidden));
  EAQ_ASSIGN_OR_RETURN(TargetScore score,
                       ScoreTargets(ends, ids.subspan(1), hidden.Rows(0, hidden.rows - 1), /*first_position=*/1));
  return WindowScore{std::move(score.log_probs)};
}

absl::StatusOr<WindowComparison> CompareWindow(const ModelEnds& ends, absl::Span<const int32_t> ids,
                                               ConstMatrixView full_hidden, ConstMatrixView quantized_hidden,
                                               const ModelEnds* quantized_ends) {
  const ModelEnds& own_ends = quantized_ends == nullptr ? ends : *quantized_ends;
  EAQ_RETURN_IF_ERROR(CheckWindow(ends, ids, full_hidden));
  EAQ_RETURN_IF_ERROR(CheckWindow(own_ends, ids, quantized_hidden));
  const int64_t predictions = ids.size() - 1, vocab = ends.config().vocab_size;
  WindowComparison result;
  Matrix full(std::min(kRows, predictions), vocab), quantized(std::min(kRows, predictions), vocab);
  int64_t agree = 0;
  for (int64_t begin = 0; begin < predictions; begin += kRows) {
    const int64_t rows = std::min(kRows, predictions - begin);
    ends.Logits(full_hidden.Rows(begin, rows), full.view().Rows(0, rows));
    own_ends.Logits(quantized_hidden.Rows(begin, rows), quantized.view().Rows(0, rows));
    for (int64_t r = 0; r < rows; ++r) {
      const int32_t target = ids[begin + r + 1];
      const kernels::Divergence d = kernels::Diverge(full.row(r), quantized.row(r), vocab);
      const double full_log_prob = double{full(r, target)} - d.log_sum_p;
      const double quantized_log_prob = double{quantized(r, target)} - d.log_sum_q;
      EAQ_RETURN_IF_ERROR(RequireFinite(full_log_prob, begin + r + 1));
      EAQ_RETURN_IF_ERROR(RequireFinite(quantized_log_prob, begin + r + 1));
      EAQ_RETURN_IF_ERROR(RequireFinite(d.kl, begin + r + 1));
      result.full.log_probs.push_back(full_log_prob);
      result.quantized.log_probs.push_back(quantized_log_prob);
      result.kl += d.kl;
      agree += d.agree;
    }
  }
  result.kl /= static_cast<double>(predictions);
  result.greedy_agreement = static_cast<double>(agree) / static_cast<double>(predictions);
  return result;
}

}  // namespace eaq
