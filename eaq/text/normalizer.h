// Normalizer steps of tokenizer.json: text to text, before anything is split. Steps: NFC, Prepend, Replace (of a
// string), Sequence.
#ifndef EAQ_TEXT_NORMALIZER_H_
#define EAQ_TEXT_NORMALIZER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "eaq/base/json.h"

namespace eaq {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // TEXT is valid UTF-8 and stays so.
  virtual std::string Apply(std::string text) const = 0;
};

// From the "normalizer" of the file; null gives a null pointer (text stays as it is). Unimplemented names a type that
// is not supported, InvalidArgument a malformed one.
absl::StatusOr<std::shared_ptr<const Normalizer>> ParseNormalizer(const Json& json);

}  // namespace eaq

#endif  // EAQ_TEXT_NORMALIZER_H_
