// Decoder steps of tokenizer.json: from token strings back to text. Steps: ByteLevel, Replace, ByteFallback, Fuse,
// Strip, Metaspace, Sequence.
#ifndef EAQ_TEXT_DECODER_H_
#define EAQ_TEXT_DECODER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/base/json.h"

namespace eaq {

class Decoder {
 public:
  virtual ~Decoder() = default;
  // Rewrites the strings of consecutive tokens; the text is what they say one after the other.
  virtual void Apply(std::vector<std::string>* tokens) const = 0;
};

// From the "decoder" of the file; null joins the tokens with blanks, as Hugging Face does.
absl::StatusOr<std::shared_ptr<const Decoder>> ParseDecoder(const Json& json);

}  // namespace eaq

#endif  // EAQ_TEXT_DECODER_H_
