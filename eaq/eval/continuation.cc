#include "eaq/eval/continuation.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/text/unicode_class.h"
#include "eaq/text/utf8.h"

namespace eaq {
namespace {

// Without a context: the prefix token, which CONTINUATION may begin with.
absl::StatusOr<Continuation> EncodeAlone(const Tokenizer& tokenizer, absl::string_view continuation,
                                         const ContinuationRules& rules) {
  EAQ_ASSIGN_OR_RETURN(const int32_t prefix, PrefixToken(tokenizer, rules.prefix_token));
  EAQ_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer.Encode(continuation));
  Continuation out;
  out.ids.reserve(ids.size() + 1);
  if (ids.empty() || ids.front() != prefix) out.ids.push_back(prefix);
  out.ids.insert(out.ids.end(), ids.begin(), ids.end());
  return out;
}

// Whether TEXT is to be encoded with special tokens: not when its BOS is written out in front.
absl::StatusOr<bool> AddsSpecialTokens(const Tokenizer& tokenizer, absl::string_view text, EvaluationTask::Bos bos) {
  if (bos == EvaluationTask::NO_BOS) return false;
  EAQ_ASSIGN_OR_RETURN(const std::vector<int32_t> special, tokenizer.Encode("", /*add_special_tokens=*/true));
  return special.empty() || !absl::StartsWith(text, tokenizer.Decode({special[0]}));
}

}  // namespace

absl::StatusOr<int32_t> PrefixToken(const Tokenizer& tokenizer, const std::string& asked_for) {
  if (!asked_for.empty()) {
    const int32_t id = tokenizer.TokenId(asked_for);
    if (id >= 0) return id;
    return absl::FailedPreconditionError(
        absl::StrCat("prefix_token \"", asked_for, "\" is no token of the model's tokenizer.json"));
  }
  EAQ_ASSIGN_OR_RETURN(const std::vector<int32_t> special, tokenizer.Encode("", /*add_special_tokens=*/true));
  if (!special.empty()) return special[0];
  const int32_t id = tokenizer.TokenId("<|endoftext|>");
  if (id >= 0) return id;
  return absl::FailedPreconditionError(
      "the tokenizer adds no BOS and has no token \"<|endoftext|>\": there is nothing that a sentence could follow; "
      "name one in the task: prefix_token: \"...\"");
}

size_t TrimmedLength(absl::string_view text) {
  size_t length = 0;
  for (size_t at = 0; at < text.size();) {
    uint32_t code = 0;
    const int bytes = DecodeUtf8(text.substr(at), &code);
    at += bytes == 0 ? 1 : bytes;
    if (bytes == 0 || !(IsSpace(code) || (code >= 0x1C && code <= 0x1F))) length = at;
  }
  return length;
}

absl::StatusOr<Continuation> EncodeContinuation(const Tokenizer& tokenizer, absl::string_view context,
                                                absl::string_view continuation, const ContinuationRules& rules) {
  const std::string whole = absl::StrCat(context, continuation);
  context = absl::string_view(whole).substr(0, TrimmedLength(context));
  Continuation out;
  if (context.empty()) {
    EAQ_ASSIGN_OR_RETURN(out, EncodeAlone(tokenizer, whole, rules));
  } else {
    EAQ_ASSIGN_OR_RETURN(const bool special, AddsSpecialTokens(tokenizer, whole, rules.bos));
    EAQ_ASSIGN_OR_RETURN(out.ids, tokenizer.Encode(whole, special));
    EAQ_ASSIGN_OR_RETURN(const std::vector<int32_t> before, tokenizer.Encode(context, special));
    out.first = before.size();
  }
  const int64_t scored = static_cast<int64_t>(out.ids.size()) - out.first;
  if (scored < 1) return absl::InvalidArgumentError(absl::StrCat("no token to score in \"", continuation, "\""));
  if (rules.max_length > 0 && scored > rules.max_length) {
    return absl::InvalidArgumentError(absl::StrCat(scored, " tokens to score, but the model reads ", rules.max_length,
                                                   "; give the task a larger max_length"));
  }
  const int64_t cut = rules.max_length > 0 ? static_cast<int64_t>(out.ids.size()) - (rules.max_length + 1) : int64_t{0};
  if (cut > 0) {
    out.ids.erase(out.ids.begin(), out.ids.begin() + cut);
    out.first -= cut;
  }
  return out;
}

}  // namespace eaq
