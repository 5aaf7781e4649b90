// Tasks in the report: accuracies against full precision and against one another. Inside the room.
#ifndef EAQ_REPORT_TASKS_H_
#define EAQ_REPORT_TASKS_H_

#include <string>

#include "absl/status/status.h"
#include "eaq/report/comparison.h"
#include "eaq/report/fairness.h"

namespace eaq::report_internal {

// Differences of accuracy inside +-1 percentage point count as equivalent.
inline constexpr double kTaskMargin = 0.01;

// Fills in c.tasks and Group::task of every group from the series "correct" of its trials; schemes and rank classes
// must be there. The unit of the statistics is a paradigm of minimal pairs (its mean over pairs: pairs of one template
// are no independent witnesses), a document of next segments, else a single item. Full precision is at chance unless
// the interval of its accuracy lies above what guessing gives and what always the same answer gives, and the sign-flip
// test says so too. InvalidArgument for a trial without the series of a task that its spec has.
absl::Status CompareTasks(const Gate& gate, Comparison& c);

// The difference seen from the other side (errors as accuracies, the second as the first); the verdict stays.
PairedResult Turned(PairedResult r);

// "minimal pairs, original protocol", "multiple choice", "last word", "next segment".
std::string TaskKind(const EvaluationTask& task);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_TASKS_H_
