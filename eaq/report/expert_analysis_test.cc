// Verdicts and figures of made-up analyses with known answers.
#include "eaq/report/expert_analysis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "eaq/report/report.h"
#include "eaq/report/testing.h"

namespace eaq::report_internal {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

void Add(const std::string& name, const std::string& domain, int layer, double value, TrialResult& to) {
  Metric& m = *to.add_metric();
  m.set_name(name);
  if (!domain.empty()) m.set_domain(domain);
  if (layer >= 0) m.set_layer(layer);
  m.set_value(value);
}

void AddTable(const std::string& name, const std::string& domain, int layer, const std::vector<double>& values,
              TrialResult& to) {
  TrialResult::ExpertTable& table = *to.add_expert_table();
  table.set_name(name);
  if (!domain.empty()) table.set_domain(domain);
  table.set_layer(layer);
  for (const double v : values) table.add_value(v);
}

// Of three layers: RHO[l] between two data sets, SHARE[l] of the movement in 1 % of the channels.
Comparison With(const std::vector<double>& rho, const std::vector<double>& share) {
  ReportInputs in = SyntheticInputs({.methods = 2, .schemes = 1, .seeds = 1});
  for (ReportTrial& trial : in.trials) {
    if (!trial.spec.has_scheme() || trial.spec.recipe().calibration().has_none()) continue;
    TrialResult& r = trial.result;
    for (int l = 0; l < 3; ++l) {
      AddTable("significance", "prose", l, {0.5, 0.25, 0.25}, r);
      AddTable("significance", "code", l, {0.1, 0.1, 0.8}, r);
      AddTable("co_activation", "", l, {1, 0.5, 0.2, 0.5, 1, 0, 0.2, 0, 1}, r);
      Add("significance_rank_correlation", "prose | code", l, rho[l], r);
      Add("channel_concentration", "prose | code", l, share[l], r);
      Add("channel_top_share", "", l, 0.02, r);
    }
    Add("switched_rows", "prose", -1, 0.25, r);
    Add("detector_right", "prose", -1, 0.75, r);
    Add("detector_delay", "prose", -1, 4, r);
    Add("detector_wrong", "prose", -1, 0, r);
    Add("detector_none", "prose", -1, 0.25, r);
    Add("detector_switches", "", -1, 3, r);
  }
  return Compare(in).value();
}

TEST(ExpertAnalysis, PremisesThatHold) {
  const auto lines = ExpertAnalysisLines(With({0.7, 0.79, 0.97}, {0.2, 0.1, 0.05}));
  ASSERT_GE(lines.size(), 3u);
  EXPECT_THAT(lines[0], AllOf(HasSubstr("T4"), HasSubstr(": holds, for 1 of 1 pairs"), HasSubstr("0.70 .. 0.97"),
                              HasSubstr("median 0.79"), HasSubstr("above 0.95 in 1 of 3")));
  EXPECT_THAT(lines[1], AllOf(HasSubstr("T5"), HasSubstr(": holds, for 1 of 1 pairs"), HasSubstr("mean is 11.7 %"),
                              HasSubstr("2.0 % would be theirs by chance")));
  EXPECT_THAT(lines[2], AllOf(HasSubstr("right on 75 %"), HasSubstr("after 4.0 windows"), HasSubstr("3 switches")));
}

TEST(ExpertAnalysis, PremisesThatFailAreReportedAsWell) {
  const auto lines = ExpertAnalysisLines(With({0.8, 0.9, 0.1}, {0.099, 0.02, 0.3}));
  EXPECT_THAT(lines[0], HasSubstr(": does NOT hold, for 0 of 1 pairs"));
  EXPECT_THAT(lines[1], HasSubstr(": does NOT hold, for 0 of 1 pairs"));
}

TEST(ExpertAnalysis, StandsOnThePageAndInTheText) {
  const Comparison c = With({0.7, 0.7, 0.7}, {0.2, 0.2, 0.2});
  const std::string html = RenderHtml(c);
  for (const char* part : {"Premise T4", "Premise T5", "layer 2, code", "Rank correlation of the experts",
                           "<h3>Switching", "Experts chosen together", "an expert with itself", "<td>75 %</td>"}) {
    EXPECT_THAT(html, HasSubstr(part));
  }
  EXPECT_THAT(RenderText(c), HasSubstr("Premise T4"));
  const Comparison without = Compare(SyntheticInputs({.methods = 2, .schemes = 1, .seeds = 1})).value();
  EXPECT_EQ(ExpertAnalysisHtml(without), "");
  EXPECT_THAT(RenderHtml(without), Not(HasSubstr("Premise")));
}

}  // namespace
}  // namespace eaq::report_internal
