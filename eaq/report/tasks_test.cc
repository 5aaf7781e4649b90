// Minimal pairs in the report: numbers against a plain reading, verdicts, and what stands where.
#include "eaq/report/tasks.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/base/status_matchers.h"
#include "eaq/report/format.h"
#include "eaq/report/report.h"
#include "eaq/report/testing.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

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

TEST(CompareTasks, DifferencesVerdictsAndMcNemar) {
  ReportInputs in = Inputs(0.75);
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  ASSERT_EQ(c.tasks.size(), 1u);
  EXPECT_EQ(c.tasks[0].paradigms, 30);
  EXPECT_EQ(c.tasks[0].pairs, 1200);
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
    EXPECT_EQ(*cell.mcnemar_p, McNemar(only_own, only_full)->p_mid);
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
  EXPECT_EQ(*c.groups[2].task[0].mcnemar_p, McNemar(0, 1)->p_mid);
  EXPECT_EQ(c.tasks[0].pairs, 6);
}

TEST(CompareTasks, AtChanceGivesNoVerdicts) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(Inputs(0.5)));
  EXPECT_TRUE(c.tasks[0].at_chance);
  EXPECT_EQ(c.family_tasks, 0);
  for (const Group& g : c.groups) {
    if (g.full_precision) continue;
    EXPECT_EQ(g.task[0].versus_full->verdict, Verdict::kUndecided);  // also 2 bits, 12 points below
  }
  EXPECT_THAT(RenderText(c, {.width = 0}), HasSubstr("at chance (not significantly above 50%), so no verdicts"));
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
  EXPECT_THAT(Compare(in), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1201 values and 1200 paradigms")));
  // Another protocol or other pairs are another yardstick.
  in = Inputs(0.75);
  in.trials[2].spec.mutable_evaluation()->mutable_task(0)->set_protocol(EvaluationTask::LM_EVAL);
  in.trials[3].spec.mutable_evaluation()->clear_task();
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  ASSERT_EQ(c.refused.size(), 2u);
  EXPECT_THAT(c.refused[0], HasSubstr("minimal pairs BLiMP (lm-eval protocol, all pairs a paradigm, "));
  EXPECT_THAT(c.refused[1], HasSubstr("minimal pairs none instead of BLiMP (original protocol"));
  // Without full precision: accuracies alone.
  in = Inputs(0.75);
  in.trials.erase(in.trials.begin());
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison alone, Compare(in));
  EXPECT_FALSE(alone.groups[0].task[0].versus_full.has_value());
  EXPECT_FALSE(RenderText(alone).empty());
  EXPECT_FALSE(RenderHtml(alone).empty());
  EXPECT_FALSE(RenderLatex(alone).empty());
}

TEST(Renderings, ShowTheTask) {
  ReportInputs in = Inputs(0.75, 2);
  AddSyntheticTask("<b>evil", 0.8, in);
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  const std::string text = RenderText(c, {.width = 0});
  const TaskCell& last = c.groups.back().task[0];
  EXPECT_THAT(text, HasSubstr("BLiMP"));
  EXPECT_THAT(text, HasSubstr(report_internal::TaskDelta(c.tasks[0], last)));
  EXPECT_THAT(text, HasSubstr("above chance. Differences to it in percentage points"));
  EXPECT_THAT(text, HasSubstr("; equivalent: W8A8 RTN, W8A8 RTN+clip"));
  for (const int width : {120, 100, 80}) {
    for (const absl::string_view line : absl::StrSplit(RenderText(c, {.width = width}), '\n')) {
      EXPECT_LE(report_internal::DisplayWidth(line), width) << line;
    }
  }
  EXPECT_THAT(RenderText(c, {.width = 80}), HasSubstr("\xCE\x94 of BLiMP"));  // named among what was left out
  const std::string html = RenderHtml(c);
  EXPECT_FALSE(absl::StrContains(html, "<b>evil"));
  EXPECT_THAT(html, HasSubstr("<h2>Minimal pairs</h2>"));
  EXPECT_THAT(html, HasSubstr("phenomenon_2"));
  // As many cells in every row as names in the head.
  const std::vector<std::string> lines = absl::StrSplit(RenderCsv(c), "\r\n");
  for (const std::string& line : lines) {
    if (line.empty()) continue;
    int64_t fields = 1, quotes = 0;
    for (const char ch : line) quotes += ch == '"', fields += ch == ',' && quotes % 2 == 0;
    EXPECT_EQ(fields, 35 + 2 * 9) << line;
  }
  EXPECT_THAT(lines[0], HasSubstr(",BLiMP_accuracy,"));
  EXPECT_THAT(RenderJson(c), HasSubstr("\"tasks\":[{\"name\":\"BLiMP\",\"protocol\":\"original\",\"paradigms\":30"));
}

}  // namespace
}  // namespace eaq
