#include "eaq/text/byte_alphabet.h"

#include <array>

#include "eaq/text/utf8.h"

namespace eaq {
namespace {

constexpr bool IsPrintable(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

struct Alphabet {
  std::array<std::string, 256> characters;
  std::array<int16_t, 324> bytes;  // by code point; -1: none
  Alphabet() {
    bytes.fill(-1);
    int next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const int code = IsPrintable(byte) ? byte : next++;
      AppendUtf8(static_cast<uint32_t>(code), &characters[byte]);
      bytes[code] = static_cast<int16_t>(byte);
    }
  }
};

const Alphabet& GetAlphabet() {
  static const auto* const alphabet = new Alphabet();
  return *alphabet;
}

}  // namespace

const std::string& ByteToCharacter(uint8_t byte) { return GetAlphabet().characters[byte]; }

bool CharactersToBytes(absl::string_view text, std::string* out) {
  const Alphabet& alphabet = GetAlphabet();
  out->clear();
  for (size_t i = 0; i < text.size();) {
    uint32_t code = 0;
    const int length = DecodeUtf8(text.substr(i), &code);
    if (length == 0 || code >= alphabet.bytes.size() || alphabet.bytes[code] < 0) return false;
    *out += static_cast<char>(alphabet.bytes[code]);
    i += length;
  }
  return true;
}

}  // namespace eaq
