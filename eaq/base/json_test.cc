#include "eaq/base/json.h"

#include <cstdint>
#include <limits>
#include <string>

#include "eaq/base/status_matchers.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

void ExpectRefused(absl::string_view text, absl::string_view part) {
  EXPECT_THAT(ParseJson(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(part)))) << text;
}

TEST(JsonTest, ParsesValuesAndKeepsTheOrderOfKeys) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Json v, ParseJson(R"( {"z": [1, -2, 0.5, true, null], "a": "\u00e9\n"} )"));
  EXPECT_EQ(v.begin().key(), "z");
  EXPECT_EQ(v["z"].size(), 5u);
  EXPECT_EQ(v["z"][1].get<int>(), -2);
  EXPECT_EQ(v["a"].get<std::string>(), "\xc3\xa9\n");
}

TEST(JsonTest, ScalarsAndEmptyContainersAreValues) {
  for (const char* text : {"0", "\"\"", "null", "[]", "{}", "\t[ ]\n"}) EAQ_EXPECT_OK(ParseJson(text)) << text;
}

TEST(JsonTest, IntegersAreExactUpTo64BitsAndNeverWrap) {
  EAQ_ASSERT_OK_AND_ASSIGN(
      const Json v, ParseJson("[9223372036854775807, -9223372036854775808, 18446744073709551615, 18446744073709551616, "
                              "-9223372036854775809, 1e3]"));
  EXPECT_EQ(v[0].get<int64_t>(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(v[1].get<int64_t>(), std::numeric_limits<int64_t>::min());
  EXPECT_TRUE(v[2].is_number_unsigned());
  EXPECT_EQ(v[2].get<uint64_t>(), std::numeric_limits<uint64_t>::max());
  for (const int i : {3, 4, 5}) {
    EXPECT_FALSE(v[i].is_number_integer()) << i;
    EXPECT_TRUE(v[i].is_number_float()) << i;
  }
  EXPECT_EQ(v[3].get<double>(), 0x1p64);
}

TEST(JsonTest, DuplicateKeysAreRefusedAtAnyDepth) {
  ExpectRefused(R"({"a": 1, "a": 2})", "\"a\" occurs twice");
  ExpectRefused(R"([{"x": {"b": 1, "c": 2, "b": 3}}])", "\"b\" occurs twice");
  ExpectRefused(R"({"a": 1, "\u0061": 2})", "\"a\" occurs twice");  // the same key, spelled differently
  EAQ_EXPECT_OK(ParseJson(R"({"a": {"a": 1}, "b": {"a": 2}})"));
}

TEST(JsonTest, DepthIsLimited) {
  auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EAQ_EXPECT_OK(ParseJson(nested(64)));
  ExpectRefused(nested(65), "deeper than 64");
  EXPECT_THAT(ParseJson(nested(3), {.max_depth = 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("deeper than 2")));
  ExpectRefused(std::string(5000000, '['), "deeper than 64");  // must not exhaust the stack
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  ExpectRefused(objects, "deeper than 64");
}

TEST(JsonTest, NotJson) {
  for (const char* text : {"",          " ",           "{",    "[1,",       "[1,]",   "{\"a\":}", "{'a':1}",
                           "{a:1}",     "nul",         "NaN",  "Infinity",  "-",      "01",       "+1",
                           "1.",        ".5",          "0x10", "\"\\x41\"", "\"\n\"", "\"open",   "[1] // comment",
                           "/* c */ 1", "\"\\ud800\"", "1e999"}) {
    EXPECT_THAT(ParseJson(text), StatusIs(absl::StatusCode::kInvalidArgument, testing::_)) << text;
  }
}

TEST(JsonTest, TrailingTextIsRefused) {
  ExpectRefused("{} {}", "byte");
  ExpectRefused("1 2", "byte");
  ExpectRefused("[]x", "byte");
  ExpectRefused(absl::string_view("[]\0", 3), "byte");
  EAQ_EXPECT_OK(ParseJson("[] \r\n\t"));
}

TEST(JsonTest, InvalidUtf8IsRefused) {
  ExpectRefused("\"\xff\"", "byte");
  ExpectRefused("\"\xc3\"", "byte");              // cut short
  ExpectRefused("\"\xc0\xaf\"", "byte");          // overlong
  ExpectRefused("\"\xed\xa0\x80\"", "byte");      // a surrogate
  ExpectRefused("\"\xf4\x90\x80\x80\"", "byte");  // beyond U+10FFFF
  EAQ_EXPECT_OK(ParseJson("\"\xf0\x9f\x98\x80\""));
}

// Every prefix and every single damaged byte of a valid text: an answer, never a crash (run under ASan in CI).
TEST(JsonTest, DamagedTextsNeverCrash) {
  const std::string text =
      R"({"m": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}, "e": 1.5e-3, "u": "\u20ac"})";
  EAQ_ASSERT_OK(ParseJson(text));
  for (size_t n = 0; n < text.size(); ++n) {
    EXPECT_FALSE(ParseJson(absl::string_view(text).substr(0, n)).ok()) << n;
    for (const char byte : {'\0', '"', '\\', '{', ']', '9', '\x80', '\xff'}) {
      std::string damaged = text;
      damaged[n] = byte;
      ParseJson(damaged).status().IgnoreError();
    }
  }
}

}  // namespace
}  // namespace eaq
