#include "eaq/report/fairness.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/base/hash.h"

namespace eaq::report_internal {
namespace {

// The hashes of the evaluation texts: the last of corpus_hash, calibration's come before.
std::vector<std::string> EvaluationHashes(const TrialSpec& spec) {
  const int n = std::min(spec.evaluation().domain_size(), spec.corpus_hash_size());
  return {spec.corpus_hash().end() - n, spec.corpus_hash().end()};
}

// The options of a task's kind, "{ context_end: \"\\nAnswer:\" }"; of minimal pairs "original protocol".
std::string KindOf(const EvaluationTask& task) {
  switch (task.kind_case()) {
    case EvaluationTask::kMultipleChoice:
      return absl::StrCat("multiple choice { ", task.multiple_choice().ShortDebugString(), " }");
    case EvaluationTask::kLastWord:
      return absl::StrCat("last word { ", task.last_word().ShortDebugString(), " }");
    case EvaluationTask::kNextSegment:
      return absl::StrCat("next segment { ", task.next_segment().ShortDebugString(), " }");
    case EvaluationTask::KIND_NOT_SET:
      break;
  }
  return absl::StrCat(task.protocol() == EvaluationTask::LM_EVAL ? "lm-eval" : "original", " protocol");
}

// "BLiMP (original protocol, 200 items a paradigm, 0123456789ab)"; "none".
std::string Tasks(const TrialSpec& spec) {
  if (spec.evaluation().task().empty()) return "none";
  return absl::StrJoin(spec.evaluation().task(), ", ", [](std::string* out, const EvaluationTask& t) {
    absl::StrAppend(out, t.name(), " (", KindOf(t), ", ",
                    t.max_items_per_paradigm() > 0 ? absl::StrCat(t.max_items_per_paradigm()) : "all",
                    " items a paradigm", t.prefix_token().empty() ? "" : absl::StrCat(", after ", t.prefix_token()),
                    t.hash().empty() ? "" : absl::StrCat(", ", t.hash().substr(0, 12)), ")");
  });
}

std::string ModelId(const TrialSpec& spec) {
  return spec.model().hash().empty() ? spec.model().name() : spec.model().hash();
}

std::string TrialName(const ReportTrial& trial) {
  const std::string label = trial.spec.has_scheme()
                                ? absl::StrCat(trial.spec.scheme().name(), " ", trial.spec.recipe().name())
                                : std::string("full precision");
  return absl::StrCat(label, " (trial ", trial.key.substr(0, 12), ")");
}

}  // namespace

std::string DomainNames(const google::protobuf::RepeatedPtrField<CorpusRef>& domains) {
  return absl::StrJoin(domains, ", ", [](std::string* out, const CorpusRef& d) {
    absl::StrAppend(out, d.name().empty() ? d.path() : d.name());
  });
}

bool UsesCalibration(const TrialSpec& spec) {
  return spec.has_scheme() && spec.has_calibration() && !spec.recipe().calibration().has_none();
}

std::string CalibrationText(const TrialSpec& spec) {
  if (!UsesCalibration(spec)) return "none";
  const CalibrationData& c = spec.calibration();
  return absl::StrCat(c.windows(), " windows of ", c.window(), " tokens: ", DomainNames(c.domain()));
}

std::string Yardstick(const TrialSpec& spec) {
  Fingerprint f("report/yardstick/v1");
  f.Add(ModelId(spec)).Add(spec.model().tokenizer_hash()).Add(spec.numerics_version());
  f.Add(spec.evaluation().windows())
      .Add(spec.evaluation().window())
      .Add(static_cast<int>(spec.evaluation().split()))
      .Add(spec.evaluation().domain_size());
  for (const CorpusRef& d : spec.evaluation().domain()) f.Add(d.name());
  for (const std::string& hash : EvaluationHashes(spec)) f.Add(hash);
  f.Add(Tasks(spec));
  if (spec.backend() != "cpu") f.Add(spec.backend());
  return f.Hex();
}

std::string YardstickDifference(const TrialSpec& a, const TrialSpec& b) {
  std::vector<std::string> out;
  const auto differ = [&out](const char* what, const std::string& have, const std::string& expected) {
    if (have != expected) out.push_back(absl::StrCat(what, " ", have, " instead of ", expected));
  };
  differ("model", ModelId(b).substr(0, 12), ModelId(a).substr(0, 12));
  differ("tokenizer", b.model().tokenizer_hash().substr(0, 12), a.model().tokenizer_hash().substr(0, 12));
  differ("evaluation windows", absl::StrCat(b.evaluation().windows()), absl::StrCat(a.evaluation().windows()));
  differ("evaluation window length", absl::StrCat(b.evaluation().window()), absl::StrCat(a.evaluation().window()));
  differ("evaluation domains", DomainNames(b.evaluation().domain()), DomainNames(a.evaluation().domain()));
  if (EvaluationHashes(a) != EvaluationHashes(b)) out.push_back("other evaluation texts under the same names");
  differ("tasks", Tasks(b), Tasks(a));
  differ("backend", b.backend(), a.backend());
  differ("numerics version", absl::StrCat(b.numerics_version()), absl::StrCat(a.numerics_version()));
  return absl::StrJoin(out, "; ");
}

std::string CalibrationBudget(const TrialSpec& spec) { return UsesCalibration(spec) ? CalibrationText(spec) : ""; }

Gate PassGate(absl::Span<const ReportTrial> trials) {
  Gate gate;
  std::map<std::string, int> votes;
  bool have_full = false;
  for (const ReportTrial& t : trials) {
    ++votes[Yardstick(t.spec)];
    have_full = have_full || !t.spec.has_scheme();
  }
  std::string chosen;
  for (const ReportTrial& t : trials) {
    if (have_full && t.spec.has_scheme()) continue;
    const std::string yardstick = Yardstick(t.spec);
    if (chosen.empty() || votes[yardstick] > votes[chosen]) {
      chosen = yardstick;
      gate.reference = &t.spec;
    }
  }
  std::vector<std::pair<std::string, int>> budgets;  // in order of appearance
  for (const ReportTrial& t : trials) {
    if (Yardstick(t.spec) != chosen) {
      gate.refused.push_back(absl::StrCat(TrialName(t), ": ", YardstickDifference(*gate.reference, t.spec)));
      continue;
    }
    gate.admitted.push_back(&t);
    const std::string budget = CalibrationBudget(t.spec);
    if (budget.empty()) continue;
    auto it = std::find_if(budgets.begin(), budgets.end(), [&](const auto& b) { return b.first == budget; });
    if (it == budgets.end()) it = budgets.insert(budgets.end(), {budget, 0});
    ++it->second;
  }
  int most = 0;
  for (const auto& [budget, count] : budgets) {
    if (count > most) {
      most = count;
      gate.calibration = budget;
    }
  }
  return gate;
}

std::vector<std::string> EqualLines(const Gate& gate) {
  std::vector<std::string> out;
  if (gate.reference == nullptr) return out;
  const TrialSpec& spec = *gate.reference;
  const std::string hash = ModelId(spec);
  out.push_back(absl::StrCat("Model: ", spec.model().name(), hash == spec.model().name() ? "" : ", weights ",
                             hash == spec.model().name() ? "" : hash.substr(0, 16)));
  out.push_back(absl::StrCat("Evaluation text: ", DomainNames(spec.evaluation().domain()), "; ",
                             spec.evaluation().windows(), " windows of ", spec.evaluation().window(),
                             " tokens per domain, the same windows for every row"));
  if (!spec.corpus_hash().empty()) {
    out.push_back(absl::StrCat("Hashes of the evaluation texts: ",
                               absl::StrJoin(EvaluationHashes(spec), ", ", [](std::string* o, const std::string& h) {
                                 absl::StrAppend(o, h.substr(0, 12));
                               })));
  }
  if (!spec.evaluation().task().empty()) out.push_back(absl::StrCat("Tasks: ", Tasks(spec)));
  if (!gate.calibration.empty()) {
    out.push_back(absl::StrCat("Calibration budget of the methods that read data: ", gate.calibration,
                               "; drawn anew for each seed, disjoint by document from the evaluation text"));
  }
  out.push_back("Stored bits: codes, scales and zeros as written to the file are counted, not the nominal width");
  return out;
}

}  // namespace eaq::report_internal
