// UTF-8 (RFC 3629), strictly: no overlong forms, no surrogates, nothing above U+10FFFF.
#ifndef EAQ_TEXT_UTF8_H_
#define EAQ_TEXT_UTF8_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace eaq {

// The number of bytes (1-4) of the character at the front of TEXT, its code point in *code; 0 when the bytes there are
// no character (or TEXT is empty).
int DecodeUtf8(absl::string_view text, uint32_t* code);

void AppendUtf8(uint32_t code, std::string* out);

// The length of the longest front part that is valid.
size_t ValidUtf8Prefix(absl::string_view text);

// Each maximal invalid part becomes U+FFFD, as the Unicode Standard (3.9, "maximal subparts") and Rust's
// from_utf8_lossy do.
std::string ReplaceInvalidUtf8(absl::string_view text);

}  // namespace eaq

#endif  // EAQ_TEXT_UTF8_H_
