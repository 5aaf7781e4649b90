// GPT-2's mapping of the 256 bytes to printable characters, which byte-level tokenizer.json files are written in
// (Radford et al. 2019, `bytes_to_unicode`): bytes 33-126, 161-172, 174-255 are themselves; the other 68, in
// increasing order, are U+0100, U+0101, ... (space is U+0120, newline U+010A).
#ifndef EAQ_TEXT_BYTE_ALPHABET_H_
#define EAQ_TEXT_BYTE_ALPHABET_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace eaq {

// The character of BYTE, as UTF-8.
const std::string& ByteToCharacter(uint8_t byte);

// The bytes that TEXT (UTF-8) stands for. False if a character is outside of the alphabet; OUT is then undefined.
bool CharactersToBytes(absl::string_view text, std::string* out);

}  // namespace eaq

#endif  // EAQ_TEXT_BYTE_ALPHABET_H_
