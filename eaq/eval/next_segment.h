// Next-segment choice: after a context of held-out text, which of some segments comes next? The others are true
// segments of other places of the same domain, so style and topic alone do not give it away. Made from the corpora at
// hand: no file of items is needed, and a model of any size and vocabulary gets the same kind of question.
//
//   EAQ_ASSIGN_OR_RETURN(const auto part, DrawSegments(corpus, Split::kEvaluation, 750, spec, *tokenizer, pool));
//   EAQ_ASSIGN_OR_RETURN(const ChoiceTask task, MakeSegmentTask("next", {{"code", part}, ...}, 0, *tokenizer, vocab));
//
// A place is `context` + `segment` tokens of one document, places do not overlap (CutWindows). Of a domain as many as
// asked for are chosen, spread over documents (SelectWindows); each gets candidates - 1 segments of other places of its
// domain, none equal to its own or to one another, and the candidates stand in a random order. Philox streams "next
// segment/places/DOMAIN" and "next segment/distractors/DOMAIN", seed of the spec: the same items for every trial of a
// tokenizer and text.
#ifndef EAQ_EVAL_NEXT_SEGMENT_H_
#define EAQ_EVAL_NEXT_SEGMENT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "eaq/base/thread_pool.h"
#include "eaq/eval/choice_task.h"
#include "eaq/proto/trial.pb.h"
#include "eaq/text/corpus.h"
#include "eaq/text/tokenizer.h"

namespace eaq {

struct SegmentItem {
  std::string document;                          // "corpus/document id"
  std::vector<int32_t> context;                  // [context]
  std::vector<std::vector<int32_t>> candidates;  // [candidates][segment]
  int32_t gold = 0;
};

// ITEMS items of one corpus. InvalidArgument: fewer places than items or candidates, or a text that repeats itself so
// much that no other segments are found.
absl::StatusOr<std::vector<SegmentItem>> DrawSegments(const Corpus& corpus, Split split, int64_t items,
                                                      const EvaluationTask::NextSegment& spec,
                                                      const Tokenizer& tokenizer, ThreadPool& pool);

// How many of spec.items() fall to domain D of DOMAINS: equal parts, what is left over to the first ones.
int64_t SegmentsOfDomain(const EvaluationTask::NextSegment& spec, int64_t domain, int64_t domains);

struct SegmentDomain {
  std::string name;  // a paradigm of the task
  std::vector<SegmentItem> items;
};
// MAX_ITEMS of each domain, the first ones; 0: all. FailedPrecondition: an id outside of the vocabulary.
absl::StatusOr<ChoiceTask> MakeSegmentTask(absl::string_view name, absl::Span<const SegmentDomain> domains,
                                           int64_t max_items, const Tokenizer& tokenizer, int64_t vocab_size);

// For caches. Parse: InvalidArgument when BYTES are not whole.
std::string SegmentBytes(const std::vector<SegmentItem>& items);
absl::StatusOr<std::vector<SegmentItem>> ParseSegments(absl::string_view bytes);

}  // namespace eaq

#endif  // EAQ_EVAL_NEXT_SEGMENT_H_
