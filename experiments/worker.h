// One trial in a process of its own. The coordinator starts the program's own image with --worker, the job on standard
// input, descriptor 3 for messages. The result goes to the ledger in one transaction, written here.
//
// Messages, one line each:  P <tab> stage <tab> done <tab> total <tab> resident bytes      progress
//                           E <tab> text, C-escaped                                        why the trial failed
// Exit codes: 0 recorded; 1 the trial failed; 3 the result could not be recorded; 12 out of memory; 128+n signal n.
#ifndef EXPERIMENTS_WORKER_H_
#define EXPERIMENTS_WORKER_H_

#include <functional>

#include "absl/status/statusor.h"
#include "eaq/base/progress.h"
#include "eaq/proto/trial.pb.h"
#include "experiments/worker_job.pb.h"

namespace eaq {

constexpr int kMessageDescriptor = 3;
constexpr int kExitOutOfMemory = 12;

// Runs the job's trial. The program gives experiments/run_trial.h's; tests give ones that sleep, fail or crash.
using TrialRunner = std::function<absl::StatusOr<TrialResult>(const WorkerJob& job, ProgressSink& progress)>;

// The whole life of a worker; returns the exit code.
int WorkerMain(const TrialRunner& runner);

// Kills the process (SIGKILL) when the environment says EAQ_CRASH_AT=NAME. Names: worker_start, before_record,
// after_commit, after_claim, after_trial.
void CrashPoint(const char* name);

}  // namespace eaq

#endif  // EXPERIMENTS_WORKER_H_
