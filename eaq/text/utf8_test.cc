#include "eaq/text/utf8.h"

#include "eaq/text/byte_alphabet.h"
#include "eaq/text/unicode_class.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

TEST(Utf8, EveryCodePointSurvives) {
  for (uint32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xD800 && code <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(code, &text);
    uint32_t back = 0;
    ASSERT_EQ(DecodeUtf8(text, &back), static_cast<int>(text.size())) << code;
    ASSERT_EQ(back, code);
    ASSERT_EQ(ValidUtf8Prefix(text), text.size());
  }
}

TEST(Utf8, RefusesWhatTheStandardForbids) {
  uint32_t code = 0;
  for (absl::string_view bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
                                "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE2\x82", "\xC3", "\xC3("}) {
    EXPECT_EQ(DecodeUtf8(bad, &code), 0);
  }
  EXPECT_EQ(DecodeUtf8("", &code), 0);
  EXPECT_EQ(ValidUtf8Prefix("ab\xC3\xA9\xFFz"), 4u);
}

// The example of the Unicode Standard, table 3-8.
TEST(Utf8, ReplacesMaximalSubparts) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(ReplaceInvalidUtf8("a\xF1\x80\x80\xE1\x80\xC2"
                               "b\x80"
                               "c\x80\xBF"
                               "d"),
            "a" + r + r + r + "b" + r + "c" + r + r + "d");
}

TEST(ByteAlphabet, IsGpt2s) {
  EXPECT_EQ(ByteToCharacter(' '), "\xC4\xA0");   // U+0120
  EXPECT_EQ(ByteToCharacter('\n'), "\xC4\x8A");  // U+010A
  EXPECT_EQ(ByteToCharacter('a'), "a");
  EXPECT_EQ(ByteToCharacter(0xAD), "\xC5\x83");  // U+0143, the last of the 68
  std::string all, back;
  for (int byte = 0; byte < 256; ++byte) all += ByteToCharacter(static_cast<uint8_t>(byte));
  ASSERT_TRUE(CharactersToBytes(all, &back));
  for (int byte = 0; byte < 256; ++byte) EXPECT_EQ(static_cast<uint8_t>(back[byte]), byte);
  EXPECT_FALSE(CharactersToBytes("a b", &back));
}

TEST(UnicodeClass, HasTheSizesOfUnicode14) {
  int64_t counts[5] = {};
  for (uint32_t code = 0; code < 0x110000; ++code) ++counts[static_cast<int>(ClassOf(code))];
  EXPECT_EQ(counts[static_cast<int>(UnicodeClass::kLetter)], 131756);  // architectures.md 7.8
  EXPECT_EQ(counts[static_cast<int>(UnicodeClass::kNumber)], 1791);
  EXPECT_EQ(counts[static_cast<int>(UnicodeClass::kSpace)], 25);
  EXPECT_FALSE(IsSpace(0x180E));
  EXPECT_TRUE(IsWord('_'));
  EXPECT_FALSE(IsWord('-'));
}

}  // namespace
}  // namespace eaq
