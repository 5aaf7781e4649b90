#include "eaq/report/tasks.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/base/status_macros.h"
#include "eaq/report/format.h"

namespace eaq::report_internal {
namespace {

// The answers of one trial: per pair, and the mean of each paradigm in the order of the series.
struct Answers {
  WindowValues pairs, paradigms;
};

absl::StatusOr<Answers> AnswersOf(const ReportTrial& trial, const std::string& task) {
  const auto broken = [&](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat("report: trial ", trial.key.substr(0, 12), ": series correct of task '", task, "' ", what));
  };
  for (const Series& s : trial.result.series()) {
    if (s.metric() != "correct" || s.domain() != task) continue;
    if (s.value_size() == 0 || s.value_size() != s.document_size()) {
      return broken(absl::StrCat("has ", s.value_size(), " values and ", s.document_size(), " paradigms"));
    }
    Answers a{{{s.value().begin(), s.value().end()}, {s.document().begin(), s.document().end()}}, {}};
    for (int begin = 0; begin < s.value_size();) {
      int end = begin;
      double sum = 0;
      while (end < s.value_size() && s.document(end) == s.document(begin)) sum += s.value(end++);
      a.paradigms.value.push_back(sum / (end - begin));
      a.paradigms.document.push_back(s.document(begin));
      begin = end;
    }
    return a;
  }
  return broken("is missing");
}

// The phenomena of TASK with their accuracies, by name.
std::map<std::string, double> PhenomenaOf(const ReportTrial& trial, const std::string& task) {
  std::map<std::string, double> out;
  const std::string prefix = task + "/";
  for (const Metric& m : trial.result.metric()) {
    if (m.name() != "accuracy_of_phenomenon" || m.domain().compare(0, prefix.size(), prefix) != 0) continue;
    out[m.domain().substr(prefix.size())] = m.value();
  }
  return out;
}

double Mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

WindowValues Wrong(const WindowValues& right) {
  WindowValues wrong = right;
  for (double& v : wrong.value) v = 1 - v;
  return wrong;
}

// A difference of errors as one of accuracies; its verdict stays.
void Turn(PairedResult& r) {
  r.mean = -r.mean;
  std::swap(r.low, r.high);
  r.low = -r.low;
  r.high = -r.high;
}

// A group on one task.
struct Measurement {
  std::vector<Answers> seeds;
  WindowValues paradigms;  // mean over seeds
};

absl::StatusOr<Measurement> MeasureTask(const std::map<std::string, const ReportTrial*>& trials, const Group& g,
                                        const std::string& task, TaskCell& cell) {
  Measurement m;
  std::vector<WindowValues> paradigms;
  for (const std::string& key : g.keys) {
    const ReportTrial& trial = *trials.at(key);
    EAQ_ASSIGN_OR_RETURN(Answers answers, AnswersOf(trial, task));
    paradigms.push_back(answers.paradigms);
    m.seeds.push_back(std::move(answers));
    for (const auto& [phenomenon, accuracy] : PhenomenaOf(trial, task)) {
      cell.phenomena[phenomenon] += accuracy / static_cast<double>(g.keys.size());
    }
  }
  absl::StatusOr<SeedCombination> combined = CombineSeeds(paradigms);
  EAQ_RETURN_IF_ERROR(Annotate(combined.status(), absl::StrCat("report: task ", task)));
  m.paradigms = combined->mean;
  cell.task = task;
  cell.accuracy = Mean(combined->seed_mean);
  double sum = 0;
  for (const auto& [phenomenon, accuracy] : cell.phenomena) sum += accuracy;
  cell.accuracy_of_phenomena =
      cell.phenomena.empty() ? cell.accuracy : sum / static_cast<double>(cell.phenomena.size());
  return m;
}

std::string Row(const Group& g) { return g.full_precision ? g.recipe : absl::StrCat(g.scheme, " ", g.recipe); }

PairedResult InPoints(PairedResult r) {
  r.mean *= 100;
  r.low *= 100;
  r.high *= 100;
  return r;
}

}  // namespace

absl::Status CompareTasks(const Gate& gate, Resampler& resampler, Comparison& c) {
  std::map<std::string, const ReportTrial*> trials;
  for (const ReportTrial* trial : gate.admitted) trials.emplace(trial->key, trial);
  PairedOptions options = c.options.paired;
  options.margin = kTaskMargin;
  std::vector<PairedResult*> family;
  for (Group& g : c.groups) g.task.resize(gate.reference->evaluation().task_size());
  for (int t = 0; t < gate.reference->evaluation().task_size(); ++t) {
    const EvaluationTask& spec = gate.reference->evaluation().task(t);
    TaskSummary task;
    task.name = spec.name();
    task.protocol = spec.protocol() == EvaluationTask::LM_EVAL ? "lm-eval" : "original";
    Measurement full;
    for (Group& g : c.groups) {
      TaskCell& cell = g.task[t];
      EAQ_ASSIGN_OR_RETURN(Measurement m, MeasureTask(trials, g, spec.name(), cell));
      task.paradigms = static_cast<int64_t>(m.paradigms.value.size());
      task.pairs = static_cast<int64_t>(m.seeds[0].pairs.value.size());
      if (g.full_precision) {
        WindowValues half = m.paradigms;
        std::fill(half.value.begin(), half.value.end(), 0.5);
        EAQ_ASSIGN_OR_RETURN(task.full_above_half, ComparePaired(m.paradigms, half, options, resampler));
        task.at_chance = !(task.full_above_half->p_value < options.alpha && task.full_above_half->low > 0);
        full = std::move(m);
        continue;
      }
      if (!task.full_above_half) continue;
      EAQ_ASSIGN_OR_RETURN(cell.versus_full,
                           ComparePaired(Wrong(m.paradigms), Wrong(full.paradigms), options, resampler));
      for (const Answers& seed : m.seeds) {
        EAQ_ASSIGN_OR_RETURN(const McNemarResult r, McNemar(seed.pairs, full.seeds[0].pairs));
        cell.mcnemar_p = std::max(cell.mcnemar_p.value_or(0), r.p_mid);
      }
      if (task.at_chance) {
        cell.versus_full->verdict = Verdict::kUndecided;
      } else {
        family.push_back(&*cell.versus_full);
      }
    }
    c.tasks.push_back(std::move(task));
  }
  EAQ_RETURN_IF_ERROR(CorrectFamily(absl::MakeSpan(family), options));
  c.family_tasks = static_cast<int64_t>(family.size());
  for (Group& g : c.groups) {
    for (TaskCell& cell : g.task) {
      if (cell.versus_full) Turn(*cell.versus_full);
    }
  }
  return absl::OkStatus();
}

std::string TaskAccuracy(const TaskCell& cell) { return Fixed(100 * cell.accuracy, 1) + "%"; }

std::string TaskDelta(const TaskSummary& task, const TaskCell& cell) {
  if (!cell.versus_full) return "-";
  return task.at_chance ? "at chance" : Interval(InPoints(*cell.versus_full), 2);
}

std::string TaskNote(const Comparison& c, size_t t) {
  const TaskSummary& task = c.tasks[t];
  std::string out = absl::StrCat(task.name, ": accuracy on ", task.pairs, " minimal pairs, mean over ", task.paradigms,
                                 " paradigms, ", task.protocol, " protocol.");
  if (!task.full_above_half) return out;
  const PairedResult& r = *task.full_above_half;
  absl::StrAppend(&out, " Full precision ", Fixed(50 + 100 * r.mean, 1), "% [", Fixed(50 + 100 * r.low, 1), ", ",
                  Fixed(50 + 100 * r.high, 1), "]");
  if (task.at_chance) {
    return absl::StrCat(out, ": at chance (not significantly above 50%), so no verdicts from it.");
  }
  absl::StrAppend(&out, ", above chance. Differences to it in percentage points, 95 % interval over paradigms");
  std::map<Verdict, std::vector<std::string>> rows;
  for (const Group& g : c.groups) {
    if (g.task[t].versus_full) rows[g.task[t].versus_full->verdict].push_back(Row(g));
  }
  for (const auto& [verdict, names] : rows) {
    absl::StrAppend(&out, "; ", VerdictName(verdict), ": ", absl::StrJoin(names, ", "));
  }
  return absl::StrCat(out, ". Equivalent: inside \xC2\xB1", Fixed(100 * kTaskMargin, 0), " point; Holm over ",
                      c.family_tasks, " tests.");
}

std::string TaskHeadHtml(const Comparison& c) {
  std::string out;
  for (const TaskSummary& task : c.tasks) {
    absl::StrAppend(&out, "<th>", EscapeHtml(task.name), " <small>%</small></th><th>\xCE\x94 [95 %] <small>points",
                    task.at_chance ? ", at chance" : "", "</small></th>");
  }
  return out;
}

std::string TaskCellsHtml(const Comparison& c, const Group& g) {
  std::string out;
  for (size_t t = 0; t < c.tasks.size(); ++t) {
    const TaskCell& cell = g.task[t];
    absl::StrAppend(&out, "<td data-v=\"", Exact(cell.accuracy), "\">", Fixed(100 * cell.accuracy, 1), "</td>");
    if (!cell.versus_full) {
      out += "<td data-v=\"\">-</td>";
      continue;
    }
    const PairedResult& r = *cell.versus_full;
    absl::StrAppend(
        &out, "<td data-v=\"", Exact(r.mean), "\" title=\"",
        c.tasks[t].at_chance
            ? absl::StrCat("full precision is at chance; ", Interval(InPoints(r), 2), " points")
            : absl::StrCat(VerdictName(r.verdict), ", Holm p ", EscapeHtml(HolmP(r, c.options.paired.draws))),
        cell.mcnemar_p ? absl::StrCat(", McNemar mid-p ", Fixed(*cell.mcnemar_p, 4)) : "", "\" class=\"",
        c.tasks[t].at_chance ? "dim" : VerdictName(r.verdict), "\">", TaskDelta(c.tasks[t], cell), "</td>");
  }
  return out;
}

std::string TaskSectionHtml(const Comparison& c) {
  std::string out;
  for (size_t t = 0; t < c.tasks.size(); ++t) {
    std::map<std::string, double> phenomena;
    for (const Group& g : c.groups) phenomena.insert(g.task[t].phenomena.begin(), g.task[t].phenomena.end());
    absl::StrAppend(&out, "<p class=\"note\">", EscapeHtml(TaskNote(c, t)),
                    "</p>\n<div class=\"scroll\" tabindex=\"0\"><table class=\"sortable\"><thead><tr><th "
                    "class=\"l\">method</th><th>paradigms</th><th>phenomena</th><th>McNemar mid-p</th>");
    for (const auto& [name, unused] : phenomena) absl::StrAppend(&out, "<th>", EscapeHtml(name), "</th>");
    out += "</tr></thead><tbody>\n";
    const auto td = [&out](double share) {
      absl::StrAppend(&out, "<td data-v=\"", Exact(share), "\">", Fixed(100 * share, 1), "</td>");
    };
    for (const Group& g : c.groups) {
      const TaskCell& cell = g.task[t];
      absl::StrAppend(&out, "<tr><th scope=\"row\">", EscapeHtml(Row(g)), "</th>");
      td(cell.accuracy);
      td(cell.accuracy_of_phenomena);
      absl::StrAppend(&out, "<td data-v=\"", cell.mcnemar_p ? Exact(*cell.mcnemar_p) : "", "\">",
                      cell.mcnemar_p ? Fixed(*cell.mcnemar_p, 4) : "-", "</td>");
      for (const auto& [name, unused] : phenomena) {
        const auto at = cell.phenomena.find(name);
        if (at == cell.phenomena.end()) {
          out += "<td data-v=\"\">-</td>";
        } else {
          td(at->second);
        }
      }
      out += "</tr>\n";
    }
    absl::StrAppend(&out, "</tbody></table></div>\n");
  }
  return out;
}

std::string TaskHeadCsv(const Comparison& c) {
  std::string out;
  for (const TaskSummary& task : c.tasks) {
    for (const char* field : {"accuracy", "accuracy_of_phenomena", "delta", "delta_low", "delta_high", "p", "p_holm",
                              "mcnemar_mid_p", "verdict"}) {
      absl::StrAppend(&out, ",", EscapeCsv(absl::StrCat(task.name, "_", field)));
    }
  }
  return out;
}

std::string TaskCellsCsv(const Comparison& c, const Group& g, bool row_has_tasks) {
  std::string out;
  for (size_t t = 0; t < c.tasks.size(); ++t) {
    if (!row_has_tasks) {
      out += std::string(9, ',');
      continue;
    }
    const TaskCell& cell = g.task[t];
    absl::StrAppend(&out, ",", Exact(cell.accuracy), ",", Exact(cell.accuracy_of_phenomena));
    if (!cell.versus_full) {
      out += std::string(7, ',');
      continue;
    }
    const PairedResult& r = *cell.versus_full;
    for (const double v : {r.mean, r.low, r.high, r.p_value}) absl::StrAppend(&out, ",", Exact(v));
    absl::StrAppend(&out, ",", c.tasks[t].at_chance ? "" : Exact(r.p_holm), ",",
                    cell.mcnemar_p ? Exact(*cell.mcnemar_p) : "", ",",
                    c.tasks[t].at_chance ? "at chance" : VerdictName(r.verdict));
  }
  return out;
}

std::string TaskCellsJson(const Group& g) {
  if (g.task.empty()) return "";
  return absl::StrCat(
      ",\"tasks\":[",
      absl::StrJoin(
          g.task, ",",
          [](std::string* o, const TaskCell& cell) {
            absl::StrAppend(o, "{\"task\":", EscapeJson(cell.task), ",\"accuracy\":", Exact(cell.accuracy),
                            ",\"accuracy_of_phenomena\":", Exact(cell.accuracy_of_phenomena), ",\"phenomena\":{",
                            absl::StrJoin(cell.phenomena, ",",
                                          [](std::string* p, const std::pair<const std::string, double>& phenomenon) {
                                            absl::StrAppend(p, EscapeJson(phenomenon.first), ":",
                                                            Exact(phenomenon.second));
                                          }),
                            "}");
            if (cell.versus_full) {
              const PairedResult& r = *cell.versus_full;
              absl::StrAppend(o, ",\"delta\":", Exact(r.mean), ",\"low\":", Exact(r.low), ",\"high\":", Exact(r.high),
                              ",\"p\":", Exact(r.p_value), ",\"p_holm\":", Exact(r.p_holm),
                              ",\"mcnemar_mid_p\":", Exact(cell.mcnemar_p.value_or(1)),
                              ",\"verdict\":", EscapeJson(VerdictName(r.verdict)));
            }
            *o += "}";
          }),
      "]");
}

std::string TasksJson(const Comparison& c) {
  if (c.tasks.empty()) return "";
  return absl::StrCat(",\"tasks\":[",
                      absl::StrJoin(c.tasks, ",",
                                    [](std::string* o, const TaskSummary& task) {
                                      absl::StrAppend(o, "{\"name\":", EscapeJson(task.name),
                                                      ",\"protocol\":", EscapeJson(task.protocol),
                                                      ",\"paradigms\":", task.paradigms, ",\"pairs\":", task.pairs,
                                                      ",\"at_chance\":", task.at_chance ? "true" : "false", "}");
                                    }),
                      "]");
}

}  // namespace eaq::report_internal
