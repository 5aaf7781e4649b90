// The HTML report: sections in the order a sceptical reader asks for them.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "eaq/report/domain_matrix.h"
#include "eaq/report/expert_analysis.h"
#include "eaq/report/figures.h"
#include "eaq/report/format.h"
#include "eaq/report/front.h"
#include "eaq/report/page.h"
#include "eaq/report/picture_files.h"
#include "eaq/report/render_ablation.h"
#include "eaq/report/render_tasks.h"
#include "eaq/report/report.h"
#include "eaq/report/summary.h"

namespace eaq {
namespace {

using report_internal::EscapeHtml;
using report_internal::Exact;
using report_internal::Fixed;
using report_internal::Signed;

constexpr char kScroll[] = "<div class=\"scroll\" tabindex=\"0\">";

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

// "a few words" -> "A few words": the start of a sentence.
std::string Capital(absl::string_view text) {
  std::string out(text);
  if (!out.empty()) out[0] = absl::ascii_toupper(static_cast<unsigned char>(out[0]));
  return out;
}

// One card per ranking: "Best is GPTQ", then the evidence clause by clause.
std::string Verdicts(const Comparison& c) {
  std::string out = "<ul class=\"verdicts\">\n";
  std::vector<const Ranking*> rankings;
  for (const SchemeSummary& scheme : c.schemes) {
    for (const Ranking& r : scheme.rankings) rankings.push_back(&r);
  }
  for (const Ranking* ranking : rankings) {
    const Ranking& s = *ranking;
    absl::string_view text = s.sentence;
    if (text.substr(0, s.label.size() + 2) == s.label + ": ") text.remove_prefix(s.label.size() + 2);
    absl::StrAppend(&out, "<li><i>", EscapeHtml(s.label), "</i>");
    const size_t colon = text.find(": ");
    if (s.best >= 0 && colon != absl::string_view::npos) {
      absl::StrAppend(&out, "<b>", EscapeHtml(Capital(text.substr(0, colon))), "</b>");
      text.remove_prefix(colon + 2);
    }
    if (!text.empty() && text.back() == '.') text.remove_suffix(1);
    for (const absl::string_view clause : absl::StrSplit(text, "; ")) {
      absl::StrAppend(&out, "<span>",
                      absl::StrReplaceAll(EscapeHtml(Capital(clause)),
                                          {{"Holm p ", "Holm p&nbsp;"}, {"\xE2\x89\xA4 ", "\xE2\x89\xA4&nbsp;"}}),
                      "</span>");
    }
    out += "</li>\n";
  }
  return out + "</ul>\n";
}

std::string Fairness(const Comparison& c) {
  const std::string form = c.form.empty() ? "" : absl::StrCat(" (form: ", EscapeHtml(c.form), ")");
  std::vector<std::string> equal = c.equal;
  if (!c.equal_fields.empty()) {
    equal.push_back(absl::StrCat("Recipe, field by field: ", absl::StrJoin(c.equal_fields, "; ")));
  }
  std::string out = absl::StrCat("<div class=\"boxes\"><div class=\"box\"><b>Equal for all rows", form, "</b>",
                                 List(equal), "</div>\n<div class=\"box\"><b>Not equal", form, "</b>");
  std::vector<std::string> unequal = c.unequal;
  for (const std::string& field : c.unequal_fields) unequal.push_back(absl::StrCat("Recipe, ", field));
  unequal.push_back("Wall time: it depends on the machine's load and on what the stage cache already held");
  absl::StrAppend(&out, List(unequal), c.refused.empty() ? "<p>No trial had to be set aside.</p>" : "", "</div>\n");
  if (!c.refused.empty()) {
    absl::StrAppend(&out, "<div class=\"box warn\"><b>Set aside, because not measured alike</b>", List(c.refused),
                    "</div>\n");
  }
  if (!c.gate.empty()) {
    absl::StrAppend(&out, "<div class=\"box warn\"><b>Fairness gate</b>", List(c.gate), "</div>\n");
  }
  if (!c.notes.empty()) {
    absl::StrAppend(&out, "<div class=\"box warn\"><b>Read with care</b>", List(c.notes), "</div>\n");
  }
  return out + "</div>\n";
}

// The head of the comparison: what columns belong together, then their names and units.
std::string ComparisonHead(const Comparison& c) {
  std::string out = absl::StrCat(
      "<thead><tr class=\"over\"><td></td><td class=\"sch\"></td><td></td><th colspan=\"4\">difference to full "
      "precision</th><th colspan=\"",
      c.domains.size() + 1, "\">perplexity</th><th colspan=\"3\">agreement</th>", "<td></td><td></td></tr>\n<tr>");
  const auto th = [&out](absl::string_view name, absl::string_view unit, absl::string_view css = "") {
    absl::StrAppend(&out, "<th", css.empty() ? "" : absl::StrCat(" class=\"", css, "\""), ">", EscapeHtml(name),
                    unit.empty() ? "" : absl::StrCat(" <small>", unit, "</small>"), "</th>");
  };
  th("method", "", "l");
  th("scheme", "", "l sch");
  th("bits", "stored");
  th("\xCE\x94 [95 %]", "nats/token");
  th("verdict", "", "");
  th("Holm p", "");
  th("seed sd", "nats");
  th("all", "");
  for (const std::string& d : c.domains) th(d, "");
  th("KL", "nats");
  th("top token", "%");
  th("router", "%");
  th("model size", "");
  th("time", "");
  return out + "</tr></thead>";
}

std::string Percent(const std::optional<double>& v) { return v ? Td(*v, Fixed(100 * *v, 1)) : Td(std::nullopt, 0); }

std::string ComparisonTable(const Comparison& c) {
  std::string out = absl::StrCat(kScroll, "<table class=\"sortable wide\">", ComparisonHead(c), "<tbody>\n");
  std::string scheme;
  bool tied = false;
  for (const Group& g : c.groups) {
    std::string css = g.best ? "best" : "";
    if (g.scheme != scheme) absl::StrAppend(&css, css.empty() ? "" : " ", "first");
    scheme = g.scheme;
    tied = tied || g.tied;
    absl::StrAppend(&out, "<tr", css.empty() ? "" : absl::StrCat(" class=\"", css, "\""), "><th scope=\"row\">",
                    EscapeHtml(g.recipe), g.tied ? " <span class=\"dim\">\xE2\x89\x88</span>" : "",
                    g.mark.empty() ? "" : absl::StrCat(" <span title=\"", EscapeHtml(g.mark), "\">\xE2\x80\xA0</span>"),
                    g.full_precision ? "" : absl::StrCat("<small class=\"ph\">", EscapeHtml(g.scheme), "</small>"),
                    "</th><td class=\"l sch\">", g.full_precision ? "-" : EscapeHtml(g.scheme), "</td>");
    out += g.bits_per_weight > 0 ? Td(g.bits_per_weight, Fixed(g.bits_per_weight, 2)) : Td(std::nullopt, 0);
    if (g.pooled.versus_full && !g.full_precision) {
      const PairedResult& r = *g.pooled.versus_full;
      const absl::string_view verdict = VerdictName(r.verdict);
      absl::StrAppend(&out, Td(r.mean, report_internal::Interval(r, 4)), "<td class=\"", verdict, "\">", verdict,
                      "</td>",
                      Td(r.p_holm, absl::StripPrefix(report_internal::HolmP(r, c.options.paired.draws), "= ")));
    } else {
      out += "<td data-v=\"\">-</td><td>-</td><td data-v=\"\">-</td>";
    }
    out += g.seeds.size() > 1 ? Td(g.pooled.seed_spread, Fixed(g.pooled.seed_spread, 4)) : Td(std::nullopt, 0);
    const auto perplexity = [&out](const DomainCell& cell) {
      std::string title;
      if (cell.versus_full) {
        title = absl::StrCat(" title=\"\xCE\x94 ", report_internal::Interval(*cell.versus_full, 4), ", ",
                             VerdictName(cell.versus_full->verdict), "\"");
      }
      absl::StrAppend(&out, "<td data-v=\"", Exact(cell.perplexity), "\"", title, cell.lowest ? " class=\"low\">" : ">",
                      Fixed(cell.perplexity, 2), "</td>");
    };
    perplexity(g.pooled);
    for (const DomainCell& cell : g.domain) perplexity(cell);
    out += Td(g.pooled.kl, 4) + Percent(g.pooled.greedy_agreement) + Percent(g.pooled.router_topk_agreement);
    out += g.stored_bytes > 0 ? Td(g.stored_bytes, report_internal::Bytes(g.stored_bytes)) : Td(std::nullopt, 0);
    out += g.wall_seconds > 0 ? Td(g.wall_seconds, report_internal::Seconds(g.wall_seconds)) : Td(std::nullopt, 0);
    out += "</tr>\n";
  }
  out += "</tbody></table></div>\n";
  absl::StrAppend(
      &out, "<p class=\"note\">Tinted: lowest loss of its scheme",
      tied ? "; \xE2\x89\x88: equivalent to it or not separable" : "",
      ". Bold perplexities: the lowest of the scheme in that column, as shown. Text: ", c.windows, " windows of ",
      c.window_tokens, " tokens from ", c.documents,
      " documents. \xCE\x94: mean paired difference to full precision on the same windows; in brackets its 95 % "
      "interval, ",
      c.options.paired.draws,
      " bootstrap draws of documents. Verdict: equivalent when the whole interval lies inside \xC2\xB1",
      Fixed(c.options.paired.margin, 3), "; worse or better when it excludes 0 and Holm p is below ",
      Fixed(c.options.paired.alpha, 2), "; else undecided. Holm p: sign flips of documents, corrected over ",
      c.family_full,
      " tests; \xE2\x89\xA4 is the smallest value that so many flips can show. Seed sd: standard deviation over "
      "calibration draws. Top token, router: how often the most likely token, and the top-k experts, are those of full "
      "precision. Stored bits: of the quantized weights; model size: of all weights. Time: of one trial.</p>\n");
  std::vector<std::string> marks = c.gate;
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
  std::string out = absl::StrCat(kScroll, "<table class=\"fit\"><thead><tr><th class=\"l\">row against column</th>");
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
  std::string out = absl::StrCat(
      "<details><summary>Every duel</summary>", kScroll,
      "<table class=\"sortable\"><thead><tr><th class=\"l\">scheme</th><th class=\"l\">first</th><th "
      "class=\"l\">second</th><th>first minus second [95 %] <small>nats/token</small></th><th>Holm p</th><th>the first "
      "is</th><th>domains won</th><th>domains lost</th></tr></thead><tbody>\n");
  for (const Duel& d : c.duels) {
    const Group &a = c.groups[d.first], &b = c.groups[d.second];
    const absl::string_view verdict = VerdictName(d.pooled.verdict);
    absl::StrAppend(
        &out, "<tr><th scope=\"row\">", EscapeHtml(a.scheme), "</th><td class=\"l\">",
        EscapeHtml(a.recipe + (a.mark.empty() ? "" : " \xE2\x80\xA0")), "</td><td class=\"l\">",
        EscapeHtml(b.recipe + (b.mark.empty() ? "" : " \xE2\x80\xA0")), "</td>",
        Td(d.pooled.mean, report_internal::Interval(d.pooled, 4)),
        Td(d.pooled.p_holm, absl::StripPrefix(report_internal::HolmP(d.pooled, c.options.paired.draws), "= ")),
        "<td class=\"", verdict, "\">", verdict, "</td>", Td(d.domains_won, absl::StrCat(d.domains_won)),
        Td(d.domains_lost, absl::StrCat(d.domains_lost)), "</tr>\n");
  }
  absl::StrAppend(&out, "</tbody></table></div><p class=\"note\">Holm over ", c.duels.size(),
                  " duels. A domain is won when the first has the lower loss there and the 95 % interval excludes 0 "
                  "(not corrected).</p></details>\n");
  return out;
}

std::string SeedTable(const Comparison& c) {
  size_t most = 0;
  for (const Group& g : c.groups) most = std::max(most, g.seeds.size());
  if (most < 2) return "";
  std::string out = absl::StrCat(kScroll, "<table class=\"sortable\"><thead><tr><th class=\"l\">scheme, method</th>");
  for (size_t s = 0; s < most; ++s) absl::StrAppend(&out, "<th>draw ", s + 1, "</th>");
  out += "<th>sd of draws</th><th>standard error of the text</th></tr></thead><tbody>\n";
  for (const Group& g : c.groups) {
    if (g.seeds.size() < 2) continue;
    absl::StrAppend(&out, "<tr><th scope=\"row\">", EscapeHtml(absl::StrCat(g.scheme, " ", g.recipe)),
                    g.mark.empty() ? "" : " \xE2\x80\xA0", "</th>");
    for (size_t s = 0; s < most; ++s) {
      if (s < g.pooled.seed_delta.size()) {
        absl::StrAppend(&out, "<td data-v=\"", Exact(g.pooled.seed_delta[s]), "\" title=\"seed ", g.seeds[s], "\">",
                        Signed(g.pooled.seed_delta[s], 4), "</td>");
      } else {
        out += "<td data-v=\"\">-</td>";
      }
    }
    absl::StrAppend(&out, Td(g.pooled.seed_spread, Fixed(g.pooled.seed_spread, 4)),
                    g.pooled.versus_full
                        ? Td(g.pooled.versus_full->standard_error, Fixed(g.pooled.versus_full->standard_error, 4))
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
  if (p.binaries.size() < 2) row("binary", p.binary_hash);
  for (const auto& [hash, trials] : p.binaries) {
    if (p.binaries.size() > 1) row("binary", absl::StrCat(hash, " (", trials, trials == 1 ? " trial)" : " trials)"));
  }
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

std::string Sections(const Comparison& c) {
  std::string out = absl::StrCat("<p class=\"dim\">", EscapeHtml(c.groups[0].model),
                                 c.form.empty() ? "" : absl::StrCat(", ", EscapeHtml(c.form)), ": ", c.groups.size(),
                                 " rows under ", c.schemes.size(), c.schemes.size() == 1 ? " scheme, " : " schemes, ",
                                 c.domains.size(), " text domains, ", c.windows, " windows of ", c.window_tokens,
                                 " tokens from ", c.documents, " documents</p>\n");
  out += Verdicts(c);
  out += Section("What was equal, and what was not", "", Fairness(c));
  out += Section("Comparison", "", ComparisonTable(c));
  out += Section("Tasks", "", report_internal::TaskSectionHtml(c));
  out += Section("Ablation: what the parts do", "", report_internal::AblationHtml(c));
  out += Section("Who beats whom",
                 "Wins \xE2\x80\x93 draws \xE2\x80\x93 losses over the schemes. A win is significant after Holm's "
                 "correction over all duels; equivalent and undecided count as draws, half a win in the win rate.",
                 WinRates(c) + Duels(c));
  out += Section("Quality against stored bits", "",
                 absl::StrCat(report_internal::FrontFigures(c),
                              report_internal::FrontsShowAll(c) ? "" : report_internal::QualityFigure(c)));
  out += Section("By text domain",
                 absl::StrCat("0 is full precision. Bars: 95 % paired bootstrap interval. Shaded: \xC2\xB1",
                              Fixed(c.options.paired.margin, 3),
                              " nats per token, differences that count as equivalent. The scales differ."),
                 absl::StrCat("<div class=\"pair\">", report_internal::DomainFigures(c), "</div>\n"));
  out +=
      Section("Calibration domain against evaluation domain",
              "Does it matter which text a method is calibrated on? Down: the text it was calibrated on; across: the "
              "text it is evaluated on.",
              report_internal::DomainMatrices(c));
  out += Section("Where the error is",
                 "Squared error relative to the square of the signal, per layer and matrix; q, k, v, o: the attention; "
                 "e0, e1, ...: the experts, the mean of an expert's matrices. The colour scale, logarithmic, is shared "
                 "by all methods of a scheme. Output error: of a matrix's output on the calibration tokens that reach "
                 "it; solvers that fit these very tokens (GPTQ) look the better, the fewer tokens an expert sees, so "
                 "read it beside the weight error and the tokens per expert below.",
                 report_internal::ErrorFigures(c) + report_internal::TokenFigures(c));
  out += Section("Router agreement",
                 "Share of the top-k experts that the quantized model chooses like full precision on the same tokens, "
                 "by layer; mean over domains and seeds. The scales differ.",
                 absl::StrCat("<div class=\"pair\">", report_internal::RouterFigures(c), "</div>\n",
                              report_internal::RouterPredictionHtml(c)));
  out += Section("Data sets, experts and channels",
                 "What switching by data set rests on, tested in the full-precision model, and what it did.",
                 report_internal::ExpertAnalysisHtml(c));
  out +=
      Section("Luck of the calibration draw",
              "Difference to full precision (nats per token) for every calibration draw, and the draws' standard "
              "deviation beside the standard error from the choice of evaluation text. The intervals and tests above "
              "are about the text only, for the mean of these draws: methods closer than the draws' spread may swap "
              "places with other draws.",
              SeedTable(c));
  out += Section(
      "Cost, and what sharing saves",
      "Calibration tokens: that one trial reads. Per trial: the median over a recipe's trials of their wall time, "
      "and of what they would have taken without the cache. Peak memory: the largest of its trials. Spent: wall time "
      "of a recipe's trials. From the cache: what making the shared stages anew would have "
      "added (the time they took the trial that made them, minus the time of reading them). Alone: both "
      "together, what the recipe would cost by itself.",
      report_internal::CostHtml(c));
  out += Section("Failures", "", Failures(c));
  out += Section("Provenance", "", ProvenanceBox(c));
  return out;
}

// HTML with every id, and every reference to one, led by PREFIX: several comparisons on one page.
std::string WithIds(absl::string_view html, absl::string_view prefix) {
  std::string out;
  constexpr absl::string_view kId = " id=\"", kBy = " aria-labelledby=\"";
  while (!html.empty()) {
    const size_t at = std::min(html.find(kId), html.find(kBy));
    if (at == absl::string_view::npos) break;
    const bool list = absl::StartsWith(html.substr(at), kBy);
    const size_t begin = at + (list ? kBy.size() : kId.size()), end = html.find('"', begin);
    absl::StrAppend(&out, html.substr(0, begin), prefix,
                    absl::StrReplaceAll(html.substr(begin, end - begin), {{" ", absl::StrCat(" ", prefix)}}));
    html.remove_prefix(end);
  }
  return absl::StrCat(out, html);
}

std::string PartTitle(const Comparison& c) {
  return absl::StrCat(c.groups[0].model, c.form.empty() ? "" : absl::StrCat(", ", c.form));
}

}  // namespace

// "ref-s_equal": of a file's name.
std::string Slug(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-') {
      out += c;
    } else if (!out.empty() && out.back() != '_') {
      out += '_';
    }
  }
  return out;
}

std::string RenderHtml(const Comparison& c) { return RenderHtml(absl::MakeConstSpan(&c, 1)); }

std::string RenderHtml(absl::Span<const Comparison> parts) {
  const std::string title = parts[0].title.empty() ? "Comparison" : parts[0].title;
  std::string out = absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta "
      "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src "
      "'unsafe-inline'; img-src data:\">\n<meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\">\n<title>",
      EscapeHtml(title), "</title>\n<style>", report_internal::PageStyle(), "</style></head>\n<body><main>\n<h1>",
      EscapeHtml(title), "</h1>\n");
  out += Section("Claims",
                 "What has been said about these methods, tested here: difference of the losses, negative where the "
                 "first is better. A claim holds where the difference is significant after Holm's correction over the "
                 "claims of a model and form; it does not where the other is better or both are equivalent. A claim "
                 "about accuracy on another model is tested as an order of losses on this one.",
                 report_internal::ClaimsHtml(parts));
  out += Section(
      "Summary over models",
      "\xCE\x94: difference to full precision with its 95 % interval. Rank: by the pooled loss within model and "
      "scheme. Against the best: of the same model and scheme, after Holm's correction over the model's duels; "
      "the difference itself shows on hover and in the CSV. Unbeaten: models where a method is the best, or the "
      "best is not significantly better. Tinted: unbeaten on all. \xE2\x80\xA0: not ranked, calibrated on other "
      "text.",
      report_internal::SummaryHtml(parts));
  if (parts.size() == 1) {
    out += Sections(parts[0]);
  } else {
    out += "<ul>";
    for (size_t i = 0; i < parts.size(); ++i) {
      absl::StrAppend(&out, "<li><a href=\"#part", i, "\">", EscapeHtml(PartTitle(parts[i])), "</a></li>\n");
    }
    out += "</ul>\n";
    for (size_t i = 0; i < parts.size(); ++i) {
      absl::StrAppend(&out, "<h1 class=\"part\" id=\"part", i, "\">", EscapeHtml(PartTitle(parts[i])), "</h1>\n",
                      WithIds(Sections(parts[i]), absl::StrCat("p", i, "-")));
    }
  }
  return absl::StrCat(out, "</main>\n<script>", report_internal::PageScript(), "</script>\n</body></html>\n");
}

std::vector<std::pair<std::string, std::string>> RenderPictures(absl::Span<const Comparison> parts) {
  std::vector<std::pair<std::string, std::string>> files;
  for (auto& [id, document] : report_internal::StandalonePictures(report_internal::SummaryHtml(parts))) {
    files.emplace_back(Slug(id), std::move(document));
  }
  std::map<std::string, int> seen;  // two models may have one name
  for (const Comparison& c : parts) {
    std::string prefix;
    if (parts.size() > 1) {
      prefix = Slug(PartTitle(c));
      const int n = ++seen[prefix];
      absl::StrAppend(&prefix, n > 1 ? absl::StrCat("_", n) : "", "_");
    }
    for (auto& [id, document] : report_internal::StandalonePictures(Sections(c))) {
      if (report_internal::IsErrorMap(id)) continue;
      files.emplace_back(prefix + Slug(id), std::move(document));
    }
  }
  return files;
}

}  // namespace eaq
