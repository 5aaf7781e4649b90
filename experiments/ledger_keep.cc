// merge, backup, doctor: keeping.
#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/json.h"
#include "experiments/ledger_verbs.h"

namespace eaq {

int LedgerMerge(const LedgerArgs& args) {
  auto ledger = Ledger::Open(args.ledger, Ledger::Mode::kCreate);
  if (!ledger.ok()) return Complain(ledger.status());
  Ledger::MergeReport total;
  for (const std::string& shard : args.arguments) {
    const auto report = (*ledger)->Merge(ResolveUserPath(shard));
    if (!report.ok()) return ComplainAboutName(report.status());
    total.trials += report->trials;
    total.results += report->results;
    total.attempts += report->attempts;
    total.sweeps += report->sweeps;
    total.conflicts = report->conflicts;
  }
  std::string text;
  if (args.json) {
    text = Json({{"trials", total.trials},
                 {"results", total.results},
                 {"attempts", total.attempts},
                 {"sweeps", total.sweeps},
                 {"conflicts", total.conflicts}})
               .dump() +
           "\n";
  } else {
    text = absl::StrCat("added ", total.trials, " trials, ", total.results, " results, ", total.attempts, " attempts, ",
                        total.sweeps, " sweeps\n");
  }
  if (const int code = Emit(args, text); code != 0) return code;
  if (total.conflicts == 0) return 0;
  std::fprintf(stderr, "ledger: %d trials have different results (hint: `ledger doctor` names them)\n",
               static_cast<int>(total.conflicts));
  return 1;
}

int LedgerBackup(const LedgerArgs& args) {
  auto ledger = Ledger::Open(args.ledger, Ledger::Mode::kExisting);
  if (!ledger.ok()) return Complain(ledger.status());
  const std::string target = ResolveUserPath(args.arguments[0]);
  const absl::Status status = (*ledger)->Backup(target);
  if (!status.ok()) return ComplainAboutName(status);
  std::fprintf(stderr, "wrote %s\n", target.c_str());
  return 0;
}

int LedgerDoctor(const LedgerArgs& args) {
  auto ledger = Ledger::Open(args.ledger, Ledger::Mode::kReadOnly);
  if (!ledger.ok()) return Complain(ledger.status());
  const auto findings = (*ledger)->Doctor();
  if (!findings.ok()) return Complain(findings.status());
  bool serious = false;
  Json json = Json::array();
  std::string text;
  for (const Ledger::Finding& finding : *findings) {
    serious = serious || finding.serious;
    json.push_back({{"kind", finding.kind}, {"text", finding.text}, {"serious", finding.serious}});
    absl::StrAppend(&text, finding.serious ? "FINDING " : "note    ", finding.kind, ": ", Printable(finding.text),
                    "\n");
  }
  if (!serious) absl::StrAppend(&text, "sound\n");
  const int code = Emit(args, args.json ? json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n" : text);
  return code != 0 ? code : serious ? 1 : 0;
}

}  // namespace eaq
