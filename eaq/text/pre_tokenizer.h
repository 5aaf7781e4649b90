// Pre-tokenizer steps of tokenizer.json: each cuts every piece of the step before it. Merges never cross a cut.
// Steps: ByteLevel, Split (regular expression or string, all behaviors), Digits, Metaspace,
// Sequence.
#ifndef EAQ_TEXT_PRE_TOKENIZER_H_
#define EAQ_TEXT_PRE_TOKENIZER_H_

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/base/json.h"

namespace eaq {

// What a step may need to know of, besides its piece.
struct SplitContext {
  bool at_start = false;           // the piece begins where the whole input begins
  std::deque<std::string>* arena;  // owns text that a step rewrites; pieces may point into it
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Appends the pieces of PIECE (valid UTF-8), none of them empty.
  virtual absl::Status Split(absl::string_view piece, const SplitContext& context,
                             std::vector<absl::string_view>* out) const = 0;
};

struct ParsedPreTokenizer {
  std::shared_ptr<const PreTokenizer> step;  // null: the text is one piece
  bool byte_level = false;                   // symbols are bytes, not characters
};

// From the "pre_tokenizer" of the file (null allowed). Unimplemented names what is not supported.
absl::StatusOr<ParsedPreTokenizer> ParsePreTokenizer(const Json& json);

}  // namespace eaq

#endif  // EAQ_TEXT_PRE_TOKENIZER_H_
