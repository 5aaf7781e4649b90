// Scores of a task's candidates -> what the ledger keeps of it. docs/formats/tasks.md
#ifndef EAQ_EVAL_CHOICE_RESULTS_H_
#define EAQ_EVAL_CHOICE_RESULTS_H_

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "eaq/eval/choice_task.h"
#include "eaq/eval/choice_trace.h"
#include "eaq/proto/trial.pb.h"

namespace eaq {

// Appends to RESULT, from the scores of all candidates in order; domain NAME where no other is said. Of minimal pairs:
//   series   correct                  1 or 0 a pair; document: the paradigm
//   metrics  accuracy                 mean over paradigms
//            accuracy_of_phenomena    mean over phenomena of the mean over their paradigms
//            ties                     pairs whose sentences are exactly as likely
//            accuracy                 of a paradigm                                domain NAME/PARADIGM
//            accuracy_of_phenomenon   mean over its paradigms                      domain NAME/PHENOMENON
// Of multiple choice and next segments:
//   series   correct, correct_norm    1 or 0 an item, by ll and by ll / characters; document: the item's
//            log_likelihood           ll of every candidate, item by item
//   metrics  accuracy, accuracy_norm, accuracy_bytes (by ll / bytes)               means over items
//            ties                     items whose largest ll two candidates have
//            chance, constant         of choice_task.h
//            accuracy                 of a paradigm, where there are several       domain NAME/PARADIGM
// Of last words:
//   series   correct, log_likelihood  one value an item
//   metrics  accuracy; word_perplexity = exp(-mean ll), a word counting once however many tokens it has
// InvalidArgument for another number of scores; DataLoss when one is not finite.
absl::Status AddChoiceResults(const ChoiceTask& task, absl::Span<const ChoiceScore> scores, TrialResult& result);

}  // namespace eaq

#endif  // EAQ_EVAL_CHOICE_RESULTS_H_
