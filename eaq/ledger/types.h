// The rows of the ledger as plain structs. docs/formats/ledger.md describes the tables behind them.
//
// Times are integer nanoseconds UTC since 1970 (for people) and monotonic durations (for arithmetic): a clock that
// is set back makes no negative duration.
#ifndef EAQ_LEDGER_TYPES_H_
#define EAQ_LEDGER_TYPES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/proto/trial.pb.h"

namespace eaq {

// How an attempt at a trial ended.
enum class Outcome {
  kOk,
  kFailed,       // the program said why
  kOom,          // killed for memory
  kTimeout,      // ran past its limit
  kLost,         // its process is gone and nobody knows why (kill -9, power)
  kInterrupted,  // stopped on request
};
absl::string_view OutcomeName(Outcome outcome);                // "ok", "failed", "oom", ...
absl::StatusOr<Outcome> ParseOutcome(absl::string_view name);  // InvalidArgument lists the names

// Where and by what a trial was run. Recorded once per distinct content (ledger table `provenance`).
struct Provenance {
  std::string commit = "unknown";  // 40 hex digits
  std::string dirty = "unknown";   // "clean", "dirty", "unknown"
  std::string binary_hash;         // SHA-256 of /proc/self/exe
  std::string host;
  std::string boot_id;
  std::string cpu;       // model name
  int cores = 0;         // that this process may use
  std::string kernel;    // "Linux 6.1.0-18-amd64 x86_64"
  std::string compiler;  // "gcc 12.2.0"
  std::string model_hash;
  std::map<std::string, std::string> corpora;  // name -> "package version sha256", free text
};

// One try at a trial. Append-only: an attempt is recorded when it has ended and never changed.
struct Attempt {
  std::string id;     // content hash; filled in by the ledger
  std::string trial;  // key
  std::string sweep;  // id of RecordSweep, or empty
  int64_t started_ns = 0;
  int64_t finished_ns = 0;
  int64_t duration_ns = 0;  // monotonic
  Outcome outcome = Outcome::kOk;
  int exit_code = 0;    // of the worker; 128 + n: killed by signal n
  std::string message;  // empty for ok
  std::string command;  // one line that runs this trial again
  std::string log;      // path of the worker's output, or its tail
  std::string host;
  int64_t pid = 0;
  // Filled in by the ledger from the result (RecordResult) and on reading:
  std::string digest;  // ResultDigest, empty unless ok
  int64_t peak_memory_bytes = 0;
  int threads = 0;
  double wall_seconds = 0;  // TrialResult.wall_seconds
  std::string provenance;   // id of the row
};

// One `sweep` command.
struct SweepRow {
  std::string id;  // content hash; filled in by RecordSweep
  int64_t started_ns = 0;
  std::string name;       // of the experiment
  std::string spec_text;  // resolved, textproto
  std::string command;
  std::vector<std::string> trials;  // keys, in the order of the expansion
};

// Who holds a claim. A process is identified by host, boot, pid and its start time, so a reused pid is no mistake.
struct Owner {
  std::string worker;  // a label
  std::string host;
  std::string boot_id;
  int64_t pid = 0;
  int64_t pid_start = 0;  // clock ticks after boot (/proc/PID/stat field 22)
};
// The calling process.
Owner ThisProcess(absl::string_view worker);

// A claim whose owner was found dead.
struct DeadClaim {
  std::string trial;
  Owner owner;
  int64_t claimed_ns = 0;
  int64_t heartbeat_ns = 0;
};

// What Claim() decided, each key in exactly one of the first three lists, in the order asked for.
struct ClaimOutcome {
  std::vector<std::string> mine;      // run these
  std::vector<std::string> done;      // have a result already
  std::vector<std::string> held;      // a living process works on them
  std::vector<DeadClaim> taken_over;  // of `mine`: whose owner died. Record a `lost` attempt for them (RecordFailure)
};

// What LoadTrial gives back.
struct StoredTrial {
  std::string key;
  TrialSpec spec;
  std::optional<TrialResult> result;  // of the first ok attempt; absent when there is none
  std::string digest;                 // of `result`
  std::vector<Attempt> attempts;      // by start
  Provenance provenance;              // of the attempt that gave `result`, or else of the last one
};

struct TrialFilter {
  std::string key_prefix;
  std::string model, recipe, scheme;  // exact labels; empty: any
  std::string status;                 // "ok", "failed", ... the current status; empty: any
  std::string sweep;                  // trials of this sweep only
};

// One line of `ledger ls`.
struct TrialRow {
  std::string key;
  std::string model, recipe, scheme;  // labels; recipe and scheme are empty for the full-precision baseline
  int64_t seed = 0;                   // of calibration; 0 without calibration
  std::string status;                 // outcome name: "ok" once any attempt was ok, else that of the last attempt
  int64_t attempts = 0;
  int64_t last_ns = 0;  // end of the last attempt
  double wall_seconds = 0;
  std::string message;  // of the last attempt that failed; empty when ok
  std::string command;
  std::string log;
};

// Durations of finished trials, the base of estimates.
struct Timing {
  std::string model, recipe, scheme;
  double seconds = 0;             // wall time of the attempt
  int64_t stages = 0;             // stages run ...
  int64_t stages_from_cache = 0;  // ... of which from the cache
  int64_t peak_memory_bytes = 0;
};

}  // namespace eaq

#endif  // EAQ_LEDGER_TYPES_H_
