// The metrics of a trial from two traces of the same windows: the full model's and the quantized one's.
//
// Per domain, into a TrialResult:
//   series   nll, kl, greedy_agreement          one value a window, with the window's document; topK_agreement where
//            options.top_k is K > 0
//   metrics  nll, perplexity, kl, greedy_agreement, topK_agreement       means over the windows
//            router_topk_agreement, router_top1_change                   per layer with a router
//            router_kl   KL(full || quantized) of the softmax over all experts, nats per token, likewise
//   expert use of the model measured, per layer
#ifndef EAQ_EVAL_EVALUATE_H_
#define EAQ_EVAL_EVALUATE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "eaq/base/progress.h"
#include "eaq/base/thread_pool.h"
#include "eaq/eval/score.h"
#include "eaq/eval/trace.h"
#include "eaq/model/head.h"
#include "eaq/proto/trial.pb.h"
#include "eaq/text/windows.h"

namespace eaq {

struct EvaluationDomain {
  std::string name;
  std::vector<Window> windows;
};

// All windows of all domains in order: what a Tracer runs over. They point into DOMAINS.
std::vector<absl::Span<const int32_t>> WindowIds(const std::vector<EvaluationDomain>& domains);

// Appends to RESULT. QUANTIZED null: the full model alone (nll, perplexity, expert use). The traces must be of
// WindowIds(domains). A scorer of OPTIONS gets one window after the other. DataLoss when a number is not finite; it
// names domain and window.
absl::Status Evaluate(const ModelEnds& ends, const std::vector<EvaluationDomain>& domains, const ModelTrace& full,
                      const ModelTrace* quantized, ThreadPool& pool, ProgressSink& progress, TrialResult& result,
                      const ScoreOptions& options = {});

}  // namespace eaq

#endif  // EAQ_EVAL_EVALUATE_H_
