// What a parsed tokenizer.json holds. Private to the tokenizer's own files.
#ifndef EAQ_TEXT_TOKENIZER_STATE_H_
#define EAQ_TEXT_TOKENIZER_STATE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "eaq/base/json.h"
#include "eaq/text/added_tokens.h"
#include "eaq/text/bpe.h"
#include "eaq/text/decoder.h"
#include "eaq/text/normalizer.h"
#include "eaq/text/pre_tokenizer.h"
#include "eaq/text/tokenizer.h"

namespace eaq {

struct Tokenizer::State {
  std::string hash;
  uint64_t serial = 0;  // of this object; tells the caches of a thread whose entries they hold

  AddedTokenMatcher raw_tokens, normalized_tokens;
  std::shared_ptr<const Normalizer> normalizer;  // null: none
  ParsedPreTokenizer pre_tokenizer;
  std::shared_ptr<const Decoder> decoder;

  absl::flat_hash_map<std::string, int32_t> ids;  // by the string in the file, added tokens included
  std::vector<std::string> tokens;                // by id; "" where there is none
  std::vector<bool> special;
  BpeMerges merges;
  bool ignore_merges = false;
  absl::flat_hash_map<std::string, int32_t> pieces;  // whole pieces, for ignore_merges: by what they stand for
  std::array<int32_t, 256> byte_ids;                 // byte-level: the symbol of a byte (-1: none); else <0xXX>
  bool byte_fallback = false;
  bool fuse_unknown = false;
  int32_t unknown = -1;
  std::vector<int32_t> before, after;  // the post-processor's

  // The symbols of a piece before any merge.
  void Symbols(absl::string_view piece, std::vector<int32_t>* out) const;
  // Appends the ids of a piece.
  void EncodePiece(absl::string_view piece, std::vector<int32_t>* out) const;
  // Pre-tokenizer and merges for normalized text without added tokens.
  absl::Status EncodeText(absl::string_view text, bool at_start, std::vector<int32_t>* out) const;
  // Normalizer, added tokens in its result, then EncodeText.
  absl::Status EncodeRaw(absl::string_view text, bool at_start, std::vector<int32_t>* out) const;
};

// Fills STATE from the file. The messages name the field.
absl::Status ParseTokenizerJson(const Json& json, Tokenizer::State* state);

}  // namespace eaq

#endif  // EAQ_TEXT_TOKENIZER_STATE_H_
