// compare: the comparison table of trials already in the ledger.

#include <algorithm>

#include "absl/strings/match.h"
#include "eaq/report/from_ledger.h"
#include "eaq/report/report.h"
#include "experiments/ledger_verbs.h"

namespace eaq {
namespace {

// The keys named on the command line by their first digits, or those that pass the filters, in the ledger's order.
absl::StatusOr<std::vector<std::string>> ChosenKeys(Ledger& ledger, const LedgerArgs& args) {
  std::vector<std::string> keys;
  for (const std::string& prefix : args.arguments) {
    absl::StatusOr<StoredTrial> trial = ledger.LoadTrial(prefix);
    if (!trial.ok()) return trial.status();
    if (std::find(keys.begin(), keys.end(), trial->key) == keys.end()) keys.push_back(trial->key);
  }
  if (!keys.empty()) return keys;
  const absl::StatusOr<std::vector<TrialRow>> rows = ledger.ListTrials(args.filter);
  if (!rows.ok()) return rows.status();
  for (const TrialRow& row : *rows) keys.push_back(row.key);
  if (args.filter.recipe.empty() && args.filter.scheme.empty()) return keys;
  // Full precision is what every row is measured against: it stays whatever is filtered.
  const absl::StatusOr<std::vector<TrialRow>> all = ledger.ListTrials({});
  if (!all.ok()) return all.status();
  for (const TrialRow& row : *all) {
    if (row.recipe.empty() && row.scheme.empty() && (args.filter.model.empty() || row.model == args.filter.model)) {
      keys.insert(keys.begin(), row.key);
    }
  }
  return keys;
}

std::string Rendered(const Comparison& comparison, const LedgerArgs& args) {
  if (args.json || absl::EndsWith(args.out, ".json")) return RenderJson(comparison);
  if (absl::EndsWith(args.out, ".html")) return RenderHtml(comparison);
  if (absl::EndsWith(args.out, ".csv")) return RenderCsv(comparison);
  if (absl::EndsWith(args.out, ".tex")) return RenderLatex(comparison);
  return RenderText(comparison, {});
}

}  // namespace

int LedgerCompare(const LedgerArgs& args) {
  auto ledger = Ledger::Open(args.ledger, Ledger::Mode::kReadOnly);
  if (!ledger.ok()) return Complain(ledger.status());
  const auto keys = ChosenKeys(**ledger, args);
  if (!keys.ok()) return ComplainAboutName(keys.status());
  const auto trials = (*ledger)->LoadTrials(*keys);
  if (!trials.ok()) return Complain(trials.status());
  ReportInputs inputs;
  inputs.title = "trials of the ledger";
  inputs.provenance.ledger = args.ledger;
  inputs.provenance.command = "bazel run //experiments:ledger -- compare";
  for (const StoredTrial& trial : *trials) AddStoredTrial(trial, inputs);
  const auto comparison = Compare(inputs, {});
  if (!comparison.ok()) {
    std::fprintf(stderr, "ledger: %s\n", std::string(comparison.status().message()).c_str());
    return absl::IsNotFound(comparison.status()) ? 2 : 1;
  }
  return Emit(args, Rendered(*comparison, args));
}

}  // namespace eaq
