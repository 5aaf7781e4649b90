// Tasks in the report: numbers against a plain reading, verdicts, and what stands where.
#include "eaq/report/tasks.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/base/status_matchers.h"
#include "eaq/report/format.h"
#include "eaq/report/render_tasks.h"
#include "eaq/report/report.h"
#include "eaq/report/testing.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using report_internal::AddSyntheticChoices;
using report_internal::AddSyntheticTask;
using report_internal::SyntheticInputs;
using ::testing::HasSubstr;

Series* SeriesOf(ReportTrial& trial, const std::string& task) {
  for (Series& s : *trial.result.mutable_series()) {
    if (s.metric() == "correct" && s.domain() == task) return &s;
  }
  return nullptr;
}

ReportInputs Inputs(double full_accuracy, int seeds = 1) {
  ReportInputs in = SyntheticInputs({.methods = 2, .schemes = 4, .seeds = seeds, .domains = 2});
  AddSyntheticTask("BLiMP", full_accuracy, in);
  return in;
}

// Fewer draws than by default: single items make large tables.
CompareOptions Quick() {
  CompareOptions options;
  options.paired.draws = 1000;
  return options;
}

TEST(CompareTasks, DifferencesVerdictsAndMcNemar) {
  ReportInputs in = Inputs(0.75);
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  ASSERT_EQ(c.tasks.size(), 1u);
  EXPECT_EQ(c.tasks[0].units, 30);
  EXPECT_EQ(c.tasks[0].items, 1200);
  EXPECT_EQ(c.tasks[0].baseline(), 0.5);
  EXPECT_FALSE(c.tasks[0].at_chance);
  EXPECT_EQ(c.family_tasks, 8);
  const Series& full = *SeriesOf(in.trials[0], "BLiMP");
  for (size_t i = 1; i < c.groups.size(); ++i) {  // trials and groups stand in the same order here
    const Series& own = *SeriesOf(in.trials[i], "BLiMP");
    double accuracy = 0, difference = 0;
    int64_t only_own = 0, only_full = 0;
    for (int p = 0; p < own.value_size(); ++p) {
      accuracy += own.value(p) / 1200;
      difference += (own.value(p) - full.value(p)) / 1200;
      only_own += own.value(p) > full.value(p);
      only_full += own.value(p) < full.value(p);
    }
    const TaskCell& cell = c.groups[i].task[0];
    EXPECT_NEAR(cell.accuracy, accuracy, 1e-12);
    EXPECT_NEAR(cell.versus_full->mean, difference, 1e-12);
    EXPECT_LE(cell.versus_full->low, difference + 1e-12);
    EXPECT_GE(cell.versus_full->high, difference - 1e-12);
    EXPECT_EQ(*cell.mcnemar_p, McNemar(only_own, only_full)->p_exact);
    EXPECT_EQ(cell.phenomena.size(), 3u);
  }
  EXPECT_EQ(c.groups[1].task[0].versus_full->verdict, Verdict::kEquivalent);  // 8 bits: the same answers
  EXPECT_EQ(c.groups[7].task[0].versus_full->verdict, Verdict::kWorse);       // 2 bits: 12 points lost
  EXPECT_LT(c.groups[7].task[0].versus_full->high, 0);
  // A verdict that is turned around would call the loss a gain.
  std::swap(*SeriesOf(in.trials[0], "BLiMP"), *SeriesOf(in.trials[7], "BLiMP"));
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison turned, Compare(in));
  EXPECT_EQ(turned.groups[7].task[0].versus_full->verdict, Verdict::kBetter);
  EXPECT_GT(turned.groups[7].task[0].versus_full->low, 0);
}

// Paradigms weigh the same, however many pairs they have; seeds are averaged, and McNemar takes the weakest.
TEST(CompareTasks, UnequalParadigmsAndSeeds) {
  ReportInputs in = SyntheticInputs({.methods = 2, .schemes = 1, .seeds = 2, .domains = 2});  // full, RTN, 2 x RTN+clip
  const auto add = [](ReportTrial& t, const std::vector<double>& first, const std::vector<double>& second) {
    t.spec.mutable_evaluation()->add_task()->set_name("t");
    Series& s = *t.result.add_series();
    s.set_metric("correct");
    s.set_domain("t");
    for (const double v : first) s.add_value(v), s.add_document("a");
    for (const double v : second) s.add_value(v), s.add_document("b");
  };
  add(in.trials[0], {1, 1, 1, 1}, {1, 1});
  add(in.trials[1], {1, 1, 1, 0}, {0, 1});
  add(in.trials[2], {1, 1, 0, 0}, {1, 1});
  add(in.trials[3], {1, 1, 1, 0}, {1, 1});
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  EXPECT_NEAR(c.groups[1].task[0].accuracy, (0.75 + 0.5) / 2, 1e-12);
  EXPECT_NEAR(c.groups[1].task[0].versus_full->mean, -0.375, 1e-12);
  EXPECT_NEAR(c.groups[2].task[0].accuracy, ((0.5 + 0.75) / 2 + 1) / 2, 1e-12);
  EXPECT_EQ(*c.groups[2].task[0].mcnemar_p, McNemar(0, 1)->p_exact);
  EXPECT_EQ(c.tasks[0].items, 6);
}

TEST(CompareTasks, AtChanceGivesNoVerdicts) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(Inputs(0.5)));
  EXPECT_TRUE(c.tasks[0].at_chance);
  EXPECT_EQ(c.family_tasks, 0);
  for (const Group& g : c.groups) {
    if (g.full_precision) continue;
    EXPECT_EQ(g.task[0].versus_full->verdict, Verdict::kUndecided);  // also 2 bits, 12 points below
  }
  EXPECT_THAT(RenderText(c, {.width = 0}),
              HasSubstr("at chance (not significantly above chance, 50.0%), so no verdicts"));
  EXPECT_THAT(RenderHtml(c), HasSubstr("at chance"));
  EXPECT_THAT(RenderCsv(c), HasSubstr(",at chance\r\n"));
  // Below one half is no knowledge either.
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison below, Compare(Inputs(0.3)));
  EXPECT_TRUE(below.tasks[0].at_chance);
}

TEST(CompareTasks, BrokenAndUnequal) {
  ReportInputs in = Inputs(0.75);
  SeriesOf(in.trials[3], "BLiMP")->set_domain("other");
  EXPECT_THAT(Compare(in), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("task 'BLiMP' is missing")));
  in = Inputs(0.75);
  SeriesOf(in.trials[3], "BLiMP")->add_value(1);
  EXPECT_THAT(Compare(in), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1201 values and 1200 documents")));
  // Another protocol or other pairs are another yardstick.
  in = Inputs(0.75);
  in.trials[2].spec.mutable_evaluation()->mutable_task(0)->set_protocol(EvaluationTask::LM_EVAL);
  in.trials[3].spec.mutable_evaluation()->clear_task();
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  ASSERT_EQ(c.refused.size(), 2u);
  EXPECT_THAT(c.refused[0], HasSubstr("tasks BLiMP (lm-eval protocol, all items a paradigm, "));
  EXPECT_THAT(c.refused[1], HasSubstr("tasks none instead of BLiMP (original protocol"));
  // Without full precision: accuracies alone.
  in = Inputs(0.75);
  in.trials.erase(in.trials.begin());
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison alone, Compare(in));
  EXPECT_FALSE(alone.groups[0].task[0].versus_full.has_value());
  EXPECT_FALSE(RenderText(alone).empty());
  EXPECT_FALSE(RenderHtml(alone).empty());
  EXPECT_FALSE(RenderLatex(alone).empty());
}

// Every item is a unit of multiple choice; chance and the constant answer come with the results.
TEST(CompareTasks, MultipleChoice) {
  ReportInputs in = SyntheticInputs({.methods = 2, .schemes = 4, .seeds = 1, .domains = 2});
  AddSyntheticChoices("ARC", 0.6, 0.1, in);
  AddSyntheticChoices("BoolQ", 0.6, 0.62, in);  // always the same answer is as good: nothing has been learned
  AddSyntheticChoices("guessed", 0.26, 0.1, in);
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in, Quick()));
  ASSERT_EQ(c.tasks.size(), 3u);
  EXPECT_EQ(c.tasks[0].kind, "multiple choice");
  EXPECT_EQ(c.tasks[0].unit, "items");
  EXPECT_EQ(c.tasks[0].units, 400);
  EXPECT_EQ(c.tasks[0].items, 400);
  EXPECT_EQ(c.tasks[0].baseline(), 0.25);
  EXPECT_EQ(c.tasks[1].baseline(), 0.62);
  EXPECT_FALSE(c.tasks[0].at_chance);
  EXPECT_TRUE(c.tasks[1].at_chance);
  EXPECT_TRUE(c.tasks[2].at_chance);
  const TaskCell& cell = c.groups[7].task[0];
  const Series &own = *SeriesOf(in.trials[7], "ARC"), &full = *SeriesOf(in.trials[0], "ARC");
  double accuracy = 0, difference = 0, squares = 0;
  for (int i = 0; i < 400; ++i) {
    accuracy += own.value(i) / 400;
    difference += (own.value(i) - full.value(i)) / 400;
  }
  for (int i = 0; i < 400; ++i) squares += std::pow(own.value(i) - full.value(i) - difference, 2);
  EXPECT_NEAR(cell.accuracy, accuracy, 1e-12);
  EXPECT_NEAR(*cell.accuracy_norm, accuracy + 0.05, 1e-12);
  EXPECT_NEAR(cell.versus_full->mean, difference, 1e-12);
  EXPECT_NEAR(cell.versus_full->standard_error, std::sqrt(400.0 / 399 * squares) / 400, 1e-12);
  // The bootstrap interval of a mean of independent items: the normal one within a tenth of its width.
  EXPECT_NEAR(cell.versus_full->low, difference - 1.96 * cell.versus_full->standard_error, 0.005);
  EXPECT_EQ(cell.versus_full->verdict, Verdict::kWorse);
  EXPECT_EQ(c.groups[7].task[2].versus_full->verdict, Verdict::kUndecided);
  EXPECT_EQ(c.family_tasks, 8);  // of the first task alone
  const std::string text = RenderText(c, {.width = 0});
  EXPECT_THAT(text, HasSubstr("ARC: multiple choice, 400 items. Full precision"));
  EXPECT_THAT(text, HasSubstr("not significantly above what always the same answer gives, 62.0%"));
  EXPECT_THAT(text, HasSubstr("acc_norm"));
}

// Methods against one another, on the same items: RTN and RTN+clip of this one, whose answers differ by hand.
TEST(CompareTasks, DuelsBetweenMethods) {
  ReportInputs in = SyntheticInputs({.methods = 3, .schemes = 2, .seeds = 1, .domains = 2});
  AddSyntheticChoices("ARC", 0.6, 0.1, in);
  ASSERT_EQ(in.trials.size(), 7u);
  Series &rtn = *SeriesOf(in.trials[4], "ARC"), &clip = *SeriesOf(in.trials[5], "ARC");
  int only_clip = 0, only_rtn = 0;
  for (int i = 0; i < 400; ++i) {
    if (i % 8 == 0) rtn.set_value(i, 0), clip.set_value(i, 1);
    if (i % 80 == 1) rtn.set_value(i, 1), clip.set_value(i, 0);
    only_clip += clip.value(i) > rtn.value(i);
    only_rtn += rtn.value(i) > clip.value(i);
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in, Quick()));
  ASSERT_EQ(c.tasks[0].duels.size(), 6u);  // three pairs of methods under each of two schemes
  EXPECT_EQ(c.family_task_duels, 6);
  const TaskDuel& duel = c.tasks[0].duels[3];
  EXPECT_EQ(c.groups[duel.first].recipe, "RTN");
  EXPECT_EQ(c.groups[duel.second].recipe, "RTN+clip");
  EXPECT_EQ(c.groups[duel.first].scheme, "W4A4");
  EXPECT_NEAR(duel.accuracy.mean, (only_rtn - only_clip) / 400.0, 1e-12);
  EXPECT_EQ(duel.mcnemar_p, McNemar(only_rtn, only_clip)->p_exact);
  EXPECT_EQ(duel.accuracy.verdict, Verdict::kWorse);
  EXPECT_EQ(c.tasks[0].duels[0].accuracy.verdict, Verdict::kEquivalent);  // the same answers
  EXPECT_EQ(c.tasks[0].duels[0].mcnemar_p, 1);
  const std::string text = RenderText(c, {.width = 0}), html = RenderHtml(c);
  EXPECT_THAT(text, HasSubstr("Between methods: RTN+clip better than RTN at W4A4 (+"));
  EXPECT_THAT(html, HasSubstr("Every pair of methods on ARC"));
  EXPECT_THAT(RenderJson(c), HasSubstr("\"duels\":[{\"first\":1,\"second\":2,"));
}

// Documents of next segments are the clusters; last words have a perplexity and no normalised accuracy.
TEST(CompareTasks, SegmentsAndWords) {
  ReportInputs in = SyntheticInputs({.methods = 1, .schemes = 1, .seeds = 1, .domains = 2});
  for (ReportTrial& t : in.trials) {
    EvaluationTask& next = *t.spec.mutable_evaluation()->add_task();
    next.set_name("next");
    next.mutable_next_segment()->set_items(30);
    EvaluationTask& words = *t.spec.mutable_evaluation()->add_task();
    words.set_name("words");
    words.mutable_last_word();
    for (const char* name : {"next", "words"}) {
      Series& s = *t.result.add_series();
      s.set_metric("correct");
      s.set_domain(name);
      for (int i = 0; i < 30; ++i) s.add_value(i % 3 > 0), s.add_document(absl::StrCat("code/d", i / 2));
    }
    const auto add = [&](const char* name, const char* domain, double value) {
      Metric& m = *t.result.add_metric();
      m.set_name(name);
      m.set_domain(domain);
      m.set_value(value);
    };
    add("accuracy", "next/code", 0.7);
    add("accuracy", "next/scripture", 0.6);
    add("chance", "next", 0.25);
    add("chance", "words", 0);
    add("word_perplexity", "words", t.spec.has_scheme() ? 90 : 60);
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in, Quick()));
  EXPECT_EQ(c.tasks[0].unit, "documents");
  EXPECT_EQ(c.tasks[0].units, 15);
  EXPECT_EQ(c.tasks[0].items, 30);
  EXPECT_FALSE(c.tasks[0].at_chance);
  EXPECT_EQ(c.groups[0].task[0].phenomena.at("scripture"), 0.6);
  EXPECT_EQ(c.groups[1].task[0].versus_full->mean, 0);
  EXPECT_EQ(c.tasks[1].unit, "items");
  EXPECT_EQ(*c.groups[1].task[1].word_perplexity, 90);
  EXPECT_FALSE(c.groups[1].task[1].accuracy_norm.has_value());
  EXPECT_THAT(RenderText(c, {.width = 0}), HasSubstr("word ppl"));
  EXPECT_THAT(RenderText(c, {.width = 0}), HasSubstr("next: next segment, 30 items, 15 documents."));
}

TEST(Renderings, ShowTheTask) {
  ReportInputs in = Inputs(0.75, 2);
  AddSyntheticTask("<b>evil", 0.8, in);
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  const std::string text = RenderText(c, {.width = 0});
  const TaskCell& last = c.groups.back().task[0];
  EXPECT_THAT(text, HasSubstr("BLiMP"));
  EXPECT_THAT(text, HasSubstr(report_internal::TaskDelta(last)));
  EXPECT_THAT(text, HasSubstr("above chance, 50.0%. Differences to it in percentage points"));
  EXPECT_THAT(text, HasSubstr("; equivalent: W8A8 RTN, W8A8 RTN+clip"));
  for (const int width : {120, 100, 80}) {
    for (const absl::string_view line : absl::StrSplit(RenderText(c, {.width = width}), '\n')) {
      EXPECT_LE(report_internal::DisplayWidth(line), width) << line;
    }
  }
  EXPECT_THAT(text, HasSubstr("McNemar p"));
  const std::string html = RenderHtml(c);
  EXPECT_FALSE(absl::StrContains(html, "<b>evil"));
  EXPECT_THAT(html, HasSubstr("<h2>Tasks</h2>"));
  EXPECT_THAT(html, HasSubstr("phenomenon_2"));
  // As many cells in every row as names in the head.
  const std::vector<std::string> lines = absl::StrSplit(RenderCsv(c), "\r\n");
  for (const std::string& line : lines) {
    if (line.empty()) continue;
    int64_t fields = 1, quotes = 0;
    for (const char ch : line) quotes += ch == '"', fields += ch == ',' && quotes % 2 == 0;
    EXPECT_EQ(fields, 35 + 2 * 11) << line;
  }
  EXPECT_THAT(lines[0], HasSubstr(",BLiMP_accuracy,"));
  EXPECT_THAT(RenderJson(c), HasSubstr("\"tasks\":[{\"name\":\"BLiMP\",\"kind\":\"minimal pairs, original protocol\""));
}

}  // namespace
}  // namespace eaq
