// The regular expressions of tokenizer.json, which are written for Oniguruma, on PCRE2 (UTF, UCP, MULTILINE).
// `\s` is rewritten to Oniguruma's set: PCRE2 alone also takes U+180E. Measured identical on all published patterns.
#ifndef EAQ_TEXT_REGEX_H_
#define EAQ_TEXT_REGEX_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace eaq {

class Regex {
 public:
  // InvalidArgument with the place of the error when the pattern cannot be understood.
  static absl::StatusOr<std::shared_ptr<const Regex>> Compile(absl::string_view pattern);
  ~Regex();

  // Appends [begin, end) of every match of TEXT (valid UTF-8), from left to right, not overlapping, empty matches left
  // out. ResourceExhausted when the engine gives up (a pattern with exponential backtracking).
  absl::Status FindAll(absl::string_view text, std::vector<std::pair<size_t, size_t>>* matches) const;

 private:
  Regex() = default;
  void* code_ = nullptr;         // pcre2_code_8
  bool trailing_space_ = false;  // the pattern is \s+$, which backtracking engines match in quadratic time
};

// Replaces \s and \S, inside and outside of classes; exposed for its test.
absl::StatusOr<std::string> TranslateSpaceClass(absl::string_view pattern);

}  // namespace eaq

#endif  // EAQ_TEXT_REGEX_H_
