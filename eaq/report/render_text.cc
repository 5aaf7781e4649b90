#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/report/format.h"
#include "eaq/report/report.h"
#include "eaq/report/text_table.h"

namespace eaq {
namespace {

using report_internal::Fixed;
using report_internal::Interval;
using report_internal::Paint;
using report_internal::PlainText;
using report_internal::Signed;
using report_internal::Style;
using report_internal::TextTable;
using report_internal::Wrap;

// Columns that go, in this order, when the terminal is too narrow. What carries the verdict stays.
enum Drop { kDropNothing, kDropRouter, kDropKl, kDropTime, kDropSeeds, kDropDomains, kDropAll };

std::string Optional(const std::optional<double>& value, int digits) { return value ? Fixed(*value, digits) : "-"; }

std::string Percent(const std::optional<double>& value) { return value ? Fixed(100 * *value, 1) + "%" : "-"; }

Style VerdictStyle(Verdict v) {
  if (v == Verdict::kBetter || v == Verdict::kEquivalent) return Style::kGreen;
  return v == Verdict::kWorse ? Style::kRed : Style::kDim;
}

std::string SeedText(const Group& g) {
  if (g.seeds.empty()) return "-";
  if (g.seeds.size() == 1) return "1";
  return absl::StrCat(g.seeds.size(), " \xC2\xB1", Fixed(g.pooled.seed_spread, 4));
}

TextTable MakeTable(const Comparison& c, bool timings, int drop) {
  std::vector<TextTable::Column> columns = {{"method", false}, {"bits/w", true}};
  if (drop < kDropDomains) {
    for (const std::string& d : c.domains)
      columns.push_back({PlainText(d.size() > 12 ? d.substr(0, 11) + "." : d), true});
  }
  columns.push_back({"ppl all", true});
  columns.push_back({"\xCE\x94 nats/token [95 %]", true});
  if (drop < kDropSeeds) columns.push_back({"seeds", true});
  if (drop < kDropKl) columns.push_back({"KL", true});
  if (drop < kDropRouter) columns.push_back({"router", true});
  if (timings && drop < kDropTime) columns.push_back({"time", true});
  columns.push_back({"vs full", false});
  TextTable table(columns);

  std::string scheme;
  for (const Group& g : c.groups) {
    if (!g.full_precision && g.scheme != scheme) {
      scheme = g.scheme;
      table.AddHeading(PlainText(scheme));
    }
    const Style style = g.best ? Style::kBold : Style::kPlain;
    std::vector<TextTable::Cell> row;
    row.push_back({absl::StrCat(g.full_precision ? "" : (g.best ? "* " : "  "), PlainText(g.recipe),
                                g.mark.empty() ? "" : " \xE2\x80\xA0"),
                   style});
    row.push_back({g.bits_per_weight > 0 ? Fixed(g.bits_per_weight, 3) : "-", style});
    if (drop < kDropDomains) {
      for (const DomainCell& cell : g.domain) row.push_back({Fixed(cell.perplexity, 2), style});
    }
    row.push_back({Fixed(g.pooled.perplexity, 2), style});
    const std::optional<PairedResult>& full = g.pooled.versus_full;
    row.push_back({full ? Interval(*full, 4) : "-", style});
    if (drop < kDropSeeds) row.push_back({SeedText(g), style});
    if (drop < kDropKl) row.push_back({Optional(g.pooled.kl, 4), style});
    if (drop < kDropRouter) row.push_back({Percent(g.pooled.router_topk_agreement), style});
    if (timings && drop < kDropTime)
      row.push_back({g.wall_seconds > 0 ? report_internal::Seconds(g.wall_seconds) : "-"});
    row.push_back(
        {full ? std::string(VerdictName(full->verdict)) : "-", full ? VerdictStyle(full->verdict) : Style::kPlain});
    table.Add(std::move(row));
  }
  return table;
}

const char* DroppedNames(int drop) {
  switch (drop) {
    case kDropNothing:
      return "";
    case kDropRouter:
      return "router";
    case kDropKl:
      return "router, KL";
    case kDropTime:
      return "router, KL, time";
    case kDropSeeds:
      return "router, KL, time, seeds";
    default:
      return "router, KL, time, seeds, domains";
  }
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
  if (!c.title.empty()) absl::StrAppend(&out, Paint(PlainText(c.title), Style::kBold, options.color), "\n\n");
  out += table.Render(options.color);
  const auto line = [&](absl::string_view text, Style style) {
    absl::StrAppend(&out, Paint(Wrap(PlainText(text), width, 2), style, options.color), "\n");
  };
  line(absl::StrCat("Perplexity per domain; \xCE\x94: mean difference to full precision over ", c.windows,
                    " windows of ", c.window_tokens, " tokens from ", c.documents,
                    " documents, with its 95 % paired bootstrap interval (documents resampled, ",
                    c.options.paired.draws, " draws)."),
       Style::kDim);
  line(absl::StrCat(
           "* best of its scheme. seeds: calibration draws, with the standard deviation of their means. Verdicts: "
           "Holm over ",
           c.family_full, " tests against full precision and ", c.duels.size(),
           " between methods; equivalent: interval inside \xC2\xB1", Fixed(c.options.paired.margin, 3), "."),
       Style::kDim);
  for (const Group& g : c.groups) {
    if (!g.mark.empty()) line(absl::StrCat("\xE2\x80\xA0 ", g.scheme, " ", g.recipe, ": ", g.mark), Style::kDim);
  }
  if (drop > kDropNothing) line(absl::StrCat("Left out for width: ", DroppedNames(drop), "."), Style::kDim);
  for (const std::string& note : c.notes) line(absl::StrCat("Note: ", note), Style::kRed);
  for (const std::string& refused : c.refused) line(absl::StrCat("Set aside: ", refused), Style::kRed);
  out += "\n";
  for (const SchemeSummary& s : c.schemes) line(s.sentence, Style::kPlain);
  return out;
}

}  // namespace eaq
