#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/report/cost.h"
#include "eaq/report/expert_analysis.h"
#include "eaq/report/format.h"
#include "eaq/report/render_ablation.h"
#include "eaq/report/render_tasks.h"
#include "eaq/report/report.h"
#include "eaq/report/text_table.h"

namespace eaq {
namespace {

using report_internal::Fixed;
using report_internal::Paint;
using report_internal::PlainText;
using report_internal::Style;
using report_internal::TextTable;
using report_internal::Wrap;

// Columns that go, in this order, when the terminal is too narrow. What carries the verdict stays.
// The first three steps lose nothing: the pooled perplexity (the difference says it), long domain names, verdict words.
enum Drop {
  kDropNothing,
  kDropPooled,
  kShortNames,
  kSigns,
  kDropSeeds,
  kDropRouter,
  kDropKl,
  kDropTime,
  kDropDomains,
  kDropAll
};

// UTF-8 NAME in at most N columns, the last of them a point where something was cut.
std::string Short(const std::string& name, int n) {
  if (report_internal::DisplayWidth(name) <= n) return name;
  std::string out;
  for (const char ch : name) {
    if ((static_cast<unsigned char>(ch) & 0xC0) != 0x80 && --n == 0) break;
    out += ch;
  }
  return out + ".";
}

const char* VerdictSign(Verdict v) {
  switch (v) {
    case Verdict::kBetter:
      return "<";
    case Verdict::kWorse:
      return ">";
    case Verdict::kEquivalent:
      return "=";
    case Verdict::kUndecided:
      break;
  }
  return "?";
}

std::string Optional(const std::optional<double>& value, int digits) { return value ? Fixed(*value, digits) : "-"; }

std::string Percent(const std::optional<double>& value) { return value ? Fixed(100 * *value, 1) + "%" : "-"; }

Style VerdictStyle(Verdict v) {
  if (v == Verdict::kBetter || v == Verdict::kEquivalent) return Style::kGreen;
  return v == Verdict::kWorse ? Style::kRed : Style::kDim;
}

std::string SeedText(const Group& g) { return g.seeds.size() < 2 ? "-" : Fixed(g.pooled.seed_spread, 4); }

// "12 s", and seconds up to a thousand: a narrow column.
std::string TimeText(double seconds) {
  if (!(seconds > 0)) return "-";
  return seconds < 1000 ? Fixed(seconds, seconds < 10 ? 1 : 0) + " s" : report_internal::Seconds(seconds);
}

TextTable MakeTable(const Comparison& c, bool timings, int drop) {
  std::vector<TextTable::Column> columns = {{"method", false}, {"bits", true}};
  if (drop < kDropDomains) {
    for (const std::string& d : c.domains) columns.push_back({Short(PlainText(d), drop < kShortNames ? 12 : 7), true});
  }
  if (drop < kDropPooled) columns.push_back({"all", true});
  columns.push_back({"\xCE\x94 nats/token [95 %]", true});
  if (drop < kDropSeeds) columns.push_back({"seed sd", true});
  if (drop < kDropKl) columns.push_back({"KL", true});
  if (drop < kDropRouter) columns.push_back({"router", true});
  if (timings && drop < kDropTime) columns.push_back({"time", true});
  columns.push_back({drop < kSigns ? "vs full" : "", false});
  TextTable table(columns);

  std::string scheme;
  for (const Group& g : c.groups) {
    if (!g.full_precision && g.scheme != scheme) {
      scheme = g.scheme;
      table.AddHeading(PlainText(scheme));
    }
    const Style style = g.best ? Style::kBold : Style::kPlain;
    std::vector<TextTable::Cell> row;
    row.push_back({absl::StrCat(g.full_precision ? ""
                                                 : (g.best   ? "* "
                                                    : g.tied ? "\xE2\x89\x88 "
                                                             : "  "),
                                PlainText(g.recipe), g.mark.empty() ? "" : " \xE2\x80\xA0"),
                   style});
    row.push_back({g.bits_per_weight > 0 ? Fixed(g.bits_per_weight, 2) : "-", style});
    if (drop < kDropDomains) {
      for (const DomainCell& cell : g.domain)
        row.push_back({Fixed(cell.perplexity, 2), cell.lowest ? Style::kBold : Style::kPlain});
    }
    if (drop < kDropPooled) row.push_back({Fixed(g.pooled.perplexity, 2), style});
    const std::optional<PairedResult>& full = g.pooled.versus_full;
    row.push_back({full ? report_internal::Interval(*full, 4) : "-", style});
    if (drop < kDropSeeds) row.push_back({SeedText(g), style});
    if (drop < kDropKl) row.push_back({Optional(g.pooled.kl, 4), style});
    if (drop < kDropRouter) row.push_back({Percent(g.pooled.router_topk_agreement), style});
    if (timings && drop < kDropTime) row.push_back({TimeText(g.wall_seconds)});
    row.push_back({!full           ? ""
                   : drop < kSigns ? std::string(VerdictName(full->verdict))
                                   : VerdictSign(full->verdict),
                   full ? VerdictStyle(full->verdict) : Style::kPlain});
    table.Add(std::move(row));
  }
  return table;
}

std::string DroppedNames(int drop) {
  std::vector<std::string> names;
  if (drop >= kDropSeeds) names.push_back("seed sd");
  if (drop >= kDropRouter) names.push_back("router");
  if (drop >= kDropKl) names.push_back("KL");
  if (drop >= kDropTime) names.push_back("time");
  if (drop >= kDropDomains) names.push_back("domains");
  return absl::StrJoin(names, ", ");
}

// "3 calibration seeds", "1 to 3 calibration seeds"; "" where no row has any.
std::string SeedCount(const Comparison& c) {
  size_t least = ~size_t{0}, most = 0;
  for (const Group& g : c.groups) {
    if (g.seeds.empty()) continue;
    least = std::min(least, g.seeds.size());
    most = std::max(most, g.seeds.size());
  }
  if (most == 0) return "";
  return absl::StrCat(least < most ? absl::StrCat(least, " to ") : "", most, " calibration seed", most == 1 ? "" : "s");
}

}  // namespace

std::string RenderText(const Comparison& c, const TextOptions& options) {
  int drop = kDropNothing;
  TextTable table = MakeTable(c, options.timings, drop);
  while (options.width > 0 && table.Width() > options.width && drop + 1 < kDropAll) {
    table = MakeTable(c, options.timings, ++drop);
  }
  const int width = options.width;
  std::string out;
  const std::string title = c.form.empty() ? c.title : absl::StrCat(c.title, ", ", c.form);
  if (!title.empty()) absl::StrAppend(&out, Paint(PlainText(title), Style::kBold, options.color), "\n\n");
  out += table.Render(options.color);
  const auto line = [&](absl::string_view text, Style style) {
    absl::StrAppend(&out, Paint(Wrap(PlainText(text), width, 2), style, options.color), "\n");
  };
  line(absl::StrCat("Domains and all: perplexity. bits: stored per quantized weight. KL (nats per token) and router "
                    "top-k agreement: against full precision. \xCE\x94: mean difference to full precision over ",
                    c.windows, " windows of ", c.window_tokens, " tokens from ", c.documents,
                    " documents, with its 95 % paired bootstrap interval (documents resampled, ",
                    c.options.paired.draws, " draws)."),
       Style::kDim);
  const std::string seeds = SeedCount(c);
  bool tied = false;
  for (const Group& g : c.groups) tied = tied || g.tied;
  line(absl::StrCat(
           "* lowest loss of its scheme", tied ? ", \xE2\x89\x88 equivalent to it or not separable" : "", ". ",
           seeds.empty() ? ""
                         : absl::StrCat(seeds,
                                        " averaged per row (-: needs no data or one seed); seed sd: their "
                                        "standard deviation. "),
           drop < kSigns ? "Verdicts: " : "Against full precision: > worse, = equivalent, < better, ? undecided; ",
           "Holm over ", c.family_full, " tests against full precision and ", c.duels.size(),
           " between methods; equivalent: interval inside \xC2\xB1", Fixed(c.options.paired.margin, 3), "."),
       Style::kDim);
  for (const Group& g : c.groups) {
    if (!g.mark.empty()) line(absl::StrCat("\xE2\x80\xA0 ", g.scheme, " ", g.recipe, ": ", g.mark), Style::kDim);
  }
  if (drop >= kDropSeeds) line(absl::StrCat("Left out for width: ", DroppedNames(drop), "."), Style::kDim);
  for (const std::string& note : c.notes) line(absl::StrCat("Note: ", note), Style::kRed);
  for (const std::string& refused : c.refused) line(absl::StrCat("Set aside: ", refused), Style::kRed);
  out += "\n";
  for (const SchemeSummary& s : c.schemes) {
    for (const Ranking& r : s.rankings) line(r.sentence, Style::kPlain);
  }
  for (const std::string& gate : c.gate) line(absl::StrCat("Fairness gate: ", gate), Style::kRed);
  if (const std::string work = report_internal::RunTimeWork(c); !work.empty()) line(work + ".", Style::kDim);
  for (const std::string& sentence : report_internal::RouterPredictionLines(c)) line(sentence, Style::kDim);
  for (const std::string& sentence : report_internal::ExpertAnalysisLines(c)) line(sentence, Style::kDim);
  return absl::StrCat(out, report_internal::TasksText(c, options), report_internal::ClaimsText(c, options),
                      report_internal::AblationText(c, options), report_internal::CostText(c, options));
}

}  // namespace eaq
