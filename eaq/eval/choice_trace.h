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
  absl::StatusOr<ChoiceScore> ScoreOf(const Run& run, size_t choice) const;

  const ModelEnds& ends_;
  const absl::Span<const ChoiceTask> tasks_;
  std::vector<Run> runs_;
};

}  // namespace eaq

#endif  // EAQ_EVAL_CHOICE_TRACE_H_
