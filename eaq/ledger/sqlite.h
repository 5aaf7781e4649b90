// SQLite behind Status: every call checked, every handle closed.
//
//   EAQ_ASSIGN_OR_RETURN(auto db, Database::Open(path, Database::Mode::kReadWrite));
//   EAQ_ASSIGN_OR_RETURN(Transaction txn, Transaction::Begin(*db));
//   EAQ_ASSIGN_OR_RETURN(Statement insert, db->Prepare("INSERT INTO t VALUES (?, ?)"));
//   EAQ_RETURN_IF_ERROR(insert.Run("name", 1.5));
//   EAQ_RETURN_IF_ERROR(txn.Commit());              // rolled back if never reached
//
// Status codes, each with the path and a hint:
//   FULL      ResourceExhausted    disk full; the transaction is rolled back, earlier rows are safe
//   IOERR     Aborted              the disk or file system failed
//   BUSY      Unavailable          another process holds the lock longer than the busy timeout
//   CORRUPT   DataLoss             damaged
//   NOTADB    InvalidArgument      no SQLite file
//   READONLY  PermissionDenied     also ACCESS and PERM
//   CANTOPEN  NotFound             no such file or folder
//   CONSTRAINT FailedPrecondition
//   others    Internal
#ifndef EAQ_LEDGER_SQLITE_H_
#define EAQ_LEDGER_SQLITE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct sqlite3;
struct sqlite3_stmt;

namespace eaq {

struct Blob {  // binds bytes as a BLOB
  absl::string_view bytes;
};
struct Null {};

class Database;

// A prepared statement. Columns are valid until the next Step, Reset or Run.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  // Parameters count from 1.
  absl::Status Bind(int i, int64_t value);
  absl::Status Bind(int i, int value) { return Bind(i, static_cast<int64_t>(value)); }
  absl::Status Bind(int i, double value);  // a NaN would silently become NULL: Internal error instead
  absl::Status Bind(int i, absl::string_view text);
  absl::Status Bind(int i, const char* text) { return Bind(i, absl::string_view(text)); }
  absl::Status Bind(int i, const std::string& text) { return Bind(i, absl::string_view(text)); }
  absl::Status Bind(int i, Blob blob);
  absl::Status Bind(int i, Null);

  // True: a row is there. False: done.
  absl::StatusOr<bool> Step();
  absl::Status Reset();

  // Resets, binds ARGS to parameters 1, 2, ..., steps once or to the end.
  template <typename... Args>
  absl::StatusOr<bool> Query(const Args&... args) {
    absl::Status status = Reset();
    int i = 0;
    ((status = status.ok() ? Bind(++i, args) : status), ...);
    if (!status.ok()) return status;
    return Step();
  }
  // For statements without rows. Resets afterwards.
  template <typename... Args>
  absl::Status Run(const Args&... args) {
    absl::StatusOr<bool> row = Query(args...);
    while (row.ok() && *row) row = Step();
    if (!row.ok()) {
      (void)Reset();
      return row.status();
    }
    return Reset();
  }

  int64_t Int(int column) const;
  double Double(int column) const;
  std::string Text(int column) const;  // text or blob, "" for NULL
  bool IsNull(int column) const;

 private:
  friend class Database;
  Statement(Database* db, sqlite3_stmt* stmt) : db_(db), stmt_(stmt) {}
  Database* db_;
  sqlite3_stmt* stmt_;
};

class Database {
 public:
  enum class Mode { kCreate, kReadWrite, kReadOnly, kImmutable };
  // Sets the busy timeout before anything else. kImmutable: read-only and promised not to change (no -wal, no locks).
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path, Mode mode, int busy_ms = 30000);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  const std::string& path() const { return path_; }
  const std::string& uri() const { return uri_; }  // for ATTACH with the same mode
  absl::Status Exec(const std::string& sql);       // one or more statements, rows ignored
  absl::StatusOr<Statement> Prepare(absl::string_view sql);
  // First column of the first row; NotFound without rows.
  absl::StatusOr<int64_t> QueryInt(absl::string_view sql);
  absl::StatusOr<std::string> QueryText(absl::string_view sql);
  int64_t Changes() const;  // rows changed by the last statement
  int64_t LastRowId() const;
  // The Status for SQLite's code RC, with SQLite's message, WHAT was being done, the path and a hint.
  absl::Status Error(int rc, absl::string_view what) const;

 private:
  Database(sqlite3* db, std::string path, std::string uri) : db_(db), path_(std::move(path)), uri_(std::move(uri)) {}
  sqlite3* db_;
  std::string path_;
  std::string uri_;
};

// BEGIN IMMEDIATE ... COMMIT. Always immediate: a transaction that reads first and then writes would fail at once,
// whatever the busy timeout, when someone else wrote in between.
class Transaction {
 public:
  static absl::StatusOr<Transaction> Begin(Database& db);
  Transaction(Transaction&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();  // rolls back unless committed
  absl::Status Commit();

 private:
  explicit Transaction(Database* db) : db_(db) {}
  Database* db_;
};

}  // namespace eaq

#endif  // EAQ_LEDGER_SQLITE_H_
