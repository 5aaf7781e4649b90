#include "eaq/report/tasks.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq::report_internal {
namespace {

// The answers of one trial: per item, and per unit of the statistics. Paradigms of minimal pairs are units: their mean,
// in the order of the series. Else every item is one, clustered by its document.
struct Answers {
  WindowValues items, units;
};

bool IsPairs(const EvaluationTask& task) { return task.kind_case() == EvaluationTask::KIND_NOT_SET; }

absl::StatusOr<Answers> AnswersOf(const ReportTrial& trial, const EvaluationTask& task) {
  const auto broken = [&](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat("report: trial ", trial.key.substr(0, 12), ": series correct of task '", task.name(), "' ", what));
  };
  for (const Series& s : trial.result.series()) {
    if (s.metric() != "correct" || s.domain() != task.name()) continue;
    if (s.value_size() == 0 || s.value_size() != s.document_size()) {
      return broken(absl::StrCat("has ", s.value_size(), " values and ", s.document_size(), " documents"));
    }
    Answers a{{{s.value().begin(), s.value().end()}, {s.document().begin(), s.document().end()}}, {}};
    if (!IsPairs(task)) {
      a.units = a.items;
      return a;
    }
    for (int begin = 0; begin < s.value_size();) {
      int end = begin;
      double sum = 0;
      while (end < s.value_size() && s.document(end) == s.document(begin)) sum += s.value(end++);
      a.units.value.push_back(sum / (end - begin));
      a.units.document.push_back(s.document(begin));
      begin = end;
    }
    return a;
  }
  return broken("is missing");
}

std::optional<double> MetricOf(const ReportTrial& trial, absl::string_view name, const std::string& task) {
  for (const Metric& m : trial.result.metric()) {
    if (m.name() == name && m.domain() == task) return m.value();
  }
  return std::nullopt;
}

// The phenomena of TASK with their accuracies, by name; of other tasks than minimal pairs the paradigms.
std::map<std::string, double> PhenomenaOf(const ReportTrial& trial, const EvaluationTask& task) {
  std::map<std::string, double> out;
  const std::string prefix = task.name() + "/";
  const char* metric = IsPairs(task) ? "accuracy_of_phenomenon" : "accuracy";
  for (const Metric& m : trial.result.metric()) {
    if (m.name() != metric || m.domain().compare(0, prefix.size(), prefix) != 0) continue;
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

// A group on one task.
struct Measurement {
  std::vector<Answers> seeds;
  WindowValues units;  // mean over seeds
};

absl::StatusOr<Measurement> MeasureTask(const std::map<std::string, const ReportTrial*>& trials, const Group& g,
                                        const EvaluationTask& task, TaskCell& cell) {
  Measurement m;
  std::vector<WindowValues> units;
  const double share = 1.0 / static_cast<double>(g.keys.size());
  const auto add = [share](const std::optional<double>& value, std::optional<double>& sum) {
    if (value) sum = sum.value_or(0) + share * *value;
  };
  for (const std::string& key : g.keys) {
    const ReportTrial& trial = *trials.at(key);
    EAQ_ASSIGN_OR_RETURN(Answers answers, AnswersOf(trial, task));
    units.push_back(answers.units);
    m.seeds.push_back(std::move(answers));
    for (const auto& [name, accuracy] : PhenomenaOf(trial, task)) cell.phenomena[name] += share * accuracy;
    add(MetricOf(trial, "accuracy_norm", task.name()), cell.accuracy_norm);
    add(MetricOf(trial, "word_perplexity", task.name()), cell.word_perplexity);
  }
  absl::StatusOr<SeedCombination> combined = CombineSeeds(units);
  EAQ_RETURN_IF_ERROR(Annotate(combined.status(), absl::StrCat("report: task ", task.name())));
  m.units = combined->mean;
  cell.task = task.name();
  cell.accuracy = Mean(combined->seed_mean);
  double sum = 0;
  for (const auto& [name, accuracy] : cell.phenomena) sum += accuracy;
  cell.accuracy_of_phenomena =
      cell.phenomena.empty() || !IsPairs(task) ? cell.accuracy : sum / static_cast<double>(cell.phenomena.size());
  return m;
}

// The largest exact p over pairs of seeds: what holds for all of them.
absl::StatusOr<double> LargestMcNemar(const Measurement& a, const Measurement& b) {
  double largest = 0;
  for (const Answers& x : a.seeds) {
    for (const Answers& y : b.seeds) {
      EAQ_ASSIGN_OR_RETURN(const McNemarResult r, McNemar(x.items, y.items));
      largest = std::max(largest, r.p_exact);
    }
  }
  return largest;
}

TaskSummary Summary(const EvaluationTask& spec, const ReportTrial& any) {
  TaskSummary task;
  task.name = spec.name();
  task.kind = TaskKind(spec);
  task.unit = IsPairs(spec) ? "paradigms" : spec.has_next_segment() ? "documents" : "items";
  task.chance = MetricOf(any, "chance", spec.name()).value_or(0.5);
  task.constant = MetricOf(any, "constant", spec.name()).value_or(0);
  return task;
}

// Pairs of recipes that may be ranked together, on one task.
absl::Status Fight(const std::vector<Measurement>& measured, const PairedOptions& options, const Comparison& c,
                   Resampler& resampler, TaskSummary& task) {
  for (const SchemeSummary& scheme : c.schemes) {
    for (size_t i = 0; i < scheme.groups.size(); ++i) {
      for (size_t j = i + 1; j < scheme.groups.size(); ++j) {
        TaskDuel duel;
        duel.first = scheme.groups[i];
        duel.second = scheme.groups[j];
        if (c.groups[duel.first].rank_class != c.groups[duel.second].rank_class) continue;
        const Measurement &a = measured[duel.first], &b = measured[duel.second];
        EAQ_ASSIGN_OR_RETURN(duel.accuracy, ComparePaired(Wrong(a.units), Wrong(b.units), options, resampler));
        EAQ_ASSIGN_OR_RETURN(duel.mcnemar_p, LargestMcNemar(a, b));
        task.duels.push_back(std::move(duel));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

PairedResult Turned(PairedResult r) {
  r.mean = -r.mean;
  std::swap(r.low, r.high);
  r.low = -r.low;
  r.high = -r.high;
  return r;
}

std::string TaskKind(const EvaluationTask& task) {
  switch (task.kind_case()) {
    case EvaluationTask::kMultipleChoice:
      return "multiple choice";
    case EvaluationTask::kLastWord:
      return "last word";
    case EvaluationTask::kNextSegment:
      return "next segment";
    case EvaluationTask::KIND_NOT_SET:
      break;
  }
  return absl::StrCat("minimal pairs, ", task.protocol() == EvaluationTask::LM_EVAL ? "lm-eval" : "original",
                      " protocol");
}

absl::Status CompareTasks(const Gate& gate, Comparison& c) {
  std::map<std::string, const ReportTrial*> trials;
  for (const ReportTrial* trial : gate.admitted) trials.emplace(trial->key, trial);
  PairedOptions options = c.options.paired;
  options.margin = kTaskMargin;
  std::vector<PairedResult*> family, duels;
  const auto& tasks = gate.reference->evaluation().task();
  for (Group& g : c.groups) g.task.resize(tasks.size());
  for (int t = 0; t < tasks.size(); ++t) {
    // Of its own for each task: the tables of thousands of items are large, and no other task has as many.
    Resampler resampler(c.options.seed);
    TaskSummary task = Summary(tasks[t], *trials.at(c.groups[0].keys[0]));
    std::vector<Measurement> measured;
    for (Group& g : c.groups) {
      EAQ_ASSIGN_OR_RETURN(Measurement m, MeasureTask(trials, g, tasks[t], g.task[t]));
      measured.push_back(std::move(m));
    }
    task.items = static_cast<int64_t>(measured[0].seeds[0].items.value.size());
    for (size_t i = 0; i < c.groups.size(); ++i) {
      const Measurement &own = measured[i], &full = measured[0];
      TaskCell& cell = c.groups[i].task[t];
      if (c.groups[i].full_precision) {
        WindowValues chance = own.units;
        std::fill(chance.value.begin(), chance.value.end(), task.baseline());
        EAQ_ASSIGN_OR_RETURN(task.full_above_chance, ComparePaired(own.units, chance, options, resampler));
        task.at_chance = !(task.full_above_chance->p_value < options.alpha && task.full_above_chance->low > 0);
        continue;
      }
      if (!c.groups[0].full_precision) continue;
      EAQ_ASSIGN_OR_RETURN(cell.versus_full, ComparePaired(Wrong(own.units), Wrong(full.units), options, resampler));
      EAQ_ASSIGN_OR_RETURN(cell.mcnemar_p, LargestMcNemar(own, full));
      if (task.at_chance) {
        cell.versus_full->verdict = Verdict::kUndecided;
      } else {
        family.push_back(&*cell.versus_full);
      }
    }
    std::set<std::string> units(measured[0].units.document.begin(), measured[0].units.document.end());
    task.units = static_cast<int64_t>(units.size());
    if (!task.at_chance) EAQ_RETURN_IF_ERROR(Fight(measured, options, c, resampler, task));
    c.tasks.push_back(std::move(task));
  }
  for (TaskSummary& task : c.tasks) {
    for (TaskDuel& duel : task.duels) duels.push_back(&duel.accuracy);
  }
  EAQ_RETURN_IF_ERROR(CorrectFamily(absl::MakeSpan(family), options));
  EAQ_RETURN_IF_ERROR(CorrectFamily(absl::MakeSpan(duels), options));
  c.family_tasks = static_cast<int64_t>(family.size());
  c.family_task_duels = static_cast<int64_t>(duels.size());
  for (Group& g : c.groups) {
    for (TaskCell& cell : g.task) {
      if (cell.versus_full) cell.versus_full = Turned(*cell.versus_full);
    }
  }
  for (PairedResult* duel : duels) *duel = Turned(*duel);
  return absl::OkStatus();
}

}  // namespace eaq::report_internal
