#include "eaq/text/gpt2_split.h"

#include <array>

#include "eaq/text/unicode_class.h"
#include "eaq/text/utf8.h"

namespace eaq {
namespace {

constexpr std::array<UnicodeClass, 128> MakeAsciiClasses() {
  std::array<UnicodeClass, 128> classes = {};
  for (int c = 0; c < 128; ++c) {
    classes[c] = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ? UnicodeClass::kLetter
                 : c >= '0' && c <= '9'                           ? UnicodeClass::kNumber
                 : (c >= 9 && c <= 13) || c == ' '                ? UnicodeClass::kSpace
                                                                  : UnicodeClass::kOther;
  }
  return classes;
}
constexpr std::array<UnicodeClass, 128> kAscii = MakeAsciiClasses();

// The class of the character at `i`, and its length in bytes.
inline UnicodeClass At(absl::string_view text, size_t i, size_t* length) {
  const auto byte = static_cast<uint8_t>(text[i]);
  *length = 1;
  if (byte < 128) return kAscii[byte];
  uint32_t code = 0;
  const int n = DecodeUtf8(text.substr(i), &code);
  if (n == 0) return UnicodeClass::kOther;
  *length = n;
  const UnicodeClass c = ClassOf(code);
  return c == UnicodeClass::kMark ? UnicodeClass::kOther : c;
}

// The length of 's 't 're 've 'm 'll 'd at `i`, where an apostrophe stands; 0 for none.
size_t Contraction(absl::string_view text, size_t i) {
  if (i + 1 >= text.size()) return 0;
  const char a = text[i + 1];
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if (i + 2 >= text.size()) return 0;
  const char b = text[i + 2];
  return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

}  // namespace

void SplitGpt2(absl::string_view text, std::vector<absl::string_view>* pieces) {
  size_t i = 0;
  while (i < text.size()) {
    if (text[i] == '\'') {
      if (const size_t n = Contraction(text, i)) {
        pieces->push_back(text.substr(i, n));
        i += n;
        continue;
      }
    }
    size_t length = 0;
    size_t j = i;
    UnicodeClass kind = At(text, i, &length);
    if (text[i] == ' ' && i + 1 < text.size()) {  // " ?" in front of a letter, a number, another sign
      const UnicodeClass next = At(text, i + 1, &length);
      if (next != UnicodeClass::kSpace) {
        kind = next;
        j = i + 1;
      } else {
        length = 1;
      }
    }
    size_t end = j + length;
    size_t last = j;  // where the last character of the run begins
    while (end < text.size() && At(text, end, &length) == kind) {
      last = end;
      end += length;
    }
    // White space leaves its last character to what follows: \s+(?!\S), else \s+.
    if (kind == UnicodeClass::kSpace && end < text.size() && last > i) end = last;
    pieces->push_back(text.substr(i, end - i));
    i = end;
  }
}

}  // namespace eaq
