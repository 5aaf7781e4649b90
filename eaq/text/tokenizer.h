// Tokenizers as Hugging Face's tokenizer.json describes them: byte-pair encoding over bytes (GPT-2, OLMoE, Qwen,
// DeepSeek, gpt-oss) or over characters with byte fallback (Llama, Mixtral).
//
//   EAQ_ASSIGN_OR_RETURN(const std::shared_ptr<const Tokenizer> tokenizer,
//                        Tokenizer::Load("models/ref-s/tokenizer.json"));
//   EAQ_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer->Encode(text));
//   const std::string back = tokenizer->Decode(ids);
//
// The order of work (architectures.md 7.1): added tokens in the raw text, normalizer, added tokens in the normalized
// text, pre-tokenizer, merges, post-processor. A Tokenizer is immutable; all members may be called from any thread.
//
// Any bytes may be encoded. Byte-level tokenizers keep them all: bytes that are not UTF-8 skip the normalizer and the
// pre-tokenizer, a run of them is a piece of its own, and Decode gives them back, so decode(encode(x)) == x unless the
// file asks for a normalizer. The others first replace such bytes by U+FFFD.
#ifndef EAQ_TEXT_TOKENIZER_H_
#define EAQ_TEXT_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace eaq {

class Tokenizer {
 public:
  // NotFound, or the errors of Parse with the path in front.
  static absl::StatusOr<std::shared_ptr<const Tokenizer>> Load(const std::string& json_path);
  // InvalidArgument: not a tokenizer.json (what, where, expected, found). Unimplemented: a valid one that asks for a
  // step that is not supported, which is named.
  static absl::StatusOr<std::shared_ptr<const Tokenizer>> Parse(absl::string_view json);
  ~Tokenizer();

  // The ids of BYTES. With add_special_tokens, what the file's post-processor puts around them (a BOS, say).
  // Linear in the number of bytes. ResourceExhausted only if a split pattern makes the regex engine give up.
  absl::StatusOr<std::vector<int32_t>> Encode(absl::string_view bytes, bool add_special_tokens = false) const;

  // The bytes of IDS; ids outside of the vocabulary say nothing. Byte-level results are the exact bytes, UTF-8 or not
  // (Hugging Face would put U+FFFD for parts that are not: ReplaceInvalidUtf8 of utf8.h does the same).
  std::string Decode(absl::Span<const int32_t> ids, bool skip_special = false) const;

  // One more than the largest id.
  int64_t vocab_size() const;
  // SHA-256 of the file's bytes: names the tokenizer in keys and in the ledger.
  const std::string& hash() const;
  // The id of a token by its string in the file ("<|endoftext|>"), or -1.
  int32_t TokenId(absl::string_view token) const;

  struct State;  // tokenizer_state.h

 private:
  explicit Tokenizer(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

}  // namespace eaq

#endif  // EAQ_TEXT_TOKENIZER_H_
