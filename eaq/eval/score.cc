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

int64_t InCommon(const float* p, const float* q, int64_t n, int64_t k) {
  std::vector<int32_t> of_p(k), of_q(k);
  kernels::TopK(p, n, k, of_p.data());
  kernels::TopK(q, n, k, of_q.data());
  int64_t common = 0;
  for (const int32_t i : of_p) common += std::count(of_q.begin(), of_q.end(), i);
  return common;
}

// Of every row of FULL_HIDDEN and QUANTIZED_HIDDEN.
std::vector<RowComparison> CompareRows(const ModelEnds& ends, const ModelEnds& own_ends,
                                       absl::Span<const int32_t> targets, ConstMatrixView full_hidden,
                                       ConstMatrixView quantized_hidden, int64_t top_k) {
  const int64_t count = targets.size(), vocab = ends.config().vocab_size;
  std::vector<RowComparison> result(count);
  Matrix full(std::min(kRows, count), vocab), quantized(std::min(kRows, count), vocab);
  for (int64_t begin = 0; begin < count; begin += kRows) {
    const int64_t rows = std::min(kRows, count - begin);
    ends.Logits(full_hidden.Rows(begin, rows), full.view().Rows(0, rows));
    own_ends.Logits(quantized_hidden.Rows(begin, rows), quantized.view().Rows(0, rows));
    for (int64_t r = 0; r < rows; ++r) {
      const int32_t target = targets[begin + r];
      const kernels::Divergence d = kernels::Diverge(full.row(r), quantized.row(r), vocab);
      RowComparison& row = result[begin + r];
      row.full = double{full(r, target)} - d.log_sum_p;
      row.quantized = double{quantized(r, target)} - d.log_sum_q;
      row.kl = d.kl;
      row.agree = d.agree;
      if (top_k > 0) row.common = InCommon(full.row(r), quantized.row(r), vocab, top_k);
    }
  }
  return result;
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

absl::StatusOr<WindowScore> ScoreWindow(const ModelEnds& ends, absl::Span<const int32_t> ids, ConstMatrixView hidden,
                                        WindowScorer* scorer) {
  EAQ_RETURN_IF_ERROR(CheckWindow(ends, ids, hidden));
  const absl::Span<const int32_t> targets = ids.subspan(1);
  const ConstMatrixView rows = hidden.Rows(0, hidden.rows - 1);
  if (scorer == nullptr) {
    EAQ_ASSIGN_OR_RETURN(TargetScore score, ScoreTargets(ends, targets, rows, /*first_position=*/1));
    return WindowScore{std::move(score.log_probs)};
  }
  EAQ_ASSIGN_OR_RETURN(std::vector<double> log_probs, scorer->LogProbabilities(rows, targets));
  for (size_t r = 0; r < log_probs.size(); ++r) {
    EAQ_RETURN_IF_ERROR(RequireFinite(log_probs[r], static_cast<int64_t>(r) + 1));
  }
  return WindowScore{std::move(log_probs)};
}

absl::StatusOr<WindowComparison> CompareWindow(const ModelEnds& ends, absl::Span<const int32_t> ids,
                                               ConstMatrixView full_hidden, ConstMatrixView quantized_hidden,
                                               const ScoreOptions& options) {
  const ModelEnds& own_ends = options.quantized_ends == nullptr ? ends : *options.quantized_ends;
  EAQ_RETURN_IF_ERROR(CheckWindow(ends, ids, full_hidden));
  EAQ_RETURN_IF_ERROR(CheckWindow(own_ends, ids, quantized_hidden));
  if (options.top_k < 0 || options.top_k > ends.config().vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat("top_k is ", options.top_k, "; expected 0 to ",
                                                   ends.config().vocab_size, ", the model's vocabulary"));
  }
  const int64_t predictions = ids.size() - 1;
  const absl::Span<const int32_t> targets = ids.subspan(1);
  const ConstMatrixView full = full_hidden.Rows(0, predictions), quantized = quantized_hidden.Rows(0, predictions);
  std::vector<RowComparison> rows;
  if (options.scorer == nullptr) {
    rows = CompareRows(ends, own_ends, targets, full, quantized, options.top_k);
  } else {
    EAQ_ASSIGN_OR_RETURN(rows, options.scorer->Compare(full, quantized, targets, options.top_k));
  }
  WindowComparison result;
  int64_t agree = 0, common = 0;
  for (int64_t r = 0; r < predictions; ++r) {
    const RowComparison& row = rows[r];
    for (const double value : {row.full, row.quantized, row.kl}) EAQ_RETURN_IF_ERROR(RequireFinite(value, r + 1));
    result.full.log_probs.push_back(row.full);
    result.quantized.log_probs.push_back(row.quantized);
    result.kl += row.kl;
    agree += row.agree;
    common += row.common;
  }
  result.kl /= static_cast<double>(predictions);
  result.greedy_agreement = static_cast<double>(agree) / static_cast<double>(predictions);
  if (options.top_k > 0) {
    result.top_k_agreement = static_cast<double>(common) / static_cast<double>(predictions * options.top_k);
  }
  return result;
}

}  // namespace eaq
