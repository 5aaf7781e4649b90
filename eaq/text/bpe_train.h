// Trains a byte-level BPE tokenizer (GPT-2's pattern, no normalizer, no BOS) and writes it as a Hugging Face
// tokenizer.json.
//
//   std::vector<absl::string_view> texts = ...;  // the training split, a document each
//   EAQ_ASSIGN_OR_RETURN(const std::string json, TrainByteLevelBpe(texts, {.vocab_size = 2048}, &pool));
//   EAQ_RETURN_IF_ERROR(WriteFileAtomic("models/ref-s/tokenizer.json", json));
//
// Ids: 0-255 the bytes in the order of their value, then the merges in the order in which they were found, then the
// special token <|endoftext|>, which is the last id.
#ifndef EAQ_TEXT_BPE_TRAIN_H_
#define EAQ_TEXT_BPE_TRAIN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/base/thread_pool.h"
#include "eaq/text/corpus.h"

namespace eaq {

struct BpeTrainOptions {
  int64_t vocab_size = 2048;  // bytes, merges and the special token together
  int64_t min_count = 2;      // a pair that stands fewer times together is not merged
  int64_t max_token_bytes = 32;
};

// Greedy: at every step the pair with the highest count over all pieces (each counted as often as it occurs) is merged;
// ties go to the pair with the smaller ids. The result depends on the texts alone, not on threads or their order.
// InvalidArgument if the vocabulary has no room for the bytes and the special token. A text with too few pairs gives a
// smaller vocabulary.
absl::StatusOr<std::string> TrainByteLevelBpe(const std::vector<absl::string_view>& texts,
                                              const BpeTrainOptions& options, ThreadPool* pool);

// The same on the training split of CORPORA.
absl::StatusOr<std::string> TrainTokenizer(const std::vector<Corpus>& corpora, const BpeTrainOptions& options,
                                           ThreadPool* pool);

}  // namespace eaq

#endif  // EAQ_TEXT_BPE_TRAIN_H_
