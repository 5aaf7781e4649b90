// A context and what may follow it, as tokens: the convention of lm-evaluation-harness (`_encode_pair` of its models;
// evaluation_protocol.md 5.2 to 5.4).
//
//   EAQ_ASSIGN_OR_RETURN(const int32_t prefix, PrefixToken(*tokenizer, ""));
//   EAQ_ASSIGN_OR_RETURN(const Continuation c, EncodeContinuation(*tokenizer, "Question: ...\nAnswer:", " yes", {}));
//   // c.ids: all tokens; those from c.first on are scored, each given all before it
//
// White space at the end of the context (Python's str.rstrip) belongs to the continuation. Both are encoded as one
// string, the context a second time alone, and what the whole has beyond the context's number of tokens is the
// continuation: where a merge spans the border, the split follows the count, as published numbers do. Without a context
// the continuation follows one prefix token: the BOS that the tokenizer adds, where it adds one; else "<|endoftext|>",
// which our models have seen between documents only; else the caller must name one.
#ifndef EAQ_EVAL_CONTINUATION_H_
#define EAQ_EVAL_CONTINUATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/proto/trial.pb.h"
#include "eaq/text/tokenizer.h"

namespace eaq {

struct Continuation {
  std::vector<int32_t> ids;  // at most max_length + 1, the end of what there is
  int64_t first = 1;         // ids[first ..] are scored: 1 <= first < ids.size()
};

struct ContinuationRules {
  EvaluationTask::Bos bos = EvaluationTask::AS_TOKENIZER;  // of a text that begins with the BOS already: none is added
  int64_t max_length = 0;                                  // tokens that the model reads; 0: no limit
  std::string prefix_token;                                // of a text without a context; empty: by the rule above
};

// The token before a text without a context: that of the string ASKED_FOR, or by the rule above when it is empty.
// FailedPrecondition when the tokenizer has no such token.
absl::StatusOr<int32_t> PrefixToken(const Tokenizer& tokenizer, const std::string& asked_for);

// A continuation that begins with the prefix token gets no second one. InvalidArgument: no token to score, or more of
// them than max_length; FailedPrecondition: no prefix token.
absl::StatusOr<Continuation> EncodeContinuation(const Tokenizer& tokenizer, absl::string_view context,
                                                absl::string_view continuation, const ContinuationRules& rules);

// The length of TEXT without the white space at its end: that of Python's str.rstrip, Unicode's and the separators
// U+001C .. U+001F. Bytes that are not UTF-8 are no white space.
size_t TrimmedLength(absl::string_view text);

}  // namespace eaq

#endif  // EAQ_EVAL_CONTINUATION_H_
