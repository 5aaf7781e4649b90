// Token windows: what calibration and evaluation run on.
//
//   EAQ_ASSIGN_OR_RETURN(std::vector<Window> all, CutWindows(corpus, *tokenizer, Split::kEvaluation, 256, &pool));
//   Rng rng(seed, "evaluation/windows");
//   const std::vector<Window> windows = SelectWindows(std::move(all), 64, rng);
#ifndef EAQ_TEXT_WINDOWS_H_
#define EAQ_TEXT_WINDOWS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/base/rng.h"
#include "eaq/base/thread_pool.h"
#include "eaq/text/corpus.h"
#include "eaq/text/tokenizer.h"

namespace eaq {

struct Window {
  std::vector<int32_t> ids;  // [length]
  std::string document;      // "corpus/document id": the cluster of the statistics
};

// All windows of LENGTH tokens of the documents of SPLIT: not overlapping, each inside of one document, tails that are
// shorter left out, in the order of the documents. No special tokens. InvalidArgument if LENGTH < 1 or if no document
// is long enough.
absl::StatusOr<std::vector<Window>> CutWindows(const Corpus& corpus, const Tokenizer& tokenizer, Split split,
                                               int64_t length, ThreadPool* pool);

// N of WINDOWS (all of them if there are no more), without replacement, from as many documents as possible: documents
// are taken in a random order, one window of each per round. Deterministic for a given rng.
std::vector<Window> SelectWindows(std::vector<Window> windows, int64_t n, Rng& rng);

// The ids of the documents of SPLIT one after the other, each followed by END_OF_TEXT unless that is negative: what a
// trainer reads.
absl::StatusOr<std::vector<int32_t>> TokenStream(const Corpus& corpus, const Tokenizer& tokenizer, Split split,
                                                 int32_t end_of_text, ThreadPool* pool);

}  // namespace eaq

#endif  // EAQ_TEXT_WINDOWS_H_
