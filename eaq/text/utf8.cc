#include "eaq/text/utf8.h"

#include "absl/strings/str_cat.h"

namespace eaq {
namespace {

// The bytes that a character with first byte `lead` has (0: no character begins so), and the range of its second byte.
struct Form {
  int length;
  uint8_t low, high;
};

Form FormOf(uint8_t lead) {
  if (lead < 0x80) return {1, 0, 0};
  if (lead < 0xC2) return {0, 0, 0};
  if (lead < 0xE0) return {2, 0x80, 0xBF};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};  // no surrogates
  if (lead < 0xF0) return {3, 0x80, 0xBF};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead < 0xF4) return {4, 0x80, 0xBF};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// How many bytes at the front belong to one character, whole or cut; *whole says which. At least 1.
size_t Subpart(absl::string_view text, bool* whole) {
  const Form form = FormOf(static_cast<uint8_t>(text[0]));
  *whole = form.length == 1;
  size_t have = 1;
  while (have < form.length && have < text.size()) {
    const auto byte = static_cast<uint8_t>(text[have]);
    const uint8_t low = have == 1 ? form.low : 0x80, high = have == 1 ? form.high : 0xBF;
    if (byte < low || byte > high) return have;
    ++have;
  }
  *whole = form.length != 0 && have == form.length;
  return have;
}

}  // namespace

int DecodeUtf8(absl::string_view text, uint32_t* code) {
  if (text.empty()) return 0;
  bool whole = false;
  const size_t length = Subpart(text, &whole);
  if (!whole) return 0;
  const auto lead = static_cast<uint8_t>(text[0]);
  *code = length == 1 ? lead : lead & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) *code = *code << 6 | (static_cast<uint8_t>(text[i]) & 0x3F);
  return static_cast<int>(length);
}

void AppendUtf8(uint32_t code, std::string* out) {
  if (code < 0x80) {
    *out += static_cast<char>(code);
  } else if (code < 0x800) {
    *out += static_cast<char>(0xC0 | code >> 6);
    *out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    *out += static_cast<char>(0xE0 | code >> 12);
    *out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    *out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    *out += static_cast<char>(0xF0 | code >> 18);
    *out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    *out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    *out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

size_t ValidUtf8Prefix(absl::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    if (static_cast<uint8_t>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    bool whole = false;
    const size_t length = Subpart(text.substr(i), &whole);
    if (!whole) break;
    i += length;
  }
  return i;
}

std::string ReplaceInvalidUtf8(absl::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t valid = ValidUtf8Prefix(text);
    absl::StrAppend(&out, text.substr(0, valid));
    text.remove_prefix(valid);
    if (text.empty()) break;
    bool whole = false;
    text.remove_prefix(Subpart(text, &whole));
    out += "\xEF\xBF\xBD";
  }
  return out;
}

}  // namespace eaq
