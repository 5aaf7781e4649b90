// The seven golden tokenizers of the team's shared folder: ids and texts that Hugging Face's library gave.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/base/file.h"
#include "eaq/base/json.h"
#include "eaq/base/status_matchers.h"
#include "eaq/base/test_shared.h"
#include "eaq/text/tokenizer.h"
#include "eaq/text/utf8.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

class GoldenTokenizer : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenTokenizer, GivesTheIdsAndTextsOfHuggingFace) {
  EAQ_SHARED_OR_SKIP(folder, absl::StrCat("golden/tokenizers/", GetParam()));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto tokenizer, Tokenizer::Load(JoinPath(folder, "tokenizer.json")));
  int64_t cases = 0, wrong = 0;
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string golden, ReadFile(JoinPath(folder, "golden.jsonl")));
  for (absl::string_view line : absl::StrSplit(golden, '\n', absl::SkipEmpty())) {
    EAQ_ASSERT_OK_AND_ASSIGN(const Json row, ParseJson(line));
    const std::string text = row["text"].get<std::string>();
    const auto ids = row["ids"].get<std::vector<int32_t>>();
    EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> got, tokenizer->Encode(text, true));
    ++cases;
    const bool right = got == ids && ReplaceInvalidUtf8(tokenizer->Decode(ids)) == row["decoded"].get<std::string>() &&
                       ReplaceInvalidUtf8(tokenizer->Decode(ids, true)) == row["decoded_skip"].get<std::string>();
    if (!right && ++wrong <= 5) {
      EXPECT_EQ(got, ids) << line;
      EXPECT_EQ(ReplaceInvalidUtf8(tokenizer->Decode(ids)), row["decoded"].get<std::string>()) << line;
      EXPECT_EQ(ReplaceInvalidUtf8(tokenizer->Decode(ids, true)), row["decoded_skip"].get<std::string>()) << line;
    }
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string decode, ReadFile(JoinPath(folder, "decode.jsonl")));
  for (absl::string_view line : absl::StrSplit(decode, '\n', absl::SkipEmpty())) {
    EAQ_ASSERT_OK_AND_ASSIGN(const Json row, ParseJson(line));
    const auto ids = row["ids"].get<std::vector<int32_t>>();
    ++cases;
    EXPECT_EQ(ReplaceInvalidUtf8(tokenizer->Decode(ids)), row["decoded"].get<std::string>()) << line;
  }
  EXPECT_EQ(wrong, 0) << "of " << cases;
  EXPECT_GT(cases, 200);
}

INSTANTIATE_TEST_SUITE_P(Families, GoldenTokenizer,
                         ::testing::Values("gpt2_a", "qwen2_a", "o200k_a", "deepseek_llm_a", "deepseek_v3_a", "llama_a",
                                           "llama_unk_a"));

}  // namespace
}  // namespace eaq
