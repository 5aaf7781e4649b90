// The character classes that split patterns speak of, in Unicode 14 (the version of Hugging Face's regex library, and
// of PCRE2 10.42, whose tables these are).
#ifndef EAQ_TEXT_UNICODE_CLASS_H_
#define EAQ_TEXT_UNICODE_CLASS_H_

#include <cstdint>

namespace eaq {

enum class UnicodeClass : uint8_t {
  kOther = 0,
  kLetter = 1,  // \p{L}
  kNumber = 2,  // \p{N}
  kSpace = 3,   // \s of Oniguruma: U+0009-000D 0020 0085 00A0 1680 2000-200A 2028 2029 202F 205F 3000
  kMark = 4,    // \p{M}: another "other" for the patterns of GPT-2, a word character for added tokens
};

UnicodeClass ClassOf(uint32_t code);

inline bool IsSpace(uint32_t code) { return ClassOf(code) == UnicodeClass::kSpace; }

// \w of Rust's regex library, near enough for `single_word` added tokens: letters, marks, numbers, "_".
bool IsWord(uint32_t code);

}  // namespace eaq

#endif  // EAQ_TEXT_UNICODE_CLASS_H_
