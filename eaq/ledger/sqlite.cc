#include "eaq/ledger/sqlite.h"

#include <sqlite3.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "eaq/base/status_macros.h"

namespace eaq {

Statement::Statement(Statement&& other) noexcept : db_(other.db_), stmt_(std::exchange(other.stmt_, nullptr)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  if (this != &other) {
    sqlite3_finalize(stmt_);
    db_ = other.db_;
    stmt_ = std::exchange(other.stmt_, nullptr);
  }
  return *this;
}

Statement::~Statement() { sqlite3_finalize(stmt_); }

absl::Status Statement::Bind(int i, int64_t value) {
  const int rc = sqlite3_bind_int64(stmt_, i, value);
  return rc == SQLITE_OK ? absl::OkStatus() : db_->Error(rc, "binding a value");
}

absl::Status Statement::Bind(int i, double value) {
  if (std::isnan(value)) return absl::InternalError("NaN bound to a ledger column; its kind must be stored instead");
  const int rc = sqlite3_bind_double(stmt_, i, value);
  return rc == SQLITE_OK ? absl::OkStatus() : db_->Error(rc, "binding a value");
}

// A null data pointer would bind NULL: an empty text or blob gets a pointer to something.
absl::Status Statement::Bind(int i, absl::string_view text) {
  const int rc =
      sqlite3_bind_text64(stmt_, i, text.empty() ? "" : text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  return rc == SQLITE_OK ? absl::OkStatus() : db_->Error(rc, "binding a text");
}

absl::Status Statement::Bind(int i, Blob blob) {
  const int rc =
      sqlite3_bind_blob64(stmt_, i, blob.bytes.empty() ? "" : blob.bytes.data(), blob.bytes.size(), SQLITE_TRANSIENT);
  return rc == SQLITE_OK ? absl::OkStatus() : db_->Error(rc, "binding a blob");
}

absl::Status Statement::Bind(int i, Null) {
  const int rc = sqlite3_bind_null(stmt_, i);
  return rc == SQLITE_OK ? absl::OkStatus() : db_->Error(rc, "binding NULL");
}

absl::StatusOr<bool> Statement::Step() {
  const int rc = sqlite3_step(stmt_);
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) return false;
  return db_->Error(rc, absl::StrCat("running \"", absl::string_view(sqlite3_sql(stmt_)).substr(0, 80), "\""));
}

// sqlite3_reset repeats the error of the last step, which Step has reported already.
absl::Status Statement::Reset() {
  sqlite3_reset(stmt_);
  return absl::OkStatus();
}

int64_t Statement::Int(int column) const { return sqlite3_column_int64(stmt_, column); }
double Statement::Double(int column) const { return sqlite3_column_double(stmt_, column); }
bool Statement::IsNull(int column) const { return sqlite3_column_type(stmt_, column) == SQLITE_NULL; }

std::string Statement::Text(int column) const {
  const void* data = sqlite3_column_blob(stmt_, column);
  const int bytes = sqlite3_column_bytes(stmt_, column);
  return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), bytes);
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path, Mode mode, int busy_ms) {
  std::string uri = absl::StrCat("file:", absl::StrReplaceAll(path, {{"%", "%25"}, {"?", "%3f"}, {"#", "%23"}}));
  int flags = SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  switch (mode) {
    case Mode::kCreate:
      flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
      break;
    case Mode::kReadWrite:
      flags |= SQLITE_OPEN_READWRITE;
      break;
    case Mode::kImmutable:
      uri += "?immutable=1";
      [[fallthrough]];
    case Mode::kReadOnly:
      uri += mode == Mode::kReadOnly ? "?mode=ro" : "";
      flags |= SQLITE_OPEN_READONLY;
      break;
  }
  sqlite3* raw = nullptr;
  const int rc = sqlite3_open_v2(uri.c_str(), &raw, flags, nullptr);
  std::unique_ptr<Database> db(new Database(raw, path, uri));
  if (rc != SQLITE_OK) return db->Error(rc, "opening");
  sqlite3_busy_timeout(raw, busy_ms);
  return db;
}

Database::~Database() { sqlite3_close_v2(db_); }

absl::Status Database::Exec(const std::string& sql) {
  const int rc = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  return rc == SQLITE_OK ? absl::OkStatus() : Error(rc, absl::StrCat("running \"", sql.substr(0, 80), "\""));
}

absl::StatusOr<Statement> Database::Prepare(absl::string_view sql) {
  sqlite3_stmt* stmt = nullptr;
  const int rc = sqlite3_prepare_v2(db_, sql.data(), static_cast<int>(sql.size()), &stmt, nullptr);
  if (rc != SQLITE_OK) return Error(rc, absl::StrCat("preparing \"", sql.substr(0, 80), "\""));
  return Statement(this, stmt);
}

absl::StatusOr<int64_t> Database::QueryInt(absl::string_view sql) {
  EAQ_ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  EAQ_ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (!row) return absl::NotFoundError(absl::StrCat("no rows: ", sql));
  return statement.Int(0);
}

absl::StatusOr<std::string> Database::QueryText(absl::string_view sql) {
  EAQ_ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  EAQ_ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (!row) return absl::NotFoundError(absl::StrCat("no rows: ", sql));
  return statement.Text(0);
}

int64_t Database::Changes() const { return sqlite3_changes64(db_); }
int64_t Database::LastRowId() const { return sqlite3_last_insert_rowid(db_); }

absl::Status Database::Error(int rc, absl::string_view what) const {
  const std::string message = absl::StrCat(path_, ": ", what, ": ", db_ ? sqlite3_errmsg(db_) : sqlite3_errstr(rc));
  const auto with = [&](absl::StatusCode code, absl::string_view hint) {
    return absl::Status(code, absl::StrCat(message, " (", hint, ")"));
  };
  switch (rc & 0xff) {
    case SQLITE_FULL:
      return with(absl::StatusCode::kResourceExhausted,
                  "the disk is full; nothing stored before is lost. Free some space and start again");
    case SQLITE_IOERR:
      return with(absl::StatusCode::kAborted, absl::StrCat("the disk or file system failed, SQLite's code ", rc,
                                                           "; see dmesg, or move the ledger to another disk"));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return with(absl::StatusCode::kUnavailable,
                  "another process holds the lock; see who with `fuser -v` on the file");
    case SQLITE_CORRUPT:
      return with(absl::StatusCode::kDataLoss,
                  "the file is damaged; try `sqlite3 FILE .recover`, or go back to a `ledger backup`");
    case SQLITE_NOTADB:
      return with(absl::StatusCode::kInvalidArgument, "this is no SQLite file; is the path right?");
    case SQLITE_READONLY:
    case SQLITE_AUTH:
    case SQLITE_PERM:
      return with(absl::StatusCode::kPermissionDenied, "no right to write; name another file with --ledger");
    case SQLITE_CANTOPEN:
      return with(absl::StatusCode::kNotFound, "no such file or folder, or no right to open it");
    case SQLITE_CONSTRAINT:
      return with(absl::StatusCode::kFailedPrecondition, "a rule of the schema forbids this row");
    default:
      return with(absl::StatusCode::kInternal, absl::StrCat("SQLite's code ", rc));
  }
}

absl::StatusOr<Transaction> Transaction::Begin(Database& db) {
  EAQ_RETURN_IF_ERROR(db.Exec("BEGIN IMMEDIATE"));
  return Transaction(&db);
}

Transaction::~Transaction() {
  if (db_ != nullptr) (void)db_->Exec("ROLLBACK");  // fails harmlessly where SQLite has rolled back itself
}

absl::Status Transaction::Commit() {
  EAQ_RETURN_IF_ERROR(db_->Exec("COMMIT"));
  db_ = nullptr;
  return absl::OkStatus();
}

}  // namespace eaq
