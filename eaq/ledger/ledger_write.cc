#include "absl/strings/str_cat.h"
#include "eaq/base/hash.h"
#include "eaq/base/status_macros.h"
#include "eaq/ledger/digest.h"
#include "eaq/ledger/ledger.h"
#include "eaq/ledger/rows.h"
#include "eaq/ledger/trial_key.h"

namespace eaq {
namespace {

using ledger_internal::NowNs;

absl::Status CheckKey(const std::string& key, const TrialSpec& spec) {
  const std::string expected = TrialKey(spec);
  if (key == expected) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("trial key ", key, " does not belong to its spec, whose key is ", expected));
}

absl::Status DeleteClaim(Database& db, const std::string& key) {
  EAQ_ASSIGN_OR_RETURN(Statement remove, db.Prepare("DELETE FROM claim WHERE trial = ?"));
  return remove.Run(key);
}

}  // namespace

absl::StatusOr<std::string> Ledger::RecordSweep(const SweepRow& sweep) {
  Fingerprint hash("sweep/v1");
  hash.Add(sweep.started_ns).Add(sweep.name).Add(sweep.spec_text).Add(sweep.command);
  for (const std::string& key : sweep.trials) {
    if (!ledger_internal::IsKey(key)) return absl::FailedPreconditionError(absl::StrCat("not a trial key: ", key));
    hash.Add(key);
  }
  const std::string id = hash.Hex();
  EAQ_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*db_));
  EAQ_ASSIGN_OR_RETURN(Statement insert, db_->Prepare("INSERT OR IGNORE INTO sweep VALUES (?, ?, ?, ?, ?)"));
  EAQ_RETURN_IF_ERROR(insert.Run(id, sweep.started_ns, sweep.name, sweep.spec_text, sweep.command));
  EAQ_ASSIGN_OR_RETURN(Statement member, db_->Prepare("INSERT OR IGNORE INTO sweep_trial VALUES (?, ?, ?)"));
  for (size_t i = 0; i < sweep.trials.size(); ++i) {
    EAQ_RETURN_IF_ERROR(member.Run(id, static_cast<int64_t>(i), sweep.trials[i]));
  }
  EAQ_RETURN_IF_ERROR(transaction.Commit());
  return id;
}

absl::StatusOr<bool> Ledger::RecordResult(const std::string& key, const TrialSpec& spec, const TrialResult& result,
                                          const Provenance& provenance, const Attempt& attempt) {
  EAQ_RETURN_IF_ERROR(CheckKey(key, spec));
  Attempt row = attempt;
  row.trial = key;
  row.outcome = Outcome::kOk;
  row.digest = ResultDigest(result);
  if (row.host.empty()) row.host = provenance.host;

  EAQ_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*db_));
  EAQ_RETURN_IF_ERROR(ledger_internal::InsertTrial(*db_, key, spec, row.started_ns));
  EAQ_ASSIGN_OR_RETURN(const int64_t origin, ledger_internal::InsertProvenance(*db_, provenance));
  EAQ_ASSIGN_OR_RETURN(const auto stored, ledger_internal::InsertResult(*db_, key, result, row.digest));
  EAQ_RETURN_IF_ERROR(ledger_internal::InsertAttempt(*db_, row, &result, stored.first, origin));
  EAQ_RETURN_IF_ERROR(DeleteClaim(*db_, key));
  EAQ_ASSIGN_OR_RETURN(Statement count, db_->Prepare("SELECT count(*) FROM result WHERE trial = ?"));
  EAQ_RETURN_IF_ERROR(count.Query(key).status());
  const bool alone = count.Int(0) == 1;
  EAQ_RETURN_IF_ERROR(count.Reset());
  EAQ_RETURN_IF_ERROR(transaction.Commit());
  return stored.second && alone;
}

absl::Status Ledger::RecordFailure(const std::string& key, const TrialSpec& spec, const Provenance& provenance,
                                   const Attempt& attempt) {
  EAQ_RETURN_IF_ERROR(CheckKey(key, spec));
  if (attempt.outcome == Outcome::kOk) {
    return absl::FailedPreconditionError("RecordFailure with outcome ok; a result goes through RecordResult");
  }
  Attempt row = attempt;
  row.trial = key;
  row.digest.clear();
  if (row.host.empty()) row.host = provenance.host;

  EAQ_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*db_));
  EAQ_RETURN_IF_ERROR(ledger_internal::InsertTrial(*db_, key, spec, row.started_ns));
  EAQ_ASSIGN_OR_RETURN(const int64_t origin, ledger_internal::InsertProvenance(*db_, provenance));
  EAQ_RETURN_IF_ERROR(ledger_internal::InsertAttempt(*db_, row, nullptr, 0, origin));
  EAQ_RETURN_IF_ERROR(DeleteClaim(*db_, key));
  return transaction.Commit();
}

}  // namespace eaq
