// Runs the candidates of tasks through a model, layer by layer, and scores them.
//
//   ChoiceTracer tracer(ends, tasks, pool);
//   for (each layer) tracer.Advance(*layer, pool);                       // one layer resident at a time
//   EAQ_ASSIGN_OR_RETURN(const std::vector<std::vector<ChoiceScore>> scores, tracer.Scores(pool, progress));
//
// What the candidates of an item have in common in front (the context, mostly) is computed once: its keys and values
// serve all of them, as a cached sequence continues. The numbers are those of a candidate alone up to float32 summation
// order, about 1e-6 of ll; a model with two experts nearly level may route a token otherwise. Minimal pairs run each
// sentence alone, whole, as they did before there were other tasks: the same bits.
//
// An item runs alone on one thread: the numbers depend neither on other items nor on the number of threads. Memory:
// 4 * hidden_size bytes a token for all items at once (1.3 GB for all of BLiMP, 2.6 M tokens of 128);
// max_items_per_paradigm makes it less.
#ifndef EAQ_EVAL_CHOICE_TRACE_H_
#define EAQ_EVAL_CHOICE_TRACE_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/base/progress.h"
#include "eaq/base/thread_pool.h"
#include "eaq/eval/choice_task.h"
#include "eaq/model/head.h"
#include "eaq/model/layer.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct ChoiceScore {
  double log_likelihood = 0;  // ll of choice_task.h
  bool greedy = false;        // every scored token is the likeliest, the lowest id on ties
  friend bool operator==(const ChoiceScore&, const ChoiceScore&) = default;
};

class ChoiceTracer {
 public:
  // ENDS and TASKS outlive this object. The ids of TASKS must lie inside of the vocabulary (MakeChoiceTask sees to it).
  ChoiceTracer(const ModelEnds& ends, absl::Span<const ChoiceTask> tasks, ThreadPool& pool);

  // Runs the next layer over all items.
  void Advance(const DecoderLayer& decoder, ThreadPool& pool);
  // The same by FORWARD, which takes several sequences at once, one after the other in HIDDEN, LENGTHS tokens each;
  // those with BRANCHES[s] != 0 continue the last one before that has 0: a layer that runs on a device. Items come
  // whole, some thousand tokens a call. Its error leaves this object unusable.
  using Forward = absl::FunctionRef<absl::Status(MatrixView hidden, absl::Span<const int64_t> lengths,
                                                 absl::Span<const uint8_t> branches)>;
  absl::Status Advance(Forward forward);
  // The largest number of keys of an item's sequences, a front's again for each of its branches: what FORWARD must be
  // able to take at once.
  int64_t most_keys() const;

  // Of each task, its candidates in order: item by item. DataLoss, with task, paradigm, item and candidate, when a
  // number is not finite.
  absl::StatusOr<std::vector<std::vector<ChoiceScore>>> Scores(ThreadPool& pool, ProgressSink& progress) const;

  // Tokens run per layer, and what they would be with every candidate alone: what sharing saves.
  int64_t tokens() const;
  int64_t tokens_alone() const;

 private:
  struct Run {
    const ChoiceTask* task;
    int64_t item;
    Matrix shared;                 // hidden states of the common front; no rows where nothing is shared
    std::vector<Matrix> branches;  // of each candidate after that
  };
  // The sequences that RUN consists of: what its candidates have in common, then each one's rest; empty ones left out.
  template <typename R, typename Visit>
  static void EachSequence(R& run, Visit visit) {
    if (run.shared.rows() > 0) visit(run.shared, false);
    for (auto& branch : run.branches) {
      if (branch.rows() > 0) visit(branch, run.shared.rows() > 0);
    }
  }
  absl::StatusOr<ChoiceScore> ScoreOf(const Run& run, size_t choice) const;

  const ModelEnds& ends_;
  const absl::Span<const ChoiceTask> tasks_;
  std::vector<Run> runs_;
};

}  // namespace eaq

#endif  // EAQ_EVAL_CHOICE_TRACE_H_
