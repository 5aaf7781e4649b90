// The ledger: one SQLite file in which every trial, metric, per-window value, timing and failure lands.
//
//   EAQ_ASSIGN_OR_RETURN(auto ledger, Ledger::Open(path, Ledger::Mode::kCreate));
//   EAQ_ASSIGN_OR_RETURN(ClaimOutcome claim, ledger->Claim(keys, ThisProcess("sweep")));
//   for (const std::string& key : claim.mine) {
//     ... run the trial, calling ledger->Heartbeat(...) every few seconds from anywhere ...
//     EAQ_RETURN_IF_ERROR(ledger->RecordResult(key, spec, result, provenance, attempt));   // releases the claim
//   }
//
// Facts are append-only: an attempt, once recorded, never changes; a trial is done when it has an ok attempt with a
// result. Two results of one key with different content are a finding (conflict), kept side by side and reported.
// Every call that writes is one BEGIN IMMEDIATE transaction, synchronous=FULL: when it returns OK the rows survive
// kill -9. Any number of processes may hold the file open; an object of this class belongs to one thread at a time
// (open a second one for a heartbeat thread).
//
// Errors: see sqlite.h for SQLite's own. Open() in addition:
//   NotFound           no such file (kExisting, kReadOnly), or no such folder
//   FailedPrecondition the path is a folder, or lies on a network file system, where WAL is not safe
//   InvalidArgument    another program's file: not SQLite, or SQLite with a foreign application id
//   Unimplemented      written by a newer version of this program
//   DataLoss           damaged
#ifndef EAQ_LEDGER_LEDGER_H_
#define EAQ_LEDGER_LEDGER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "eaq/ledger/sqlite.h"
#include "eaq/ledger/types.h"
#include "eaq/proto/trial.pb.h"

namespace eaq {

constexpr int32_t kLedgerApplicationId = 0x45415131;  // "EAQ1"
constexpr int32_t kLedgerSchemaVersion = 1;

// The exit code of a program that could not open or use a ledger: 4 for a ledger that is foreign, newer or damaged,
// 2 for bad use (no such trial), 3 for the environment (no such folder, disk full, read-only, busy); 0 for OK.
int LedgerExitCode(const absl::Status& status);

class Ledger {
 public:
  enum class Mode {
    kCreate,    // made if missing (with its folder); an empty file counts as missing
    kExisting,  // NotFound if missing
    kReadOnly,  // never writes; works in a read-only folder
  };
  static absl::StatusOr<std::unique_ptr<Ledger>> Open(const std::string& path, Mode mode);

  const std::string& path() const;

  // ---- writing ----
  // Stores the row and its list of trials; returns its id.
  absl::StatusOr<std::string> RecordSweep(const SweepRow& sweep);

  // Decides atomically which of KEYS the caller may run. A claim is taken over when its owner is dead: same host and
  // boot with the process gone, same host and another boot, or another host
  // (or container) and a heartbeat older than STALE_AFTER. A second Claim by the same owner is granted.
  absl::StatusOr<ClaimOutcome> Claim(absl::Span<const std::string> keys, const Owner& owner,
                                     absl::Duration stale_after = absl::Minutes(2));
  // Refreshes all claims of OWNER.
  absl::Status Heartbeat(const Owner& owner);
  // Gives up OWNER's claims on KEYS (all of them when empty). Others' claims stay.
  absl::Status Release(absl::Span<const std::string> keys, const Owner& owner);

  // One transaction: the trial, the result exploded into tables, the attempt (outcome ok), the provenance; releases
  // the claim on KEY whoever holds it. FailedPrecondition when KEY is not TrialKey(SPEC). Recording the same content
  // again adds an attempt only; different content adds a second result, which is a conflict. Returns true when the
  // result is new, false when it was there or conflicts.
  absl::StatusOr<bool> RecordResult(const std::string& key, const TrialSpec& spec, const TrialResult& result,
                                    const Provenance& provenance, const Attempt& attempt);
  // The same for an attempt that gave no result; attempt.outcome must not be kOk.
  absl::Status RecordFailure(const std::string& key, const TrialSpec& spec, const Provenance& provenance,
                             const Attempt& attempt);

  // Claims whose owner is dead as seen by ME; the next Claim on them takes them over.
  absl::StatusOr<std::vector<DeadClaim>> OrphanClaims(const Owner& me, absl::Duration stale_after = absl::Minutes(2));

  // ---- reading ----
  // Which of KEYS have a result.
  absl::StatusOr<std::set<std::string>> Done(absl::Span<const std::string> keys);
  // In the order of first recording time, then key.
  absl::StatusOr<std::vector<TrialRow>> ListTrials(const TrialFilter& filter = {});
  // The trial whose key starts with PREFIX (at least 4 digits). NotFound, or OutOfRange when several do.
  absl::StatusOr<StoredTrial> LoadTrial(absl::string_view prefix);
  // Those of KEYS that are known, in that order.
  absl::StatusOr<std::vector<StoredTrial>> LoadTrials(absl::Span<const std::string> keys);
  // Trials without a result, with their last attempt's message, command and log.
  absl::StatusOr<std::vector<TrialRow>> Failures();
  // Newest first.
  absl::StatusOr<std::vector<Timing>> Timings();
  absl::StatusOr<std::vector<SweepRow>> Sweeps();  // newest first

  // ---- upkeep ----
  struct MergeReport {
    int64_t trials = 0, results = 0, attempts = 0, sweeps = 0;  // rows added
    int64_t conflicts = 0;  // keys with more than one result, in the whole ledger afterwards
  };
  // Adds what the ledger at OTHER has and this one has not. OTHER is only read. Merging is a union of sets: any order
  // gives the same content, twice adds nothing. Ends with integrity and foreign-key checks.
  absl::StatusOr<MergeReport> Merge(const std::string& other);
  // A compact copy at TARGET, which must not exist (VACUUM INTO). Never copy the file by hand: without its -wal the
  // copy lacks the newest rows.
  absl::Status Backup(const std::string& target);

  struct Finding {
    std::string kind;  // "integrity", "foreign_key", "digest", "key", "explosion", "conflict", "orphan_claim"
    std::string text;
    bool serious = true;  // false: worth knowing, nothing is wrong with the data
  };
  // Looks for everything that should not be; empty: sound.
  absl::StatusOr<std::vector<Finding>> Doctor();
  // Digests per key of trials with more than one result.
  absl::StatusOr<std::vector<std::pair<std::string, std::vector<std::string>>>> Conflicts();

  // The whole content as text, independent of the order of recording; for comparing ledgers in tests. Claims are
  // left out.
  absl::StatusOr<std::string> Dump();

  Database& database() { return *db_; }  // for export.h and tests

 private:
  Ledger() = default;
  std::unique_ptr<Database> db_;
};

}  // namespace eaq

#endif  // EAQ_LEDGER_LEDGER_H_
