// RenderLatex: what TeX would stumble over, without needing TeX.
#include <cctype>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/base/status_matchers.h"
#include "eaq/report/report.h"
#include "eaq/report/testing.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using report_internal::SyntheticInputs;

constexpr char kNasty[] = R"(50% & a_b #1 $x$ ~ ^2 \cmd {c})";
constexpr char kNastyInLatex[] =
    R"(50\% \& a\_b \#1 \$x\$ \textasciitilde{} \textasciicircum{}2 \textbackslash{}cmd \{c\})";

size_t Count(absl::string_view text, absl::string_view what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != absl::string_view::npos; at = text.find(what, at + what.size())) ++n;
  return n;
}

// Reads LATEX as TeX's scanner does (escapes, comments, math, braces, environments, alignment) and names the first
// thing that would stop it; "" when there is none.
std::string Complaint(absl::string_view latex) {
  std::vector<std::string> environments;
  int depth = 0;
  bool math = false;
  for (size_t i = 0; i < latex.size(); ++i) {
    const char c = latex[i];
    if (c == '\\') {
      size_t end = i + 1;
      while (end < latex.size() && std::isalpha(static_cast<unsigned char>(latex[end]))) ++end;
      if (end == i + 1) {  // one character: \%, \\, ...
        ++i;
        continue;
      }
      const absl::string_view command = latex.substr(i + 1, end - i - 1);
      if (command == "begin" || command == "end") {
        if (end >= latex.size() || latex[end] != '{') return absl::StrCat("no { after \\", command);
        const size_t close = latex.find('}', end);
        if (close == absl::string_view::npos) return "an environment without its }";
        const std::string name(latex.substr(end + 1, close - end - 1));
        if (command == "begin") {
          environments.push_back(name);
        } else if (environments.empty() || environments.back() != name) {
          return absl::StrCat("\\end{", name, "} does not close what is open");
        } else {
          environments.pop_back();
        }
        end = close + 1;
      }
      i = end - 1;
    } else if (c == '%') {
      while (i < latex.size() && latex[i] != '\n') ++i;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}') {
      if (--depth < 0) return "a } too many";
    } else if (c == '$') {
      math = !math;
    } else if (c == '#' || c == '~') {
      return absl::StrCat("a bare ", std::string(1, c));
    } else if ((c == '_' || c == '^') && !math) {
      return absl::StrCat("a ", std::string(1, c), " outside of math");
    } else if (c == '&' && (environments.empty() || environments.back() != "tabular" || depth > 0 || math)) {
      return "an & outside of a cell";
    } else if (c == '\n' && math) {
      return "math over the end of a line";
    }
  }
  if (depth != 0) return "a { without its }";
  if (math) return "a $ without its $";
  return environments.empty() ? "" : absl::StrCat(environments.back(), " is never closed");
}

// That the scanner finds what it is there to find.
TEST(Complaint, FindsWhatIsWrong) {
  EXPECT_EQ(Complaint(R"(\begin{tabular}{ll}a & $x^2$ \% \\ \end{tabular} % & # _)"), "");
  for (const char* bad : {"a_b", "a & b", "#1", "{", "}", "$x", "a^b", "a~b", R"(\begin{tabular})", R"(\end{table})",
                          R"(\begin{table}\begin{tabular}\end{table}\end{tabular})",
                          R"(\begin{tabular}{l}\textbf{a & b}\end{tabular})"}) {
    EXPECT_NE(Complaint(bad), "") << bad;
  }
}

// Every name that people choose, nasty.
ReportInputs NastyInputs() {
  ReportInputs in = SyntheticInputs({.methods = 3, .schemes = 2, .seeds = 2, .domains = 2, .windows = 24});
  in.provenance.ledger = absl::StrCat("results/", kNasty, ".db");
  for (ReportTrial& t : in.trials) {
    const std::string domain = absl::StrCat("d ", kNasty);
    t.spec.mutable_evaluation()->mutable_domain(0)->set_name(domain);
    for (Series& s : *t.result.mutable_series()) {
      if (s.domain() == "encyclopedia") s.set_domain(domain);
    }
    if (!t.spec.has_scheme()) continue;
    t.spec.mutable_scheme()->set_name(absl::StrCat("s ", kNasty, t.spec.scheme().name()));
    t.spec.mutable_recipe()->set_title(absl::StrCat("r ", kNasty, t.spec.recipe().name()));
  }
  ReportTrial other = in.trials.back();  // another calibration text: a marked row, whose mark is a footnote
  other.key = "other";
  other.spec.mutable_calibration()->clear_domain();
  other.spec.mutable_calibration()->add_domain()->set_name(absl::StrCat("c ", kNasty));
  in.trials.push_back(other);
  return in;
}

TEST(RenderLatex, EscapesEveryName) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(NastyInputs()));
  const std::string latex = RenderLatex(c);
  EXPECT_EQ(Complaint(latex), "") << latex;
  for (const char* name : {"d ", "s ", "r ", "c ", "results/"}) {
    EXPECT_TRUE(absl::StrContains(latex, absl::StrCat(name, kNastyInLatex))) << name << "\n" << latex;
  }
  EXPECT_FALSE(absl::StrContains(latex, kNasty));
  EXPECT_FALSE(absl::StrContains(latex, "\\cmd"));
}

TEST(RenderLatex, ABooktabsTable) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(SyntheticInputs()));
  const std::string latex = RenderLatex(c);
  EXPECT_EQ(Complaint(latex), "") << latex;
  EXPECT_TRUE(absl::StartsWith(latex, "% Needs \\usepackage{booktabs}\n\\begin{table}\n"));
  EXPECT_TRUE(absl::EndsWith(latex, "\\end{tabular}\n\\end{table}\n"));
  EXPECT_EQ(Count(latex, "\\toprule"), 1u);
  EXPECT_EQ(Count(latex, "\\midrule"), 2u);       // below the head and below full precision
  EXPECT_EQ(Count(latex, "\\addlinespace"), 3u);  // between the four schemes
  EXPECT_EQ(Count(latex, "\\bottomrule"), 1u);
  EXPECT_FALSE(absl::StrContains(latex, "\\hline"));
  EXPECT_LT(latex.find("\\toprule"), latex.find("\\midrule"));
  EXPECT_LT(latex.rfind("\\midrule"), latex.find("\\bottomrule"));
  // Every row has as many cells as the preamble has columns: scheme, method, bits, 4 domains, all, delta.
  EXPECT_TRUE(absl::StrContains(latex, "\\begin{tabular}{llrrrrrrr}"));
  EXPECT_TRUE(absl::StrContains(latex, "\\multicolumn{9}{"));
  size_t rows = 0;
  for (const absl::string_view line : absl::StrSplit(latex, '\n')) {
    if (!absl::EndsWith(line, "\\\\")) continue;
    ++rows;
    EXPECT_EQ(Count(line, " & ") + (absl::StartsWith(line, "& ") ? 1 : 0), 8u) << line;
  }
  EXPECT_EQ(rows, 1 + c.groups.size());
  size_t best = 0;
  for (const Group& g : c.groups) best += g.best;
  EXPECT_EQ(Count(latex, "\\boldmath"), best);
  EXPECT_EQ(best, 4u);
}

TEST(RenderLatex, TasksAreColumns) {
  ReportInputs in = SyntheticInputs({.methods = 2, .schemes = 2, .seeds = 1, .domains = 2});
  report_internal::AddSyntheticTask(absl::StrCat("t ", kNasty), 0.7, in);
  report_internal::AddSyntheticTask("blind", 0.5, in);
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison c, Compare(in));
  const std::string latex = RenderLatex(c);
  EXPECT_EQ(Complaint(latex), "") << latex;
  EXPECT_TRUE(absl::StrContains(latex, "\\begin{tabular}{llrrrrrrr}"));
  for (const absl::string_view line : absl::StrSplit(latex, '\n')) {
    if (!absl::EndsWith(line, "\\\\")) continue;
    EXPECT_EQ(Count(line, " & ") + (absl::StartsWith(line, "& ") ? 1 : 0), 8u) << line;
  }
  EXPECT_TRUE(absl::StrContains(latex, absl::StrCat("t ", kNastyInLatex, " (\\%)")));
  EXPECT_TRUE(absl::StrContains(latex, "(at chance)"));
  EXPECT_FALSE(absl::StrContains(latex, kNasty));
}

TEST(RenderLatex, TheSameBytesForTheSameInput) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison once, Compare(NastyInputs()));
  EAQ_ASSERT_OK_AND_ASSIGN(const Comparison again, Compare(NastyInputs()));
  EXPECT_EQ(RenderLatex(once), RenderLatex(again));
}

}  // namespace
}  // namespace eaq
