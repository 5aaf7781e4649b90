#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/base/status_macros.h"
#include "eaq/ledger/ledger.h"
#include "eaq/ledger/provenance.h"
#include "eaq/ledger/rows.h"

namespace eaq {
namespace {

using ledger_internal::NowNs;

// "<boot id>/<pid namespace>": process ids mean something only within one namespace of one boot.
std::string BootAndNamespace() {
  struct stat info;
  const bool known = stat("/proc/self/ns/pid", &info) == 0;
  return absl::StrCat(BootId(), "/", known ? static_cast<uint64_t>(info.st_ino) : 0);
}

std::string BootPart(const std::string& boot_id) { return boot_id.substr(0, boot_id.find('/')); }

bool Same(const Owner& a, const Owner& b) {
  return a.host == b.host && a.boot_id == b.boot_id && a.pid == b.pid && a.pid_start == b.pid_start;
}

bool Dead(const DeadClaim& claim, const Owner& me, int64_t now_ns, absl::Duration stale_after) {
  const Owner& owner = claim.owner;
  if (owner.host == me.host) {
    if (owner.boot_id == me.boot_id) {
      const int64_t start = ProcessStart(owner.pid);
      return start == 0 || start != owner.pid_start;
    }
    if (BootPart(owner.boot_id) != BootPart(me.boot_id)) return true;  // the machine was started anew since
  }
  return absl::Nanoseconds(now_ns - claim.heartbeat_ns) > stale_after;
}

DeadClaim ReadClaim(const Statement& row) {
  DeadClaim claim;
  claim.trial = row.Text(0);
  claim.owner = {row.Text(1), row.Text(2), row.Text(3), row.Int(4), row.Int(5)};
  claim.claimed_ns = row.Int(6);
  claim.heartbeat_ns = row.Int(7);
  return claim;
}

}  // namespace

Owner ThisProcess(absl::string_view worker) {
  Owner owner;
  owner.worker = std::string(worker);
  owner.host = HostName();
  owner.boot_id = BootAndNamespace();
  owner.pid = getpid();
  owner.pid_start = ProcessStart(owner.pid);
  return owner;
}

absl::StatusOr<ClaimOutcome> Ledger::Claim(absl::Span<const std::string> keys, const Owner& owner,
                                           absl::Duration stale_after) {
  for (const std::string& key : keys) {
    if (!ledger_internal::IsKey(key)) return absl::FailedPreconditionError(absl::StrCat("not a trial key: ", key));
  }
  const int64_t now = NowNs();
  ClaimOutcome outcome;
  EAQ_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*db_));
  EAQ_ASSIGN_OR_RETURN(Statement done, db_->Prepare("SELECT 1 FROM result WHERE trial = ?"));
  EAQ_ASSIGN_OR_RETURN(Statement find, db_->Prepare("SELECT * FROM claim WHERE trial = ?"));
  EAQ_ASSIGN_OR_RETURN(Statement take, db_->Prepare("INSERT OR REPLACE INTO claim VALUES (?, ?, ?, ?, ?, ?, ?, ?)"));
  for (const std::string& key : keys) {
    EAQ_ASSIGN_OR_RETURN(const bool has_result, done.Query(key));
    if (has_result) {
      outcome.done.push_back(key);
      continue;
    }
    EAQ_ASSIGN_OR_RETURN(const bool claimed, find.Query(key));
    if (claimed) {
      DeadClaim claim = ReadClaim(find);
      EAQ_RETURN_IF_ERROR(find.Reset());
      if (!Same(claim.owner, owner)) {
        if (!Dead(claim, owner, now, stale_after)) {
          outcome.held.push_back(key);
          continue;
        }
        outcome.taken_over.push_back(std::move(claim));
      }
    }
    EAQ_RETURN_IF_ERROR(take.Run(key, owner.worker, owner.host, owner.boot_id, owner.pid, owner.pid_start, now, now));
    outcome.mine.push_back(key);
  }
  EAQ_RETURN_IF_ERROR(done.Reset());
  EAQ_RETURN_IF_ERROR(find.Reset());
  EAQ_RETURN_IF_ERROR(transaction.Commit());
  return outcome;
}

absl::Status Ledger::Heartbeat(const Owner& owner) {
  EAQ_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*db_));
  EAQ_ASSIGN_OR_RETURN(
      Statement beat,
      db_->Prepare("UPDATE claim SET heartbeat_ns = ? WHERE host = ? AND boot_id = ? AND pid = ? AND pid_start = ?"));
  EAQ_RETURN_IF_ERROR(beat.Run(NowNs(), owner.host, owner.boot_id, owner.pid, owner.pid_start));
  return transaction.Commit();
}

absl::Status Ledger::Release(absl::Span<const std::string> keys, const Owner& owner) {
  const std::string of_owner = "DELETE FROM claim WHERE host = ? AND boot_id = ? AND pid = ? AND pid_start = ?";
  EAQ_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*db_));
  if (keys.empty()) {
    EAQ_ASSIGN_OR_RETURN(Statement all, db_->Prepare(of_owner));
    EAQ_RETURN_IF_ERROR(all.Run(owner.host, owner.boot_id, owner.pid, owner.pid_start));
  }
  EAQ_ASSIGN_OR_RETURN(Statement one, db_->Prepare(of_owner + " AND trial = ?"));
  for (const std::string& key : keys) {
    EAQ_RETURN_IF_ERROR(one.Run(owner.host, owner.boot_id, owner.pid, owner.pid_start, key));
  }
  return transaction.Commit();
}

absl::StatusOr<std::vector<DeadClaim>> Ledger::OrphanClaims(const Owner& me, absl::Duration stale_after) {
  EAQ_ASSIGN_OR_RETURN(Statement all, db_->Prepare("SELECT * FROM claim ORDER BY trial"));
  std::vector<DeadClaim> orphans;
  while (true) {
    EAQ_ASSIGN_OR_RETURN(const bool row, all.Step());
    if (!row) return orphans;
    DeadClaim claim = ReadClaim(all);
    if (Dead(claim, me, NowNs(), stale_after)) orphans.push_back(std::move(claim));
  }
}

}  // namespace eaq
