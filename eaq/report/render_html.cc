// The HTML report: sections in the order a sceptical reader asks for them.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "eaq/report/figures.h"
#include "eaq/report/format.h"
#include "eaq/report/page.h"
#include "eaq/report/report.h"

namespace eaq {
namespace {

using report_internal::EscapeHtml;
using report_internal::Exact;
using report_internal::Fixed;
using report_internal::Signed;

// A cell with the number it sorts by.
std::string Td(double v, absl::string_view text) {
  return absl::StrCat("<td data-v=\"", Exact(v), "\">", EscapeHtml(text), "</td>");
}
std::string Td(const std::optional<double>& v, int digits) {
  return v ? Td(*v, Fixed(*v, digits)) : std::string("<td data-v=\"\">-</td>");
}

std::string Section(absl::string_view title, absl::string_view intro, const std::string& body) {
  if (body.empty()) return "";
  return absl::StrCat("<section><h2>", title, "</h2>\n",
                      intro.empty() ? "" : absl::StrCat("<p class=\"note\">", intro, "</p>\n"), body, "</section>\n");
}

std::string List(const std::vector<std::string>& lines) {
  std::string out = "<ul>";
  for (const std::string& line : lines) absl::StrAppend(&out, "<li>", EscapeHtml(line), "</li>\n");
  return out + "</ul>";
}

std::string Verdicts(const Comparison& c) {
  std::string out = "<ul class=\"verdicts\">\n";
  for (const SchemeSummary& s : c.schemes) {
    // The sentence starts with the scheme's name, which becomes the heading.
    absl::string_view text = s.sentence;
    if (text.substr(0, s.scheme.size() + 2) == s.scheme + ": ") text.remove_prefix(s.scheme.size() + 2);
    absl::StrAppend(&out, "<li><b>", EscapeHtml(s.scheme), "</b>");
    for (const absl::string_view clause : absl::StrSplit(text, "; ")) {
      absl::StrAppend(&out, "<span>", EscapeHtml(clause), "</span>");
    }
    out += "</li>\n";
  }
  return out + "</ul>\n";
}

std::string Fairness(const Comparison& c) {
  std::string out = absl::StrCat("<div class=\"box\"><b>Equal for all rows</b>", List(c.equal));
  if (c.refused.empty()) {
    out += "<p>No trial had to be set aside.</p>";
  } else {
    absl::StrAppend(&out, "<b class=\"worse\">Set aside, because not measured alike</b>", List(c.refused));
  }
  out += "</div>\n";
  if (!c.notes.empty())
    absl::StrAppend(&out, "<div class=\"box warn\"><b>Read with care</b>", List(c.notes), "</div>\n");
  return out;
}

std::string ComparisonTable(const Comparison& c) {
  std::string out = "<div class=\"scroll\"><table class=\"sortable\"><thead><tr>";
  std::vector<std::string> head = {"method",  "scheme", "bits/weight", "\xCE\x94 nats/token [95 %]",
                                   "verdict", "Holm p", "ppl all"};
  for (const std::string& d : c.domains) head.push_back(absl::StrCat("ppl ", d));
  for (const char* name : {"seed sd", "KL", "greedy agr.", "router top-k", "size", "time"}) head.push_back(name);
  for (size_t i = 0; i < head.size(); ++i) {
    absl::StrAppend(&out, i < 2 ? "<th class=\"l\">" : "<th>", EscapeHtml(head[i]), "</th>");
  }
  out += "</tr></thead><tbody>\n";
  std::string scheme;
  for (const Group& g : c.groups) {
    std::string css = g.best ? "best" : "";
    if (g.scheme != scheme) absl::StrAppend(&css, css.empty() ? "" : " ", "first");
    scheme = g.scheme;
    absl::StrAppend(&out, "<tr", css.empty() ? "" : absl::StrCat(" class=\"", css, "\""), "><th scope=\"row\">",
                    EscapeHtml(g.recipe),
                    g.mark.empty() ? "" : absl::StrCat(" <span title=\"", EscapeHtml(g.mark), "\">\xE2\x80\xA0</span>"),
                    "</th><td class=\"l\">", g.full_precision ? "-" : EscapeHtml(g.scheme), "</td>");
    out += g.bits_per_weight > 0 ? Td(g.bits_per_weight, Fixed(g.bits_per_weight, 3)) : Td(std::nullopt, 0);
    if (g.pooled.versus_full && !g.full_precision) {
      const PairedResult& r = *g.pooled.versus_full;
      const absl::string_view verdict = VerdictName(r.verdict);
      absl::StrAppend(&out, Td(r.mean, report_internal::Interval(r, 4)), "<td class=\"", verdict, "\">", verdict,
                      "</td>", Td(r.p_holm, r.p_holm < 0.001 ? "< 0.001" : Fixed(r.p_holm, 3)));
    } else {
      out += "<td data-v=\"\">-</td><td>-</td><td data-v=\"\">-</td>";
    }
    out += Td(g.pooled.perplexity, Fixed(g.pooled.perplexity, 3));
    for (const DomainCell& cell : g.domain) {
      std::string title;
      if (cell.versus_full) {
        title = absl::StrCat(" title=\"\xCE\x94 ", report_internal::Interval(*cell.versus_full, 4), ", ",
                             VerdictName(cell.versus_full->verdict), "\"");
      }
      absl::StrAppend(&out, "<td data-v=\"", Exact(cell.perplexity), "\"", title, ">", Fixed(cell.perplexity, 3),
                      "</td>");
    }
    out += g.seeds.size() > 1 ? Td(g.pooled.seed_spread, Fixed(g.pooled.seed_spread, 4)) : Td(std::nullopt, 0);
    out += Td(g.pooled.kl, 4) + Td(g.pooled.greedy_agreement, 4) + Td(g.pooled.router_topk_agreement, 4);
    out += g.stored_bytes > 0 ? Td(g.stored_bytes, report_internal::Bytes(g.stored_bytes)) : Td(std::nullopt, 0);
    out += g.wall_seconds > 0 ? Td(g.wall_seconds, report_internal::Seconds(g.wall_seconds)) : Td(std::nullopt, 0);
    out += "</tr>\n";
  }
  out += "</tbody></table></div>\n";
  absl::StrAppend(
      &out, "<p class=\"note\">", c.windows, " windows of ", c.window_tokens, " tokens from ", c.documents,
      " documents. \xCE\x94 and its interval: paired differences to full precision on the same windows, ",
      c.options.paired.draws, " bootstrap draws of documents. Holm p: sign flips of documents, corrected over the ",
      c.family_full, " pooled tests against full precision. Equivalent: the whole interval lies inside \xC2\xB1",
      Fixed(c.options.paired.margin, 3),
      " nats per token. Bold: lowest loss of its scheme. Differences per domain show when pointing at a perplexity, "
      "and in "
      "the figures below. Wall time depends on the machine and on what the stage cache already held.</p>\n");
  std::vector<std::string> marks;
  for (const Group& g : c.groups) {
    if (!g.mark.empty()) marks.push_back(absl::StrCat("\xE2\x80\xA0 ", g.scheme, " ", g.recipe, ": ", g.mark));
  }
  return marks.empty() ? out : absl::StrCat(out, "<div class=\"note\">", List(marks), "</div>\n");
}

// Wins, draws and losses of each recipe against each other over the schemes.
std::string WinRates(const Comparison& c) {
  struct Score {
    int won = 0, drawn = 0, lost = 0;
  };
  std::vector<std::string> names;
  std::map<std::pair<std::string, std::string>, Score> scores;
  for (const Group& g : c.groups) {
    if (g.full_precision || !g.mark.empty()) continue;
    if (std::find(names.begin(), names.end(), g.recipe) == names.end()) names.push_back(g.recipe);
  }
  for (const Duel& d : c.duels) {
    const Group &a = c.groups[d.first], &b = c.groups[d.second];
    if (!a.mark.empty() || !b.mark.empty()) continue;
    Score &ab = scores[{a.recipe, b.recipe}], &ba = scores[{b.recipe, a.recipe}];
    if (d.pooled.verdict == Verdict::kBetter) {
      ++ab.won, ++ba.lost;
    } else if (d.pooled.verdict == Verdict::kWorse) {
      ++ab.lost, ++ba.won;
    } else {
      ++ab.drawn, ++ba.drawn;
    }
  }
  if (scores.empty()) return "";
  std::string out = "<div class=\"scroll\"><table><thead><tr><th class=\"l\">row against column</th>";
  for (const std::string& name : names) absl::StrAppend(&out, "<th>", EscapeHtml(name), "</th>");
  out += "<th>win rate</th></tr></thead><tbody>\n";
  for (const std::string& row : names) {
    absl::StrAppend(&out, "<tr><th scope=\"row\">", EscapeHtml(row), "</th>");
    double points = 0, games = 0;
    for (const std::string& column : names) {
      const auto at = scores.find({row, column});
      if (at == scores.end()) {
        out += "<td>\xC2\xB7</td>";
        continue;
      }
      const Score& s = at->second;
      points += s.won + 0.5 * s.drawn;
      games += s.won + s.drawn + s.lost;
      const char* css = s.won > s.lost ? "better" : s.won < s.lost ? "worse" : "undecided";
      absl::StrAppend(&out, "<td class=\"", css, "\">", s.won, " \xE2\x80\x93 ", s.drawn, " \xE2\x80\x93 ", s.lost,
                      "</td>");
    }
    absl::StrAppend(&out, "<td>", games > 0 ? absl::StrCat(Fixed(100 * points / games, 0), " %") : "-", "</td></tr>\n");
  }
  return out + "</tbody></table></div>\n";
}

std::string Duels(const Comparison& c) {
  if (c.duels.empty()) return "";
  std::string out =
      "<details><summary>Every duel</summary><div class=\"scroll\"><table class=\"sortable\"><thead><tr><th "
      "class=\"l\">scheme</th><th class=\"l\">first</th><th class=\"l\">second</th><th>first minus second [95 "
      "%]</th><th>Holm p</th><th>verdict for the first</th><th>domains won</th><th>lost</th></tr></thead><tbody>\n";
  for (const Duel& d : c.duels) {
    const Group &a = c.groups[d.first], &b = c.groups[d.second];
    const absl::string_view verdict = VerdictName(d.pooled.verdict);
    absl::StrAppend(&out, "<tr><th scope=\"row\">", EscapeHtml(a.scheme), "</th><td class=\"l\">",
                    EscapeHtml(a.recipe + (a.mark.empty() ? "" : " \xE2\x80\xA0")), "</td><td class=\"l\">",
                    EscapeHtml(b.recipe + (b.mark.empty() ? "" : " \xE2\x80\xA0")), "</td>",
                    Td(d.pooled.mean, report_internal::Interval(d.pooled, 4)),
                    Td(d.pooled.p_holm, d.pooled.p_holm < 0.001 ? "< 0.001" : Fixed(d.pooled.p_holm, 3)),
                    "<td class=\"", verdict, "\">", verdict, "</td>", Td(d.domains_won, absl::StrCat(d.domains_won)),
                    Td(d.domains_lost, absl::StrCat(d.domains_lost)), "</tr>\n");
  }
  return out + "</tbody></table></div></details>\n";
}

std::string SeedTable(const Comparison& c) {
  size_t most = 0;
  for (const Group& g : c.groups) most = std::max(most, g.seeds.size());
  if (most < 2) return "";
  std::string out = "<div class=\"scroll\"><table class=\"sortable\"><thead><tr><th class=\"l\">row</th>";
  for (size_t s = 0; s < most; ++s) absl::StrAppend(&out, "<th>draw ", s + 1, "</th>");
  out += "<th>sd of draws</th><th>sampling error</th></tr></thead><tbody>\n";
  for (const Group& g : c.groups) {
    if (g.seeds.size() < 2) continue;
    absl::StrAppend(&out, "<tr><th scope=\"row\">", EscapeHtml(absl::StrCat(g.scheme, " ", g.recipe)),
                    g.mark.empty() ? "" : " \xE2\x80\xA0", "</th>");
    for (size_t s = 0; s < most; ++s) {
      if (s < g.pooled.seed_delta.size()) {
        absl::StrAppend(&out, "<td data-v=\"", Exact(g.pooled.seed_delta[s]), "\" title=\"seed ", g.seeds[s], "\">",
                        Signed(g.pooled.seed_delta[s], 5), "</td>");
      } else {
        out += "<td data-v=\"\">-</td>";
      }
    }
    absl::StrAppend(&out, Td(g.pooled.seed_spread, Fixed(g.pooled.seed_spread, 5)),
                    g.pooled.versus_full
                        ? Td(g.pooled.versus_full->standard_error, Fixed(g.pooled.versus_full->standard_error, 5))
                        : Td(std::nullopt, 0),
                    "</tr>\n");
  }
  return out + "</tbody></table></div>\n";
}

std::string Failures(const Comparison& c) {
  if (c.failures.empty()) return "<p>None.</p>\n";
  std::string out;
  for (const ReportFailure& f : c.failures) {
    absl::StrAppend(&out, "<div class=\"box warn\"><b>", EscapeHtml(absl::StrCat(f.scheme, " ", f.recipe)), ", seed ",
                    f.seed, ": ", EscapeHtml(f.outcome), "</b><p>", EscapeHtml(f.message), "</p>");
    if (!f.command.empty()) absl::StrAppend(&out, "<pre>", EscapeHtml(f.command), "</pre>");
    if (!f.log.empty()) absl::StrAppend(&out, "<p class=\"dim\">log: <code>", EscapeHtml(f.log), "</code></p>");
    out += "</div>\n";
  }
  return out;
}

std::string ProvenanceBox(const Comparison& c) {
  const ReportProvenance& p = c.provenance;
  std::string out = "<dl>";
  const auto row = [&out](absl::string_view name, absl::string_view value) {
    if (!value.empty()) absl::StrAppend(&out, "<dt>", name, "</dt><dd><code>", EscapeHtml(value), "</code></dd>\n");
  };
  row("commit",
      p.commit.empty() ? "" : absl::StrCat(p.commit, p.dirty.empty() ? "" : absl::StrCat(" (", p.dirty, ")")));
  row("binary", p.binary_hash);
  row("compiler", p.compiler);
  row("host", p.host);
  row("processor", p.cpu);
  row("kernel", p.kernel);
  row("ledger", p.ledger);
  row("spec", p.spec_name);
  row("regenerate", p.command);
  row("resampling seed", absl::StrCat(c.options.seed));
  for (const auto& [name, text] : p.corpora) row(EscapeHtml(absl::StrCat("corpus ", name)), text);
  out += "</dl>\n";
  if (!p.spec_text.empty()) {
    absl::StrAppend(&out, "<details><summary>Resolved spec</summary><pre>", EscapeHtml(p.spec_text),
                    "</pre></details>\n");
  }
  out += "<details><summary>Trials of each row</summary><dl>";
  for (const Group& g : c.groups) {
    row(EscapeHtml(g.full_precision ? g.recipe : absl::StrCat(g.scheme, " ", g.recipe)), absl::StrJoin(g.keys, " "));
  }
  return out + "</dl></details>\n";
}

}  // namespace

std::string RenderHtml(const Comparison& c) {
  const std::string title = c.title.empty() ? "Comparison" : c.title;
  std::string out = absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta "
      "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src "
      "'unsafe-inline'; img-src data:\">\n<meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\">\n<title>",
      EscapeHtml(title), "</title>\n<style>", report_internal::PageStyle(), "</style></head>\n<body><main>\n<h1>",
      EscapeHtml(title), "</h1>\n<p class=\"dim\">", c.schemes.size(),
      c.schemes.size() == 1 ? " scheme, " : " schemes, ", c.groups.size(), " rows, ", c.domains.size(),
      " text domains, ", c.windows, " windows</p>\n");
  out += Verdicts(c);
  out += Section("What was equal", "", Fairness(c));
  out += Section("Comparison", "", ComparisonTable(c));
  out += Section("Who beats whom",
                 "Wins \xE2\x80\x93 draws \xE2\x80\x93 losses over the schemes. A win is significant after Holm's "
                 "correction over all duels; equivalent and undecided count as draws.",
                 WinRates(c) + Duels(c));
  out += Section("Quality against stored bits", "", report_internal::QualityFigure(c));
  out += Section("By text domain", "",
                 absl::StrCat("<div class=\"pair\">", report_internal::DomainFigures(c), "</div>\n"));
  out += Section("Where the error is", "", report_internal::ErrorFigures(c) + report_internal::TokenFigures(c));
  out += Section("Router agreement", "",
                 absl::StrCat("<div class=\"pair\">", report_internal::RouterFigures(c), "</div>\n"));
  out += Section("Luck of the calibration draw",
                 "Difference to full precision for every calibration seed; their standard deviation beside the "
                 "sampling error of the evaluation text. Two methods closer than this spread may swap places with "
                 "another draw.",
                 SeedTable(c));
  out += Section("Failures", "", Failures(c));
  out += Section("Provenance", "", ProvenanceBox(c));
  return absl::StrCat(out, "</main>\n<script>", report_internal::PageScript(), "</script>\n</body></html>\n");
}

}  // namespace eaq
