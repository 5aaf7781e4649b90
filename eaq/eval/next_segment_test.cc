// Next-segment items: the definition, nothing else; the same for any number of threads; malformed bytes refused.
#include "eaq/eval/next_segment.h"

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/eval/choice_testing.h"
#include "eaq/text/windows.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

// 12 documents of random letters, every third in training.
Corpus Letters() {
  Corpus corpus;
  corpus.name = "letters";
  Rng rng(1, "next_segment_test");
  for (int d = 0; d < 12; ++d) {
    std::string text;
    for (int i = 0; i < 100; ++i) text += static_cast<char>('a' + rng.Below(26));
    corpus.documents.push_back({absl::StrCat("d", d), text, d % 3 == 0 ? Split::kTrain : Split::kEvaluation});
  }
  return corpus;
}

EvaluationTask::NextSegment Spec() {
  EvaluationTask::NextSegment spec;
  spec.set_context(6);
  spec.set_segment(4);
  return spec;
}

std::vector<SegmentItem> Draw(int64_t items, const EvaluationTask::NextSegment& spec, int threads = 2) {
  ThreadPool pool(threads);
  return *DrawSegments(Letters(), Split::kEvaluation, items, spec, *ByteTokenizer(), pool);
}

std::string Text(const std::vector<int32_t>& ids) { return {ids.begin(), ids.end()}; }

TEST(NextSegment, ItemsAreWhatTheySay) {
  const auto items = Draw(60, Spec());
  ASSERT_EQ(items.size(), 60u);
  std::map<std::string, std::string> texts;
  std::set<std::string> evaluation;  // the segments of all places
  for (const Document& d : Letters().documents) {
    texts["letters/" + d.id] = d.text;
    if (d.split != Split::kEvaluation) continue;
    for (size_t at = 0; at + 10 <= d.text.size(); at += 10) evaluation.insert(d.text.substr(at + 6, 4));
  }
  std::map<int, int> golds;
  std::map<std::string, int> documents;
  std::set<std::string> places;
  for (const SegmentItem& item : items) {
    ASSERT_EQ(item.candidates.size(), 4u);
    const std::string& text = texts.at(item.document);
    const size_t at = text.find(Text(item.context));
    ASSERT_NE(at, std::string::npos);
    EXPECT_EQ(at % 10, 0u);
    EXPECT_EQ(text.substr(at + 6, 4), Text(item.candidates[item.gold]));
    std::set<std::string> different;
    for (const auto& candidate : item.candidates) {
      EXPECT_EQ(evaluation.count(Text(candidate)), 1u);  // never of training text
      different.insert(Text(candidate));
    }
    EXPECT_EQ(different.size(), 4u);
    ++golds[item.gold];
    ++documents[item.document];
    EXPECT_TRUE(places.insert(absl::StrCat(item.document, " ", at)).second);
  }
  // 60 draws of 4: every place of the right one, none with more than half (chance of either below 1e-6).
  EXPECT_EQ(golds.size(), 4u);
  for (const auto& [gold, n] : golds) EXPECT_LT(n, 30);
  EXPECT_EQ(documents.size(), 8u);
  for (const auto& [document, n] : documents) EXPECT_LE(n, 8);  // spread: 7 or 8 each
}

TEST(NextSegment, SameForAnyThreadsAnotherForAnySeed) {
  EvaluationTask::NextSegment other = Spec();
  other.set_seed(1);
  const std::string one = SegmentBytes(Draw(20, Spec(), 1));
  EXPECT_EQ(SegmentBytes(Draw(20, Spec(), 3)), one);
  EXPECT_NE(SegmentBytes(Draw(20, other, 1)), one);
}

TEST(NextSegment, PartsOfDomains) {
  EvaluationTask::NextSegment spec;
  EXPECT_EQ(spec.items(), 3000);
  int64_t sum = 0;
  for (int d = 0; d < 7; ++d) sum += SegmentsOfDomain(spec, d, 7);
  EXPECT_EQ(sum, 3000);
  EXPECT_EQ(SegmentsOfDomain(spec, 0, 7), 429);
  EXPECT_EQ(SegmentsOfDomain(spec, 6, 7), 428);
}

TEST(NextSegment, AsATask) {
  const auto tokenizer = ByteTokenizer();
  const std::vector<SegmentDomain> domains = {{"first", Draw(5, Spec())}, {"second", Draw(9, Spec())}};
  EAQ_ASSERT_OK_AND_ASSIGN(const ChoiceTask task, MakeSegmentTask("next", domains, 0, *tokenizer, 257));
  ASSERT_EQ(task.items.size(), 14u);
  EXPECT_EQ(task.paradigms[1].id, "second");
  EXPECT_EQ(task.paradigms[1].items, 9);
  EXPECT_EQ(task.chance, 0.25);
  EXPECT_EQ(task.constant, 0);
  const ChoiceTask::Item& item = task.items[5];
  EXPECT_EQ(item.document, domains[1].items[0].document);
  EXPECT_EQ(item.gold, domains[1].items[0].gold);
  for (size_t c = 0; c < 4; ++c) {
    EXPECT_EQ(item.choices[c].first, 6);
    EXPECT_EQ(Text(item.choices[c].ids), Text(domains[1].items[0].context) + Text(domains[1].items[0].candidates[c]));
    EXPECT_EQ(item.choices[c].characters, 4);
    EXPECT_EQ(item.choices[c].bytes, 4);
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const ChoiceTask some, MakeSegmentTask("next", domains, 2, *tokenizer, 257));
  EXPECT_EQ(some.items.size(), 4u);
  EXPECT_THAT(MakeSegmentTask("next", domains, 0, *tokenizer, 97),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("task next, first, item 0, choice 0")));
}

TEST(NextSegment, WhatCannotBeMadeIsSaid) {
  ThreadPool pool(1);
  EXPECT_THAT(DrawSegments(Letters(), Split::kEvaluation, 81, Spec(), *ByteTokenizer(), pool),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("domain letters has 80 places of 10 tokens in its evaluation split; expected at "
                                 "least 81")));
  EvaluationTask::NextSegment long_spec = Spec();
  long_spec.set_context(200);
  EXPECT_THAT(DrawSegments(Letters(), Split::kEvaluation, 1, long_spec, *ByteTokenizer(), pool),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("documents of its evaluation split")));
  Corpus same = Letters();
  for (Document& d : same.documents) d.text = std::string(100, 'z');
  EXPECT_THAT(DrawSegments(same, Split::kEvaluation, 3, Spec(), *ByteTokenizer(), pool),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the text repeats itself")));
}

TEST(NextSegment, ComesBackFromBytesAndNoticesDamage) {
  const auto items = Draw(3, Spec());
  const std::string bytes = SegmentBytes(items);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto back, ParseSegments(bytes));
  EXPECT_EQ(SegmentBytes(back), bytes);
  EXPECT_EQ(back[2].document, items[2].document);
  EXPECT_EQ(back[2].candidates, items[2].candidates);
  for (size_t n = 0; n < bytes.size(); ++n) EXPECT_FALSE(ParseSegments(bytes.substr(0, n)).ok()) << n;
  EXPECT_FALSE(ParseSegments(bytes + "x").ok());
}

}  // namespace
}  // namespace eaq
