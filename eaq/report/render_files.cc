// CSV, LaTeX and JSON of a comparison.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "eaq/report/format.h"
#include "eaq/report/render_ablation.h"
#include "eaq/report/render_tasks.h"
#include "eaq/report/report.h"

namespace eaq {
namespace {

using report_internal::EscapeCsv;
using report_internal::EscapeJson;
using report_internal::EscapeLatex;
using report_internal::Exact;
using report_internal::Fixed;
using report_internal::Signed;

std::string Seeds(const Group& g) { return absl::StrJoin(g.seeds, " "); }

std::string Optional(const std::optional<double>& v) { return v ? Exact(*v) : ""; }

std::string CsvRow(const Comparison& c, const Group& g, const DomainCell& cell) {
  std::vector<std::string> f = {EscapeCsv(g.model),
                                EscapeCsv(g.scheme),
                                EscapeCsv(g.recipe),
                                EscapeCsv(cell.domain),
                                EscapeCsv(g.calibration),
                                EscapeCsv(g.mark),
                                EscapeCsv(Seeds(g)),
                                absl::StrCat(cell.windows),
                                absl::StrCat(cell.documents),
                                Exact(g.bits_per_weight),
                                Exact(g.model_bits_per_weight),
                                Exact(g.stored_bytes),
                                Exact(cell.nll),
                                Exact(cell.perplexity)};
  if (cell.versus_full) {
    const PairedResult& r = *cell.versus_full;
    for (const double v : {r.mean, r.low, r.high, r.standard_error, r.p_value, r.p_holm}) f.push_back(Exact(v));
    f.push_back(std::string(VerdictName(r.verdict)));
  } else {
    f.insert(f.end(), 7, "");
  }
  f.push_back(Exact(cell.seed_spread));
  for (const auto& v : {cell.kl, cell.greedy_agreement, cell.router_topk_agreement, cell.router_top1_change}) {
    f.push_back(Optional(v));
  }
  f.push_back(Exact(g.wall_seconds));
  f.push_back(Exact(g.peak_memory_bytes));
  f.push_back(g.best ? "1" : "0");
  f.push_back(g.tied ? "1" : "0");
  f.push_back(absl::StrJoin(g.keys, " "));
  f.push_back(EscapeCsv(c.form));
  f.push_back(EscapeCsv(g.scope));
  f.push_back(absl::StrCat(g.rank_class));
  f.push_back(Optional(cell.router_kl));
  return absl::StrCat(absl::StrJoin(f, ","), report_internal::TaskCellsCsv(c, g, &cell == &g.pooled), "\r\n");
}

// A JSON number, or null.
std::string Number(double v) {
  const std::string text = Exact(v);
  return text.empty() ? "null" : text;
}

std::string PairedJson(const PairedResult& r) {
  return absl::StrCat("{\"mean\":", Number(r.mean), ",\"low\":", Number(r.low), ",\"high\":", Number(r.high),
                      ",\"standard_error\":", Number(r.standard_error), ",\"p\":", Number(r.p_value),
                      ",\"p_holm\":", Number(r.p_holm), ",\"exact\":", r.exact ? "true" : "false",
                      ",\"windows\":", r.windows, ",\"documents\":", r.documents,
                      ",\"verdict\":", EscapeJson(VerdictName(r.verdict)), "}");
}

std::string CellJson(const DomainCell& cell) {
  std::string out = absl::StrCat("{\"domain\":", EscapeJson(cell.domain), ",\"windows\":", cell.windows,
                                 ",\"documents\":", cell.documents, ",\"nll\":", Number(cell.nll),
                                 ",\"perplexity\":", Number(cell.perplexity));
  const auto add = [&out](absl::string_view name, const std::optional<double>& v) {
    if (v) absl::StrAppend(&out, ",\"", name, "\":", Number(*v));
  };
  add("kl", cell.kl);
  add("greedy_agreement", cell.greedy_agreement);
  add("router_topk_agreement", cell.router_topk_agreement);
  add("router_top1_change", cell.router_top1_change);
  add("router_kl", cell.router_kl);
  if (cell.versus_full) absl::StrAppend(&out, ",\"versus_full\":", PairedJson(*cell.versus_full));
  absl::StrAppend(&out, ",\"seed_spread\":", Number(cell.seed_spread), ",\"seed_delta\":[",
                  absl::StrJoin(cell.seed_delta, ",", [](std::string* o, double v) { *o += Number(v); }), "]}");
  return out;
}

std::string Strings(const std::vector<std::string>& list) {
  return absl::StrCat("[", absl::StrJoin(list, ",", [](std::string* o, const std::string& s) { *o += EscapeJson(s); }),
                      "]");
}

// "***", "**", "*" for Holm-corrected p below 0.001, 0.01, 0.05.
std::string Stars(double p) { return p < 0.001 ? "^{***}" : p < 0.01 ? "^{**}" : p < 0.05 ? "^{*}" : ""; }

// " & 58.3 ($-0.53 \\pm 0.38$)"
std::string TaskLatex(const TaskSummary& task, const TaskCell& cell) {
  std::string out = absl::StrCat(" & ", Fixed(100 * cell.accuracy, 1));
  if (!cell.versus_full) return out;
  if (task.at_chance) return absl::StrCat(out, " (at chance)");
  const PairedResult& r = *cell.versus_full;
  return absl::StrCat(out, " ($", Signed(100 * r.mean, 2), " \\pm ", Fixed(50 * (r.high - r.low), 2), Stars(r.p_holm),
                      "$)");
}

}  // namespace

std::string RenderCsv(const Comparison& c) { return RenderCsv(absl::MakeConstSpan(&c, 1)); }

std::string RenderCsv(absl::Span<const Comparison> parts) {
  std::string out = absl::StrCat(
      "model,scheme,recipe,domain,calibration,mark,seeds,windows,documents,bits_per_weight,model_bits_per_weight,"
      "stored_bytes,nll,perplexity,delta_nll,delta_low,delta_high,delta_se,p,p_holm,verdict,seed_spread,kl,"
      "greedy_agreement,router_topk_agreement,router_top1_change,wall_seconds,peak_memory_bytes,best,tied,trials,form,"
      "scope,rank_class,router_kl",
      parts.empty() ? "" : report_internal::TaskHeadCsv(parts[0]), "\r\n");
  for (const Comparison& c : parts) {
    for (const Group& g : c.groups) {
      for (const DomainCell& cell : g.domain) out += CsvRow(c, g, cell);
      out += CsvRow(c, g, g.pooled);
    }
  }
  return out;
}

std::string RenderAblationCsv(absl::Span<const Comparison> parts) {
  std::string rows;
  for (const Comparison& c : parts) rows += report_internal::AblationCsvRows(c);
  return rows.empty() ? "" : report_internal::kAblationCsvHead + rows;
}

std::string RenderLatex(const Comparison& c) {
  const size_t columns = c.domains.size() + 5 + c.tasks.size();
  bool tied = false;
  for (const Group& g : c.groups) tied = tied || g.tied;
  std::string out =
      absl::StrCat("% Needs \\usepackage{booktabs}\n\\begin{table}\n\\centering\\small\n\\caption{",
                   EscapeLatex(c.form.empty() ? c.title : absl::StrCat(c.title, ", ", c.form)),
                   "}\n\\begin{tabular}{ll", std::string(columns - 2, 'r'), "}\n\\toprule\nScheme & Method & Bits");
  for (const std::string& d : c.domains) absl::StrAppend(&out, " & ", EscapeLatex(d));
  out += " & All & $\\Delta$ nats/token";
  for (const TaskSummary& task : c.tasks) absl::StrAppend(&out, " & ", EscapeLatex(task.name), " (\\%)");
  out += " \\\\\n\\midrule\n";
  std::string scheme;
  for (const Group& g : c.groups) {
    if (!g.full_precision && g.scheme != scheme && !scheme.empty()) out += "\\addlinespace\n";
    const bool first = g.scheme != scheme;
    if (!g.full_precision) scheme = g.scheme;
    const auto bold = [&g](const std::string& text) { return g.best ? absl::StrCat("\\textbf{", text, "}") : text; };
    absl::StrAppend(&out, first && !g.full_precision ? EscapeLatex(g.scheme) : "", " & ", bold(EscapeLatex(g.recipe)),
                    g.tied ? "$^\\approx$" : "", g.mark.empty() ? "" : "$^\\dagger$", " & ",
                    g.bits_per_weight > 0 ? Fixed(g.bits_per_weight, 2) : "--");
    for (const DomainCell& cell : g.domain)
      absl::StrAppend(
          &out, " & ",
          cell.lowest ? absl::StrCat("\\textbf{", Fixed(cell.perplexity, 2), "}") : Fixed(cell.perplexity, 2));
    absl::StrAppend(&out, " & ", bold(Fixed(g.pooled.perplexity, 2)));
    if (g.pooled.versus_full && !g.full_precision) {
      const PairedResult& r = *g.pooled.versus_full;
      absl::StrAppend(&out, " & ", g.best ? "\\boldmath" : "", "$", Signed(r.mean, 4), " \\pm ",
                      Fixed((r.high - r.low) / 2, 4), Stars(r.p_holm), "$");
    } else {
      out += " & --";
    }
    for (size_t t = 0; t < c.tasks.size(); ++t) out += TaskLatex(c.tasks[t], g.task[t]);
    out += " \\\\\n";
    if (g.full_precision) out += "\\midrule\n";
  }
  absl::StrAppend(&out, "\\bottomrule\n\\multicolumn{", columns,
                  "}{p{0.95\\linewidth}}{\\footnotesize Perplexity per domain, ", c.windows, " windows of ",
                  c.window_tokens, " tokens, ", c.documents,
                  " documents. $\\Delta$: paired difference to full precision $\\pm$ half the 95\\,\\% bootstrap "
                  "interval, clustered "
                  "by document. Stars: it differs from zero, sign-flip test of ",
                  c.options.paired.draws,
                  " draws with Holm's correction, $^{*}$ $p<0.05$, $^{**}$ $p<0.01$, $^{***}$ $p<0.001$. Bold: lowest "
                  "loss of its scheme, in each column",
                  tied ? "; $^\\approx$: equivalent to it or not separable from it" : "", ". Ledger ",
                  EscapeLatex(c.provenance.ledger), ", commit ", EscapeLatex(c.provenance.commit.substr(0, 12)),
                  c.provenance.dirty == "dirty" ? " (dirty)" : "", ".");
  for (const Group& g : c.groups) {
    if (!g.mark.empty()) absl::StrAppend(&out, " $^\\dagger$ ", EscapeLatex(g.mark), ".");
  }
  for (const TaskSummary& task : c.tasks) {
    absl::StrAppend(&out, " ", EscapeLatex(task.name), ": ", EscapeLatex(task.kind), ", accuracy on ", task.items,
                    " items", task.units == task.items ? "" : absl::StrCat(", ", task.units, " ", task.unit),
                    task.at_chance
                        ? absl::StrCat("; full precision is not significantly above ", Fixed(100 * task.baseline(), 1),
                                       "\\,\\%, chance")
                        : absl::StrCat(", with the difference to full precision in points $\\pm$ half the 95\\,\\% "
                                       "interval over ",
                                       task.unit),
                    ".");
  }
  for (const std::string& gate : c.gate) absl::StrAppend(&out, " ", EscapeLatex(gate), ".");
  return absl::StrCat(out, "}\n\\end{tabular}\n\\end{table}\n", report_internal::AblationLatex(c));
}

std::string RenderJson(const Comparison& c) {
  std::string out =
      absl::StrCat("{\"title\":", EscapeJson(c.title), ",\"baseline\":", EscapeJson(c.options.baseline),
                   ",\"margin\":", Number(c.options.paired.margin), ",\"draws\":", c.options.paired.draws,
                   ",\"windows\":", c.windows, ",\"documents\":", c.documents, ",\"window_tokens\":", c.window_tokens,
                   ",\"commit\":", EscapeJson(c.provenance.commit), ",\"ledger\":", EscapeJson(c.provenance.ledger),
                   report_internal::TasksJson(c), ",\"groups\":[");
  for (size_t i = 0; i < c.groups.size(); ++i) {
    const Group& g = c.groups[i];
    absl::StrAppend(&out, i == 0 ? "" : ",", "\n{\"model\":", EscapeJson(g.model), ",\"scheme\":", EscapeJson(g.scheme),
                    ",\"recipe\":", EscapeJson(g.recipe), ",\"full_precision\":", g.full_precision ? "true" : "false",
                    ",\"best\":", g.best ? "true" : "false", ",\"tied\":", g.tied ? "true" : "false",
                    ",\"mark\":", EscapeJson(g.mark), ",\"calibration\":", EscapeJson(g.calibration), ",\"seeds\":[",
                    absl::StrJoin(g.seeds, ","), "],\"trials\":", Strings(g.keys),
                    ",\"bits_per_weight\":", Number(g.bits_per_weight),
                    ",\"model_bits_per_weight\":", Number(g.model_bits_per_weight),
                    ",\"linear_operations\":", Number(g.linear_operations),
                    ",\"online_operations\":", Number(g.online_operations),
                    ",\"stored_bytes\":", Number(g.stored_bytes), ",\"wall_seconds\":", Number(g.wall_seconds),
                    ",\"peak_memory_bytes\":", Number(g.peak_memory_bytes), ",\"domains\":[",
                    absl::StrJoin(g.domain, ",", [](std::string* o, const DomainCell& cell) { *o += CellJson(cell); }),
                    "],\"all\":", CellJson(g.pooled), report_internal::TaskCellsJson(g), "}");
  }
  out += "],\"duels\":[";
  for (size_t i = 0; i < c.duels.size(); ++i) {
    const Duel& d = c.duels[i];
    absl::StrAppend(&out, i == 0 ? "" : ",", "\n{\"first\":", d.first, ",\"second\":", d.second,
                    ",\"domains_won\":", d.domains_won, ",\"domains_lost\":", d.domains_lost,
                    ",\"paired\":", PairedJson(d.pooled), "}");
  }
  std::vector<std::string> verdicts;
  for (const SchemeSummary& s : c.schemes) {
    for (const Ranking& r : s.rankings) verdicts.push_back(r.sentence);
  }
  absl::StrAppend(&out, "],\n\"verdicts\":", Strings(verdicts), ",\"equal\":", Strings(c.equal),
                  ",\"unequal\":", Strings(c.unequal), ",\"refused\":", Strings(c.refused),
                  ",\"notes\":", Strings(c.notes), ",\"pending\":", c.pending, ",\"failures\":[");
  for (size_t i = 0; i < c.failures.size(); ++i) {
    const ReportFailure& f = c.failures[i];
    absl::StrAppend(&out, i == 0 ? "" : ",", "{\"trial\":", EscapeJson(f.key), ",\"scheme\":", EscapeJson(f.scheme),
                    ",\"recipe\":", EscapeJson(f.recipe), ",\"seed\":", f.seed, ",\"outcome\":", EscapeJson(f.outcome),
                    ",\"message\":", EscapeJson(f.message), ",\"command\":", EscapeJson(f.command), "}");
  }
  absl::StrAppend(&out, "],\n\"form\":", EscapeJson(c.form), ",\"gate\":", Strings(c.gate),
                  ",\"equal_fields\":", Strings(c.equal_fields), ",\"unequal_fields\":", Strings(c.unequal_fields),
                  ",\"ablations\":[");
  for (size_t i = 0; i < c.ablations.size(); ++i) {
    const AblationTable& t = c.ablations[i];
    absl::StrAppend(&out, i == 0 ? "" : ",", "\n{\"of\":", EscapeJson(t.of),
                    ",\"relative_to\":", EscapeJson(t.relative_to), ",\"scheme\":", EscapeJson(t.scheme),
                    ",\"parts\":", Strings(t.parts), ",\"effects\":[");
    for (size_t e = 0; e < t.effects.size(); ++e) {
      absl::StrAppend(&out, e == 0 ? "" : ",", "{\"effect\":", EscapeJson(EffectName(t.effects[e].kind)),
                      ",\"parts\":[", absl::StrJoin(t.effects[e].parts, ","),
                      "],\"paired\":", t.effects[e].paired ? PairedJson(*t.effects[e].paired) : "null", "}");
    }
    out += "]}";
  }
  out += "],\n\"router_predictions\":[";
  for (size_t i = 0; i < c.router_predictions.size(); ++i) {
    const RouterPrediction& r = c.router_predictions[i];
    absl::StrAppend(&out, i == 0 ? "" : ",", "{\"scheme\":", EscapeJson(r.scheme));
    if (r.agreement) {
      absl::StrAppend(&out, ",\"agreement_rho\":", Number(r.agreement->rho),
                      ",\"agreement_p\":", Number(r.agreement->p_value));
    }
    if (r.kl) absl::StrAppend(&out, ",\"kl_rho\":", Number(r.kl->rho), ",\"kl_p\":", Number(r.kl->p_value));
    out += "}";
  }
  absl::StrAppend(&out, "],\n\"claims\":", report_internal::ClaimsJson(c));
  if (c.cost) {
    absl::StrAppend(&out, ",\n\"cost\":{\"recipes\":", c.cost->recipes, ",\"spent\":", Number(c.cost->spent),
                    ",\"alone\":", Number(c.cost->alone), "}");
  }
  return absl::StrCat(out, "}\n");
}

}  // namespace eaq
