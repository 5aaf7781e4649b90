// Opening: the order of steps is that of tracking_and_style.md 4.1 (busy timeout, identity, WAL, durability, checks).
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"
#include "eaq/ledger/file_system.h"
#include "eaq/ledger/ledger.h"
#include "eaq/ledger/schema_sql.h"

namespace eaq {
namespace {

enum class Identity { kOurs, kEmpty };

absl::StatusOr<Identity> ReadIdentity(Database& db) {
  EAQ_ASSIGN_OR_RETURN(const int64_t id, db.QueryInt("PRAGMA application_id"));
  EAQ_ASSIGN_OR_RETURN(const int64_t version, db.QueryInt("PRAGMA user_version"));
  if (id == kLedgerApplicationId) {
    if (version == kLedgerSchemaVersion) return Identity::kOurs;
    if (version > kLedgerSchemaVersion) {
      return absl::UnimplementedError(
          absl::StrCat(db.path(), ": ledger schema ", version, ", expected at most ", kLedgerSchemaVersion,
                       ": written by a newer version of this program (hint: update, or name another file with "
                       "--ledger)"));
    }
    return absl::DataLossError(absl::StrCat(db.path(), ": ledger schema ", version, ", expected 1 to ",
                                            kLedgerSchemaVersion, ": the header is damaged"));
  }
  EAQ_ASSIGN_OR_RETURN(const int64_t objects, db.QueryInt("SELECT count(*) FROM sqlite_schema"));
  if (id == 0 && version == 0 && objects == 0) return Identity::kEmpty;
  return absl::InvalidArgumentError(absl::StrCat(db.path(), ": an SQLite file of another program (application_id ", id,
                                                 ", expected ", kLedgerApplicationId,
                                                 "); it was left untouched (hint: is the path right?)"));
}

// Whether the file is a ledger this program can read. The same question is asked again inside the transaction that
// makes the schema, so that of several first openers only one makes it. The savepoint holds one snapshot: otherwise
// the schema of another first opener could appear between reading the id and counting the tables.
absl::StatusOr<Identity> CheckIdentity(Database& db) {
  EAQ_RETURN_IF_ERROR(db.Exec("SAVEPOINT identity"));
  const absl::StatusOr<Identity> identity = ReadIdentity(db);
  const absl::Status released = db.Exec("RELEASE identity");
  if (identity.ok() && !released.ok()) return released;
  return identity;
}

// NOTADB means "foreign" for a file that never was SQLite and "damaged" for one that still says it is.
absl::Status Refine(const absl::Status& status, const std::string& path) {
  if (!absl::IsInvalidArgument(status) || !absl::StrContains(status.message(), "not a database")) return status;
  const auto bytes = MappedFile::Open(path);
  if (bytes.ok() && absl::StartsWith((*bytes)->bytes(), "SQLite format 3")) {
    return absl::DataLossError(absl::StrCat(path,
                                            ": the SQLite header is damaged (hint: go back to a `ledger backup`, ",
                                            "or try `sqlite3 FILE .recover`)"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": not a ledger, nor any SQLite file; it was left untouched (hint: is the path right?)"));
}

bool HasLog(const std::string& path) {
  const absl::StatusOr<int64_t> size = FileSize(path + "-wal");
  return size.ok() && *size > 0;
}

// SQLITE_BUSY comes back at once here when two processes switch the mode of a new file, whatever the busy timeout.
absl::Status SwitchToWal(Database& db) {
  absl::Status last;
  for (int i = 0; i < 3000; ++i) {
    const absl::StatusOr<std::string> mode = db.QueryText("PRAGMA journal_mode=WAL");
    if (mode.ok() && *mode == "wal") return absl::OkStatus();
    if (mode.ok()) {
      return absl::FailedPreconditionError(absl::StrCat(db.path(), ": SQLite answered journal mode \"", *mode,
                                                        "\", expected \"wal\" (hint: use a local file system)"));
    }
    last = mode.status();
    if (!absl::IsUnavailable(last)) return last;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return last;
}

absl::Status MakeSchema(Database& db) {
  EAQ_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(db));
  EAQ_ASSIGN_OR_RETURN(const Identity identity, CheckIdentity(db));
  if (identity == Identity::kOurs) return absl::OkStatus();
  EAQ_RETURN_IF_ERROR(db.Exec(kSchemaSql));
  EAQ_RETURN_IF_ERROR(db.Exec(absl::StrCat("PRAGMA application_id = ", kLedgerApplicationId)));
  EAQ_RETURN_IF_ERROR(db.Exec(absl::StrCat("PRAGMA user_version = ", kLedgerSchemaVersion)));
  return transaction.Commit();
}

absl::Status QuickCheck(Database& db) {
  EAQ_ASSIGN_OR_RETURN(const std::string answer, db.QueryText("PRAGMA quick_check(1)"));
  if (answer == "ok") return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(db.path(), ": damaged: ", answer, " (hint: go back to a `ledger backup`, or ",
                                          "try `sqlite3 FILE .recover`)"));
}

// In a folder that cannot be written, a WAL file without its -shm can only be read as immutable; that is safe when
// there is no -wal either, because then nobody is writing.
absl::StatusOr<std::unique_ptr<Database>> OpenToRead(const std::string& path) {
  EAQ_ASSIGN_OR_RETURN(std::unique_ptr<Database> db, Database::Open(path, Database::Mode::kReadOnly));
  const absl::StatusOr<int64_t> probe = db->QueryInt("SELECT count(*) FROM sqlite_schema");
  if (absl::IsNotFound(probe.status()) && FileExists(path) && !HasLog(path)) {
    return Database::Open(path, Database::Mode::kImmutable);
  }
  if (!probe.ok()) return probe.status();
  return db;
}

absl::Status Prepare(Database& db, Ledger::Mode mode, bool unclean) {
  EAQ_ASSIGN_OR_RETURN(const Identity identity, CheckIdentity(db));
  const bool write = mode != Ledger::Mode::kReadOnly;
  if (identity == Identity::kEmpty && mode != Ledger::Mode::kCreate) {
    return absl::DataLossError(absl::StrCat(db.path(), ": an empty file, expected a ledger"));
  }
  if (write) {
    EAQ_RETURN_IF_ERROR(SwitchToWal(db));
    EAQ_RETURN_IF_ERROR(db.Exec("PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON"));
  }
  EAQ_RETURN_IF_ERROR(db.Exec("PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY"));
  if (identity == Identity::kEmpty) EAQ_RETURN_IF_ERROR(MakeSchema(db));
  if (unclean) EAQ_RETURN_IF_ERROR(QuickCheck(db));
  return absl::OkStatus();
}

}  // namespace

int LedgerExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kInvalidArgument:
      return 4;
    default:
      return 3;
  }
}

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Open(const std::string& path, Mode mode) {
  EAQ_RETURN_IF_ERROR(CheckLedgerPath(path));
  const bool exists = FileExists(path);
  if (!exists && mode != Mode::kCreate) {
    return absl::NotFoundError(
        absl::StrCat(path, ": no ledger here (hint: run a sweep first, or name its file with --ledger)"));
  }
  if (exists && mode != Mode::kCreate && FileSize(path).value_or(1) == 0 && !HasLog(path)) {
    return absl::DataLossError(absl::StrCat(path, ": an empty file (0 bytes), expected a ledger"));
  }
  if (!exists) EAQ_RETURN_IF_ERROR(Annotate(MakeDirectories(Dirname(path)), "the ledger's folder"));
  const bool unclean = HasLog(path);

  std::unique_ptr<Ledger> ledger(new Ledger);
  absl::StatusOr<std::unique_ptr<Database>> db =
      mode == Mode::kReadOnly
          ? OpenToRead(path)
          : Database::Open(path, mode == Mode::kCreate ? Database::Mode::kCreate : Database::Mode::kReadWrite);
  if (!db.ok()) return Refine(db.status(), path);
  ledger->db_ = *std::move(db);
  const absl::Status prepared = Prepare(*ledger->db_, mode, unclean);
  if (!prepared.ok()) return Refine(prepared, path);
  return ledger;
}

const std::string& Ledger::path() const { return db_->path(); }

}  // namespace eaq
