#include "eaq/text/tokenizer.h"

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "eaq/base/file.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

std::string Folder() { return *FindInRepository("eaq/text/testdata/malformed"); }

std::shared_ptr<const Tokenizer> Small() { return *Tokenizer::Load(JoinPath(Folder(), "good.json")); }

TEST(Tokenizer, MergesByRankAndFindsAddedTokens) {
  const auto tokenizer = Small();
  EXPECT_EQ(tokenizer->vocab_size(), 259);
  EXPECT_EQ(tokenizer->TokenId("<|endoftext|>"), 258);
  EXPECT_EQ(tokenizer->TokenId("nope"), -1);
  EXPECT_THAT(tokenizer->Encode("abcab<|endoftext|>a"), IsOkAndHolds(std::vector<int32_t>{257, 256, 258, 'a'}));
  EXPECT_THAT(tokenizer->Encode(""), IsOkAndHolds(std::vector<int32_t>{}));
  const std::vector<int32_t> ids = {257, 258, 'x', -7, 100000};
  EXPECT_EQ(tokenizer->Decode(ids), "abc<|endoftext|>x");
  EXPECT_EQ(tokenizer->Decode(ids, /*skip_special=*/true), "abcx");
}

TEST(Tokenizer, GivesBackAnyBytes) {
  const auto tokenizer = Small();
  Rng rng(7, "test/bytes");
  for (int trial = 0; trial < 3000; ++trial) {
    std::string bytes(rng.Below(60), '\0');
    for (char& c : bytes) {
      const uint64_t kind = rng.Below(4);  // blanks, ASCII and the parts of longer characters, mixed
      c = static_cast<char>(kind == 0 ? " \n\t'"[rng.Below(4)] : kind == 1 ? 'a' + rng.Below(3) : rng.Below(256));
    }
    EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> ids, tokenizer->Encode(bytes));
    ASSERT_EQ(tokenizer->Decode(ids), bytes) << trial;
  }
}

TEST(Tokenizer, LongRunsTakeLinearTime) {
  const auto tokenizer = Small();
  for (absl::string_view unit : {"a", "ab", " ", "\n", "\t ", "1", "!", "'s", "\xC3\xA9", "\xFF", "\xE2\x82"}) {
    std::string run;
    while (run.size() < (1 << 20)) run += std::string(unit);
    run += 'x';
    const absl::Time start = absl::Now();
    EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> ids, tokenizer->Encode(run));
    // A quadratic algorithm takes an hour; 20 s leaves room for sanitizers on a busy machine.
    EXPECT_LT(absl::Now() - start, absl::Seconds(20)) << unit;
    EXPECT_EQ(tokenizer->Decode(ids), run);
  }
}

TEST(Tokenizer, RefusesEveryFileOfTheMalformedCorpus) {
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string expect, ReadFile(JoinPath(Folder(), "expect.tsv")));
  int files = 0;
  for (absl::string_view line : absl::StrSplit(expect, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> row = absl::StrSplit(line, '\t');  // file, code, part of the message
    ASSERT_EQ(row.size(), 3u) << line;
    ++files;
    const auto tokenizer = Tokenizer::Load(JoinPath(Folder(), row[0]));
    EXPECT_EQ(absl::StatusCodeToString(tokenizer.status().code()), row[1]) << line << "\n" << tokenizer.status();
    if (row[1] == "OK") continue;
    EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr(row[2])) << line;
    EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr(row[0])) << "the message names the file";
  }
  EXPECT_GT(files, 50);
}

TEST(Tokenizer, MissingFileIsNotFound) {
  EXPECT_THAT(Tokenizer::Load("/nonexistent/tokenizer.json"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nonexistent/tokenizer.json")));
}

// Files cut off or with a byte changed are parsed or refused, never a crash.
TEST(Tokenizer, SurvivesDamagedFiles) {
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(JoinPath(Folder(), "good.json")));
  Rng rng(3, "test/damage");
  int refused = 0;
  for (int trial = 0; trial < 400; ++trial) {
    std::string bad = good;
    bad[rng.Below(bad.size())] = static_cast<char>(rng.Below(256));
    if (trial % 4 == 0) bad.resize(rng.Below(bad.size()));
    const auto tokenizer = Tokenizer::Parse(bad);
    refused += !tokenizer.ok();
    if (!tokenizer.ok()) continue;
    EXPECT_THAT((*tokenizer)->Encode("abc \xFF def"), IsOk());
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace eaq
