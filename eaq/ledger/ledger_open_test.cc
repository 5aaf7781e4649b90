#include <sys/mount.h>
#include <unistd.h>

#include "eaq/base/file.h"
#include "eaq/base/status_matchers.h"
#include "eaq/ledger/file_system.h"
#include "eaq/ledger/ledger.h"
#include "eaq/ledger/testing.h"

namespace eaq {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::NewFolder;
using testing::RecordTrial;
using Mode = Ledger::Mode;

std::string MadeLedger(const std::string& folder) {
  const std::string path = folder + "/ledger.db";
  const auto ledger = Ledger::Open(path, Mode::kCreate);
  EXPECT_THAT(ledger, IsOk());
  for (int i = 0; i < 20; ++i) EXPECT_THAT(RecordTrial(**ledger, i), IsOk());
  return path;
}

TEST(LedgerOpen, MakesTheFolderAndSetsIdentityAndMode) {
  const std::string path = NewFolder() + "/a/b/ledger.db";
  EAQ_ASSERT_OK_AND_ASSIGN(auto ledger, Ledger::Open(path, Mode::kCreate));
  EXPECT_THAT(ledger->database().QueryInt("PRAGMA application_id"), IsOkAndHolds(kLedgerApplicationId));
  EXPECT_THAT(ledger->database().QueryInt("PRAGMA user_version"), IsOkAndHolds(kLedgerSchemaVersion));
  EXPECT_THAT(ledger->database().QueryText("PRAGMA journal_mode"), IsOkAndHolds("wal"));
  EXPECT_THAT(ledger->database().QueryInt("PRAGMA synchronous"), IsOkAndHolds(2));
  EXPECT_THAT(ledger->database().QueryInt("PRAGMA foreign_keys"), IsOkAndHolds(1));
  EXPECT_THAT(ledger->database().QueryInt("PRAGMA trusted_schema"), IsOkAndHolds(0));
}

TEST(LedgerOpen, MissingIsNotFoundUnlessAskedToCreate) {
  const std::string path = NewFolder() + "/ledger.db";
  EXPECT_THAT(Ledger::Open(path, Mode::kExisting), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no ledger here")));
  EXPECT_THAT(Ledger::Open(path, Mode::kReadOnly), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path)));
  EXPECT_FALSE(FileExists(path));
}

TEST(LedgerOpen, FolderIsRefused) {
  const std::string folder = NewFolder();
  EXPECT_THAT(Ledger::Open(folder, Mode::kCreate),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("a folder, expected a ledger file")));
}

TEST(LedgerOpen, PathBelowAFileIsRefused) {
  const std::string file = NewFolder() + "/file";
  EAQ_ASSERT_OK(WriteFileAtomic(file, "x"));
  const auto ledger = Ledger::Open(file + "/ledger.db", Mode::kCreate);
  ASSERT_FALSE(ledger.ok());
  EXPECT_EQ(LedgerExitCode(ledger.status()), 3) << ledger.status();
  EXPECT_THAT(std::string(ledger.status().message()), HasSubstr(file));
}

TEST(LedgerOpen, EmptyFileIsANewLedgerOnlyWhenCreating) {
  const std::string path = NewFolder() + "/ledger.db";
  EAQ_ASSERT_OK(WriteFileAtomic(path, ""));
  EXPECT_THAT(Ledger::Open(path, Mode::kReadOnly), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("0 bytes")));
  EXPECT_THAT(Ledger::Open(path, Mode::kExisting), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("0 bytes")));
  EXPECT_THAT(Ledger::Open(path, Mode::kCreate), IsOk());
}

TEST(LedgerOpen, GarbageIsForeignAndUntouched) {
  for (const std::string& bytes : {std::string("hello"), std::string(5000, 'x'), std::string(4096, '\0')}) {
    const std::string path = NewFolder() + "/ledger.db";
    EAQ_ASSERT_OK(WriteFileAtomic(path, bytes));
    for (const Mode mode : {Mode::kCreate, Mode::kExisting, Mode::kReadOnly}) {
      const auto ledger = Ledger::Open(path, mode);
      EXPECT_THAT(ledger, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a ledger")));
      EXPECT_EQ(LedgerExitCode(ledger.status()), 4);
    }
    EXPECT_THAT(ReadFile(path), IsOkAndHolds(bytes));
  }
}

TEST(LedgerOpen, AnotherProgramsDatabaseIsForeignAndUntouched) {
  const std::string path = NewFolder() + "/ledger.db";
  {
    EAQ_ASSERT_OK_AND_ASSIGN(auto db, Database::Open(path, Database::Mode::kCreate));
    EAQ_ASSERT_OK(db->Exec("CREATE TABLE places (url TEXT)"));
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string before, ReadFile(path));
  for (const Mode mode : {Mode::kCreate, Mode::kExisting, Mode::kReadOnly}) {
    EXPECT_THAT(Ledger::Open(path, mode),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("of another program")));
  }
  EXPECT_THAT(ReadFile(path), IsOkAndHolds(before));
}

TEST(LedgerOpen, NewerSchemaIsRefused) {
  const std::string path = MadeLedger(NewFolder());
  {
    EAQ_ASSERT_OK_AND_ASSIGN(auto db, Database::Open(path, Database::Mode::kReadWrite));
    EAQ_ASSERT_OK(db->Exec("PRAGMA user_version = 99"));
  }
  const auto ledger = Ledger::Open(path, Mode::kCreate);
  EXPECT_THAT(ledger, StatusIs(absl::StatusCode::kUnimplemented, AllOf(HasSubstr("99"), HasSubstr("newer version"))));
  EXPECT_EQ(LedgerExitCode(ledger.status()), 4);
}

TEST(LedgerOpen, TruncatedIsDamaged) {
  const std::string path = MadeLedger(NewFolder());
  EAQ_ASSERT_OK_AND_ASSIGN(const int64_t size, FileSize(path));
  ASSERT_EQ(truncate(path.c_str(), size / 2), 0);
  const auto ledger = Ledger::Open(path, Mode::kExisting);
  EXPECT_EQ(ledger.status().code(), absl::StatusCode::kDataLoss) << ledger.status();
  EXPECT_EQ(LedgerExitCode(ledger.status()), 4);
}

TEST(LedgerOpen, BrokenHeaderIsDamagedNotForeign) {
  const std::string path = MadeLedger(NewFolder());
  EAQ_ASSERT_OK_AND_ASSIGN(std::string bytes, ReadFile(path));
  for (int i = 16; i < 40; ++i) bytes[i] = '\xff';
  EAQ_ASSERT_OK(WriteFileAtomic(path, bytes));
  const auto ledger = Ledger::Open(path, Mode::kExisting);
  EXPECT_EQ(ledger.status().code(), absl::StatusCode::kDataLoss) << ledger.status();
}

// Whatever byte is wrong: no crash, and either a refusal, or an error, or a finding, or data as it was.
TEST(LedgerOpen, DamagedPagesAreFoundByDoctorAtTheLatest) {
  const std::string path = MadeLedger(NewFolder());
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(path));
  int found = 0, tried = 0;
  for (size_t page = 1; page * 4096 < good.size(); page += 3, ++tried) {
    std::string bad = good;
    for (int i = 0; i < 64; ++i) bad[page * 4096 + i] = static_cast<char>(bad[page * 4096 + i] ^ 0x5a);
    const std::string copy = NewFolder() + "/ledger.db";
    EAQ_ASSERT_OK(WriteFileAtomic(copy, bad));
    auto ledger = Ledger::Open(copy, Mode::kExisting);
    if (!ledger.ok()) {
      EXPECT_EQ(LedgerExitCode(ledger.status()), 4) << ledger.status();
      ++found;
      continue;
    }
    const auto findings = (*ledger)->Doctor();
    found += !findings.ok() || !findings->empty();
  }
  EXPECT_EQ(found, tried);
  EXPECT_GE(tried, 10);
}

TEST(LedgerOpen, ReadOnlyNeverWrites) {
  const std::string path = MadeLedger(NewFolder());
  EAQ_ASSERT_OK_AND_ASSIGN(auto ledger, Ledger::Open(path, Mode::kReadOnly));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto rows, ledger->ListTrials());
  EXPECT_EQ(rows.size(), 20);
  EXPECT_THAT(RecordTrial(*ledger, 99), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr(path)));
}

// Root may write anywhere, so the folder is made read-only by a mount.
TEST(LedgerOpen, ReadOnlyFolder) {
  const std::string folder = NewFolder();
  MadeLedger(folder);
  if (mount(folder.c_str(), folder.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    GTEST_SKIP() << "SKIPPED: mounting is not allowed here";
  }
  ASSERT_EQ(mount(nullptr, folder.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), 0);
  const auto create = Ledger::Open(folder + "/ledger.db", Mode::kCreate);
  const auto other = Ledger::Open(folder + "/other.db", Mode::kCreate);
  auto read = Ledger::Open(folder + "/ledger.db", Mode::kReadOnly);
  EXPECT_FALSE(create.ok());
  EXPECT_EQ(LedgerExitCode(create.status()), 3) << create.status();
  EXPECT_EQ(LedgerExitCode(other.status()), 3) << other.status();
  ASSERT_THAT(read, IsOk());
  EAQ_ASSERT_OK_AND_ASSIGN(const auto rows, (*read)->ListTrials());
  EXPECT_EQ(rows.size(), 20);
  read->reset();
  EXPECT_EQ(umount(folder.c_str()), 0);
}

TEST(LedgerOpen, OddFileNames) {
  for (const char* name : {"a b?.db", "100%41#x.db", "naïve \"quoted\".db", "';DROP TABLE trial;--.db"}) {
    const std::string path = NewFolder() + "/" + name;
    EAQ_ASSERT_OK_AND_ASSIGN(auto ledger, Ledger::Open(path, Mode::kCreate));
    EXPECT_THAT(RecordTrial(*ledger, 1), IsOk());
    EXPECT_TRUE(FileExists(path));
    const std::string copy = path + ".backup";
    EAQ_EXPECT_OK(ledger->Backup(copy));
    EXPECT_THAT(ledger->Merge(copy), IsOk());
  }
}

// testdata/ledger_v1.db was written by eaq/ledger:make_frozen when schema 1 was new. Ledgers people have must go on
// opening: never write this file again, add one per schema version instead.
TEST(LedgerOpen, FrozenVersion1) {
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string frozen, FindInRepository("eaq/ledger/testdata/ledger_v1.db"));
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(frozen));
  const std::string path = NewFolder() + "/ledger.db";
  EAQ_ASSERT_OK(WriteFileAtomic(path, bytes));
  EAQ_ASSERT_OK_AND_ASSIGN(auto ledger, Ledger::Open(path, Mode::kExisting));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto rows, ledger->ListTrials());
  ASSERT_EQ(rows.size(), 4);
  EXPECT_EQ(rows[3].status, "oom");
  EAQ_ASSERT_OK_AND_ASSIGN(const StoredTrial trial, ledger->LoadTrial(TrialKey(testing::MakeSpec(1))));
  ASSERT_TRUE(trial.result.has_value());
  EXPECT_EQ(trial.result->DebugString(), testing::MakeResult(1).DebugString());
  EAQ_ASSERT_OK_AND_ASSIGN(const auto findings, ledger->Doctor());
  EXPECT_TRUE(findings.empty()) << findings[0].text;
  EXPECT_THAT(RecordTrial(*ledger, 50), IsOk());
}

TEST(FileSystem, NetworkOnesAreNamed) {
  EXPECT_EQ(NetworkFileSystemName(0x6969), "NFS");
  EXPECT_EQ(NetworkFileSystemName(0x0bd00bd0), "Lustre");
  EXPECT_EQ(NetworkFileSystemName(static_cast<int32_t>(0xff534d42)), "CIFS");
  EXPECT_EQ(NetworkFileSystemName(0xef53), "");
  EXPECT_EQ(NetworkFileSystemName(0x01021994), "");  // tmpfs
  EXPECT_THAT(CheckLedgerPath("/dev/null"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("device")));
}

}  // namespace
}  // namespace eaq
