// verify: running finished trials again.
#include "absl/strings/str_cat.h"
#include "eaq/base/json.h"
#include "experiments/ledger_verbs.h"
#include "experiments/ledger_verify.h"

namespace eaq {
namespace {

// The finished trials meant: those named, or all of them. A named one without a result is an error.
absl::StatusOr<std::vector<StoredTrial>> TrialsToVerify(Ledger& ledger, const LedgerArgs& args) {
  std::vector<StoredTrial> trials;
  std::vector<std::string> names = args.arguments;
  if (names.size() == 1 && names[0] == "all") {
    TrialFilter filter = args.filter;
    filter.status = "ok";
    const absl::StatusOr<std::vector<TrialRow>> rows = ledger.ListTrials(filter);
    if (!rows.ok()) return rows.status();
    names.clear();
    for (const TrialRow& row : *rows) names.push_back(row.key);
  }
  for (const std::string& name : names) {
    absl::StatusOr<StoredTrial> trial = ledger.LoadTrial(name);
    if (!trial.ok()) return trial.status();
    if (!trial->result.has_value()) {
      return absl::NotFoundError(absl::StrCat("trial ", trial->key, " has no result to verify (hint: run the sweep)"));
    }
    trials.push_back(*std::move(trial));
  }
  return trials;
}

}  // namespace

int LedgerVerify(const LedgerArgs& args, const VerifyRunner& runner) {
  auto ledger = Ledger::Open(args.ledger, Ledger::Mode::kReadOnly);
  if (!ledger.ok()) return Complain(ledger.status());
  const auto trials = TrialsToVerify(**ledger, args);
  if (!trials.ok()) return ComplainAboutName(trials.status());
  int bad = 0;
  Json json = Json::array();
  std::string text;
  for (const StoredTrial& trial : *trials) {
    std::fprintf(stderr, "running %s again\n", ShortKey(trial.key).c_str());
    const absl::StatusOr<TrialResult> again = runner(trial.spec, args.threads);
    const Verdict verdict = again.ok() ? CompareRuns(trial, *again)
                                       : Verdict{false, "", absl::StrCat("it failed: ", again.status().message())};
    bad += !verdict.same;
    absl::StrAppend(&text, ShortKey(trial.key), verdict.same ? "  same   " : "  DIFFERS  ", Printable(verdict.text),
                    "\n");
    json.push_back({{"trial", trial.key}, {"same", verdict.same}, {"stage", verdict.stage}, {"text", verdict.text}});
  }
  absl::StrAppend(&text, trials->size() - bad, " of ", trials->size(), " trials gave the same bits\n");
  const int code = Emit(args, args.json ? json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n" : text);
  return code != 0 ? code : bad > 0 ? 1 : 0;
}

}  // namespace eaq
