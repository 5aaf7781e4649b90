#include "experiments/final_report.h"

#include <google/protobuf/text_format.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"
#include "eaq/ledger/provenance.h"
#include "eaq/report/from_ledger.h"
#include "eaq/report/report.h"

namespace eaq {

absl::StatusOr<FinalReport> MakeFinalReport(const Experiment& experiment, const SweepPlan& plan, Ledger& ledger,
                                            const FinalReportOptions& options) {
  ReportInputs inputs;
  inputs.title = experiment.has_title() ? experiment.title() : experiment.name();
  std::vector<std::string> keys;
  for (const PlannedTrial& trial : plan.trials) keys.push_back(trial.key);
  EAQ_ASSIGN_OR_RETURN(const std::vector<StoredTrial> stored, ledger.LoadTrials(keys));
  std::map<std::string, const StoredTrial*> by_key;
  for (const StoredTrial& trial : stored) by_key[trial.key] = &trial;
  for (const PlannedTrial& planned : plan.trials) {
    const auto it = by_key.find(planned.key);
    if (it == by_key.end()) {
      ++inputs.pending;
      continue;
    }
    // The ledger keeps the names under which a trial ran first; this experiment may call it otherwise.
    StoredTrial trial = *it->second;
    trial.spec = planned.spec;
    AddStoredTrial(trial, inputs);
  }
  inputs.provenance.ledger = ledger.path();
  inputs.provenance.spec_name = experiment.name();
  google::protobuf::TextFormat::PrintToString(experiment, &inputs.provenance.spec_text);
  inputs.provenance.command = options.command;
  CompareOptions compare;
  compare.baseline = experiment.comparison().reference();
  compare.paired.margin = experiment.comparison().margin();
  compare.paired.alpha = experiment.comparison().alpha();
  compare.paired.draws = experiment.comparison().draws();
  compare.seed = experiment.comparison().seed();
  EAQ_ASSIGN_OR_RETURN(const Comparison comparison, Compare(inputs, compare));
  FinalReport report;
  report.text =
      options.json ? RenderJson(comparison) : RenderText(comparison, {options.color, options.width, options.timings});
  EAQ_RETURN_IF_ERROR(MakeDirectories(options.folder));
  std::string stem;
  for (const char c : experiment.name()) stem += absl::ascii_isalnum(c) || c == '-' || c == '_' ? c : '_';
  if (stem.empty()) stem = "experiment";
  const auto write = [&](const std::string& extension, const std::string& bytes) {
    const std::string path = JoinPath(options.folder, stem + extension);
    EAQ_RETURN_IF_ERROR(WriteFileAtomic(path, bytes));
    report.files.push_back(path);
    return absl::OkStatus();
  };
  EAQ_RETURN_IF_ERROR(write(".html", RenderHtml(comparison)));
  EAQ_RETURN_IF_ERROR(write(".csv", RenderCsv(comparison)));
  EAQ_RETURN_IF_ERROR(write(".tex", RenderLatex(comparison)));
  return report;
}

}  // namespace eaq
