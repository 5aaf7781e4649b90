// Merging is a union of sets keyed by content hashes: INSERT OR IGNORE, table by table, in one transaction that
// writes one file and only reads the other. Integer ids are local to a file and translated through the hashes.
#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"
#include "eaq/ledger/digest.h"
#include "eaq/ledger/ledger.h"
#include "eaq/ledger/trial_key.h"

namespace eaq {
namespace {

absl::StatusOr<int64_t> Insert(Database& db, const std::string& sql) {
  EAQ_RETURN_IF_ERROR(db.Exec(absl::StrCat("INSERT OR IGNORE INTO main.", sql)));
  return db.Changes();
}

// What was hashed must give its hash: a damaged or forged shard changes nothing here.
absl::Status CheckNewTrials(Database& db, const std::string& other) {
  EAQ_ASSIGN_OR_RETURN(Statement row, db.Prepare("SELECT key, spec FROM shard.trial WHERE key NOT IN (SELECT key FROM "
                                                 "main.trial)"));
  while (true) {
    EAQ_ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) break;
    TrialSpec spec;
    if (!spec.ParseFromString(row.Text(1)) || TrialKey(spec) != row.Text(0)) {
      return absl::DataLossError(absl::StrCat(other, ": trial ", row.Text(0), ": its spec does not hash to its key; ",
                                              "nothing was merged (hint: run `ledger doctor` on that file)"));
    }
  }
  EAQ_ASSIGN_OR_RETURN(Statement result, db.Prepare("SELECT trial, digest, content FROM shard.result WHERE (trial, "
                                                    "digest) NOT IN (SELECT trial, digest FROM main.result)"));
  while (true) {
    EAQ_ASSIGN_OR_RETURN(const bool more, result.Step());
    if (!more) return absl::OkStatus();
    TrialResult content;
    if (!content.ParseFromString(result.Text(2)) || ResultDigest(content) != result.Text(1)) {
      return absl::DataLossError(
          absl::StrCat(other, ": result of trial ", result.Text(0), ": its content does not hash ",
                       "to its digest; nothing was merged (hint: `ledger doctor` on that file)"));
    }
  }
}

// The tables that hang on results, for results that are new here (id above LAST).
absl::Status MergeResultParts(Database& db, int64_t last) {
  const std::string join = absl::StrCat(
      " JOIN shard.result o ON o.id = c.result JOIN main.result r ON r.trial = o.trial AND r.digest = o.digest ",
      "WHERE r.id > ", last);
  EAQ_RETURN_IF_ERROR(
      Insert(db, absl::StrCat("metric SELECT r.id, c.name, c.domain, c.layer, c.position, c.value, c.kind ",
                              "FROM shard.metric c", join))
          .status());
  EAQ_RETURN_IF_ERROR(
      Insert(db, absl::StrCat("series SELECT r.id, c.position, c.metric, c.domain, c.count, c.value, d.id ",
                              "FROM shard.series c JOIN shard.documents e ON e.id = c.documents ",
                              "JOIN main.documents d ON d.hash = e.hash", join))
          .status());
  EAQ_RETURN_IF_ERROR(
      Insert(db, absl::StrCat("linear SELECT r.id, c.position, c.linear, c.bits, c.calibration_tokens, ",
                              "c.weight_error, c.output_error, c.stored_bits, c.note ", "FROM shard.linear c", join))
          .status());
  return Insert(db, absl::StrCat("expert_use SELECT r.id, c.position, c.domain, c.layer, c.share ",
                                 "FROM shard.expert_use c", join))
      .status();
}

absl::StatusOr<Ledger::MergeReport> MergeTables(Database& db) {
  Ledger::MergeReport report;
  EAQ_ASSIGN_OR_RETURN(report.sweeps, Insert(db, "sweep SELECT * FROM shard.sweep"));
  EAQ_RETURN_IF_ERROR(Insert(db, "sweep_trial SELECT * FROM shard.sweep_trial").status());
  EAQ_ASSIGN_OR_RETURN(report.trials, Insert(db, "trial SELECT * FROM shard.trial"));
  EAQ_RETURN_IF_ERROR(Insert(db, "label SELECT * FROM shard.label").status());
  EAQ_RETURN_IF_ERROR(Insert(db,
                             "provenance SELECT NULL, hash, git_commit, dirty, binary_hash, host, boot_id, cpu, "
                             "cores, kernel, compiler, model_hash, corpora FROM shard.provenance ORDER BY hash")
                          .status());
  EAQ_RETURN_IF_ERROR(Insert(db, "documents SELECT NULL, hash, names FROM shard.documents ORDER BY hash").status());
  EAQ_ASSIGN_OR_RETURN(const int64_t last, db.QueryInt("SELECT coalesce(max(id), 0) FROM main.result"));
  EAQ_ASSIGN_OR_RETURN(
      report.results,
      Insert(db, "result SELECT NULL, trial, digest, content FROM shard.result ORDER BY trial, digest"));
  EAQ_RETURN_IF_ERROR(MergeResultParts(db, last));
  EAQ_ASSIGN_OR_RETURN(
      report.attempts,
      Insert(db,
             "attempt SELECT a.id, a.trial, a.sweep, a.started_ns, a.finished_ns, a.duration_ns, a.outcome, "
             "a.exit_code, a.message, a.command, a.log, a.host, a.pid, p.id, r.id, a.wall_seconds, "
             "a.peak_memory_bytes, a.threads FROM shard.attempt a "
             "LEFT JOIN shard.provenance q ON q.id = a.provenance LEFT JOIN main.provenance p ON p.hash = q.hash "
             "LEFT JOIN shard.result o ON o.id = a.result "
             "LEFT JOIN main.result r ON r.trial = o.trial AND r.digest = o.digest"));
  EAQ_RETURN_IF_ERROR(Insert(db, "stage_run SELECT * FROM shard.stage_run").status());
  EAQ_ASSIGN_OR_RETURN(report.conflicts, db.QueryInt("SELECT count(DISTINCT trial) FROM main.conflict"));
  return report;
}

}  // namespace

absl::StatusOr<Ledger::MergeReport> Ledger::Merge(const std::string& other) {
  // Everything Open() refuses is refused here too; its uri opens the file the same way.
  EAQ_ASSIGN_OR_RETURN(const std::unique_ptr<Ledger> shard, Ledger::Open(other, Mode::kReadOnly));
  EAQ_ASSIGN_OR_RETURN(const std::string sound, shard->db_->QueryText("PRAGMA quick_check(1)"));
  if (sound != "ok") return absl::DataLossError(absl::StrCat(other, ": damaged: ", sound, "; nothing was merged"));
  EAQ_ASSIGN_OR_RETURN(Statement attach, db_->Prepare("ATTACH DATABASE ? AS shard"));
  EAQ_RETURN_IF_ERROR(attach.Run(shard->db_->uri()));
  const auto detach = absl::MakeCleanup([this] { (void)db_->Exec("DETACH DATABASE shard"); });

  MergeReport report;
  {
    EAQ_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*db_));
    EAQ_RETURN_IF_ERROR(CheckNewTrials(*db_, other));
    EAQ_ASSIGN_OR_RETURN(report, MergeTables(*db_));
    EAQ_ASSIGN_OR_RETURN(Statement dangling, db_->Prepare("PRAGMA main.foreign_key_check"));
    EAQ_ASSIGN_OR_RETURN(const bool broken, dangling.Step());
    if (broken) {
      return absl::DataLossError(
          absl::StrCat(other, ": a row of ", dangling.Text(0), " refers to nothing; nothing was merged"));
    }
    EAQ_RETURN_IF_ERROR(transaction.Commit());
  }
  EAQ_ASSIGN_OR_RETURN(const std::string integrity, db_->QueryText("PRAGMA main.integrity_check(1)"));
  if (integrity != "ok") return absl::DataLossError(absl::StrCat(path(), ": damaged after the merge: ", integrity));
  return report;
}

absl::Status Ledger::Backup(const std::string& target) {
  if (FileExists(target)) {
    return absl::AlreadyExistsError(absl::StrCat(target, ": there is something here already (hint: name a new file)"));
  }
  EAQ_ASSIGN_OR_RETURN(Statement vacuum, db_->Prepare("VACUUM INTO ?"));
  return Annotate(vacuum.Run(target), absl::StrCat("backup to ", target));
}

}  // namespace eaq
