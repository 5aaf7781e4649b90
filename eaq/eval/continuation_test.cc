// Context and continuation as tokens: the steps of lm-evaluation-harness, one quirk a test.
#include "eaq/eval/continuation.h"

#include "absl/strings/str_cat.h"
#include "eaq/base/status_matchers.h"
#include "eaq/base/thread_pool.h"
#include "eaq/text/bpe_train.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int32_t kEnd = 256;  // <|endoftext|>

std::string Json(const std::vector<std::string>& texts, int64_t size) {
  ThreadPool pool(1);
  return *TrainByteLevelBpe(std::vector<absl::string_view>(texts.begin(), texts.end()), {.vocab_size = size}, &pool);
}

// The 256 bytes; WITH_BOS: "B" (66) before every text, as Mixtral's tokenizer.json adds <s>.
std::shared_ptr<const Tokenizer> Bytes(bool with_bos = false) {
  std::string json = Json({"ab"}, 257);
  const size_t at = json.find("\"post_processor\"");
  if (with_bos) {
    json.replace(at, json.find("null", at) + 4 - at,
                 R"("post_processor": {"type": "TemplateProcessing",
                   "single": [{"SpecialToken": {"id": "B", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                   "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                   "special_tokens": {"B": {"id": "B", "ids": [66], "tokens": ["B"]}}})");
  }
  return *Tokenizer::Parse(json);
}

ContinuationRules NoBos() {
  ContinuationRules rules;
  rules.bos = EvaluationTask::NO_BOS;
  return rules;
}

ContinuationRules Reads(int64_t tokens) {
  ContinuationRules rules;
  rules.max_length = tokens;
  return rules;
}

TEST(EncodeContinuation, ScoresWhatFollowsTheContext) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Continuation c, EncodeContinuation(*Bytes(), "Q:", " yes", {}));
  EXPECT_THAT(c.ids, ElementsAre('Q', ':', ' ', 'y', 'e', 's'));
  EXPECT_EQ(c.first, 2);
}

// White space at the end of the context moves over; also that of Python alone, and none but that.
TEST(EncodeContinuation, WhiteSpaceMovesToTheContinuation) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Continuation c, EncodeContinuation(*Bytes(), "Q \n", " y", {}));
  EXPECT_THAT(c.ids, ElementsAre('Q', ' ', '\n', ' ', 'y'));
  EXPECT_EQ(c.first, 1);
  EXPECT_EQ(TrimmedLength("ab \t\r\n\v\f"), 2u);
  EXPECT_EQ(TrimmedLength("ab\x1C\x1D\x1E\x1F"), 2u);
  EXPECT_EQ(TrimmedLength("ab\xC2\x85\xC2\xA0\xE2\x80\x83\xE3\x80\x80"), 2u);  // NEL, no-break, em, ideographic space
  EXPECT_EQ(TrimmedLength("ab\xE2\x80\x8B"), 5u);                              // the zero-width space is none
  EXPECT_EQ(TrimmedLength("ab\xA0"), 3u);                                      // nor is half of a character
  EXPECT_EQ(TrimmedLength(" a b"), 4u);
  EXPECT_EQ(TrimmedLength(" \n "), 0u);
  EXPECT_EQ(TrimmedLength(""), 0u);
}

// Where a merge spans the border the split follows the number of tokens, not the characters.
TEST(EncodeContinuation, ASpanningMergeIsCountedNotCut) {
  std::vector<std::string> texts(50, "xyxyxy");  // teaches x y -> xy
  ThreadPool pool(1);
  const auto tokenizer = *Tokenizer::Parse(Json(texts, 258));
  EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> xy, tokenizer->Encode("xy"));
  ASSERT_EQ(xy.size(), 1u);
  EAQ_ASSERT_OK_AND_ASSIGN(const Continuation c, EncodeContinuation(*tokenizer, "ax", "yb", {}));
  EXPECT_THAT(c.ids, ElementsAre('a', xy[0], 'b'));  // alone: a x | y b
  EXPECT_EQ(c.first, 2);
  // And a continuation that merges away altogether has nothing to score.
  EXPECT_THAT(EncodeContinuation(*tokenizer, "x", "y", {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no token to score in \"y\"")));
}

TEST(EncodeContinuation, BothBosConventions) {
  const auto tokenizer = Bytes(/*with_bos=*/true);
  EAQ_ASSERT_OK_AND_ASSIGN(const Continuation since, EncodeContinuation(*tokenizer, "Q:", " y", {}));
  EXPECT_THAT(since.ids, ElementsAre(66, 'Q', ':', ' ', 'y'));
  EXPECT_EQ(since.first, 3);
  EAQ_ASSERT_OK_AND_ASSIGN(const Continuation before, EncodeContinuation(*tokenizer, "Q:", " y", NoBos()));
  EXPECT_THAT(before.ids, ElementsAre('Q', ':', ' ', 'y'));
  EXPECT_EQ(before.first, 2);
  // A BOS that is written out gets no second one.
  EAQ_ASSERT_OK_AND_ASSIGN(const Continuation written, EncodeContinuation(*tokenizer, "BQ:", " y", {}));
  EXPECT_THAT(written.ids, ElementsAre('B', 'Q', ':', ' ', 'y'));
  // Without a context: the prefix token, whichever convention; not twice.
  EAQ_ASSERT_OK_AND_ASSIGN(const Continuation alone, EncodeContinuation(*tokenizer, "", "yes", NoBos()));
  EXPECT_THAT(alone.ids, ElementsAre(66, 'y', 'e', 's'));
  EXPECT_EQ(alone.first, 1);
  EAQ_ASSERT_OK_AND_ASSIGN(const Continuation own, EncodeContinuation(*tokenizer, "", "Byes", {}));
  EXPECT_THAT(own.ids, ElementsAre(66, 'y', 'e', 's'));
  // A tokenizer without a BOS adds nothing to a context and puts its end of text before a text alone.
  EAQ_ASSERT_OK_AND_ASSIGN(const Continuation none, EncodeContinuation(*Bytes(), "", "y", {}));
  EXPECT_THAT(none.ids, ElementsAre(kEnd, 'y'));
}

// The model reads max_length tokens: those in front go, the last is only predicted.
TEST(EncodeContinuation, LongContextsLoseTheirFront) {
  for (const int64_t limit : {7, 6, 5, 4, 3}) {
    EAQ_ASSERT_OK_AND_ASSIGN(const Continuation c, EncodeContinuation(*Bytes(), "abcde", " xy", Reads(limit)));
    const std::string kept = std::string("abcde xy").substr(7 - limit);
    EXPECT_EQ(c.ids, std::vector<int32_t>(kept.begin(), kept.end())) << limit;
    EXPECT_EQ(c.first, limit + 1 - 3) << limit;
  }
  EXPECT_THAT(EncodeContinuation(*Bytes(), "abcde", " xy", Reads(2)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("3 tokens to score, but the model reads 2")));
}

TEST(PrefixToken, OfTheTokenizerOrTheCaller) {
  const auto tokenizer = Bytes();
  EXPECT_THAT(PrefixToken(*tokenizer, ""), IsOkAndHolds(kEnd));
  EXPECT_THAT(PrefixToken(*tokenizer, "a"), IsOkAndHolds(int32_t{'a'}));
  EXPECT_THAT(PrefixToken(*tokenizer, "<s>"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("prefix_token \"<s>\" is no token")));
  EXPECT_THAT(PrefixToken(*Bytes(/*with_bos=*/true), ""), IsOkAndHolds(66));
}

}  // namespace
}  // namespace eaq
