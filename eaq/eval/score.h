// The primitive under every evaluation: tokens -> log-probabilities in float64, and what two models that saw the
// same window say about each other.
//
//   WindowScore full = ScoreWindow(ends, ids, hidden);                          // perplexity
//   WindowComparison c = CompareWindow(ends, ids, full_hidden, quantized_hidden);  // KL, greedy agreement
//   TargetScore word = ScoreTargets(ends, targets, rows, position);                // some tokens of a longer sequence
//
// Convention (GPTQ; evaluation_protocol.md section 1): a window of L tokens stands alone, positions start at 0, no BOS
// is added, tokens 1 .. L-1 are predicted, the first is not. Softmax runs over every row of the output matrix.
#ifndef EAQ_EVAL_SCORE_H_
#define EAQ_EVAL_SCORE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/model/head.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct WindowScore {
  std::vector<double> log_probs;  // [L-1], natural log of the probability of token t+1 given tokens 0 .. t
  double nll() const;             // mean of -log_probs: nats per predicted token
};

struct TargetScore {
  std::vector<double> log_probs;  // natural, of each target
  bool greedy = true;             // every target has the largest logit of its row, the lowest id on ties
};

struct WindowComparison {
  WindowScore full;
  WindowScore quantized;
  double kl = 0;                // mean over the predictions of KL(full || quantized), nats; >= 0
  double greedy_agreement = 0;  // share of the predictions where both rank the same token first (lowest id on ties)
  double top_k_agreement = 0;   // mean over the predictions of |top k of both| / k; 0 where k is
};

// What two models say about one token.
struct RowComparison {
  double full = 0, quantized = 0;  // log-probabilities, natural
  double kl = 0;                   // of the whole rows
  bool agree = false;              // in the likeliest token
  int64_t common = 0;              // tokens among the k likeliest of both
};

// Where rows become log-probabilities in place of this CPU's head: a device's (experiments/device_evaluation.h). Rows
// are hidden states before the final norm; results are as those of ScoreWindow and CompareWindow but for rounding.
class WindowScorer {
 public:
  virtual ~WindowScorer() = default;
  virtual absl::StatusOr<std::vector<double>> LogProbabilities(ConstMatrixView hidden,
                                                               absl::Span<const int32_t> targets) = 0;
  virtual absl::StatusOr<std::vector<RowComparison>> Compare(ConstMatrixView full, ConstMatrixView quantized,
                                                             absl::Span<const int32_t> targets, int64_t top_k) = 0;
};

struct ScoreOptions {
  const ModelEnds* quantized_ends = nullptr;  // of the quantized model where they are others
  int64_t top_k = 0;                          // of top_k_agreement; 0: not asked for
  WindowScorer* scorer = nullptr;             // null: the CPU. It has the ends of both models itself
};

// IDS: the window, [L]; HIDDEN: its last hidden states before the final norm, [L, hidden_size]. InvalidArgument for a
// window of fewer than 2 tokens, shapes that disagree, or an id outside of the vocabulary; DataLoss when a log-
// probability is not finite (NaN never passes). Thread-safe.
absl::StatusOr<WindowScore> ScoreWindow(const ModelEnds& ends, absl::Span<const int32_t> ids, ConstMatrixView hidden,
                                        WindowScorer* scorer = nullptr);

// Single tokens: TARGETS[t] is predicted from row t of HIDDEN, [targets, hidden_size], the last hidden state of the
// token before it. FIRST_POSITION: that of TARGETS[0], for messages. Errors as above; there may be one target.
// Thread-safe.
absl::StatusOr<TargetScore> ScoreTargets(const ModelEnds& ends, absl::Span<const int32_t> targets,
                                         ConstMatrixView hidden, int64_t first_position);

// The same window through both models, with one pass over the vocabulary for each.
absl::StatusOr<WindowComparison> CompareWindow(const ModelEnds& ends, absl::Span<const int32_t> ids,
                                               ConstMatrixView full_hidden, ConstMatrixView quantized_hidden,
                                               const ScoreOptions& options = {});

// KL(p || q) in nats for p = softmax(FULL), q = softmax(QUANTIZED), both [n] logits, computed in float64 and never
// below 0 by rounding.
double KlFromLogits(absl::Span<const float> full, absl::Span<const float> quantized);

}  // namespace eaq

#endif  // EAQ_EVAL_SCORE_H_
