// The verbs of //experiments:ledger. Each writes its result to stdout, everything else to stderr, and returns the
// program's exit code: 0 ok, 1 a finding, 2 usage, 3 environment, 4 ledger damaged, newer or foreign.
#ifndef EXPERIMENTS_LEDGER_VERBS_H_
#define EXPERIMENTS_LEDGER_VERBS_H_

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "eaq/ledger/ledger.h"

namespace eaq {

struct LedgerArgs {
  std::string ledger;                  // resolved path
  std::string ledger_flag;             // as written in commands: "--ledger=..." or ""
  bool json = false;                   // --format=json
  std::vector<std::string> arguments;  // after the verb, flags taken out
  TrialFilter filter;                  // --model, --recipe, --scheme, --status
  int threads = 2;                     // --threads, of verify
  std::string out;                     // --out, resolved; empty: stdout
};

struct LedgerVerb {
  const char* name;
  const char* arguments;  // "TRIAL", "A B", "SHARD..."
  const char* summary;    // one line
  const char* help;       // the rest of `ledger VERB --help`
  int min_arguments, max_arguments;
  std::function<int(const LedgerArgs&)> run;
};

// Runs a trial again from its spec with THREADS threads, without any cache. The program gives run_trial.h's; tests give
// one that pretends.
using VerifyRunner = std::function<absl::StatusOr<TrialResult>(const TrialSpec& spec, int threads)>;

// The whole program. WORDS: the command line without the program's name. The verb `verify` is there when RUNNER is.
int LedgerMain(const std::vector<std::string>& words, const VerifyRunner& runner);

int LedgerLs(const LedgerArgs& args);
int LedgerShow(const LedgerArgs& args);
int LedgerDiff(const LedgerArgs& args);
int LedgerCompare(const LedgerArgs& args);
int LedgerExport(const LedgerArgs& args);
int LedgerVerify(const LedgerArgs& args, const VerifyRunner& runner);
int LedgerMerge(const LedgerArgs& args);
int LedgerBackup(const LedgerArgs& args);
int LedgerDoctor(const LedgerArgs& args);

// ---- shared by the verbs ----
// Prints STATUS to stderr and returns its exit code.
int Complain(const absl::Status& status);
// The same for a trial or file that the user named: bad usage (2) unless the ledger itself is bad.
int ComplainAboutName(const absl::Status& status);
// stdout, or --out atomically.
int Emit(const LedgerArgs& args, const std::string& text);
std::string ShortKey(const std::string& key);  // 12 digits
// Columns of equal width, two spaces apart; RIGHT says which are numbers.
std::string Table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right);
std::string Printable(const std::string& text);  // one line: control characters escaped
std::string UtcTime(int64_t ns);                 // "2026-11-24 02:03:04"
std::string MetricName(const Metric& metric);    // "nll[code]", "router_topk_agreement[code, layer 2]"
std::string Number(const Metric& metric);        // "%.6g", "missing", "nan"

}  // namespace eaq

#endif  // EXPERIMENTS_LEDGER_VERBS_H_
