#define PCRE2_CODE_UNIT_WIDTH 32
#include "eaq/text/unicode_class.h"

#include <pcre2.h>

#include <array>
#include <atomic>
#include <memory>
#include <vector>

namespace eaq {
namespace {

constexpr uint32_t kBlock = 4096;
constexpr uint32_t kBlocks = 0x110000 / kBlock;
using Block = std::array<UnicodeClass, kBlock>;

bool IsSpaceCode(uint32_t c) {
  return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

// Sets CLASS where PROPERTY ("\\p{L}+") matches.
void Mark(const char* property, UnicodeClass mark, uint32_t begin, Block* block) {
  std::vector<uint32_t> pattern;
  for (const char* p = property; *p != '\0'; ++p) pattern.push_back(static_cast<unsigned char>(*p));
  std::vector<uint32_t> subject(kBlock);
  for (uint32_t i = 0; i < kBlock; ++i) {
    const uint32_t code = begin + i;
    subject[i] = code >= 0xD800 && code <= 0xDFFF ? 0 : code;
  }
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code_32* regex =
      pcre2_compile_32(pattern.data(), pattern.size(), PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
  if (regex == nullptr) return;
  pcre2_match_data_32* match = pcre2_match_data_create_from_pattern_32(regex, nullptr);
  PCRE2_SIZE at = 0;
  while (at < kBlock && pcre2_match_32(regex, subject.data(), kBlock, at, PCRE2_NO_UTF_CHECK, match, nullptr) > 0) {
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer_32(match);
    for (PCRE2_SIZE i = range[0]; i < range[1]; ++i) (*block)[i] = mark;
    at = range[1];
  }
  pcre2_match_data_free_32(match);
  pcre2_code_free_32(regex);
}

const Block& GetBlock(uint32_t index) {
  static std::array<std::atomic<const Block*>, kBlocks> blocks;
  const Block* block = blocks[index].load(std::memory_order_acquire);
  if (block != nullptr) return *block;
  auto fresh = std::make_unique<Block>();
  fresh->fill(UnicodeClass::kOther);
  const uint32_t begin = index * kBlock;
  Mark("\\p{L}+", UnicodeClass::kLetter, begin, fresh.get());
  Mark("\\p{N}+", UnicodeClass::kNumber, begin, fresh.get());
  Mark("\\p{M}+", UnicodeClass::kMark, begin, fresh.get());
  for (uint32_t i = 0; i < kBlock; ++i) {
    if (IsSpaceCode(begin + i)) (*fresh)[i] = UnicodeClass::kSpace;
  }
  // Another thread may have been faster; its block is the same.
  if (blocks[index].compare_exchange_strong(block, fresh.get(), std::memory_order_acq_rel)) return *fresh.release();
  return *block;
}

}  // namespace

UnicodeClass ClassOf(uint32_t code) {
  if (code >= 0x110000) return UnicodeClass::kOther;
  return GetBlock(code / kBlock)[code % kBlock];
}

bool IsWord(uint32_t code) {
  const UnicodeClass c = ClassOf(code);
  return c == UnicodeClass::kLetter || c == UnicodeClass::kNumber || c == UnicodeClass::kMark || code == '_';
}

}  // namespace eaq
