#include "eaq/report/render_ablation.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "eaq/report/format.h"
#include "eaq/report/text_table.h"
#include "eaq/report/waterfall.h"

namespace eaq::report_internal {
namespace {

constexpr char kExplained[] =
    "Alone: the base with the part, minus the base. Without: the whole, minus the whole without the part. Interaction: "
    "what two parts do together beyond the sum of what each does alone, d(AB) - d(A) - d(B). Nats per token, negative "
    "is "
    "better; ";

std::string Title(const AblationTable& t) { return absl::StrCat(t.scheme, ": ", t.of, " relative to ", t.relative_to); }

const AblationEffect* Find(const AblationTable& t, EffectKind kind, int part) {
  for (const AblationEffect& e : t.effects) {
    if (e.kind == kind && (part < 0 || e.parts == std::vector<int>{part})) return &e;
  }
  return nullptr;
}

int64_t Tests(const AblationTable& t) {
  return std::count_if(t.effects.begin(), t.effects.end(),
                       [](const AblationEffect& e) { return e.paired.has_value(); });
}

std::string Name(const AblationEffect& e) {
  switch (e.kind) {
    case EffectKind::kWhole:
    case EffectKind::kPair:
      return e.label;
    case EffectKind::kRest:
      return e.label + " (rest)";
    case EffectKind::kAlone:
    case EffectKind::kWithout:
      break;
  }
  return absl::StrCat(e.label, " ", EffectName(e.kind));
}

Style StyleOf(Verdict v) {
  if (v == Verdict::kBetter) return Style::kGreen;
  return v == Verdict::kWorse ? Style::kRed : Style::kDim;
}

// From base to whole; parts alone where they ran so, else what each does beside the others.
Waterfall MakeWaterfall(const AblationTable& t, const std::string& id) {
  Waterfall w(
      id, absl::StrCat(Title(t), ": from one to the other, part by part"),
      "Loss of the base, the change that each part makes with its 95 percent interval, what is left over for the "
      "parts' interactions, and the loss of the whole.");
  if (t.rows.size() < 2 || !t.rows[0].pooled || !t.rows[1].pooled) return w;
  const bool relative = t.rows[0].pooled->versus_full && t.rows[1].pooled->versus_full;
  w.label = relative ? "difference to full precision, nats per token" : "loss, nats per token";
  const auto level = [&](const AblationRow& row) {
    const DomainCell& cell = *row.pooled;
    if (!relative) return w.steps.push_back({row.name, cell.nll, 0, 0, Waterfall::kLevel, Fixed(cell.nll, 4)});
    const PairedResult& r = *cell.versus_full;
    w.steps.push_back({row.name, r.mean, r.low, r.high, Waterfall::kLevel, Interval(r, 4)});
  };
  const auto change = [&w](const AblationEffect& e, Waterfall::Kind kind) {
    if (!e.paired) return false;
    const PairedResult& r = *e.paired;
    w.steps.push_back(
        {kind == Waterfall::kRest ? "interactions" : e.label, r.mean, r.low, r.high, kind, Interval(r, 4)});
    return true;
  };
  level(t.rows[0]);
  EffectKind kind = EffectKind::kAlone;
  for (size_t p = 0; p < t.parts.size(); ++p) {
    if (Find(t, kind, static_cast<int>(p)) == nullptr) kind = EffectKind::kWithout;
  }
  bool complete = true;
  for (const AblationEffect& e : t.effects) {
    if (e.kind == kind || (t.parts.size() == 1 && e.kind == EffectKind::kWhole)) {
      complete = change(e, Waterfall::kChange) && complete;
    }
  }
  const AblationEffect* rest = Find(t, EffectKind::kRest, -1);
  if (t.parts.size() == 2 && kind == EffectKind::kAlone) rest = Find(t, EffectKind::kPair, -1);
  if (t.parts.size() > 1) complete = rest != nullptr && change(*rest, Waterfall::kRest) && complete;
  level(t.rows[1]);
  if (!complete) w.steps.clear();  // changes that do not add up to the whole mislead
  return w;
}

std::string Td(const PairedResult& r, absl::string_view text) {
  return absl::StrCat("<td data-v=\"", Exact(r.mean), "\">", EscapeHtml(text), "</td>");
}

// Interval, Holm's p and verdict: three cells.
std::string EffectCells(const AblationEffect* e, int draws) {
  if (e == nullptr || !e->paired) return "<td data-v=\"\">-</td><td>-</td><td>-</td>";
  const absl::string_view verdict = VerdictName(e->paired->verdict);
  return absl::StrCat(Td(*e->paired, Interval(*e->paired, 4)), "<td>",
                      absl::StripPrefix(HolmP(*e->paired, draws), "= "), "</td><td class=\"", verdict, "\">", verdict,
                      "</td>");
}

std::string PartsTable(const AblationTable& t, int draws) {
  std::string out =
      "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr class=\"over\"><td></td><td></td><th "
      "colspan=\"3\">alone</th><th colspan=\"3\">without</th></tr>\n<tr><th class=\"l\">part</th><th "
      "class=\"l\">fields "
      "of the recipe</th><th>\xCE\x94 [95 %]</th><th>Holm p</th><th></th><th>\xCE\x94 [95 %]</th><th>Holm "
      "p</th><th></th></tr></thead><tbody>\n";
  for (size_t p = 0; p < t.parts.size(); ++p) {
    const int part = static_cast<int>(p);
    absl::StrAppend(&out, "<tr><th scope=\"row\">", EscapeHtml(t.parts[p]), "</th><td class=\"l\">",
                    EscapeHtml(absl::StrJoin(t.fields[p], ", ")), "</td>",
                    EffectCells(Find(t, EffectKind::kAlone, part), draws),
                    EffectCells(Find(t, EffectKind::kWithout, part), draws), "</tr>\n");
  }
  absl::StrAppend(&out, "<tr class=\"first\"><th scope=\"row\">the whole</th><td class=\"l\">all of them</td>",
                  EffectCells(Find(t, EffectKind::kWhole, -1), draws), "<td></td><td></td><td></td></tr>\n");
  return out + "</tbody></table></div>\n";
}

std::string PairsTable(const AblationTable& t, int draws) {
  std::string rows;
  for (const AblationEffect& e : t.effects) {
    if (e.kind != EffectKind::kPair && e.kind != EffectKind::kRest) continue;
    absl::StrAppend(&rows, "<tr><th scope=\"row\">", EscapeHtml(Name(e)), "</th>", EffectCells(&e, draws), "</tr>\n");
  }
  if (rows.empty()) return "";
  return absl::StrCat(
      "<h4>What parts do together beyond their sum</h4>\n<div class=\"scroll\" tabindex=\"0\"><table "
      "class=\"fit\"><thead><tr><th class=\"l\">interaction</th><th>\xCE\x94 "
      "[95 %]</th><th>Holm p</th><th></th></tr></thead><tbody>\n",
      rows, "</tbody></table></div>\n");
}

std::string RowsTable(const AblationTable& t) {
  std::string out =
      "<details><summary>Every recipe</summary><div class=\"scroll\" tabindex=\"0\"><table class=\"sortable "
      "fit\"><thead><tr><th class=\"l\">recipe</th><th>perplexity</th><th>difference to full precision [95 "
      "%]</th><th>calibration draws</th></tr></thead><tbody>\n";
  for (const AblationRow& row : t.rows) {
    absl::StrAppend(&out, "<tr><th scope=\"row\">", EscapeHtml(row.name), "</th>");
    if (!row.pooled) {
      out += "<td data-v=\"\">-</td><td data-v=\"\">-</td><td data-v=\"\">-</td></tr>\n";
      continue;
    }
    absl::StrAppend(
        &out, "<td data-v=\"", Exact(row.pooled->perplexity), "\">", Fixed(row.pooled->perplexity, 2), "</td>",
        row.pooled->versus_full ? Td(*row.pooled->versus_full, Interval(*row.pooled->versus_full, 4))
                                : std::string("<td data-v=\"\">-</td>"),
        "<td data-v=\"", row.seeds, "\">", row.seeds == 0 ? "none" : absl::StrCat(row.seeds), "</td></tr>\n");
  }
  return out + "</tbody></table></div></details>\n";
}

}  // namespace

const char kAblationCsvHead[] =
    "model,scheme,form,of,relative_to,effect,parts,delta_nll,delta_low,delta_high,delta_se,p,p_holm,verdict,windows,"
    "documents\r\n";

std::string AblationText(const Comparison& c, const TextOptions& options) {
  std::string out;
  for (const AblationTable& t : c.ablations) {
    absl::StrAppend(&out, "\n", Paint(PlainText("Ablation " + Title(t)), Style::kBold, options.color), "\n");
    TextTable table({{"effect", false}, {"\xCE\x94 nats/token [95 %]", true}, {"Holm p", true}, {"", false}});
    for (const AblationEffect& e : t.effects) {
      if (!e.paired) {
        table.Add({{PlainText(Name(e))}, {"-"}, {"-"}, {"missing"}});
        continue;
      }
      table.Add({{PlainText(Name(e)), e.kind == EffectKind::kWhole ? Style::kBold : Style::kPlain},
                 {Interval(*e.paired, 4)},
                 {std::string(absl::StripPrefix(HolmP(*e.paired, c.options.paired.draws), "= "))},
                 {std::string(VerdictName(e.paired->verdict)), StyleOf(e.paired->verdict)}});
    }
    out += table.Render(options.color);
    for (const std::string& note : t.notes) {
      absl::StrAppend(&out, Paint(Wrap(PlainText("Note: " + note), options.width, 2), Style::kDim, options.color),
                      "\n");
    }
  }
  if (out.empty()) return out;
  return absl::StrCat(out,
                      Paint(Wrap(absl::StrCat(kExplained,
                                              "95 % paired bootstrap intervals, Holm over the effects of a "
                                              "table."),
                                 options.width, 2),
                            Style::kDim, options.color),
                      "\n");
}

std::string AblationHtml(const Comparison& c) {
  std::string out;
  for (size_t i = 0; i < c.ablations.size(); ++i) {
    const AblationTable& t = c.ablations[i];
    absl::StrAppend(&out, "<h3>", EscapeHtml(Title(t)), "</h3>\n");
    const std::string svg = MakeWaterfall(t, absl::StrCat("ablation", i)).Svg();
    if (!svg.empty()) {
      absl::StrAppend(&out, "<figure><div class=\"scroll\" tabindex=\"0\">", svg,
                      "</div><figcaption>From the base to the whole: the change each part makes ",
                      Find(t, EffectKind::kAlone, 0) != nullptr || t.parts.size() == 1 ? "alone" : "beside the others",
                      ", and what their interactions make up. Markers: the two recipes; bars to the left: better. "
                      "Whiskers: 95 % paired bootstrap "
                      "interval. The axis need not begin at 0.</figcaption></figure>\n");
    }
    out += PartsTable(t, c.options.paired.draws);
    out += PairsTable(t, c.options.paired.draws);
    std::vector<std::string> notes = t.notes;
    notes.push_back(absl::StrCat("Holm p: corrected over the ", Tests(t), " effects of this ablation"));
    absl::StrAppend(&out, "<p class=\"note\">", EscapeHtml(absl::StrJoin(notes, ". ")), ".</p>\n", RowsTable(t));
  }
  if (out.empty()) return out;
  return absl::StrCat("<p class=\"note\">", kExplained,
                      "intervals and tests pair the windows of the evaluation text, documents are the clusters, "
                      "calibration draws are averaged first.</p>\n",
                      out);
}

std::string AblationLatex(const Comparison& c) {
  std::string out;
  for (const AblationTable& t : c.ablations) {
    absl::StrAppend(&out, "% Needs \\usepackage{booktabs}\n\\begin{table}\n\\centering\\small\n\\caption{",
                    EscapeLatex(t.model), ", ", EscapeLatex(Title(t)),
                    t.form.empty() ? "" : absl::StrCat(", ", EscapeLatex(t.form)),
                    "}\n\\begin{tabular}{lrr}\n\\toprule\nPart & Alone & Without \\\\\n\\midrule\n");
    const auto cell = [](const AblationEffect* e) -> std::string {
      if (e == nullptr || !e->paired) return "--";
      const PairedResult& r = *e->paired;
      return absl::StrCat("$", Signed(r.mean, 4), "\\;[", Fixed(r.low, 4), ", ", Fixed(r.high, 4), "]",
                          r.p_holm < 0.001  ? "^{***}"
                          : r.p_holm < 0.01 ? "^{**}"
                          : r.p_holm < 0.05 ? "^{*}"
                                            : "",
                          "$");
    };
    for (size_t p = 0; p < t.parts.size(); ++p) {
      const int part = static_cast<int>(p);
      absl::StrAppend(&out, EscapeLatex(t.parts[p]), " & ", cell(Find(t, EffectKind::kAlone, part)), " & ",
                      cell(Find(t, EffectKind::kWithout, part)), " \\\\\n");
    }
    out += "\\midrule\n";
    for (const AblationEffect& e : t.effects) {
      if (e.kind != EffectKind::kPair && e.kind != EffectKind::kRest) continue;
      std::vector<std::string> names;
      for (const int p : e.parts) names.push_back(EscapeLatex(t.parts[p]));
      absl::StrAppend(&out, e.kind == EffectKind::kRest ? "all interactions" : absl::StrJoin(names, " $\\times$ "),
                      " & ", cell(&e), " & \\\\\n");
    }
    absl::StrAppend(
        &out, "whole & ", cell(Find(t, EffectKind::kWhole, -1)),
        " & \\\\\n\\bottomrule\n\\multicolumn{3}{p{0.95\\linewidth}}{\\footnotesize $\\Delta$ nats per token "
        "with the 95\\,\\% paired bootstrap interval, clustered by document; negative is better. Alone: base "
        "with the part minus base. Without: whole minus whole without the part. $\\times$: interaction. Stars: "
        "sign-flip test with Holm's correction over ",
        Tests(t), " effects, $^{*}$ $p<0.05$, $^{**}$ $p<0.01$, $^{***}$ $p<0.001$.}\n\\end{tabular}\n\\end{table}\n");
  }
  return out;
}

std::string AblationCsvRows(const Comparison& c) {
  std::string out;
  for (const AblationTable& t : c.ablations) {
    for (const AblationEffect& e : t.effects) {
      std::vector<std::string> names;
      for (const int p : e.parts) names.push_back(t.parts[p]);
      std::vector<std::string> f = {EscapeCsv(t.model),
                                    EscapeCsv(t.scheme),
                                    EscapeCsv(t.form),
                                    EscapeCsv(t.of),
                                    EscapeCsv(t.relative_to),
                                    EscapeCsv(EffectName(e.kind)),
                                    EscapeCsv(absl::StrJoin(names, " | "))};
      if (e.paired) {
        const PairedResult& r = *e.paired;
        for (const double v : {r.mean, r.low, r.high, r.standard_error, r.p_value, r.p_holm}) f.push_back(Exact(v));
        f.push_back(std::string(VerdictName(r.verdict)));
        f.push_back(absl::StrCat(r.windows));
        f.push_back(absl::StrCat(r.documents));
      } else {
        f.insert(f.end(), 9, "");
      }
      absl::StrAppend(&out, absl::StrJoin(f, ","), "\r\n");
    }
  }
  return out;
}

}  // namespace eaq::report_internal
