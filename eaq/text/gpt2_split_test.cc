#include "eaq/text/gpt2_split.h"

#include "absl/strings/str_join.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/text/regex.h"
#include "eaq/text/utf8.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

constexpr char kPattern[] = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// The scanner and the regular expression cut 20,000 random texts alike.
TEST(Gpt2Split, IsThePattern) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto regex, Regex::Compile(kPattern));
  const std::vector<uint32_t> signs = {
      ' ',  ' ', ' ', '\n', '\t', '\r', 'a',    'b',    's',    't',  'r',    'e',   'v',  'm',   'l',     'd',   '\'',
      '\'', '1', '2', '!',  '-',  0xA0, 0x2003, 0x3000, 0x180E, 0xE9, 0x4E00, 0x663, 0xBD, 0x301, 0x1F600, 0x17F, 0x85};
  Rng rng(1, "test/split");
  for (int trial = 0; trial < 20000; ++trial) {
    std::string text;
    for (uint64_t n = rng.Below(14); n > 0; --n) AppendUtf8(signs[rng.Below(signs.size())], &text);
    std::vector<absl::string_view> pieces;
    SplitGpt2(text, &pieces);
    std::vector<std::pair<size_t, size_t>> matches;
    EAQ_ASSERT_OK(regex->FindAll(text, &matches));
    std::vector<absl::string_view> expected;
    for (const auto& [begin, end] : matches) expected.push_back(absl::string_view(text).substr(begin, end - begin));
    ASSERT_EQ(pieces, expected) << "[" << absl::StrJoin(pieces, "|") << "] [" << absl::StrJoin(expected, "|") << "]";
  }
}

TEST(Regex, TranslatesSpaces) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto space, Regex::Compile("[^\\s!]+"));
  std::vector<std::pair<size_t, size_t>> matches;
  EAQ_ASSERT_OK(
      space->FindAll("a\xE1\xA0\x8E"
                     "b c",
                     &matches));  // U+180E is no space
  ASSERT_EQ(matches.size(), 2u);
  EXPECT_EQ(matches[0], (std::pair<size_t, size_t>{0, 5}));
  EXPECT_THAT(TranslateSpaceClass("[]a]\\s"), IsOkAndHolds(::testing::StartsWith("[\\]a][")));
  EXPECT_THAT(TranslateSpaceClass("[a\\S]"), StatusIs(absl::StatusCode::kUnimplemented, ::testing::HasSubstr("\\S")));
  EXPECT_THAT(Regex::Compile("(a"), StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("(a")));
}

// \s+$ has a scanner of its own: the same cuts as the engine's (here forced by an equivalent spelling).
TEST(Regex, TrailingSpaceScannerIsThePattern) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto fast, Regex::Compile("\\s+$"));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto engine, Regex::Compile("(?:\\s+)$"));
  Rng rng(2, "test/trailing");
  for (int trial = 0; trial < 20000; ++trial) {
    std::string text;
    for (uint64_t n = rng.Below(12); n > 0; --n) text += " \n\r\tab"[rng.Below(6)];
    std::vector<std::pair<size_t, size_t>> a, b;
    EAQ_ASSERT_OK(fast->FindAll(text, &a));
    EAQ_ASSERT_OK(engine->FindAll(text, &b));
    ASSERT_EQ(a, b) << ::testing::PrintToString(text);
  }
}

}  // namespace
}  // namespace eaq
