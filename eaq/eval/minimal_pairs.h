// Minimal pairs (BLiMP; Warstadt et al., TACL 8, 2020): how often a model finds the acceptable one of two sentences
// likelier. docs/formats/minimal_pairs.md has the files and both protocols.
//
//   EAQ_ASSIGN_OR_RETURN(const PairSet pairs, LoadPairSet("blimp", path));           // eaq/text/pair_files.h
//   EAQ_ASSIGN_OR_RETURN(const PairTask task, MakePairTask(pairs, spec, *tokenizer, vocab_size, pool));
//   Tracer tracer(ends, PairWindows({task}), pool, Tracer::kNoRouting);              // layer by layer, as for texts
//   EAQ_ASSIGN_OR_RETURN(const auto scores, SentenceScores(ends, {task}, tracer.Finish(), pool, progress));
//   EAQ_RETURN_IF_ERROR(AddPairResults(task, scores[0], result));
//
// With x_0 the prefix token and x_1 .. x_n the tokens of a sentence (no token after its full stop):
//
//   ll = sum_{t=1..n} log p(x_t | x_0 .. x_{t-1})        float64, natural logarithm, not divided by the length
//   ORIGINAL: the sentence as it stands, correct when ll(good) >  ll(bad)
//   LM_EVAL:  " " + the sentence,        correct when ll(good) >= ll(bad)
//
// The prefix token gives the first word something to follow. It is the BOS that the tokenizer adds, where it adds one;
// else "<|endoftext|>", which our models have seen between documents only; else the spec must name one.
//
// A sentence is a window of its own: each runs alone on one thread, so the numbers depend neither on the other
// sentences nor on the number of threads. Memory: 4 * hidden_size bytes a token for all sentences at once (1.3 GB for
// all of BLiMP, 2.6 M tokens of 128); max_items_per_paradigm makes it less.
#ifndef EAQ_EVAL_MINIMAL_PAIRS_H_
#define EAQ_EVAL_MINIMAL_PAIRS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/base/progress.h"
#include "eaq/base/thread_pool.h"
#include "eaq/eval/trace.h"
#include "eaq/model/head.h"
#include "eaq/proto/trial.pb.h"
#include "eaq/text/pair_files.h"
#include "eaq/text/tokenizer.h"

namespace eaq {

// The pairs as token windows.
struct PairTask {
  struct Paradigm {
    std::string id, phenomenon;
    int64_t pairs = 0;
  };
  std::string name;
  EvaluationTask::Protocol protocol = EvaluationTask::ORIGINAL;
  std::vector<Paradigm> paradigms;
  std::vector<std::vector<int32_t>> sentences;  // of pair p: 2p the good one, 2p + 1 the bad; prefix token first
};

// The token before every sentence: that of the string ASKED_FOR, or by the rule above when it is empty.
// FailedPrecondition when the tokenizer has no such token.
absl::StatusOr<int32_t> PrefixToken(const Tokenizer& tokenizer, const std::string& asked_for);

// SPEC: name, protocol, max_items_per_paradigm, prefix_token. A sentence whose tokens begin with the prefix token gets
// no second one. FailedPrecondition: no prefix token, or an id outside of VOCAB_SIZE. InvalidArgument: a sentence
// without tokens.
absl::StatusOr<PairTask> MakePairTask(const PairSet& pairs, const EvaluationTask& spec, const Tokenizer& tokenizer,
                                      int64_t vocab_size, ThreadPool& pool);

// All sentences of all tasks in order: what a Tracer runs over. They point into TASKS.
std::vector<absl::Span<const int32_t>> PairWindows(absl::Span<const PairTask> tasks);

// ll of every sentence, per task [2 * pairs], from the trace of PairWindows(tasks). InvalidArgument when the trace has
// another number of windows; DataLoss, with task, paradigm and pair, when a number is not finite.
absl::StatusOr<std::vector<std::vector<double>>> SentenceScores(const ModelEnds& ends, absl::Span<const PairTask> tasks,
                                                                const ModelTrace& trace, ThreadPool& pool,
                                                                ProgressSink& progress);

// Appends to RESULT, from ll of every sentence [2 * pairs]:
//   series   correct                  1 or 0 a pair; document: the paradigm        domain NAME
//   metrics  accuracy                 mean over paradigms                          domain NAME
//            accuracy_of_phenomena    mean over phenomena of the mean over their paradigms
//            ties                     pairs whose sentences are exactly as likely
//            accuracy                 of a paradigm                                domain NAME/PARADIGM
//            accuracy_of_phenomenon   mean over its paradigms                      domain NAME/PHENOMENON
absl::Status AddPairResults(const PairTask& task, absl::Span<const double> scores, TrialResult& result);

}  // namespace eaq

#endif  // EAQ_EVAL_MINIMAL_PAIRS_H_
