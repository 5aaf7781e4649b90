#include "eaq/report/render_tasks.h"

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "eaq/report/format.h"
#include "eaq/report/tasks.h"
#include "eaq/report/text_table.h"

namespace eaq::report_internal {
namespace {

// Significant duels that the text names before it points at the page.
constexpr size_t kNamedDuels = 6;

std::string Row(const Group& g) { return g.full_precision ? g.recipe : absl::StrCat(g.scheme, " ", g.recipe); }

PairedResult InPoints(PairedResult r) {
  r.mean *= 100;
  r.low *= 100;
  r.high *= 100;
  return r;
}

std::string Points(double share, int digits) { return Fixed(100 * share, digits); }

// A p value that is exact: as it is down to a thousandth.
std::string ShortP(double p) { return p < 0.001 ? "< 0.001" : Fixed(p, 3); }

// The verdict of ROW on TASK; "at chance".
std::string VerdictOf(const TaskSummary& task, const PairedResult& r) {
  return task.at_chance ? "at chance" : std::string(VerdictName(r.verdict));
}

Style StyleOf(const TaskSummary& task, const PairedResult& r) {
  if (task.at_chance || r.verdict == Verdict::kUndecided) return Style::kDim;
  return r.verdict == Verdict::kWorse ? Style::kRed : Style::kGreen;
}

// Whether any row of any task has a value of FIELD.
bool Any(const Comparison& c, std::optional<double> TaskCell::*field) {
  for (const Group& g : c.groups) {
    for (const TaskCell& cell : g.task) {
      if (cell.*field) return true;
    }
  }
  return false;
}

// "GPTQ better than RTN, W2A16 (+3.10 [1.20, 5.00] points, McNemar p 0.001)" of a decided duel, seen from the better.
std::string DuelText(const Comparison& c, const TaskDuel& duel) {
  const bool turned = duel.accuracy.verdict == Verdict::kWorse;
  const PairedResult r = InPoints(turned ? Turned(duel.accuracy) : duel.accuracy);
  const Group &better = c.groups[turned ? duel.second : duel.first],
              &other = c.groups[turned ? duel.first : duel.second];
  return absl::StrCat(better.recipe, " better than ", other.recipe, " at ", better.scheme, " (", Interval(r, 2),
                      " points, McNemar p ", ShortP(duel.mcnemar_p), ")");
}

std::string DuelSentence(const Comparison& c, const TaskSummary& task) {
  if (task.duels.empty()) return "";
  std::vector<std::string> decided;
  size_t equivalent = 0, undecided = 0;
  for (const TaskDuel& duel : task.duels) {
    equivalent += duel.accuracy.verdict == Verdict::kEquivalent;
    undecided += duel.accuracy.verdict == Verdict::kUndecided;
    if (duel.accuracy.verdict == Verdict::kBetter || duel.accuracy.verdict == Verdict::kWorse) {
      decided.push_back(DuelText(c, duel));
    }
  }
  const size_t all = decided.size();
  if (all > kNamedDuels) decided.resize(kNamedDuels);
  return absl::StrCat(" Between methods: ", absl::StrJoin(decided, "; "),
                      all > kNamedDuels ? absl::StrCat("; and ", all - kNamedDuels, " more that differ") : "",
                      all > 0 ? "; " : "", "equivalent: ", equivalent, ", undecided: ", undecided, " (Holm over ",
                      c.family_task_duels, " tests).");
}

std::string ChanceText(const TaskSummary& task) {
  return task.constant > task.chance
             ? absl::StrCat("what always the same answer gives, ", Points(task.constant, 1), "%")
             : absl::StrCat("chance, ", Points(task.chance, 1), "%");
}

constexpr char kTable[] = "<div class=\"scroll\" tabindex=\"0\"><table class=\"sortable\"><thead><tr><th class=\"l\">";
constexpr char kEnd[] = "</tbody></table></div>\n";

std::string Td(double value, const std::string& text, absl::string_view css = "") {
  return absl::StrCat("<td data-v=\"", Exact(value), css.empty() ? "\">" : absl::StrCat("\" class=\"", css, "\">"),
                      text, "</td>");
}
constexpr char kNoTd[] = "<td data-v=\"\">-</td>";

std::string Percent(const std::optional<double>& share) { return share ? Td(*share, Points(*share, 1)) : kNoTd; }

std::string RowsHtml(const Comparison& c, size_t t) {
  const TaskSummary& task = c.tasks[t];
  std::map<std::string, double> parts;
  bool norm = false, perplexity = false;
  for (const Group& g : c.groups) {
    parts.insert(g.task[t].phenomena.begin(), g.task[t].phenomena.end());
    norm = norm || g.task[t].accuracy_norm.has_value();
    perplexity = perplexity || g.task[t].word_perplexity.has_value();
  }
  const bool pairs = task.unit == "paradigms";
  std::string out = absl::StrCat(
      kTable, "method</th><th>acc <small>%</small></th>", norm ? "<th>acc_norm <small>%</small></th>" : "",
      perplexity ? "<th>word perplexity</th>" : "", pairs ? "<th>mean of phenomena <small>%</small></th>" : "",
      "<th>\xCE\x94 [95 %] <small>points</small></th><th>verdict</th><th>Holm p</th><th>McNemar p</th>");
  for (const auto& [name, unused] : parts) absl::StrAppend(&out, "<th>", EscapeHtml(name), "</th>");
  out += "</tr></thead><tbody>\n";
  for (const Group& g : c.groups) {
    const TaskCell& cell = g.task[t];
    absl::StrAppend(&out, "<tr><th scope=\"row\">", EscapeHtml(Row(g)), "</th>", Percent(cell.accuracy));
    if (norm) out += Percent(cell.accuracy_norm);
    if (perplexity) out += cell.word_perplexity ? Td(*cell.word_perplexity, Fixed(*cell.word_perplexity, 2)) : kNoTd;
    if (pairs) out += Percent(cell.accuracy_of_phenomena);
    if (cell.versus_full) {
      const PairedResult& r = *cell.versus_full;
      const std::string css(task.at_chance ? "dim" : VerdictName(r.verdict));
      absl::StrAppend(&out, Td(r.mean, TaskDelta(cell)), "<td class=\"", css, "\">", VerdictOf(task, r), "</td>",
                      task.at_chance
                          ? std::string(kNoTd)
                          : Td(r.p_holm, EscapeHtml(absl::StripPrefix(HolmP(r, c.options.paired.draws), "= "))));
    } else {
      absl::StrAppend(&out, kNoTd, "<td>-</td>", kNoTd);
    }
    out += cell.mcnemar_p ? Td(*cell.mcnemar_p, EscapeHtml(ShortP(*cell.mcnemar_p))) : kNoTd;
    for (const auto& [name, unused] : parts) {
      const auto at = cell.phenomena.find(name);
      out += Percent(at == cell.phenomena.end() ? std::nullopt : std::optional<double>(at->second));
    }
    out += "</tr>\n";
  }
  return out + kEnd;
}

std::string DuelsHtml(const Comparison& c, const TaskSummary& task) {
  if (task.duels.empty()) return "";
  std::string out =
      absl::StrCat("<details><summary>Every pair of methods on ", EscapeHtml(task.name), "</summary>", kTable,
                   "scheme</th><th class=\"l\">first</th><th class=\"l\">second</th><th>first minus "
                   "second [95 %] <small>points</small></th><th>Holm p</th><th>McNemar p</th><th>the "
                   "first is</th></tr></thead><tbody>\n");
  for (const TaskDuel& duel : task.duels) {
    const PairedResult& r = duel.accuracy;
    const absl::string_view verdict = VerdictName(r.verdict);
    absl::StrAppend(&out, "<tr><th scope=\"row\">", EscapeHtml(c.groups[duel.first].scheme), "</th><td class=\"l\">",
                    EscapeHtml(c.groups[duel.first].recipe), "</td><td class=\"l\">",
                    EscapeHtml(c.groups[duel.second].recipe), "</td>", Td(r.mean, Interval(InPoints(r), 2)),
                    Td(r.p_holm, EscapeHtml(absl::StripPrefix(HolmP(r, c.options.paired.draws), "= "))),
                    Td(duel.mcnemar_p, EscapeHtml(ShortP(duel.mcnemar_p))), "<td class=\"", verdict, "\">", verdict,
                    "</td></tr>\n");
  }
  return absl::StrCat(out, kEnd, "</details>\n");
}

}  // namespace

std::string TaskDelta(const TaskCell& cell) {
  return cell.versus_full ? Interval(InPoints(*cell.versus_full), 2) : "-";
}

std::string TaskNote(const Comparison& c, size_t t) {
  const TaskSummary& task = c.tasks[t];
  std::string out = absl::StrCat(task.name, ": ", task.kind, ", ", task.items, " items");
  if (task.units != task.items) absl::StrAppend(&out, ", ", task.units, " ", task.unit);
  absl::StrAppend(&out, ".");
  if (!task.full_above_chance) return out;
  const PairedResult& r = *task.full_above_chance;
  const double base = task.baseline();
  absl::StrAppend(&out, " Full precision ", Points(base + r.mean, 1), "% [", Points(base + r.low, 1), ", ",
                  Points(base + r.high, 1), "]");
  if (task.at_chance) {
    return absl::StrCat(out, ": at chance (not significantly above ", ChanceText(task), "), so no verdicts from it.");
  }
  absl::StrAppend(&out, ", above ", ChanceText(task), ". Differences to it in percentage points, 95 % interval over ",
                  task.unit);
  std::map<Verdict, std::vector<std::string>> rows;
  for (const Group& g : c.groups) {
    if (g.task[t].versus_full) rows[g.task[t].versus_full->verdict].push_back(Row(g));
  }
  for (const auto& [verdict, names] : rows) {
    absl::StrAppend(&out, "; ", VerdictName(verdict), ": ", absl::StrJoin(names, ", "));
  }
  return absl::StrCat(out, ". Equivalent: inside \xC2\xB1", Fixed(100 * kTaskMargin, 0), " point; Holm over ",
                      c.family_tasks, " tests.", DuelSentence(c, task));
}

std::string TasksText(const Comparison& c, const TextOptions& options) {
  if (c.tasks.empty()) return "";
  const bool norm = Any(c, &TaskCell::accuracy_norm), perplexity = Any(c, &TaskCell::word_perplexity);
  // In a narrow terminal the exact p goes first, then the normalised accuracy.
  const auto make = [&](int drop) {
    std::vector<TextTable::Column> columns = {{"task, method", false}, {"acc", true}};
    if (norm && drop < 2) columns.push_back({"acc_norm", true});
    if (perplexity && drop < 2) columns.push_back({"word ppl", true});
    columns.push_back({"\xCE\x94 points [95 %]", true});
    if (drop < 1) columns.push_back({"McNemar p", true});
    columns.push_back({"vs full", false});
    TextTable table(columns);
    for (size_t t = 0; t < c.tasks.size(); ++t) {
      const TaskSummary& task = c.tasks[t];
      table.AddHeading(PlainText(absl::StrCat(task.name, task.at_chance ? ": full precision is at chance" : "")));
      for (const Group& g : c.groups) {
        const TaskCell& cell = g.task[t];
        std::vector<TextTable::Cell> row = {{"  " + PlainText(Row(g))}, {Points(cell.accuracy, 1) + "%"}};
        if (norm && drop < 2) row.push_back({cell.accuracy_norm ? Points(*cell.accuracy_norm, 1) + "%" : "-"});
        if (perplexity && drop < 2) row.push_back({cell.word_perplexity ? Fixed(*cell.word_perplexity, 1) : "-"});
        row.push_back({TaskDelta(cell)});
        if (drop < 1) row.push_back({cell.mcnemar_p ? ShortP(*cell.mcnemar_p) : "-"});
        row.push_back(cell.versus_full
                          ? TextTable::Cell{VerdictOf(task, *cell.versus_full), StyleOf(task, *cell.versus_full)}
                          : TextTable::Cell{""});
        table.Add(std::move(row));
      }
    }
    return table;
  };
  int drop = 0;
  while (options.width > 0 && make(drop).Width() > options.width && drop < 2) ++drop;
  std::string out =
      absl::StrCat("\n", Paint("Tasks", Style::kBold, options.color), "\n", make(drop).Render(options.color));
  for (size_t t = 0; t < c.tasks.size(); ++t) {
    absl::StrAppend(&out, Paint(Wrap(PlainText(TaskNote(c, t)), options.width, 2), Style::kDim, options.color), "\n");
  }
  return out;
}

std::string TaskSectionHtml(const Comparison& c) {
  std::string out;
  for (size_t t = 0; t < c.tasks.size(); ++t) {
    absl::StrAppend(&out, "<p class=\"note\">", EscapeHtml(TaskNote(c, t)), "</p>\n", RowsHtml(c, t),
                    DuelsHtml(c, c.tasks[t]));
  }
  return out;
}

std::string TaskHeadCsv(const Comparison& c) {
  std::string out;
  for (const TaskSummary& task : c.tasks) {
    for (const char* field : {"accuracy", "accuracy_norm", "word_perplexity", "accuracy_of_phenomena", "delta",
                              "delta_low", "delta_high", "p", "p_holm", "mcnemar_p", "verdict"}) {
      absl::StrAppend(&out, ",", EscapeCsv(absl::StrCat(task.name, "_", field)));
    }
  }
  return out;
}

std::string TaskCellsCsv(const Comparison& c, const Group& g, bool row_has_tasks) {
  std::string out;
  const auto optional = [](const std::optional<double>& v) { return v ? Exact(*v) : ""; };
  for (size_t t = 0; t < c.tasks.size(); ++t) {
    if (!row_has_tasks) {
      out += std::string(11, ',');
      continue;
    }
    const TaskCell& cell = g.task[t];
    absl::StrAppend(&out, ",", Exact(cell.accuracy), ",", optional(cell.accuracy_norm), ",",
                    optional(cell.word_perplexity), ",", Exact(cell.accuracy_of_phenomena));
    if (!cell.versus_full) {
      out += std::string(7, ',');
      continue;
    }
    const PairedResult& r = *cell.versus_full;
    for (const double v : {r.mean, r.low, r.high, r.p_value}) absl::StrAppend(&out, ",", Exact(v));
    absl::StrAppend(&out, ",", c.tasks[t].at_chance ? "" : Exact(r.p_holm), ",", optional(cell.mcnemar_p), ",",
                    VerdictOf(c.tasks[t], r));
  }
  return out;
}

std::string TaskCellsJson(const Group& g) {
  if (g.task.empty()) return "";
  const auto cell_json = [](std::string* o, const TaskCell& cell) {
    absl::StrAppend(o, "{\"task\":", EscapeJson(cell.task), ",\"accuracy\":", Exact(cell.accuracy),
                    ",\"accuracy_of_phenomena\":", Exact(cell.accuracy_of_phenomena));
    if (cell.accuracy_norm) absl::StrAppend(o, ",\"accuracy_norm\":", Exact(*cell.accuracy_norm));
    if (cell.word_perplexity) absl::StrAppend(o, ",\"word_perplexity\":", Exact(*cell.word_perplexity));
    absl::StrAppend(o, ",\"phenomena\":{",
                    absl::StrJoin(cell.phenomena, ",",
                                  [](std::string* p, const std::pair<const std::string, double>& phenomenon) {
                                    absl::StrAppend(p, EscapeJson(phenomenon.first), ":", Exact(phenomenon.second));
                                  }),
                    "}");
    if (cell.versus_full) {
      const PairedResult& r = *cell.versus_full;
      absl::StrAppend(o, ",\"delta\":", Exact(r.mean), ",\"low\":", Exact(r.low), ",\"high\":", Exact(r.high),
                      ",\"p\":", Exact(r.p_value), ",\"p_holm\":", Exact(r.p_holm),
                      ",\"mcnemar_p\":", Exact(cell.mcnemar_p.value_or(1)),
                      ",\"verdict\":", EscapeJson(VerdictName(r.verdict)));
    }
    *o += "}";
  };
  return absl::StrCat(",\"tasks\":[", absl::StrJoin(g.task, ",", cell_json), "]");
}

std::string TasksJson(const Comparison& c) {
  if (c.tasks.empty()) return "";
  const auto duel_json = [](std::string* o, const TaskDuel& duel) {
    const PairedResult& r = duel.accuracy;
    absl::StrAppend(o, "{\"first\":", duel.first, ",\"second\":", duel.second, ",\"delta\":", Exact(r.mean),
                    ",\"low\":", Exact(r.low), ",\"high\":", Exact(r.high), ",\"p\":", Exact(r.p_value),
                    ",\"p_holm\":", Exact(r.p_holm), ",\"mcnemar_p\":", Exact(duel.mcnemar_p),
                    ",\"verdict\":", EscapeJson(VerdictName(r.verdict)), "}");
  };
  const auto task_json = [&](std::string* o, const TaskSummary& task) {
    absl::StrAppend(o, "{\"name\":", EscapeJson(task.name), ",\"kind\":", EscapeJson(task.kind), ",\"unit\":\"",
                    task.unit, "\",\"units\":", task.units, ",\"items\":", task.items,
                    ",\"chance\":", Exact(task.chance), ",\"constant\":", Exact(task.constant),
                    ",\"at_chance\":", task.at_chance ? "true" : "false", ",\"duels\":[",
                    absl::StrJoin(task.duels, ",", duel_json), "]}");
  };
  return absl::StrCat(",\"tasks\":[", absl::StrJoin(c.tasks, ",", task_json), "]");
}

}  // namespace eaq::report_internal
