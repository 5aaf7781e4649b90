// Runs the trials of a plan that the ledger does not have, each in a worker process.
//
// A trial belongs to the coordinator that claimed it in the ledger, so two sweeps on one ledger share the work and
// never repeat it. Killed at any moment, nothing recorded is lost: workers die with the coordinator, and the next sweep
// takes over its claims. The first SIGINT or SIGTERM lets running trials finish for a while, then stops them; the
// second stops them at once.
#ifndef EXPERIMENTS_COORDINATOR_H_
#define EXPERIMENTS_COORDINATOR_H_

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/ledger/ledger.h"
#include "experiments/planner.h"
#include "experiments/progress_view.h"

namespace eaq {

struct CoordinatorOptions {
  std::string ledger, cache_folder, log_folder;
  std::string sweep;  // id in the ledger
  std::set<Outcome> retry = {Outcome::kLost};
  int jobs = 1;
  int processors = 1;  // threads of a worker: processors / jobs, at least 1
  bool fail_fast = false;
  double timeout = 0;                                          // seconds per trial; 0: none
  double grace = 10;                                           // seconds that running trials get after the first signal
  std::function<std::string(const std::string& key)> command;  // one line that runs the trial again
  std::vector<std::string> worker_args = {"sweep", "--worker"};
};

struct SweepOutcome {
  int64_t ran = 0;  // by this sweep, with a result
  int64_t done_before = 0;
  int64_t done_elsewhere = 0;  // by another sweep, meanwhile
  int64_t failed = 0;          // by this sweep
  int64_t failed_before = 0;   // and not asked to be run again
  int64_t left = 0;            // not run: interrupted, or --fail_fast
  int signal = 0;              // that ended it
};

// Blocks until all is done, failed or interrupted. Errors are of the ledger or of starting processes.
absl::StatusOr<SweepOutcome> RunTrials(const SweepPlan& plan, Ledger& ledger, const CoordinatorOptions& options,
                                       ProgressView& view);

}  // namespace eaq

#endif  // EXPERIMENTS_COORDINATOR_H_
