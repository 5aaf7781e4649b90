// The front of quality against bytes, the matrix of calibration against evaluation, and figures as files.
#include "eaq/report/front.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/report/domain_matrix.h"
#include "eaq/report/front_chart.h"
#include "eaq/report/picture_files.h"
#include "eaq/report/report.h"
#include "eaq/report/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using report_internal::CalibrationBlock;
using report_internal::FindCalibrationBlocks;
using report_internal::FindFronts;
using report_internal::FrontFamily;
using report_internal::SyntheticInputs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

size_t Count(absl::string_view text, absl::string_view what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != absl::string_view::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

Group Row(const std::string& scheme, const std::string& recipe, double bits, double loss) {
  Group g;
  g.model = "m";
  g.scheme = scheme;
  g.recipe = g.method = recipe;
  g.bits_per_weight = bits;
  PairedResult r;
  r.mean = loss;
  r.low = loss - 0.01;
  r.high = loss + 0.01;
  g.pooled.versus_full = r;
  return g;
}

TEST(Front, OnlyWhatNothingDominates) {
  Comparison c;
  c.groups = {Row("a", "A", 2.2, 0.5), Row("a", "B", 2.205, 0.4), Row("b", "A", 2.7, 0.3), Row("b", "B", 2.7, 0.45),
              Row("c", "A", 3.2, 0.2), Row("c", "B", 3.2, 0.35),  Row("c", "C", 3.0, 0.2)};
  c.groups.push_back(Row("c", "marked", 2.0, 0.0));
  c.groups.back().mark = "calibrated on other text";
  const std::vector<FrontFamily> families = FindFronts(c);
  ASSERT_EQ(families.size(), 1u);
  // B is within the tolerance of A's size at 2.2; C has A's loss with fewer bits; what is marked beats nobody.
  EXPECT_THAT(families[0].front, ElementsAre(1, 2, 6));
  EXPECT_THAT(families[0].recipes, ElementsAre("A", "B", "C", "marked"));
  EXPECT_THAT(families[0].lines[0], ElementsAre(0, 2, 4));
}

// Two sizes are no line; activations of other bits are another family; sizes within the tolerance are one size.
TEST(Front, NeedsThreeSizesOfOneKind) {
  Comparison c;
  c.groups = {Row("a", "A", 2.2, 0.5), Row("b", "A", 2.7, 0.3), Row("c", "A", 2.705, 0.2), Row("d", "A", 8, 0.1)};
  EXPECT_EQ(FindFronts(c).size(), 1u);
  c.groups[3].scheme_rest = "activations of 8 bits";
  EXPECT_TRUE(FindFronts(c).empty());
  EXPECT_EQ(report_internal::FrontFigures(c), "");
  c.groups[3].scheme_rest = "";
  c.groups[3].pooled.versus_full.reset();  // no full precision to compare with
  EXPECT_TRUE(FindFronts(c).empty());
}

// Against the definition, by brute force over pairs.
TEST(Front, AgreesWithTheDefinition) {
  Rng rng(3, "test/front");
  for (int round = 0; round < 50; ++round) {
    Comparison c;
    for (int s = 0; s < 4; ++s) {
      for (int m = 0; m < 5; ++m) {
        c.groups.push_back(Row(absl::StrCat(s), absl::StrCat(m), 2 + s + 0.5 * rng.Uniform(),
                               static_cast<double>(static_cast<int>(10 * rng.Uniform()))));
      }
    }
    const std::vector<FrontFamily> families = FindFronts(c);
    ASSERT_EQ(families.size(), 1u);
    std::set<int> expected;
    for (int i = 0; i < 20; ++i) {
      bool beaten = false;
      for (int j = 0; j < 20; ++j) {
        const double bits = c.groups[i].bits_per_weight - c.groups[j].bits_per_weight;  // saved by j
        const double loss = c.groups[i].pooled.versus_full->mean - c.groups[j].pooled.versus_full->mean;
        beaten = beaten || (bits >= -0.01 && loss > 0) || (bits > 0.01 && loss >= 0);
      }
      if (!beaten) expected.insert(i);
    }
    EXPECT_EQ(std::set<int>(families[0].front.begin(), families[0].front.end()), expected) << round;
  }
}

TEST(Front, TheFigure) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(SyntheticInputs()));
  const std::string figures = report_internal::FrontFigures(c);
  EXPECT_EQ(Count(figures, "<svg"), 1u);  // four methods: one picture tells them apart
  EXPECT_EQ(Count(figures, "<polyline class=\"l"), 4u);
  EXPECT_EQ(Count(figures, "<polyline class=\"front\""), 1u);
  EXPECT_EQ(Count(figures, "class=\"ring\""), FindFronts(c)[0].front.size());
  EXPECT_THAT(figures, HasSubstr(">GPTQ</text>"));
  EXPECT_THAT(figures, HasSubstr("(W2A16g32)"));
  EXPECT_TRUE(report_internal::FrontsShowAll(c));
  EXPECT_THAT(RenderHtml(c), Not(HasSubstr("id=\"quality-t\"")));  // the same points again would say nothing
  // Rows that no line holds bring the scatter back.
  Comparison d = c;
  d.groups[1].scheme_rest = "activations of 8 bits";
  EXPECT_FALSE(report_internal::FrontsShowAll(d));
  EXPECT_THAT(RenderHtml(d), HasSubstr("id=\"quality-t\""));
}

// Many methods: those of the front and the reference have colours and names, every one has a panel.
TEST(Front, ManyMethods) {
  Comparison c;
  c.options.baseline = "M20";
  for (int s = 0; s < 4; ++s) {
    for (int m = 0; m < 25; ++m) {
      c.groups.push_back(
          Row(absl::StrCat("s", s), absl::StrCat("M", m), 2 + s, (0.5 + 0.01 * ((m + 7 * s) % 25)) / (1 + s)));
    }
  }
  const std::string figures = report_internal::FrontFigures(c);
  EXPECT_EQ(Count(figures, "<svg"), 26u);
  const std::string all = figures.substr(0, figures.find("</svg>"));
  EXPECT_EQ(Count(all, "<polyline class=\"lo\""), 20u);
  for (const char* name : {"M0", "M18", "M11", "M4", "M20"}) {
    EXPECT_THAT(all, HasSubstr(absl::StrCat(">", name, "</text>"))) << name;
  }
  EXPECT_THAT(all, Not(HasSubstr(">M1</text>")));
  EXPECT_THAT(figures, HasSubstr(">M1</text>"));
  EXPECT_EQ(Count(figures, "class=\"ring\""), 8u);  // each of the four in the picture of all and in its panel
}

TEST(FrontChart, LogarithmicOnlyWhereAllIsPositive) {
  FrontChart chart("f", "t", "d");
  chart.band = 0.005;
  chart.lines = {{"A", 0, {{2, 0.5, 0.4, 0.6, true, "p"}, {3, 0.05, 0.04, 0.06, false, "q"}}}};
  EXPECT_THAT(chart.Svg(), Not(HasSubstr("class=\"band\"")));
  // A tenth of the loss is one step of a power of ten: 0.5 and 0.05 stand where a linear axis has neither.
  EXPECT_THAT(chart.Svg(), HasSubstr(">0.05</text>"));
  chart.lines[0].points[1].low = -0.001;
  EXPECT_THAT(chart.Svg(), HasSubstr("class=\"band\""));
  EXPECT_THAT(chart.Svg(), HasSubstr("class=\"zero\""));
  chart.lines[0].points[1].y = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(chart.Svg(), "");
  EXPECT_EQ(FrontChart("f", "t", "d").Svg(), "");
}

// Names at the right end never overlap, however close the lines end.
TEST(FrontChart, NamesStandApart) {
  FrontChart chart("f", "t", "d");
  for (int i = 0; i < 8; ++i) {
    chart.lines.push_back({absl::StrCat("name", i), i, {{2, 1, 1, 1, false, ""}, {3, 1 + 1e-6 * i, 1, 1, false, ""}}});
  }
  const std::string svg = chart.Svg();
  std::vector<double> y;
  for (const absl::string_view line : absl::StrSplit(svg, '\n')) {
    const size_t at = line.find("<text x=");
    if (at == absl::string_view::npos || !absl::StrContains(line, ">name")) continue;
    const absl::string_view from = line.substr(line.find(" y=\"", at) + 4);
    y.push_back(std::stod(std::string(from.substr(0, from.find('"')))));
  }
  ASSERT_EQ(y.size(), 8u);
  std::sort(y.begin(), y.end());
  for (size_t i = 1; i < y.size(); ++i) EXPECT_GE(y[i] - y[i - 1], 14);
  EXPECT_LE(y.back(), 460);
}

// Two methods on two mixtures; the second is best where it was calibrated.
ReportInputs TwoMixtures() {
  ReportInputs in = SyntheticInputs({.methods = 3, .schemes = 1, .seeds = 2, .domains = 2});
  const size_t n = in.trials.size();
  for (size_t i = 0; i < n; ++i) {
    if (!in.trials[i].spec.has_calibration()) continue;
    ReportTrial code = in.trials[i];
    code.key += "code";
    code.spec.mutable_calibration()->clear_domain();
    code.spec.mutable_calibration()->add_domain()->set_name("code");
    for (Series& s : *code.result.mutable_series()) {
      if (s.metric() != "nll") continue;
      for (double& v : *s.mutable_value()) v += s.domain() == "code" ? -0.02 : 0.05;
    }
    in.trials.push_back(std::move(code));
  }
  return in;
}

TEST(DomainMatrix, ExcessOverTheBestOfTheColumn) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(TwoMixtures()));
  const std::vector<CalibrationBlock> blocks = FindCalibrationBlocks(c);
  ASSERT_EQ(blocks.size(), 2u);  // RTN reads no text
  EXPECT_EQ(blocks[0].method, "RTN+clip");
  EXPECT_THAT(blocks[0].mixes, ElementsAre("all 2", "code"));
  ASSERT_EQ(blocks[0].excess.size(), 2u);
  ASSERT_EQ(blocks[0].excess[0].size(), 3u);  // encyclopedia, code, all
  EXPECT_EQ(blocks[0].excess[0][0], 0);
  EXPECT_NEAR(blocks[0].excess[1][0], 0.05, 1e-12);
  EXPECT_NEAR(blocks[0].excess[0][1], 0.02, 1e-12);
  EXPECT_EQ(blocks[0].excess[1][1], 0);
  EXPECT_NEAR(blocks[0].excess[1][2], 0.015, 1e-12);
  const std::string html = report_internal::DomainMatrices(c);
  EXPECT_EQ(Count(html, "<svg"), 1u);
  EXPECT_THAT(html, HasSubstr(">RTN+clip: code</text>"));
  EXPECT_EQ(Count(html, " class=\"name\""), 6u);  // the best of each column, for two methods
  EXPECT_THAT(RenderHtml(c), HasSubstr("Calibration domain against evaluation domain"));
  // The cell says what the table says.
  const Group& g = c.groups[blocks[0].groups[1]];
  char shown[32];
  std::snprintf(shown, sizeof(shown), ">%+.3f</text>", g.domain[0].versus_full->mean);
  EXPECT_THAT(html, HasSubstr(shown));
}

TEST(DomainMatrix, OneMixtureIsNoMatrix) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(SyntheticInputs({.methods = 3, .schemes = 2})));
  EXPECT_TRUE(FindCalibrationBlocks(c).empty());
  EXPECT_THAT(RenderHtml(c), Not(HasSubstr("Calibration domain against evaluation domain")));
}

// Whole documents: a root with a name space, every element closed, no colour that only the page knows.
TEST(Pictures, StandByThemselves) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(TwoMixtures()));
  const auto pictures = RenderPictures(absl::MakeConstSpan(&c, 1));
  std::set<std::string> names;
  for (const auto& [name, document] : pictures) {
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_TRUE(absl::StartsWith(
        document, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" "));
    EXPECT_TRUE(absl::EndsWith(document, "</svg>\n")) << name;
    EXPECT_EQ(Count(document, "var("), 0u) << name;
    EXPECT_THAT(document, HasSubstr("fill=\"#ffffff\"/>"));
    EXPECT_THAT(document, HasSubstr(".c0{fill:#0072b2}"));
    EXPECT_EQ(Count(document, "<g>"), Count(document, "</g>")) << name;
    EXPECT_EQ(Count(document, "<text"), Count(document, "</text>")) << name;
    EXPECT_LT(document.find("</desc>"), document.find("<style>"));
  }
  for (const char* name : {"quality", "domains0", "matrix0", "tokens", "use", "router0"})
    EXPECT_EQ(names.count(name), 1u) << name;
  // One map of errors for every row: they stay on the page.
  EXPECT_THAT(RenderHtml(c), HasSubstr("id=\"out2-t\""));
  EXPECT_EQ(names.count("out2"), 0u);
}

TEST(Pictures, OfSeveralModelsHaveTheirNames) {
  EAQ_ASSERT_OK_AND_ASSIGN(Comparison c, Compare(SyntheticInputs()));
  std::vector<Comparison> parts = {c, c, c};
  parts[1].groups[0].model = "ref <mixtral>";
  parts[2].form = "equal";
  std::set<std::string> names;
  for (const auto& [name, document] : RenderPictures(parts)) names.insert(name);
  for (const char* name : {"ref-s_front", "ref_mixtral__front", "ref-s_equal_front"}) {
    EXPECT_EQ(names.count(name), 1u) << name;
  }
  parts[2].form = "";  // the same name twice
  names.clear();
  for (const auto& [name, document] : RenderPictures(parts)) EXPECT_TRUE(names.insert(name).second) << name;
  EXPECT_EQ(names.count("ref-s_2_front"), 1u);
}

TEST(Pictures, HostileNamesStayText) {
  ReportInputs in = SyntheticInputs();
  for (ReportTrial& t : in.trials) {
    if (t.spec.has_scheme()) t.spec.mutable_recipe()->set_title("<script>&\"\x1b" + t.spec.recipe().name());
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  for (const auto& [name, document] : RenderPictures(absl::MakeConstSpan(&c, 1))) {
    EXPECT_THAT(document, Not(HasSubstr("<script>"))) << name;
    EXPECT_THAT(document, Not(HasSubstr("\x1b"))) << name;  // no XML may hold it
  }
}

}  // namespace
}  // namespace eaq
