#include "eaq/text/bpe_train.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "eaq/base/json.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/text/gpt2_split.h"
#include "eaq/text/tokenizer.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

std::string RandomText(uint64_t seed, int words) {
  Rng rng(seed, "test/text");
  std::string text;
  for (int i = 0; i < words; ++i) {
    for (uint64_t n = 1 + rng.Below(6); n > 0; --n) text += static_cast<char>('a' + rng.Below(3));
    text += rng.Below(5) == 0 ? "\n" : " ";
  }
  return text;
}

// The definition: count all pairs anew at every step; highest count, then smallest ids.
std::vector<std::string> NaiveTokens(const std::string& text, int64_t vocab_size) {
  std::vector<absl::string_view> pieces;
  SplitGpt2(text, &pieces);
  std::vector<std::vector<int32_t>> words;
  for (absl::string_view piece : pieces) {
    words.emplace_back();
    for (char c : piece) words.back().push_back(static_cast<uint8_t>(c));
  }
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  while (static_cast<int64_t>(tokens.size()) + 1 < vocab_size) {
    std::map<std::pair<int32_t, int32_t>, int64_t> counts;
    for (const auto& word : words) {
      for (size_t i = 0; i + 1 < word.size(); ++i) ++counts[{word[i], word[i + 1]}];
    }
    std::pair<int32_t, int32_t> best;
    int64_t most = 1;
    for (const auto& [pair, count] : counts) {
      const std::string token = tokens[pair.first] + tokens[pair.second];
      if (count > most && std::find(tokens.begin(), tokens.end(), token) == tokens.end()) {
        most = count;
        best = pair;
      }
    }
    if (most == 1) break;
    tokens.push_back(tokens[best.first] + tokens[best.second]);
    for (auto& word : words) {
      for (size_t i = 0; i + 1 < word.size(); ++i) {
        if (std::make_pair(word[i], word[i + 1]) != best) continue;
        word[i] = static_cast<int32_t>(tokens.size()) - 1;
        word.erase(word.begin() + i + 1);
      }
    }
  }
  return tokens;
}

TEST(TrainByteLevelBpe, FindsTheMergesOfTheDefinition) {
  ThreadPool pool(1);
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const std::string text = RandomText(seed, 120);
    EAQ_ASSERT_OK_AND_ASSIGN(const std::string json, TrainByteLevelBpe({text}, {.vocab_size = 290}, &pool));
    EAQ_ASSERT_OK_AND_ASSIGN(const auto tokenizer, Tokenizer::Parse(json));
    const std::vector<std::string> expected = NaiveTokens(text, 290);
    ASSERT_EQ(tokenizer->vocab_size(), static_cast<int64_t>(expected.size()) + 1);
    for (int32_t id = 0; id < static_cast<int32_t>(expected.size()); ++id) {
      ASSERT_EQ(tokenizer->Decode({id}), expected[id]) << "seed " << seed << ", id " << id;
    }
    EXPECT_EQ(tokenizer->TokenId("<|endoftext|>"), tokenizer->vocab_size() - 1);
    EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> ids, tokenizer->Encode(text));
    EXPECT_LT(ids.size(), text.size() * 7 / 10);
    EXPECT_EQ(tokenizer->Decode(ids), text);
  }
}

TEST(TrainByteLevelBpe, DoesNotDependOnThreadsOrOrder) {
  ThreadPool one(1), three(3);
  const std::string a = RandomText(1, 3000), b = RandomText(2, 3000);
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string first, TrainByteLevelBpe({a, b}, {.vocab_size = 400}, &one));
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string second, TrainByteLevelBpe({b, a}, {.vocab_size = 400}, &three));
  EXPECT_EQ(first, second);
}

TEST(TrainByteLevelBpe, RefusesVocabulariesWithoutRoom) {
  ThreadPool pool(1);
  EXPECT_THAT(TrainByteLevelBpe({"text"}, {.vocab_size = 256}, &pool),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("257")));
}

}  // namespace
}  // namespace eaq
