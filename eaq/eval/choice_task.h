// Tasks beside perplexity as token sequences: which of an item's candidates does a model find the likeliest?
// docs/formats/tasks.md has the files and conventions.
//
//   EAQ_ASSIGN_OR_RETURN(const ItemSet items, LoadItems(spec));                      // eaq/text/item_files.h
//   EAQ_ASSIGN_OR_RETURN(const ChoiceTask task, MakeChoiceTask(items, spec, *tokenizer, config, pool));
//   ChoiceTracer tracer(ends, {&task, 1}, pool);                                     // choice_trace.h: layer by layer
//   for (each layer) tracer.Advance(*layer, pool);
//   EAQ_ASSIGN_OR_RETURN(const auto scores, tracer.Scores(pool, progress));
//   EAQ_RETURN_IF_ERROR(AddChoiceResults(task, scores[0], result));                  // choice_results.h
//
// With x_0 .. x_n the tokens of a candidate, those of its context before x_f:
//
//   ll = sum_{t=f..n} log p(x_t | x_0 .. x_{t-1})        float64, natural logarithm
//
//   minimal pairs    (BLiMP; Warstadt et al., TACL 8, 2020) no context, so x_0 is the prefix token and f = 1
//     ORIGINAL       the sentence as it stands, correct when ll(good) >  ll(bad)
//     LM_EVAL        " " + the sentence,        correct when ll(good) >= ll(bad)
//   multiple choice  context, then " " + candidate; correct when the right one has the largest ll, the first on ties;
//                    normalised: ll divided by the candidate's length (lm-evaluation-harness: characters, or bytes)
//   last word        one candidate; correct when each of its tokens is the likeliest (LAMBADA)
//   next segment     tokens of one text (next_segment.h); correct as multiple choice
#ifndef EAQ_EVAL_CHOICE_TASK_H_
#define EAQ_EVAL_CHOICE_TASK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/config.h"
#include "eaq/proto/trial.pb.h"
#include "eaq/text/item_files.h"
#include "eaq/text/tokenizer.h"

namespace eaq {

struct ChoiceTask {
  struct Choice {
    std::vector<int32_t> ids;           // what the model reads, and the last token, which it only predicts
    int64_t first = 1;                  // ids[first ..] are scored: 1 <= first < ids.size()
    int64_t characters = 0, bytes = 0;  // of the candidate's text without the blank before it; code points, UTF-8
  };
  struct Item {
    std::vector<Choice> choices;
    int gold = 0;
    std::string document;  // the cluster of the statistics: paradigm, "file/number", or the text's document
  };
  struct Paradigm {
    std::string id, phenomenon;
    int64_t items = 0;
  };
  std::string name;
  EvaluationTask::KindCase kind = EvaluationTask::KIND_NOT_SET;  // not set: minimal pairs
  EvaluationTask::Protocol protocol = EvaluationTask::ORIGINAL;
  std::vector<Paradigm> paradigms;
  std::vector<Item> items;  // paradigm by paradigm
  // What can be had without reading a context: the mean over items of 1 / candidates, and the share of items whose
  // right candidate is the text that is right most often ("yes"). 0 for last words. Of minimal pairs: 1/2, 0.
  double chance = 0, constant = 0;
};

// SPEC: all but path and hash. CONFIG: vocabulary and max_position_embeddings of the model. FailedPrecondition: no
// prefix token, or an id outside of the vocabulary. InvalidArgument: a candidate without tokens, or with more than the
// model reads.
absl::StatusOr<ChoiceTask> MakeChoiceTask(const ItemSet& items, const EvaluationTask& spec, const Tokenizer& tokenizer,
                                          const ModelConfig& config, ThreadPool& pool);

// "task ARC, arc_easy, item 17, choice 2": of messages. The last two count from 0.
std::string WhereOf(const ChoiceTask& task, int64_t item, int64_t choice);

// FailedPrecondition when an id of TASK lies outside of the model's vocabulary.
absl::Status CheckIds(const ChoiceTask& task, int64_t vocab_size);

// Code points of TEXT, which is UTF-8.
int64_t CharactersOf(absl::string_view text);

}  // namespace eaq

#endif  // EAQ_EVAL_CHOICE_TASK_H_
