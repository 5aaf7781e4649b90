#include "eaq/ledger/sqlite.h"

#include <limits>

#include "eaq/base/status_matchers.h"
#include "eaq/ledger/testing.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;
using testing::NewFolder;

TEST(Sqlite, CodesAreDistinctAndNameThePath) {
  const std::string path = NewFolder() + "/x.db";
  EAQ_ASSERT_OK_AND_ASSIGN(auto db, Database::Open(path, Database::Mode::kCreate, 10));
  EAQ_ASSERT_OK(db->Exec("CREATE TABLE t (a INTEGER PRIMARY KEY) STRICT; INSERT INTO t VALUES (1)"));
  EXPECT_THAT(db->Exec("INSERT INTO t VALUES (1)"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(path)));
  EXPECT_THAT(db->Exec("SELEKT"), StatusIs(absl::StatusCode::kInternal, HasSubstr("SELEKT")));
  EXPECT_THAT(Database::Open(path + "/below", Database::Mode::kReadWrite),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("below")));
  EAQ_ASSERT_OK_AND_ASSIGN(auto reader, Database::Open(path, Database::Mode::kReadOnly, 10));
  EXPECT_THAT(reader->Exec("INSERT INTO t VALUES (2)"), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr(path)));
  EAQ_ASSERT_OK_AND_ASSIGN(Transaction held, Transaction::Begin(*db));
  EAQ_ASSERT_OK_AND_ASSIGN(auto other, Database::Open(path, Database::Mode::kReadWrite, 10));
  EXPECT_THAT(Transaction::Begin(*other), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("fuser")));
}

TEST(Sqlite, TransactionRollsBackUnlessCommitted) {
  EAQ_ASSERT_OK_AND_ASSIGN(auto db, Database::Open(NewFolder() + "/x.db", Database::Mode::kCreate));
  EAQ_ASSERT_OK(db->Exec("CREATE TABLE t (a)"));
  {
    EAQ_ASSERT_OK_AND_ASSIGN(Transaction transaction, Transaction::Begin(*db));
    EAQ_ASSERT_OK(db->Exec("INSERT INTO t VALUES (1)"));
  }
  EXPECT_THAT(db->QueryInt("SELECT count(*) FROM t"), IsOkAndHolds(0));
  {
    EAQ_ASSERT_OK_AND_ASSIGN(Transaction transaction, Transaction::Begin(*db));
    EAQ_ASSERT_OK(db->Exec("INSERT INTO t VALUES (1)"));
    EAQ_ASSERT_OK(transaction.Commit());
  }
  EXPECT_THAT(db->QueryInt("SELECT count(*) FROM t"), IsOkAndHolds(1));
}

TEST(Sqlite, ValuesComeBackAsBound) {
  EAQ_ASSERT_OK_AND_ASSIGN(auto db, Database::Open(NewFolder() + "/x.db", Database::Mode::kCreate));
  EAQ_ASSERT_OK(db->Exec("CREATE TABLE t (a INTEGER, b REAL, c TEXT, d BLOB, e TEXT) STRICT"));
  EAQ_ASSERT_OK_AND_ASSIGN(Statement insert, db->Prepare("INSERT INTO t VALUES (?, ?, ?, ?, ?)"));
  const std::string bytes("a\0b", 3);
  EAQ_ASSERT_OK(insert.Run(std::numeric_limits<int64_t>::min(), 0.1, bytes, Blob{bytes}, Null()));
  EAQ_ASSERT_OK_AND_ASSIGN(Statement select, db->Prepare("SELECT * FROM t"));
  EXPECT_THAT(select.Step(), IsOkAndHolds(true));
  EXPECT_EQ(select.Int(0), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(select.Double(1), 0.1);
  EXPECT_EQ(select.Text(2), bytes);
  EXPECT_EQ(select.Text(3), bytes);
  EXPECT_TRUE(select.IsNull(4));
  EXPECT_THAT(select.Step(), IsOkAndHolds(false));
  EXPECT_FALSE(insert.Run(1, std::numeric_limits<double>::quiet_NaN(), "x", "y", "z").ok()) << "NaN becomes NULL";
}

}  // namespace
}  // namespace eaq
