// The summary over models as text, HTML and CSV.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "eaq/report/figure_parts.h"
#include "eaq/report/forest_chart.h"
#include "eaq/report/format.h"
#include "eaq/report/report.h"
#include "eaq/report/summary.h"
#include "eaq/report/text_table.h"

namespace eaq {
namespace report_internal {
namespace {

// "best", "equivalent", "undecided", "worse"; "not ranked".
std::string AgainstBest(const SummaryCell& cell) {
  if (cell.rank == 0) return "not ranked";
  return cell.versus_best ? std::string(VerdictName(cell.versus_best->verdict)) : "best";
}

// The same as one sign behind the rank: "1 *", "2 =", "3 ?", "4 >".
std::string RankSign(const SummaryCell& cell) {
  if (cell.rank == 0) return "\xE2\x80\xA0";
  const char* sign = "*";
  if (cell.versus_best) {
    const Verdict v = cell.versus_best->verdict;
    sign = v == Verdict::kEquivalent ? "=" : v == Verdict::kUndecided ? "?" : v == Verdict::kWorse ? ">" : "<";
  }
  return absl::StrCat(cell.rank, cell.classes > 1 ? absl::StrCat("/", cell.of) : "", " ", sign);
}

std::string Title(const SummaryTable& t) {
  return absl::StrCat(t.scheme, t.form.empty() ? "" : absl::StrCat(", ", t.form));
}

std::string MeanRank(const SummaryRow& row) { return row.ranked > 0 ? Fixed(row.mean_rank, 1) : "-"; }

std::string Unbeaten(const SummaryRow& row) { return absl::StrCat(row.unbeaten, " of ", row.ranked); }

// Stored bits of the rows on model M, where they all have the same.
std::string BitsOf(absl::Span<const Comparison> parts, const SummaryTable& t, size_t m) {
  for (const SummaryRow& row : t.rows) {
    if (row.cell[m]) return Fixed(parts[row.cell[m]->part].groups[row.cell[m]->group].bits_per_weight, 2);
  }
  return "-";
}

// Models in which the scheme's rows are not all ranked together.
std::string Divided(const SummaryTable& t) {
  std::vector<std::string> models;
  for (size_t m = 0; m < t.models.size(); ++m) {
    const bool divided = std::any_of(t.rows.begin(), t.rows.end(),
                                     [m](const SummaryRow& row) { return row.cell[m] && row.cell[m]->classes > 1; });
    if (divided) models.push_back(t.models[m]);
  }
  return models.empty() ? ""
                        : absl::StrCat(Title(t), ": on ", absl::StrJoin(models, ", "),
                                       " not all rows are ranked together (the fairness gate says why); ranks and "
                                       "verdicts count within a class.");
}

// The deltas of a table with their intervals, models side by side.
std::string ForestFigure(absl::Span<const Comparison> parts, const SummaryTable& t, size_t index) {
  ForestChart chart(
      absl::StrCat("forest", index), absl::StrCat("Every method on every model: ", Title(t)),
      "One row per method, the lowest mean over its models first, one mark per model: its mean difference to full "
      "precision and the 95 % interval.");
  chart.x_label = "difference to full precision, nats per token";
  chart.series = t.models;
  for (const SummaryRow& row : t.rows) {
    ForestChart::Row& line = chart.rows.emplace_back();
    line.name = row.recipe;
    // Where not all rows are ranked together, being unbeaten among few says little beside the others.
    line.strong = row.ranked > 0 && row.unbeaten == row.ranked;
    for (const std::optional<SummaryCell>& cell : row.cell) line.strong = line.strong && !(cell && cell->classes > 1);
    for (size_t m = 0; m < row.cell.size(); ++m) {
      if (!row.cell[m]) continue;
      const std::optional<PairedResult>& full = parts[row.cell[m]->part].groups[row.cell[m]->group].pooled.versus_full;
      if (!full) continue;
      line.marks.push_back({static_cast<int>(m), full->mean, full->low, full->high,
                            absl::StrCat(row.recipe, ", ", t.models[m], ": ", Interval(*full, 4))});
    }
  }
  const auto mean = [](const ForestChart::Row& row) {
    double sum = 0;
    for (const ForestChart::Mark& mark : row.marks) sum += mark.x;
    return sum / static_cast<double>(std::max<size_t>(row.marks.size(), 1));
  };
  std::stable_sort(chart.rows.begin(), chart.rows.end(),
                   [&](const ForestChart::Row& a, const ForestChart::Row& b) { return mean(a) < mean(b); });
  return Figure(chart.Svg(), "", "");
}

enum Drop { kAll, kNoIntervals, kNoBits, kEnd };

TextTable MakeText(absl::Span<const Comparison> parts, const std::vector<SummaryTable>& tables, int drop) {
  std::vector<TextTable::Column> columns = {{"method", false}};
  for (const std::string& model : tables[0].models) {
    columns.push_back({absl::StrCat("\xCE\x94 ", PlainText(model)), true});
    if (drop < kNoBits) columns.push_back({"bits", true});
    columns.push_back({"rank", false});
  }
  columns.push_back({"mean rank", true});
  columns.push_back({"unbeaten", true});
  TextTable table(columns);
  for (const SummaryTable& t : tables) {
    table.AddHeading(PlainText(Title(t)));
    for (const SummaryRow& row : t.rows) {
      const bool top = row.ranked > 0 && row.unbeaten == row.ranked;
      std::vector<TextTable::Cell> cells = {{"  " + PlainText(row.recipe), top ? Style::kBold : Style::kPlain}};
      for (const std::optional<SummaryCell>& cell : row.cell) {
        if (!cell) {
          cells.insert(cells.end(), drop < kNoBits ? 3 : 2, {"-"});
          continue;
        }
        const Group& g = parts[cell->part].groups[cell->group];
        const std::optional<PairedResult>& full = g.pooled.versus_full;
        cells.push_back({!full ? "-" : drop < kNoIntervals ? Interval(*full, 4) : Signed(full->mean, 4)});
        if (drop < kNoBits) cells.push_back({Fixed(g.bits_per_weight, 2)});
        const bool worse = cell->versus_best && cell->versus_best->verdict == Verdict::kWorse;
        cells.push_back({RankSign(*cell), cell->rank == 0 ? Style::kDim : worse ? Style::kPlain : Style::kGreen});
      }
      cells.push_back({MeanRank(row)});
      cells.push_back({Unbeaten(row)});
      table.Add(std::move(cells));
    }
  }
  return table;
}

const Comparison& PartOf(absl::Span<const Comparison> parts, const SummaryTable& t) {
  for (const SummaryRow& row : t.rows) {
    for (const std::optional<SummaryCell>& cell : row.cell) {
      if (cell) return parts[cell->part];
    }
  }
  return parts[0];
}

}  // namespace

std::string SummaryHtml(absl::Span<const Comparison> parts) {
  std::string out;
  size_t index = 0;
  for (const SummaryTable& t : SummarizeModels(parts)) {
    absl::StrAppend(&out, "<h3>", EscapeHtml(Title(t)), "</h3>\n", ForestFigure(parts, t, index++),
                    "<div class=\"scroll\" tabindex=\"0\"><table class=\"sortable wide\">\n<thead><tr "
                    "class=\"over\"><td></td>");
    for (size_t m = 0; m < t.models.size(); ++m) {
      absl::StrAppend(&out, "<th colspan=\"", t.equal_bits ? 3 : 4, "\">", EscapeHtml(t.models[m]),
                      t.equal_bits ? absl::StrCat(", ", BitsOf(parts, t, m), " bits") : "", "</th>");
    }
    out += "<td></td><td></td></tr>\n<tr><th class=\"l\">method</th>";
    for (size_t m = 0; m < t.models.size(); ++m) {
      out += "<th>\xCE\x94 [95 %] <small>nats/token</small></th>";
      if (!t.equal_bits) out += "<th>bits <small>stored</small></th>";
      out += "<th>rank</th><th class=\"l\">against the best</th>";
    }
    out += "<th>mean rank</th><th>unbeaten</th></tr></thead>\n<tbody>\n";
    for (const SummaryRow& row : t.rows) {
      absl::StrAppend(&out, "<tr", row.ranked > 0 && row.unbeaten == row.ranked ? " class=\"best\"" : "",
                      "><th scope=\"row\">", EscapeHtml(row.recipe), "</th>");
      for (const std::optional<SummaryCell>& cell : row.cell) {
        if (!cell) {
          absl::StrAppend(&out, t.equal_bits ? "" : "<td data-v=\"\">-</td>",
                          "<td data-v=\"\">-</td><td data-v=\"\">-</td><td class=\"l\">-</td>");
          continue;
        }
        const Comparison& c = parts[cell->part];
        const Group& g = c.groups[cell->group];
        const std::optional<PairedResult>& full = g.pooled.versus_full;
        const auto td = [&out](double v, const std::string& text) {
          absl::StrAppend(&out, "<td data-v=\"", Exact(v), "\">", EscapeHtml(text), "</td>");
        };
        if (full) {
          td(full->mean, Interval(*full, 4));
        } else {
          out += "<td data-v=\"\">-</td>";
        }
        if (!t.equal_bits) td(g.bits_per_weight, Fixed(g.bits_per_weight, 2));
        if (cell->rank > 0) {
          td(cell->rank, absl::StrCat(cell->rank, cell->classes > 1 ? absl::StrCat(" of ", cell->of) : ""));
        } else {
          absl::StrAppend(&out, "<td data-v=\"\" title=\"", EscapeHtml(g.mark), "\">\xE2\x80\xA0</td>");
        }
        const std::string verdict = AgainstBest(*cell);
        // The best is what the others are coloured against; so is what cannot be told from it.
        const char* css = verdict == "best" || verdict == "equivalent" ? "equivalent"
                          : verdict == "worse"                         ? "worse"
                                                                       : "undecided";
        std::string title;
        if (cell->versus_best) {
          title =
              absl::StrCat(" title=\"", EscapeHtml(c.groups[cell->best].recipe), ": ", Interval(*cell->versus_best, 4),
                           ", Holm p ", EscapeHtml(HolmP(*cell->versus_best, c.options.paired.draws)), "\"");
        }
        absl::StrAppend(&out, "<td class=\"l ", css, "\"", title, ">", verdict, "</td>");
      }
      absl::StrAppend(&out, "<td data-v=\"", row.ranked > 0 ? Exact(row.mean_rank) : "", "\">", MeanRank(row),
                      "</td><td data-v=\"", row.unbeaten, "\">", Unbeaten(row), "</td></tr>\n");
    }
    out += "</tbody></table></div>\n";
    if (const std::string divided = Divided(t); !divided.empty()) {
      absl::StrAppend(&out, "<p class=\"note\">", EscapeHtml(divided), "</p>\n");
    }
  }
  return out;
}

}  // namespace report_internal

using report_internal::SummaryCell;
using report_internal::SummaryRow;
using report_internal::SummaryTable;

std::string RenderSummary(absl::Span<const Comparison> parts, const TextOptions& options) {
  const std::vector<SummaryTable> tables = report_internal::SummarizeModels(parts);
  std::string out;
  // Forms may have other models, so each has a table of its own.
  for (size_t begin = 0; begin < tables.size();) {
    size_t end = begin;
    while (end < tables.size() && tables[end].form == tables[begin].form) ++end;
    const std::vector<SummaryTable> of_form(tables.begin() + begin, tables.begin() + end);
    int drop = report_internal::kAll;
    report_internal::TextTable table = report_internal::MakeText(parts, of_form, drop);
    while (options.width > 0 && table.Width() > options.width && drop + 1 < report_internal::kEnd) {
      table = report_internal::MakeText(parts, of_form, ++drop);
    }
    const Comparison& c = report_internal::PartOf(parts, of_form[0]);
    absl::StrAppend(&out, begin == 0 ? "" : "\n",
                    report_internal::Paint(report_internal::PlainText(absl::StrCat("Summary over models: ", c.title)),
                                           report_internal::Style::kBold, options.color),
                    "\n\n", table.Render(options.color),
                    report_internal::Wrap("\xCE\x94: mean difference to full precision, nats per token. rank by it; "
                                          "against the best of the model and scheme, after Holm over the model's "
                                          "duels: * best, = equivalent, ? undecided, > worse. unbeaten: models where a "
                                          "method is the best or the best is not significantly better. \xE2\x80\xA0 "
                                          "not ranked: calibrated on other text.",
                                          options.width, 2),
                    "\n");
    for (const SummaryTable& t : of_form) {
      const std::string divided = report_internal::Divided(t);
      if (!divided.empty()) {
        absl::StrAppend(&out, report_internal::Wrap(report_internal::PlainText(divided), options.width, 2), "\n");
      }
    }
    begin = end;
  }
  return out;
}

std::string RenderSummaryCsv(absl::Span<const Comparison> parts) {
  using report_internal::EscapeCsv;
  using report_internal::Exact;
  std::string out;
  for (const SummaryTable& t : report_internal::SummarizeModels(parts)) {
    for (size_t m = 0; m < t.models.size(); ++m) {
      for (const SummaryRow& row : t.rows) {
        if (!row.cell[m]) continue;
        const SummaryCell& cell = *row.cell[m];
        const Group& g = parts[cell.part].groups[cell.group];
        std::vector<std::string> f = {EscapeCsv(t.form),     EscapeCsv(t.scheme),      EscapeCsv(t.models[m]),
                                      EscapeCsv(row.recipe), Exact(g.bits_per_weight), Exact(g.model_bits_per_weight),
                                      Exact(g.stored_bytes)};
        if (g.pooled.versus_full) {
          const PairedResult& r = *g.pooled.versus_full;
          for (const double v : {r.mean, r.low, r.high, r.p_holm}) f.push_back(Exact(v));
          f.push_back(std::string(VerdictName(r.verdict)));
        } else {
          f.insert(f.end(), 5, "");
        }
        f.push_back(cell.rank > 0 ? absl::StrCat(cell.rank) : "");
        f.push_back(cell.rank > 0 ? absl::StrCat(cell.of) : "");
        f.push_back(absl::StrCat(cell.rank_class));
        f.push_back(report_internal::AgainstBest(cell));
        f.push_back(cell.best >= 0 ? EscapeCsv(parts[cell.part].groups[cell.best].recipe) : "");
        if (cell.versus_best) {
          const PairedResult& r = *cell.versus_best;
          for (const double v : {r.mean, r.low, r.high, r.p_holm}) f.push_back(Exact(v));
        } else {
          f.insert(f.end(), 4, "");
        }
        f.push_back(row.ranked > 0 ? Exact(row.mean_rank) : "");
        f.push_back(absl::StrCat(row.unbeaten));
        f.push_back(absl::StrCat(row.ranked));
        absl::StrAppend(&out, absl::StrJoin(f, ","), "\r\n");
      }
    }
  }
  if (out.empty()) return "";
  return absl::StrCat(
      "form,scheme,model,recipe,bits_per_weight,model_bits_per_weight,stored_bytes,delta_nll,delta_low,delta_high,"
      "delta_p_holm,verdict_versus_full,rank,ranked_rows,rank_class,verdict_versus_best,best,versus_best,"
      "versus_best_low,versus_best_high,versus_best_p_holm,mean_rank,unbeaten_models,ranked_models\r\n",
      out);
}

}  // namespace eaq
