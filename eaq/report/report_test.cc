#include "eaq/report/report.h"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/base/file.h"
#include "eaq/base/hash.h"
#include "eaq/base/status_matchers.h"
#include "eaq/report/format.h"
#include "eaq/report/testing.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using report_internal::SyntheticInputs;
using report_internal::SyntheticOptions;

const Group* Find(const Comparison& c, absl::string_view scheme, absl::string_view recipe) {
  for (const Group& g : c.groups) {
    if (g.scheme == scheme && g.recipe == recipe) return &g;
  }
  return nullptr;
}

size_t Count(absl::string_view text, absl::string_view what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != absl::string_view::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

TEST(Compare, FindsTheKnownOrder) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(SyntheticInputs()));
  ASSERT_EQ(c.groups.size(), 17u);
  EXPECT_TRUE(c.groups[0].full_precision);
  ASSERT_EQ(c.schemes.size(), 4u);
  EXPECT_EQ(c.options.baseline, "RTN");
  EXPECT_EQ(c.windows, 256);
  EXPECT_EQ(c.documents, 128);
  EXPECT_EQ(c.duels.size(), 24u);
  EXPECT_EQ(c.family_full, 16);
  const Group* best = Find(c, "W2A16g32", "GPTQ");
  ASSERT_NE(best, nullptr);
  EXPECT_TRUE(best->best);
  EXPECT_EQ(best->seeds.size(), 3u);
  EXPECT_EQ(best->pooled.versus_full->verdict, Verdict::kWorse);
  EXPECT_EQ(Find(c, "W8A8", "GPTQ")->pooled.versus_full->verdict, Verdict::kEquivalent);
  EXPECT_TRUE(absl::StrContains(c.schemes[3].rankings[0].sentence,
                                "W2A16g32: best is GPTQ: significantly better than SmoothQuant"))
      << c.schemes[3].rankings[0].sentence;
  EXPECT_TRUE(absl::StrContains(c.schemes[3].rankings[0].sentence, "better than RTN ("))
      << c.schemes[3].rankings[0].sentence;
}

// The reference may be named by the recipe's name, though the table shows its title.
TEST(Compare, TheReferenceByNameOrTitle) {
  ReportInputs in = SyntheticInputs({.methods = 3, .schemes = 2});
  for (ReportTrial& t : in.trials) {
    if (t.spec.has_scheme()) t.spec.mutable_recipe()->set_title("The " + t.spec.recipe().name());
  }
  for (const char* name : {"RTN", "The RTN"}) {
    CompareOptions options;
    options.baseline = name;
    EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in, options));
    EXPECT_EQ(c.options.baseline, "The RTN");
    EXPECT_TRUE(absl::StrContains(c.schemes[1].rankings[0].sentence, "better than The RTN ("))
        << c.schemes[1].rankings[0].sentence;
  }
}

// No winner is named unless it beats every other row; equivalence is argued by the margin, not by a large p.
TEST(Compare, NoWinnerAmongEquals) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(SyntheticInputs()));
  const SchemeSummary& w8 = c.schemes[0];
  EXPECT_TRUE(absl::StrContains(w8.rankings[0].sentence, "W8A8: no clear winner: lowest loss "))
      << w8.rankings[0].sentence;
  EXPECT_TRUE(absl::StrContains(w8.rankings[0].sentence,
                                "inside \xC2\xB1"
                                "0.005)"))
      << w8.rankings[0].sentence;
  EXPECT_TRUE(absl::StrContains(w8.rankings[0].sentence, "also equivalent: ")) << w8.rankings[0].sentence;
  EXPECT_FALSE(absl::StrContains(w8.rankings[0].sentence, "Holm p")) << w8.rankings[0].sentence;
  for (const int i : w8.groups) EXPECT_NE(c.groups[i].best, c.groups[i].tied);
  for (const int i : c.schemes[3].groups) EXPECT_FALSE(c.groups[i].tied);
  // Rows that are the same in every window are called that.
  ReportInputs same = SyntheticInputs({.methods = 2, .schemes = 1, .seeds = 1});
  *same.trials[2].result.mutable_series() = same.trials[1].result.series();
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison d, Compare(same));
  EXPECT_TRUE(absl::StrContains(d.schemes[0].rankings[0].sentence, "the same loss in every window as "))
      << d.schemes[0].rankings[0].sentence;
  EXPECT_TRUE(d.groups[1].pooled.lowest && d.groups[2].pooled.lowest);
}

TEST(Compare, SaysWhatIsNotEqual) {
  ReportInputs in = SyntheticInputs({.methods = 3, .schemes = 1, .seeds = 2});
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  ASSERT_EQ(c.unequal.size(), 1u);
  EXPECT_EQ(
      c.unequal[0],
      "Calibration data: RTN reads none and ran once; RTN+clip, SmoothQuant read 64 windows of 256 tokens, drawn 2 "
      "times and averaged");
  for (Metric& m : *in.trials[1].result.mutable_metric()) {
    if (m.name() == "bits_per_weight") m.set_value(9);
  }
  in.provenance.binaries = {{"a", 3}, {"b", 2}};
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison d, Compare(in));
  ASSERT_EQ(d.unequal.size(), 2u);
  EXPECT_EQ(d.unequal[1], "Stored bits per weight under W8A8: from 8.33 (RTN+clip) to 9.00 (RTN)");
  EXPECT_TRUE(absl::StrContains(d.notes.back(), "2 different binaries")) << d.notes.back();
}

// Once for every sample that is, whatever recipes it serves.
TEST(Compare, WarnsOfDegenerateCalibration) {
  ReportInputs in = SyntheticInputs({.methods = 4, .schemes = 1, .seeds = 2});
  const auto notes = [&](const std::string& share) {
    size_t count = 0;
    const auto c = Compare(in);
    if (!c.ok()) return size_t{99};
    for (const std::string& note : c->notes)
      count += Count(note, absl::StrCat("Degenerate calibration: of the windows that the model wrote for SmoothQuant, ",
                                        share, " repeat themselves"));
    return count;
  };
  const auto set = [&](const std::string& title, double share) {
    for (ReportTrial& trial : in.trials) {
      if (trial.spec.recipe().title() != title && trial.spec.recipe().name() != title) continue;
      Metric& metric = *trial.result.add_metric();
      metric.set_name("calibration_repetitive");
      metric.set_value(share);
    }
  };
  set("RTN+clip", 0.01);
  EXPECT_EQ(notes("1%"), 0u);
  set("SmoothQuant", 0.37);
  set("GPTQ", 0.37);
  EXPECT_EQ(notes("37%"), 1u);
}

// More duels than the draws can tell apart from chance: said, with the number of draws that can.
TEST(Compare, SaysWhenNoDuelCanBeSignificant) {
  const ReportInputs in = SyntheticInputs();
  const auto note = [&](int draws) {
    CompareOptions options;
    options.paired.draws = draws;
    const auto c = Compare(in, options);
    for (size_t i = 0; c.ok() && i < c->notes.size(); ++i) {
      if (absl::StartsWith(c->notes[i], "No duel can be significant")) return c->notes[i];
    }
    return std::string();
  };
  EXPECT_EQ(note(200),
            "No duel can be significant: of 24 with 200 draws the smallest Holm p is 0.119. More draws: "
            "comparison { draws: 1000 }.");  // 24 / 201
  EXPECT_EQ(note(1000), "");
}

// Methods without calibration tokens have no output error: no map that looks like zero, and a line that says so.
TEST(RenderHtml, UnmeasuredErrorIsNotZero) {
  ReportInputs in = SyntheticInputs({.methods = 2, .schemes = 1, .seeds = 1});
  for (LinearReport& l : *in.trials[1].result.mutable_linear()) l.clear_output_error();
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  const std::string html = RenderHtml(c);
  EXPECT_TRUE(absl::StrContains(html, "Output error not measured, not zero: RTN reads no calibration tokens."));
  EXPECT_EQ(Count(html, "W8A8 RTN: relative output error"), 0u);
  EXPECT_EQ(Count(html, "W8A8 RTN: relative weight error"), 1u);
  EXPECT_EQ(Count(html, "W8A8 RTN+clip: relative output error"), 1u);
}

TEST(Compare, CellsAreTheMeansOfTheWindows) {
  const ReportInputs in = SyntheticInputs({.methods = 2, .schemes = 2, .seeds = 2, .domains = 2});
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  const Group* g = Find(c, "W4A4", "RTN+clip");
  ASSERT_NE(g, nullptr);
  // The naive twin: mean over both seeds' windows of domain 1, minus full precision's.
  double sum = 0, full = 0;
  int n = 0;
  for (const ReportTrial& t : in.trials) {
    double mean = 0;
    for (const double v : t.result.series(1).value()) mean += v / 64;
    if (!t.spec.has_scheme()) full = mean;
    if (t.spec.scheme().name() == "W4A4" && t.spec.recipe().name() == "RTN+clip") {
      sum += mean;
      ++n;
    }
  }
  ASSERT_EQ(n, 2);
  EXPECT_NEAR(g->domain[1].nll, sum / 2, 1e-12);
  EXPECT_NEAR(g->domain[1].perplexity, std::exp(sum / 2), 1e-9);
  EXPECT_NEAR(g->domain[1].versus_full->mean, sum / 2 - full, 1e-12);
  EXPECT_NEAR(g->pooled.versus_full->mean, (g->domain[0].versus_full->mean + g->domain[1].versus_full->mean) / 2,
              1e-12);
  EXPECT_NEAR((g->pooled.seed_delta[0] + g->pooled.seed_delta[1]) / 2, g->pooled.versus_full->mean, 1e-12);
  EXPECT_NEAR(g->pooled.seed_spread, std::abs(g->pooled.seed_delta[0] - g->pooled.seed_delta[1]) / std::sqrt(2.0),
              1e-12);
}

TEST(Compare, SetsUnfairTrialsAside) {
  ReportInputs in = SyntheticInputs({.methods = 2, .schemes = 1, .seeds = 1});
  ReportTrial other = in.trials[1];
  other.spec.mutable_model()->set_hash(Sha256Hex("another model"));
  in.trials.push_back(other);
  other = in.trials[1];
  other.spec.mutable_evaluation()->set_windows(32);
  in.trials.push_back(other);
  other = in.trials[1];
  other.spec.set_corpus_hash(0, Sha256Hex("another text"));
  in.trials.push_back(other);
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  EXPECT_EQ(c.groups.size(), 3u);
  ASSERT_EQ(c.refused.size(), 3u);
  EXPECT_TRUE(absl::StrContains(c.refused[0], "model "));
  EXPECT_TRUE(absl::StrContains(c.refused[1], "evaluation windows 32 instead of 64"));
  EXPECT_TRUE(absl::StrContains(c.refused[2], "other evaluation texts"));
}

TEST(Compare, MarksAnotherCalibrationBudget) {
  ReportInputs in = SyntheticInputs({.methods = 3, .schemes = 1, .seeds = 2});
  ReportTrial code = in.trials.back();
  code.key = "code";
  code.spec.mutable_calibration()->clear_domain();
  code.spec.mutable_calibration()->add_domain()->set_name("code");
  for (Series& s : *code.result.mutable_series()) {
    for (double& v : *s.mutable_value()) v -= 1;  // far the best, and yet not "best"
  }
  in.trials.push_back(code);
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  ASSERT_EQ(c.groups.size(), 5u);
  EXPECT_EQ(c.groups[4].mark, "calibrated on 64 windows of 256 tokens: code");
  EXPECT_EQ(c.groups[4].recipe, "SmoothQuant [code]");
  EXPECT_FALSE(c.groups[4].best);
  EXPECT_TRUE(absl::StrContains(RenderText(c), "\xE2\x80\xA0 W8A8"));
}

TEST(Compare, BrokenAndMissing) {
  EXPECT_FALSE(Compare({}).ok());
  ReportInputs in = SyntheticInputs({.methods = 2, .schemes = 1, .seeds = 1});
  in.trials[1].result.mutable_series(0)->set_value(5, std::numeric_limits<double>::quiet_NaN());
  const auto broken = Compare(in);
  ASSERT_FALSE(broken.ok());
  EXPECT_TRUE(absl::StrContains(broken.status().message(), "window 5")) << broken.status();
  // Without full precision the table still stands, and says what is missing.
  in = SyntheticInputs({.methods = 2, .schemes = 1, .seeds = 1});
  in.trials.erase(in.trials.begin());
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  EXPECT_FALSE(c.groups[0].pooled.versus_full.has_value());
  EXPECT_TRUE(absl::StrContains(RenderText(c), "No full-precision trial"));
  EXPECT_FALSE(RenderHtml(c).empty());
  EXPECT_FALSE(RenderLatex(c).empty());
}

TEST(RenderText, FitsAndIsHonest) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(SyntheticInputs()));
  for (const int width : {120, 100, 80}) {
    for (const absl::string_view line : absl::StrSplit(RenderText(c, {.width = width}), '\n')) {
      EXPECT_LE(report_internal::DisplayWidth(line), width) << line;
    }
  }
  const std::string text = RenderText(c, {.width = 140, .timings = false});
  EXPECT_TRUE(absl::StrContains(text, "256 windows"));
  EXPECT_TRUE(absl::StrContains(text, "128 documents") || absl::StrContains(text, "128\n"));
  EXPECT_FALSE(absl::StrContains(text, "time"));
  EXPECT_FALSE(absl::StrContains(text, "\x1b["));
  EXPECT_TRUE(absl::StrContains(RenderText(c, {.color = true}), "\x1b[1m"));
  // Other wall times, the same bytes.
  ReportInputs slower = SyntheticInputs();
  for (ReportTrial& t : slower.trials) t.result.set_wall_seconds(1e4);
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison d, Compare(slower));
  EXPECT_EQ(RenderText(d, {.width = 140, .timings = false}), text);
}

TEST(RenderHtml, IsSelfContainedAndDeterministic) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(SyntheticInputs()));
  const std::string html = RenderHtml(c);
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison again, Compare(SyntheticInputs()));
  EXPECT_EQ(RenderHtml(again), html);
  for (const char* word : {"http:", "https:", "src=", "@import", "url(", ">nan", "\"nan", "inf,"}) {
    EXPECT_FALSE(absl::StrContains(html, word)) << word;
  }
  EXPECT_TRUE(absl::StrContains(html, "default-src 'none'"));
  EXPECT_EQ(Count(html, "<svg"), Count(html, "</svg>"));
  EXPECT_EQ(Count(html, "<svg"), Count(html, "<desc id="));
  EXPECT_GT(Count(html, "<svg"), 10u);
  EXPECT_EQ(Count(html, "<table"), Count(html, "</table>"));
  EXPECT_EQ(Count(html, "<details"), Count(html, "</details>"));
  EXPECT_EQ(Count(html, "<section"), Count(html, "</section>"));
  if (const char* out = std::getenv("EAQ_REPORT_OUT")) {  // to look at it in a browser
    EAQ_ASSERT_OK(WriteFileAtomic(absl::StrCat(out, "/report.html"), html));
    EAQ_ASSERT_OK(WriteFileAtomic(absl::StrCat(out, "/report.txt"), RenderText(c, {.color = true})));
    EAQ_ASSERT_OK(WriteFileAtomic(absl::StrCat(out, "/report.tex"), RenderLatex(c)));
    EAQ_ASSERT_OK(WriteFileAtomic(absl::StrCat(out, "/report.csv"), RenderCsv(c)));
    EAQ_ASSERT_OK(WriteFileAtomic(absl::StrCat(out, "/report.json"), RenderJson(c)));
  }
}

TEST(RenderHtml, EscapesHostileNames) {
  const std::string evil = "</script><script>alert(1)</script>\"'&\x1b[31m";
  ReportInputs in = SyntheticInputs({.methods = 2, .schemes = 1, .seeds = 1});
  in.title = evil;
  in.provenance.corpora[evil] = evil;
  in.provenance.spec_text = evil;
  for (ReportTrial& t : in.trials) {
    t.spec.mutable_model()->set_name(evil);
    if (t.spec.has_scheme()) {
      t.spec.mutable_scheme()->set_name(evil);
      t.spec.mutable_recipe()->set_title(evil + t.spec.recipe().name());
    }
  }
  in.failures.push_back({"key", evil, evil, evil, 3, evil, evil, evil, evil});
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  const std::string html = RenderHtml(c);
  EXPECT_EQ(Count(html, "<script>"), 1u);
  EXPECT_EQ(Count(html, "</script>"), 1u);
  EXPECT_FALSE(absl::StrContains(html, "\"'&\x1b"));
  EXPECT_FALSE(absl::StrContains(RenderText(c), "\x1b"));
  EXPECT_FALSE(absl::StrContains(RenderJson(c), "<script>"));
}

TEST(RenderCsv, OneRowPerCell) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(SyntheticInputs()));
  const std::string csv = RenderCsv(c);
  EXPECT_EQ(Count(csv, "\r\n"), 1 + 17 * 5u);
  const std::vector<std::string> lines = absl::StrSplit(csv, "\r\n");
  EXPECT_EQ(Count(lines[0], ","), 34u);
}

// A small report, byte by byte: any change shows here, by rendering. Look at the page (EAQ_REPORT_OUT above) before
// changing a digest.
TEST(Golden, SmallReport) {
  ReportInputs in = SyntheticInputs({.methods = 2, .schemes = 2, .seeds = 2, .domains = 2, .windows = 24});
  in.failures.push_back({"0f", "ref-s", "W4A4", "GPTQ", 1, "oom", "killed for memory", "sweep --trial=0f", "/tmp/log"});
  in.pending = 2;
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  EXPECT_EQ(Sha256Hex(RenderHtml(c)), "184398e7bae28ada8f9658554a8bfd01c166636da0793d49cac7b670902b71c4");
  EXPECT_EQ(Sha256Hex(RenderText(c)), "97b4b0979f431f9fa1767ee1285a0bbb36582defc7aa619838854b5ddfcf3f26");
  EXPECT_EQ(Sha256Hex(RenderCsv(c)), "05d20d4d2cbb248182c5b67d9b9b487a6033138ae504e6c5a035762d542c115f");
  EXPECT_EQ(Sha256Hex(RenderLatex(c)), "427f70152619ae025475257a99d30c1aadf65f200766e7a4abb96b47a0209612");
  EXPECT_EQ(Sha256Hex(RenderJson(c)), "6b14d5001c1902cb4af4c74a5f828145eb6e69a07d40e1ed5cbbe01e0d7f955a");
}

}  // namespace
}  // namespace eaq
