#include "eaq/text/windows.h"

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_matchers.h"
#include "eaq/text/bpe_train.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

// Documents of 5, 12, 0 and 23 tokens in evaluation, one in training; every byte is a token.
Corpus SmallCorpus() {
  Corpus corpus;
  corpus.name = "c";
  const auto add = [&](std::string id, size_t n, char first, Split split) {
    std::string text;
    for (size_t i = 0; i < n; ++i) text += static_cast<char>(first + i);
    corpus.documents.push_back({std::move(id), std::move(text), split});
  };
  add("five", 5, 'a', Split::kEvaluation);
  add("train", 30, 'A', Split::kTrain);
  add("twelve", 12, 'A', Split::kEvaluation);
  add("empty", 0, 'a', Split::kEvaluation);
  add("many", 23, 'a', Split::kEvaluation);
  return corpus;
}

std::shared_ptr<const Tokenizer> Bytes() {
  ThreadPool pool(1);
  return *Tokenizer::Parse(*TrainByteLevelBpe({}, {.vocab_size = 300}, &pool));
}

TEST(CutWindows, StaysInsideDocumentsAndDropsTails) {
  const auto tokenizer = Bytes();
  for (int threads : {1, 3}) {
    ThreadPool pool(threads);
    EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<Window> windows,
                             CutWindows(SmallCorpus(), *tokenizer, Split::kEvaluation, 6, &pool));
    std::vector<std::string> seen;
    for (const Window& window : windows)
      seen.push_back(absl::StrCat(window.document, ":", tokenizer->Decode(window.ids)));
    EXPECT_EQ(seen, (std::vector<std::string>{"c/twelve:ABCDEF", "c/twelve:GHIJKL", "c/many:abcdef", "c/many:ghijkl",
                                              "c/many:mnopqr"}));
  }
  ThreadPool pool(1);
  EXPECT_THAT(CutWindows(SmallCorpus(), *tokenizer, Split::kEvaluation, 24, &pool),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("4 documents")));
  EXPECT_THAT(CutWindows(SmallCorpus(), *tokenizer, Split::kEvaluation, 0, &pool),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("at least 1")));
}

TEST(SelectWindows, SpreadsOverDocumentsWithoutReplacement) {
  std::vector<Window> all;
  int32_t id = 0;
  for (const auto& [name, n] : std::map<std::string, int>{{"a", 10}, {"b", 1}, {"c", 3}}) {
    for (int i = 0; i < n; ++i) all.push_back({{id++}, name});
  }
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Rng rng(seed, "test"), again(seed, "test");
    const std::vector<Window> chosen = SelectWindows(all, 7, rng);
    std::map<std::string, int> per;
    std::set<int32_t> ids;
    for (const Window& window : chosen) {
      ++per[window.document];
      ids.insert(window.ids[0]);
    }
    EXPECT_EQ(ids.size(), 7u);
    EXPECT_EQ(per, (std::map<std::string, int>{{"a", 3}, {"b", 1}, {"c", 3}}));
    const std::vector<Window> same = SelectWindows(all, 7, again);
    for (size_t i = 0; i < 7; ++i) EXPECT_EQ(same[i].ids, chosen[i].ids);
  }
  Rng rng(1, "test");
  EXPECT_EQ(SelectWindows(all, 100, rng).size(), all.size());
  EXPECT_TRUE(SelectWindows(all, 0, rng).empty());
}

TEST(TokenStream, EndsEveryDocument) {
  ThreadPool pool(2);
  const auto tokenizer = Bytes();
  EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> stream,
                           TokenStream(SmallCorpus(), *tokenizer, Split::kTrain, 256, &pool));
  ASSERT_EQ(stream.size(), 31u);
  EXPECT_EQ(stream[0], 'A');
  EXPECT_EQ(stream[30], 256);
}

}  // namespace
}  // namespace eaq
