#include "eaq/report/summary.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/base/hash.h"
#include "eaq/base/status_matchers.h"
#include "eaq/report/format.h"
#include "eaq/report/report.h"
#include "eaq/report/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using report_internal::SummarizeModels;
using report_internal::SummaryRow;
using report_internal::SummaryTable;
using report_internal::SyntheticInputs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// The synthetic trials on another model; METHOD, if any, loses DELTA more there.
ReportInputs OnModel(const std::string& name, const std::string& method = "", double delta = 0) {
  ReportInputs in = SyntheticInputs({.methods = 4, .schemes = 2, .seeds = 2});
  for (ReportTrial& t : in.trials) {
    t.spec.mutable_model()->set_name(name);
    t.spec.mutable_model()->set_hash(Sha256Hex(name));
    if (method.empty() || t.spec.recipe().name() != method) continue;
    for (Series& s : *t.result.mutable_series()) {
      for (double& v : *s.mutable_value()) v += s.metric() == "nll" ? delta : 0;
    }
  }
  return in;
}

absl::StatusOr<std::vector<Comparison>> Parts(const std::vector<ReportInputs>& inputs) {
  std::vector<Comparison> parts;
  for (const ReportInputs& in : inputs) {
    absl::StatusOr<Comparison> c = Compare(in);
    if (!c.ok()) return c.status();
    parts.push_back(*std::move(c));
  }
  return parts;
}

std::vector<std::string> Names(const SummaryTable& t) {
  std::vector<std::string> names;
  for (const SummaryRow& row : t.rows) names.push_back(row.recipe);
  return names;
}

TEST(Summary, RanksAndVerdictsOverModels) {
  // On the second model SmoothQuant is spoilt.
  EAQ_ASSERT_OK_AND_ASSIGN(const auto parts, Parts({OnModel("a"), OnModel("b", "SmoothQuant", 0.2)}));
  const std::vector<SummaryTable> tables = SummarizeModels(parts);
  ASSERT_EQ(tables.size(), 2u);
  const SummaryTable& w4 = tables[1];
  EXPECT_EQ(w4.scheme, "W4A4");
  EXPECT_THAT(w4.models, ElementsAre("a", "b"));
  EXPECT_TRUE(w4.equal_bits);
  // a: GPTQ 1, SmoothQuant 2, RTN+clip 3, RTN 4; b: GPTQ 1, RTN+clip 2, RTN 3, SmoothQuant 4.
  EXPECT_THAT(Names(w4), ElementsAre("GPTQ", "RTN+clip", "SmoothQuant", "RTN"));
  EXPECT_EQ(w4.rows[0].mean_rank, 1);
  EXPECT_EQ(w4.rows[1].mean_rank, 2.5);
  EXPECT_EQ(w4.rows[2].mean_rank, 3);
  EXPECT_EQ(w4.rows[3].mean_rank, 3.5);
  EXPECT_EQ(w4.rows[0].unbeaten, 2);
  EXPECT_FALSE(w4.rows[0].cell[0]->versus_best.has_value());
  EXPECT_EQ(w4.rows[2].unbeaten, 0);
  // Each cell is what the model's own comparison says.
  for (size_t m = 0; m < 2; ++m) {
    for (const SummaryRow& row : w4.rows) {
      const Comparison& c = parts[m];
      const auto& cell = *row.cell[m];
      EXPECT_EQ(c.groups[cell.group].recipe, row.recipe);
      EXPECT_EQ(c.groups[cell.group].scheme, "W4A4");
      int rank = 1;
      for (const int g : c.schemes[1].groups) rank += c.groups[g].pooled.nll < c.groups[cell.group].pooled.nll;
      EXPECT_EQ(cell.rank, rank);
      EXPECT_EQ(cell.of, 4);
      if (!cell.versus_best) continue;
      EXPECT_NEAR(cell.versus_best->mean, c.groups[cell.group].pooled.nll - c.groups[cell.best].pooled.nll, 1e-9);
      EXPECT_EQ(cell.versus_best->verdict, Verdict::kWorse);
    }
  }
  // At W8A8 nothing is separable but what was spoilt.
  for (const SummaryRow& row : tables[0].rows)
    EXPECT_EQ(row.unbeaten, row.recipe == "SmoothQuant" ? 1 : 2) << row.recipe;
}

TEST(Summary, OneModelHasNone) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto parts, Parts({OnModel("a")}));
  EXPECT_TRUE(SummarizeModels(parts).empty());
  EXPECT_EQ(RenderSummary(parts), "");
  EXPECT_EQ(RenderSummaryCsv(parts), "");
  EXPECT_THAT(RenderHtml(parts), Not(HasSubstr("Summary over models")));
}

// Two forms of one model are no two models; of two models each form has its own tables.
TEST(Summary, FormsStayApart) {
  EAQ_ASSERT_OK_AND_ASSIGN(auto parts, Parts({OnModel("a"), OnModel("a"), OnModel("b"), OnModel("b")}));
  parts[0].form = parts[2].form = "as published";
  parts[1].form = parts[3].form = "equal";
  const std::vector<SummaryTable> tables = SummarizeModels(parts);
  ASSERT_EQ(tables.size(), 4u);
  EXPECT_EQ(tables[0].form, "as published");
  EXPECT_EQ(tables[2].form, "equal");
  EXPECT_EQ(tables[2].rows[0].cell[0]->part, 1u);
  EXPECT_EQ(tables[2].rows[0].cell[1]->part, 3u);
  parts.resize(2);
  EXPECT_TRUE(SummarizeModels(parts).empty());
}

// What has not run is missing aloud and not ranked; what is marked has no rank; other sizes rank among themselves.
TEST(Summary, MissingMarkedAndDivided) {
  ReportInputs b = OnModel("b");
  b.trials.erase(std::remove_if(b.trials.begin(), b.trials.end(),
                                [](const ReportTrial& t) { return t.spec.recipe().name() == "GPTQ"; }),
                 b.trials.end());
  for (ReportTrial& t : b.trials) {
    if (t.spec.recipe().name() != "RTN") continue;
    for (Metric& m : *t.result.mutable_metric()) {
      if (m.name() == "bits_per_weight") m.set_value(9);
    }
  }
  ReportInputs a = OnModel("a");
  ReportTrial code = a.trials.back();
  code.key = "code";
  code.spec.mutable_calibration()->clear_domain();
  code.spec.mutable_calibration()->add_domain()->set_name("code");
  a.trials.push_back(code);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto parts, Parts({a, b}));
  const std::vector<SummaryTable> tables = SummarizeModels(parts);
  const SummaryTable& w4 = tables[1];
  EXPECT_FALSE(w4.equal_bits);
  for (const SummaryRow& row : w4.rows) {
    if (row.recipe == "GPTQ") {
      EXPECT_FALSE(row.cell[1].has_value());
      EXPECT_EQ(row.ranked, 1);
    } else if (row.recipe == "GPTQ [code]") {
      EXPECT_EQ(row.cell[0]->rank, 0);
      EXPECT_EQ(row.ranked, 0);
    } else if (row.recipe == "RTN") {
      EXPECT_EQ(row.cell[1]->classes, 2);
      EXPECT_EQ(row.cell[1]->rank, 1);
      EXPECT_EQ(row.cell[1]->of, 1);
    }
  }
  EXPECT_EQ(w4.rows.back().recipe, "GPTQ [code]");
  const std::string text = RenderSummary(parts, {.width = 0});
  EXPECT_THAT(text, HasSubstr("W4A4: on b not all rows are ranked together"));
  EXPECT_THAT(text, HasSubstr("1/1 *"));
  EXPECT_THAT(text, HasSubstr("\xE2\x80\xA0"));
  EXPECT_THAT(RenderHtml(parts), HasSubstr("title=\"calibrated on 64 windows of 256 tokens: code\">\xE2\x80\xA0</td>"));
}

TEST(Summary, Renderings) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto parts, Parts({OnModel("a"), OnModel("b", "SmoothQuant", 0.2)}));
  const std::string wide = RenderSummary(parts, {.width = 0});
  EXPECT_THAT(wide, HasSubstr("1 *"));
  EXPECT_THAT(wide, HasSubstr("4 >"));
  EXPECT_THAT(wide, HasSubstr("0 of 2"));
  EXPECT_THAT(wide, HasSubstr(report_internal::Interval(*parts[0].groups[1].pooled.versus_full, 4)));
  for (const int width : {100, 80}) {
    for (const absl::string_view line : absl::StrSplit(RenderSummary(parts, {.width = width}), '\n')) {
      EXPECT_LE(report_internal::DisplayWidth(line), width) << line;
    }
  }
  const std::string csv = RenderSummaryCsv(parts);
  const std::vector<std::string> lines = absl::StrSplit(csv, "\r\n", absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 1u + 2 * 2 * 4);  // head; schemes x models x methods
  for (const std::string& line : lines) {
    EXPECT_EQ(std::count(line.begin(), line.end(), ','), std::count(lines[0].begin(), lines[0].end(), ',')) << line;
  }
  EXPECT_THAT(csv, HasSubstr(",1,4,0,best,GPTQ,,,,,1,2,2\r\n"));
  const std::string html = RenderHtml(parts);
  EXPECT_THAT(html, HasSubstr("<h2>Summary over models</h2>"));
  EXPECT_EQ(html, RenderHtml(parts));
  // A head for every cell: bits stand above the models where all rows have the same.
  const size_t table = html.find("<table", html.find("<h2>Summary over models</h2>"));
  const auto count = [&](absl::string_view what, size_t from, size_t to) {
    int n = 0;
    for (size_t at = html.find(what.data(), from, what.size()); at < to; ++n)
      at = html.find(what.data(), at + 1, what.size());
    return n;
  };
  const size_t heads = html.find("<tr><th", table), body = html.find("<tbody>", table);
  const size_t row = html.find("<tr", body), end = html.find("</tr>", row);
  EXPECT_EQ(count("<th", heads, body) - count("<thead", heads, body), count("<td", row, end) + count("<th", row, end));
  // One picture a table, in the page and as a file: a row a method, a mark a model.
  EXPECT_THAT(html, HasSubstr("id=\"forest1-t\""));
  const auto pictures = RenderPictures(parts);
  ASSERT_GT(pictures.size(), 2u);
  EXPECT_EQ(pictures[0].first, "forest0");
  const std::string& forest = pictures[1].second;
  EXPECT_THAT(forest, HasSubstr("W4A4"));
  int marks = 0;
  for (size_t at = forest.find("<g><title>"); at != std::string::npos; at = forest.find("<g><title>", at + 1)) ++marks;
  EXPECT_EQ(marks, 2 * 4);
  const std::string of_gptq =
      absl::StrCat("<title>GPTQ, ", parts[0].groups[0].model, ": ",
                   report_internal::Interval(
                       *parts[0].groups[SummarizeModels(parts)[1].rows[0].cell[0]->group].pooled.versus_full, 4),
                   "</title>");
  EXPECT_THAT(forest, HasSubstr(of_gptq));
}

}  // namespace
}  // namespace eaq
