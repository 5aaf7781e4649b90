// Ablations, forms, the fairness gate and the cost of a comparison, on made-up trials with known effects.
#include "eaq/report/ablation.h"

#include <cmath>
#include <cstdlib>
#include <map>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/base/file.h"
#include "eaq/base/hash.h"
#include "eaq/base/status_matchers.h"
#include "eaq/report/claims.h"
#include "eaq/report/cost.h"
#include "eaq/report/format.h"
#include "eaq/report/recipe_fields.h"
#include "eaq/report/report.h"
#include "eaq/report/testing.h"
#include "eaq/report/waterfall.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// Parts 0 and 1 lower the loss by 0.05 and 0.02, part 2 raises it by 0.01; 0 and 1 together lose 0.015 of that.
double Loss(const std::vector<int>& on) {
  bool has[3] = {};
  for (const int p : on) has[p] = true;
  return 0.4 - 0.05 * has[0] - 0.02 * has[1] + 0.01 * has[2] + (has[0] && has[1] ? 0.015 : 0);
}

// Full precision, RTN (base) and Hybrid (whole) as rows, the other arms for the ablation only.
ReportInputs AblationOfThree(int seeds = 2, int windows = 40) {
  ReportInputs in = report_internal::SyntheticInputs({.methods = 1, .schemes = 1, .domains = 2, .windows = windows});
  const ReportTrial rtn = in.trials[1];
  in.trials.pop_back();
  AblationInputs& ablation = in.ablations.emplace_back();
  ablation.of = "Hybrid";
  ablation.relative_to = "RTN";
  ablation.parts = {"smoothing", "clip", "router"};
  ablation.fields = {{"transform.smoothquant"}, {"solve.nearest.clip"}, {"router"}};
  ablation.arms = {{{}, "RTN", {}},
                   {{0, 1, 2}, "Hybrid", {}},
                   {{0}, "RTN + smoothing", {}},
                   {{1}, "RTN + clip", {}},
                   {{2}, "RTN + router", {}},
                   {{1, 2}, "Hybrid - smoothing", {}},
                   {{0, 2}, "Hybrid - clip", {}},
                   {{0, 1}, "Hybrid - router", {}}};
  const TrialResult full = in.trials[0].result;
  for (size_t a = 0; a < ablation.arms.size(); ++a) {
    AblationInputs::Arm& arm = ablation.arms[a];
    for (int seed = 0; seed < (a == 0 ? 1 : seeds); ++seed) {
      ReportTrial t = rtn;
      t.key = Sha256Hex(absl::StrCat(arm.name, seed));
      t.ablation_only = a > 1;
      t.spec.mutable_recipe()->set_name(arm.name);
      t.spec.mutable_recipe()->mutable_solve()->mutable_gptq()->set_block(static_cast<int>(a) + 1);
      if (a > 0) {
        t.spec.mutable_recipe()->mutable_calibration()->mutable_random();
        t.spec.mutable_calibration()->set_seed(seed);
        t.spec.mutable_calibration()->add_domain()->set_name("code");
      }
      for (int d = 0; d < t.result.series_size(); ++d) {
        Series& s = *t.result.mutable_series(d);
        for (int w = 0; w < s.value_size(); ++w) {
          // The seeds differ by +-0.001, which their mean takes away; windows by a little noise.
          const double luck = a == 0 ? 0 : seed % 2 == 0 ? 0.001 : -0.001;
          s.set_value(w, full.series(d).value(w) + Loss(arm.on) * (1 + 0.02 * std::sin(w + d)) + luck);
        }
      }
      arm.keys.push_back(t.key);
      in.trials.push_back(std::move(t));
    }
  }
  return in;
}

const AblationEffect* Find(const AblationTable& t, EffectKind kind, const std::vector<int>& parts) {
  for (const AblationEffect& e : t.effects) {
    if (e.kind == kind && e.parts == parts) return &e;
  }
  return nullptr;
}
double Mean(const AblationTable& t, EffectKind kind, const std::vector<int>& parts) {
  const AblationEffect* e = Find(t, kind, parts);
  return e == nullptr || !e->paired ? NAN : e->paired->mean;
}

TEST(RouterPrediction, IsTheRankCorrelationOverTheRows) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(report_internal::SyntheticInputs({.methods = 4})));
  ASSERT_EQ(c.router_predictions.size(), c.schemes.size());
  for (size_t s = 0; s < c.schemes.size(); ++s) {
    std::vector<double> agreement, loss;
    for (const int i : c.schemes[s].groups) {
      agreement.push_back(*c.groups[i].pooled.router_topk_agreement);
      loss.push_back(c.groups[i].pooled.versus_full->mean);
    }
    EAQ_ASSERT_OK_AND_ASSIGN(const RankCorrelation expected, CorrelateRanks(agreement, loss, 0));
    EXPECT_EQ(c.router_predictions[s].agreement->rho, expected.rho);
    EXPECT_EQ(c.router_predictions[s].agreement->points, 4);
  }
  EXPECT_THAT(RenderText(c), HasSubstr("rank correlation over 4 rows"));
  EXPECT_THAT(RenderHtml(c), HasSubstr("Does it predict the loss?"));
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison few, Compare(report_internal::SyntheticInputs({.methods = 3})));
  EXPECT_THAT(few.router_predictions, IsEmpty());  // three rows have six orders
}

TEST(RunTimeWork, IsSaidWhereRowsDiffer) {
  ReportInputs in = report_internal::SyntheticInputs({.methods = 2, .schemes = 1});
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison without, Compare(in));
  EXPECT_THAT(RenderText(without), Not(HasSubstr("Run-time work")));
  for (ReportTrial& t : in.trials) {
    if (!t.spec.has_scheme()) continue;
    for (const auto& [name, value] : std::map<std::string, double>{
             {"linear_operations", 4000}, {"online_operations", t.spec.recipe().name() == "RTN" ? 0 : 300}}) {
      Metric& metric = *t.result.add_metric();
      metric.set_name(name);
      metric.set_value(value);
    }
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  EXPECT_THAT(RenderText(c), HasSubstr("on top of the linears' 4000: "));
  EXPECT_THAT(RenderText(c), HasSubstr(" +7.5 %; others none."));
  EXPECT_THAT(RenderHtml(c), HasSubstr("Run-time work"));
}

// Each verdict once, among rows and arms, by name; a claim on a recipe that has no result stays open.
TEST(Claims, VerdictsFollowTheIntervals) {
  ReportInputs in = AblationOfThree();
  in.claims = {{"the whole helps", "a paper, table 1", "Hybrid", "RTN", {}},
               {"the router helps", "", "RTN + router", "RTN", {"W8A8"}},
               {"the router alone does nothing to itself", "", "RTN + router", "RTN + router", {}},
               {"clipping matters", "", "Hybrid", "Hybrid - clip", {}},
               {"nobody ran it", "", "OmniQuant", "RTN", {}}};
  CompareOptions options;
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in, options));
  ASSERT_EQ(c.claims.size(), 5u);
  EXPECT_NEAR(c.claims[0].paired->mean, -0.045, 5e-4);
  EXPECT_STREQ(report_internal::ClaimVerdict(c.claims[0]), "holds");
  EXPECT_NEAR(c.claims[1].paired->mean, +0.01, 5e-4);
  EXPECT_STREQ(report_internal::ClaimVerdict(c.claims[1]), "does not hold");
  EXPECT_EQ(c.claims[2].paired->verdict, Verdict::kEquivalent);
  EXPECT_STREQ(report_internal::ClaimVerdict(c.claims[2]), "does not hold");
  EXPECT_NEAR(c.claims[3].paired->mean, -0.005, 5e-4);
  EXPECT_FALSE(c.claims[4].paired.has_value());
  EXPECT_STREQ(report_internal::ClaimVerdict(c.claims[4]), "no result yet");
  // Holm: of four tests, so no adjusted p is below the raw one.
  for (int i = 0; i < 4; ++i) EXPECT_GE(c.claims[i].paired->p_holm, c.claims[i].paired->p_value) << i;

  const std::string text = RenderText(c), html = RenderHtml(c), json = RenderJson(c);
  EXPECT_THAT(text, HasSubstr("the whole helps"));
  EXPECT_THAT(text, HasSubstr("does not hold"));
  EXPECT_THAT(html, HasSubstr("a paper, table 1"));
  EXPECT_THAT(html, HasSubstr("the whole helps: holds in 1 of 1: "));
  EXPECT_THAT(json, HasSubstr("\"verdict\":\"does not hold\""));
  const Comparison both[] = {c, c};
  EXPECT_THAT(RenderClaims(both), HasSubstr("the whole helps: holds in 2 of 2: "));
}

// Rows of one recipe that differ in calibration, by name and by title.
TEST(Claims, NameTheRowOfAnotherCalibration) {
  ReportInputs in = AblationOfThree();
  const size_t before = in.trials.size();
  for (size_t i = 0; i < before; ++i) {
    if (in.trials[i].spec.recipe().name() != "Hybrid") continue;
    ReportTrial man = in.trials[i];
    man.key += "/man";
    man.spec.mutable_recipe()->set_title("The hybrid");
    man.spec.mutable_calibration()->clear_domain();
    man.spec.mutable_calibration()->add_domain()->set_name("man");
    for (Series& s : *man.result.mutable_series())
      for (double& v : *s.mutable_value()) v += 0.1;
    in.trials.push_back(std::move(man));
  }
  in.claims = {{"man is as good", "", "Hybrid [man]", "Hybrid", {}},
               {"by title", "", "The hybrid [man]", "Hybrid", {}},
               {"nobody ran it", "", "Hybrid [poems]", "Hybrid", {}}};
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  ASSERT_EQ(c.claims.size(), 3u);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(c.claims[i].paired.has_value());
    EXPECT_NEAR(c.claims[i].paired->mean, 0.1, 1e-9);
    EXPECT_STREQ(report_internal::ClaimVerdict(c.claims[i]), "does not hold");
  }
  EXPECT_STREQ(report_internal::ClaimVerdict(c.claims[2]), "no result yet");
}

TEST(Claims, AnUndecidedClaimIsSaidToBe) {
  ReportInputs in = AblationOfThree();
  for (ReportTrial& t : in.trials) {  // noise of the size of the effect, its mean 0
    if (t.spec.recipe().name() != "Hybrid - clip") continue;
    for (Series& s : *t.result.mutable_series())
      for (int w = 0; w < s.value_size(); ++w) s.set_value(w, s.value(w) + (w / 2 % 2 == 0 ? 0.08 : -0.08));
  }
  in.claims = {{"clipping matters", "", "Hybrid", "Hybrid - clip", {}}};
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  EXPECT_STREQ(report_internal::ClaimVerdict(c.claims[0]), "undecided");
}

TEST(Ablation, EffectsAreWhatWasPutIn) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(AblationOfThree()));
  ASSERT_EQ(c.groups.size(), 3u);  // arms are no rows of the table
  ASSERT_EQ(c.ablations.size(), 1u);
  const AblationTable& t = c.ablations[0];
  EXPECT_EQ(t.scheme, "W8A8");
  // sin sums to nearly nothing over the windows: 2 % of it is far below this tolerance.
  const double eps = 5e-4;
  EXPECT_NEAR(Mean(t, EffectKind::kWhole, {0, 1, 2}), -0.045, eps);
  EXPECT_NEAR(Mean(t, EffectKind::kAlone, {0}), -0.05, eps);
  EXPECT_NEAR(Mean(t, EffectKind::kAlone, {1}), -0.02, eps);
  EXPECT_NEAR(Mean(t, EffectKind::kAlone, {2}), +0.01, eps);
  EXPECT_NEAR(Mean(t, EffectKind::kWithout, {0}), -0.035, eps);
  EXPECT_NEAR(Mean(t, EffectKind::kWithout, {1}), -0.005, eps);
  EXPECT_NEAR(Mean(t, EffectKind::kPair, {0, 1}), +0.015, eps);
  EXPECT_NEAR(Mean(t, EffectKind::kPair, {0, 2}), 0, eps);
  // What is left over is all interactions, and everything adds up exactly.
  EXPECT_NEAR(Mean(t, EffectKind::kRest, {0, 1, 2}), +0.015, eps);
  EXPECT_NEAR(Mean(t, EffectKind::kAlone, {0}) + Mean(t, EffectKind::kAlone, {1}) + Mean(t, EffectKind::kAlone, {2}) +
                  Mean(t, EffectKind::kRest, {0, 1, 2}),
              Mean(t, EffectKind::kWhole, {0, 1, 2}), 1e-12);
  const PairedResult& alone = *Find(t, EffectKind::kAlone, {0})->paired;
  EXPECT_EQ(alone.verdict, Verdict::kBetter);
  EXPECT_EQ(alone.windows, 80);
  EXPECT_EQ(alone.documents, 40);
  EXPECT_GT(alone.p_holm, alone.p_value);  // corrected over all effects of the table
  EXPECT_EQ(Find(t, EffectKind::kPair, {0, 2})->paired->verdict, Verdict::kEquivalent);
}

// The interval belongs to the sum of four arms window by window: what is common to all of them cancels.
TEST(Ablation, IntervalsAreOfPairedWindows) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(AblationOfThree()));
  const PairedResult& pair = *Find(c.ablations[0], EffectKind::kPair, {0, 1})->paired;
  EXPECT_LT(pair.high - pair.low, 0.001);
  EXPECT_LE(pair.low, 0.015);
  EXPECT_GE(pair.high, 0.0145);
}

TEST(Ablation, AMissingArmLeavesOutWhatNeedsIt) {
  ReportInputs in = AblationOfThree();
  for (size_t i = 0; i < in.trials.size();) {
    if (in.trials[i].spec.recipe().name() == "Hybrid - router") {
      in.trials.erase(in.trials.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  const AblationTable& t = c.ablations[0];
  EXPECT_FALSE(Find(t, EffectKind::kWithout, {2})->paired.has_value());
  EXPECT_FALSE(Find(t, EffectKind::kPair, {0, 1})->paired.has_value());
  EXPECT_TRUE(Find(t, EffectKind::kWithout, {0})->paired.has_value());
  EXPECT_THAT(t.notes.back(), HasSubstr("1 recipe has no finished trial"));
  EXPECT_THAT(RenderText(c), HasSubstr("missing"));
  EXPECT_THAT(RenderHtml(c), HasSubstr("From the base to the whole"));  // parts alone: the figure stands
}

// Without parts alone the waterfall takes what each does beside the others.
TEST(Ablation, OnlyLeaveOneOut) {
  ReportInputs in = AblationOfThree();
  auto& arms = in.ablations[0].arms;
  arms.erase(arms.begin() + 2, arms.begin() + 5);
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  const AblationTable& t = c.ablations[0];
  EXPECT_EQ(Find(t, EffectKind::kAlone, {0}), nullptr);
  EXPECT_EQ(Find(t, EffectKind::kPair, {0, 1}), nullptr);  // it would need the parts alone
  EXPECT_NEAR(Mean(t, EffectKind::kWithout, {0}) + Mean(t, EffectKind::kWithout, {1}) +
                  Mean(t, EffectKind::kWithout, {2}) + Mean(t, EffectKind::kRest, {0, 1, 2}),
              Mean(t, EffectKind::kWhole, {0, 1, 2}), 1e-12);
  EXPECT_THAT(RenderHtml(c), HasSubstr("each part makes beside the others"));
}

TEST(Ablation, IsRenderedEverywhere) {
  EAQ_ASSERT_OK_AND_ASSIGN(Comparison c, Compare(AblationOfThree()));
  const std::string text = RenderText(c, {.width = 120});
  EXPECT_THAT(text, HasSubstr("Ablation W8A8: Hybrid relative to RTN"));
  EXPECT_THAT(text, HasSubstr("smoothing alone"));
  EXPECT_THAT(text, HasSubstr("smoothing \xC3\x97 clip"));
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    EXPECT_LE(report_internal::DisplayWidth(line), 120) << line;
  }
  const std::string html = RenderHtml(c);
  EXPECT_THAT(html, HasSubstr("<h3>W8A8: Hybrid relative to RTN</h3>"));
  EXPECT_THAT(html, HasSubstr("id=\"ablation0-t\""));
  EXPECT_THAT(html, HasSubstr("transform.smoothquant"));
  EXPECT_THAT(html, HasSubstr("difference to full precision, nats per token</text>"));
  const std::string csv = RenderAblationCsv(absl::MakeConstSpan(&c, 1));
  const std::vector<std::string> lines = absl::StrSplit(csv, "\r\n");
  ASSERT_EQ(lines.size(), 1 + (1 + 3 + 3 + 3 + 1) + 1u);
  for (size_t i = 0; i + 1 < lines.size(); ++i) {
    EXPECT_EQ(std::count(lines[i].begin(), lines[i].end(), ','), 15) << lines[i];
  }
  EXPECT_THAT(lines[2], HasSubstr("ref-s,W8A8,,Hybrid,RTN,alone,smoothing,"));
  EXPECT_EQ(RenderAblationCsv({}), "");
  EXPECT_THAT(RenderLatex(c), HasSubstr("smoothing $\\times$ clip"));
  EXPECT_THAT(RenderJson(c), HasSubstr("\"effect\":\"interaction\",\"parts\":[0,1]"));
  if (const char* out = std::getenv("EAQ_REPORT_OUT")) {
    EAQ_ASSERT_OK(WriteFileAtomic(absl::StrCat(out, "/ablation.html"), html));
    EAQ_ASSERT_OK(WriteFileAtomic(absl::StrCat(out, "/ablation.tex"), RenderLatex(c)));
  }
}

TEST(Waterfall, StepsFollowEachOther) {
  Waterfall w("w", "title", "what it shows");
  EXPECT_EQ(w.Svg(), "");
  w.steps = {{"a & b", 1, 0, 0, Waterfall::kLevel, "1"},
             {"up", 0.5, 0.4, 0.6, Waterfall::kChange, "+0.5"},
             {"down", -1, -1, -1, Waterfall::kChange, "-1"},
             {"end", 0.5, 0, 0, Waterfall::kLevel, "0.5"}};
  const std::string svg = w.Svg();
  EXPECT_THAT(svg, HasSubstr("a &amp; b"));
  // From 1 to 1.5 rises (c1), from 1.5 to 0.5 falls (c2): the second bar is twice as wide and ends where "end" stands.
  const auto number = [&](const std::string& after, const std::string& name) {
    const size_t at = svg.find(absl::StrCat(" ", name, "=\""), svg.find(after));
    return std::strtod(svg.c_str() + at + name.size() + 3, nullptr);
  };
  const double up = number("<rect class=\"c1\"", "width"), down = number("<rect class=\"c2\"", "width");
  EXPECT_NEAR(down, 2 * up, 0.11);
  EXPECT_NEAR(number("<rect class=\"c1\"", "x") + up, number("<rect class=\"c2\"", "x") + down, 0.11);
  w.steps[1].value = NAN;
  EXPECT_EQ(w.Svg(), "");
  w.steps[1].value = 0;
  w.steps[0].kind = Waterfall::kChange;
  EXPECT_EQ(w.Svg(), "");
}

// ---- the fairness gate ----
ReportInputs ThreeMethods() { return report_internal::SyntheticInputs({.methods = 3, .schemes = 1, .seeds = 1}); }
void SetBits(ReportTrial& t, double bits) {
  for (Metric& m : *t.result.mutable_metric()) {
    if (m.name() == "bits_per_weight") m.set_value(bits);
  }
}

TEST(Gate, OtherStoredBitsAreNotRankedTogether) {
  ReportInputs in = ThreeMethods();
  SetBits(in.trials[3], 8.34);  // the best method by far; within the tolerance
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison same, Compare(in));
  EXPECT_EQ(same.schemes[0].rankings.size(), 1u);
  EXPECT_THAT(same.gate, IsEmpty());
  EXPECT_EQ(same.duels.size(), 3u);
  SetBits(in.trials[3], 8.345);
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  ASSERT_EQ(c.schemes[0].rankings.size(), 2u);
  EXPECT_THAT(c.schemes[0].rankings[0].groups, ElementsAre(1, 2));
  EXPECT_THAT(c.schemes[0].rankings[1].groups, ElementsAre(3));
  EXPECT_EQ(c.duels.size(), 1u);  // no verdict between them
  EXPECT_FALSE(c.groups[3].best);
  EXPECT_THAT(c.schemes[0].rankings[0].sentence, HasSubstr("W8A8, 8.33 bits: "));
  EXPECT_THAT(c.schemes[0].rankings[0].sentence, Not(HasSubstr("SmoothQuant")));
  ASSERT_EQ(c.gate.size(), 1u);
  EXPECT_THAT(c.gate[0], HasSubstr("W8A8: not ranked together: RTN, RTN+clip (8.33 bits) | SmoothQuant (8.3"));
  EXPECT_THAT(c.gate[0], HasSubstr("rank_despite: [STORED_BITS]"));
  for (const std::string& out : {RenderText(c), RenderHtml(c), RenderJson(c)}) {
    EXPECT_THAT(out, HasSubstr("W8A8: not ranked together"));
  }
  EXPECT_THAT(RenderLatex(c), HasSubstr("not ranked together"));
}

TEST(Gate, OtherScopeIsNotRankedTogether) {
  ReportInputs in = ThreeMethods();
  in.trials[3].spec.mutable_recipe()->mutable_router()->mutable_quantize();
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  EXPECT_EQ(c.schemes[0].rankings.size(), 2u);
  EXPECT_EQ(c.groups[3].scope, "attention and experts, router at 8 bits");
  EXPECT_THAT(c.gate[0], HasSubstr("rank_despite: [SCOPE]"));
  // What the allocator left alone is scope too, though the spec does not show it.
  in = ThreeMethods();
  for (LinearReport& l : *in.trials[2].result.mutable_linear()) {
    if (absl::EndsWith(l.id(), ".o")) l.set_bits(16);
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison d, Compare(in));
  EXPECT_EQ(d.groups[2].scope, "attention and experts, router kept; o left at 16 bits");
  EXPECT_EQ(d.schemes[0].rankings.size(), 2u);
}

TEST(Gate, TheSpecMayLetDifferencesPassAndTheTableSaysSo) {
  ReportInputs in = ThreeMethods();
  SetBits(in.trials[3], 9);
  in.trials[2].spec.mutable_recipe()->mutable_router()->mutable_quantize();
  CompareOptions o;
  o.rank_despite_bits = true;
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison bits, Compare(in, o));
  EXPECT_EQ(bits.schemes[0].rankings.size(), 2u);  // the scope still differs
  o.rank_despite_scope = true;
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison all, Compare(in, o));
  EXPECT_EQ(all.schemes[0].rankings.size(), 1u);
  EXPECT_EQ(all.duels.size(), 3u);
  ASSERT_EQ(all.gate.size(), 2u);
  EXPECT_THAT(all.gate[0], HasSubstr("in spite of different scope"));
  EXPECT_THAT(all.gate[1], HasSubstr("in spite of different stored bits per weight (8.33 to 9.00)"));
  EXPECT_THAT(RenderText(all), HasSubstr("in spite of different stored bits"));
  // Nothing differs: nothing is said.
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison plain, Compare(ThreeMethods(), o));
  EXPECT_THAT(plain.gate, IsEmpty());
}

// ---- field by field ----
Recipe Nearest(bool clip) {
  Recipe r;
  r.mutable_solve()->mutable_nearest();
  if (clip) r.mutable_solve()->mutable_nearest()->mutable_clip();
  r.mutable_router()->mutable_keep();
  return r;
}

TEST(Fields, EqualAndUnequalByName) {
  const Recipe rtn = Nearest(false), clip = Nearest(true);
  Recipe gptq = rtn;
  gptq.mutable_solve()->mutable_gptq()->mutable_clip()->set_steps(100);  // the default, spelled out
  gptq.set_propagate(Recipe::QUANTIZED);
  const auto f = report_internal::CompareFields({{"RTN", &rtn}, {"RTN+clip", &clip}, {"GPTQ", &gptq}});
  EXPECT_THAT(f.unequal,
              ElementsAre("solve: nearest (RTN, RTN+clip); gptq (GPTQ)",
                          "solve.clip: unset (RTN); { norm: L24 steps: 100 max_shrink: 0.8 } (RTN+clip, GPTQ)"));
  EXPECT_THAT(f.equal,
              ElementsAre("calibration: none", "transform: none", "allocate: none", "solve.fixed_clip_ratio: 1",
                          "solve.ratio_search: unset", "solve.zero_in_range: true", "router: keep", "activation: none",
                          "propagate: QUANTIZED", "online_pruning: none"));  // GPTQ's damping: its own business
}

TEST(Forms, AreNamedAndStandApart) {
  ReportInputs in = ThreeMethods();
  in.form = "as published";
  std::vector<Comparison> parts;
  EAQ_ASSERT_OK_AND_ASSIGN(parts.emplace_back(), Compare(in));
  in.form = "equal";
  EAQ_ASSERT_OK_AND_ASSIGN(parts.emplace_back(), Compare(in));
  EXPECT_THAT(RenderText(parts[1]), HasSubstr("Methods against schemes on ref-s, equal"));
  EXPECT_THAT(RenderLatex(parts[0]), HasSubstr("on ref-s, as published}"));
  const std::string html = RenderHtml(parts);
  EXPECT_THAT(html, HasSubstr("<h1 class=\"part\" id=\"part1\">ref-s, equal</h1>"));
  EXPECT_THAT(html, HasSubstr("Not equal (form: equal)"));
  EXPECT_THAT(html, HasSubstr("Recipe, calibration: none (RTN); random (RTN+clip, SmoothQuant)"));
  // Every id of the page is there once, and what refers to one finds it.
  std::map<std::string, int> ids;
  for (size_t at = html.find(" id=\""); at != std::string::npos; at = html.find(" id=\"", at + 1)) {
    ++ids[html.substr(at + 5, html.find('"', at + 5) - at - 5)];
  }
  EXPECT_GT(ids.size(), 20u);
  for (const auto& [id, n] : ids) EXPECT_EQ(n, 1) << id;
  constexpr char kBy[] = "aria-labelledby=\"";
  for (size_t at = html.find(kBy); at != std::string::npos; at = html.find(kBy, at + 1)) {
    const size_t begin = at + sizeof(kBy) - 1;
    for (const absl::string_view id : absl::StrSplit(html.substr(begin, html.find('"', begin) - begin), ' ')) {
      EXPECT_EQ(ids.count(std::string(id)), 1u) << id;
    }
  }
  const std::string csv = RenderCsv(parts);
  EXPECT_THAT(csv, HasSubstr(",as published,"));
  EXPECT_THAT(csv, HasSubstr(",equal,"));
  EXPECT_EQ(csv.find("model,scheme"), csv.rfind("model,scheme"));
}

// ---- cost ----
ReportTrial Timed(const std::string& key, const std::string& recipe, double wall,
                  const std::vector<std::tuple<std::string, double, bool>>& stages) {
  ReportTrial t;
  t.key = key;
  t.spec.mutable_model()->set_name("m");
  if (!recipe.empty()) {
    t.spec.mutable_scheme();
    t.spec.mutable_recipe()->set_name(recipe);
  }
  t.result.set_wall_seconds(wall);
  for (const auto& [name, seconds, cached] : stages) {
    StageRun& s = *t.result.add_stage();
    s.set_stage(name);
    s.set_hash("hash of " + name);
    s.set_seconds(seconds);
    s.set_from_cache(cached);
  }
  return t;
}

TEST(Cost, WhatTheCacheSaved) {
  const std::vector<ReportTrial> trials = {
      Timed("f", "", 4, {{"full precision", 3, false}}),
      Timed("a", "A", 12, {{"full precision", 0.5, true}, {"profile", 6, false}, {"solve/A", 4, false}}),
      Timed("b", "B", 5, {{"full precision", 0.5, true}, {"profile", 1, true}, {"solve/B", 2, false}}),
      Timed("b", "B", 5, {{"full precision", 0.5, true}, {"profile", 1, true}, {"solve/B", 2, false}}),  // the same
      Timed("c", "A", 1, {{"gone", 0.1, true}}),  // made by a trial that is not here
  };
  const CostTable cost = MeasureCost(trials);
  ASSERT_EQ(cost.rows.size(), 3u);
  EXPECT_EQ(cost.recipes, 2);
  EXPECT_EQ(cost.rows[1].recipe, "A");
  EXPECT_EQ(cost.rows[1].trials, 2);
  EXPECT_DOUBLE_EQ(cost.rows[1].spent, 13);
  EXPECT_DOUBLE_EQ(cost.rows[1].alone, 13 + 2.5);
  EXPECT_DOUBLE_EQ(cost.rows[2].alone, 5 + 2.5 + 5);
  EXPECT_DOUBLE_EQ(cost.spent, 22);  // full precision is paid for once
  EXPECT_DOUBLE_EQ(cost.alone, 28);
  EXPECT_EQ(cost.unknown_stages, 1);
  EXPECT_EQ(cost.rows[2].stages_from_cache, 2);
  EXPECT_DOUBLE_EQ(CostGoal(1), 1);
  EXPECT_DOUBLE_EQ(CostGoal(10), 0.37);
}

// What a method costs: medians over its trials, the tokens that one trial reads; what is not recorded is said.
TEST(Cost, MediansTokensAndWhatIsMissing) {
  std::vector<ReportTrial> trials = {
      Timed("f", "", 4, {}),
      Timed("a1", "A", 10, {{"profile", 6, false}}),
      Timed("a2", "A", 2, {{"profile", 1, true}}),
      Timed("a3", "A", 4, {{"profile", 1, true}}),
      Timed("b1", "B", 0, {}),  // no wall time in the ledger
      Timed("b2", "B", 8, {}),
      Timed("c", "C", 0, {}),
  };
  for (size_t i = 1; i < 4; ++i) {
    trials[i].spec.mutable_recipe()->mutable_calibration()->mutable_random();
    trials[i].spec.mutable_calibration()->set_windows(i == 3 ? 32 : 64);
    trials[i].spec.mutable_calibration()->set_window(256);
    trials[i].result.set_peak_memory_bytes(1 << (20 + i));
  }
  const CostTable cost = MeasureCost(trials);
  ASSERT_EQ(cost.rows.size(), 4u);
  const CostRow &full = cost.rows[0], &a = cost.rows[1], &b = cost.rows[2], &c = cost.rows[3];
  EXPECT_EQ(full.calibration_tokens_most, 0);
  EXPECT_EQ(*a.median_seconds, 4);
  EXPECT_EQ(*a.median_alone, 9);  // of 10, 2 + 5, 4 + 5
  EXPECT_EQ(a.calibration_tokens_least, 32 * 256);
  EXPECT_EQ(a.calibration_tokens_most, 64 * 256);
  EXPECT_EQ(a.peak_memory_bytes, 8 << 20);
  EXPECT_EQ(b.timed, 1);
  EXPECT_EQ(*b.median_seconds, 8);
  EXPECT_FALSE(c.median_seconds.has_value());
  EAQ_ASSERT_OK_AND_ASSIGN(Comparison shown, Compare(ThreeMethods()));
  shown.cost = cost;
  for (const std::string& text : {RenderText(shown, {.width = 0}), RenderHtml(shown)}) {
    EXPECT_THAT(text, HasSubstr("8192 to 16384"));
    EXPECT_THAT(text, HasSubstr("not recorded"));
    EXPECT_THAT(text, HasSubstr("Of 2 trials the ledger has no wall time"));
    EXPECT_THAT(text, HasSubstr("none"));
  }
  const std::string csv = RenderCostCsv(absl::MakeConstSpan(&shown, 1));
  EXPECT_THAT(csv, HasSubstr("\r\nm,A,3,3,8192,16384,4,9,8388608,16,26,3,2\r\n"));
  EXPECT_THAT(csv, HasSubstr("\r\nm,C,1,0,0,0,,,,0,0,0,0\r\n"));  // empty: not known
  EXPECT_EQ(RenderCostCsv({}), "");
}

TEST(Cost, IsRendered) {
  EAQ_ASSERT_OK_AND_ASSIGN(Comparison c, Compare(ThreeMethods()));
  EXPECT_THAT(RenderHtml(c), Not(HasSubstr("what sharing saves")));
  c.cost = MeasureCost({Timed("a", "A", 10, {{"profile", 8, false}}), Timed("b", "B", 2, {{"profile", 0, true}})});
  const std::string html = RenderHtml(c);
  EXPECT_THAT(html, HasSubstr("Cost, and what sharing saves"));
  EXPECT_THAT(html, HasSubstr("60 %; goal for N = 2, (1 + 0.3 (N - 1)) / N: 65 %: met"));
  EXPECT_THAT(RenderText(c, {.width = 0}), HasSubstr("2 recipes on m"));
  EXPECT_THAT(RenderText(c, {.timings = false}), Not(HasSubstr("2 recipes on m")));  // comparable byte by byte
  c.cost = MeasureCost({Timed("a", "A", 10, {{"profile", 8, false}})});
  EXPECT_THAT(RenderHtml(c), AllOf(HasSubstr("1 recipe on m"), Not(HasSubstr("goal for N"))));  // nobody to share with
}

// Rows of another backend are not ranked among the CPU's; a report of them alone says whose they are.
TEST(Fairness, TheBackendIsSaid) {
  ReportInputs in = ThreeMethods();
  in.trials[1].spec.set_backend("emulation");
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison mixed, Compare(in));
  EXPECT_THAT(RenderText(mixed, {}), HasSubstr("backend"));
  for (ReportTrial& trial : in.trials) trial.spec.set_backend("emulation");
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison all, Compare(in));
  EXPECT_THAT(all.notes, Contains(HasSubstr("Evaluated by the emulation backend")));
}

}  // namespace
}  // namespace eaq
