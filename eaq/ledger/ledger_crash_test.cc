// Processes that die, processes that race, disks that fill up.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/ledger/ledger.h"
#include "eaq/ledger/testing.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;
using namespace eaq::testing;  // NOLINT: MakeSpec and friends
using Mode = Ledger::Mode;

// Records trials from FIRST on and tells the parent after each commit by one byte.
[[noreturn]] void WriteUntilKilled(const std::string& path, int first, int acknowledge) {
  const auto ledger = Ledger::Open(path, Mode::kCreate);
  if (!ledger.ok()) _exit(1);
  for (int i = first;; ++i) {
    if (!RecordTrial(**ledger, i).ok()) _exit(2);
    if (write(acknowledge, "x", 1) != 1) _exit(3);
  }
}

TEST(Crash, NoAcknowledgedTrialIsLost) {
  const std::string path = NewFolder() + "/ledger.db";
  Rng rng(1, "crash");
  int acknowledged = 0;
  for (int round = 0; round < 40; ++round) {
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(pipes[0]);
      WriteUntilKilled(path, acknowledged, pipes[1]);
    }
    close(pipes[1]);
    usleep(5'000 + rng.Below(100'000));
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself with " << WEXITSTATUS(status);
    char buffer[256];
    for (ssize_t n; (n = read(pipes[0], buffer, sizeof(buffer))) > 0;) acknowledged += n;
    close(pipes[0]);

    EAQ_ASSERT_OK_AND_ASSIGN(auto ledger, Ledger::Open(path, Mode::kCreate));
    EAQ_ASSERT_OK_AND_ASSIGN(const int64_t stored, ledger->database().QueryInt("SELECT count(*) FROM result"));
    ASSERT_GE(stored, acknowledged);
    ASSERT_LE(stored, acknowledged + 1);
    ASSERT_THAT(ledger->database().QueryText("PRAGMA integrity_check"), IsOkAndHolds("ok"));
    for (int i = 0; i < acknowledged; i += 7) {
      EAQ_ASSERT_OK_AND_ASSIGN(const auto done, ledger->Done({TrialKey(MakeSpec(i))}));
      ASSERT_EQ(done.size(), 1) << i;
    }
  }
  EXPECT_GT(acknowledged, 40);
  EAQ_ASSERT_OK_AND_ASSIGN(auto ledger, Ledger::Open(path, Mode::kReadOnly));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto findings, ledger->Doctor());
  EXPECT_TRUE(findings.empty()) << findings[0].text;
  EAQ_ASSERT_OK_AND_ASSIGN(const StoredTrial last, ledger->LoadTrial(TrialKey(MakeSpec(acknowledged - 1))));
  EXPECT_EQ(last.result->DebugString(), MakeResult(acknowledged - 1).DebugString());
}

TEST(Race, TwelveFirstOpeners) {
  for (int round = 0; round < 10; ++round) {
    const std::string path = NewFolder() + "/ledger.db";
    int gate[2];
    ASSERT_EQ(pipe(gate), 0);
    std::vector<pid_t> children;
    for (int p = 0; p < 12; ++p) {
      const pid_t child = fork();
      if (child == 0) {
        close(gate[1]);
        char byte;
        (void)!read(gate[0], &byte, 1);
        const auto ledger = Ledger::Open(path, Mode::kCreate);
        if (!ledger.ok()) {
          fprintf(stderr, "%s\n", ledger.status().ToString().c_str());
          _exit(1);
        }
        _exit(RecordTrial(**ledger, p).ok() ? 0 : 2);
      }
      children.push_back(child);
    }
    close(gate[0]);
    close(gate[1]);
    for (const pid_t child : children) {
      int status = 0;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      EXPECT_EQ(status, 0) << "round " << round;
    }
    EAQ_ASSERT_OK_AND_ASSIGN(auto ledger, Ledger::Open(path, Mode::kReadOnly));
    EXPECT_EQ(ledger->ListTrials().value().size(), 12);
  }
}

// Records until it fails; returns how many were recorded.
int FillUp(Ledger& ledger, absl::Status& failure) {
  for (int i = 0; i < 5000; ++i) {
    const auto recorded = RecordTrial(ledger, i);
    if (recorded.ok()) continue;
    failure = recorded.status();
    return i;
  }
  return 5000;
}

void ExpectIntactAfterFull(Ledger& ledger, int stored) {
  EXPECT_EQ(ledger.ListTrials().value().size(), stored);
  EXPECT_THAT(ledger.database().QueryText("PRAGMA integrity_check"), IsOkAndHolds("ok"));
  EAQ_ASSERT_OK_AND_ASSIGN(const StoredTrial trial, ledger.LoadTrial(TrialKey(MakeSpec(stored - 1))));
  EXPECT_EQ(trial.result->DebugString(), MakeResult(stored - 1).DebugString());
}

TEST(DiskFull, PageLimit) {
  const std::string path = NewFolder() + "/ledger.db";
  EAQ_ASSERT_OK_AND_ASSIGN(auto ledger, Ledger::Open(path, Mode::kCreate));
  EAQ_ASSERT_OK(ledger->database().Exec("PRAGMA max_page_count = 120"));
  absl::Status failure;
  const int stored = FillUp(*ledger, failure);
  EXPECT_THAT(failure, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr(path)));
  ASSERT_GT(stored, 3);
  ExpectIntactAfterFull(*ledger, stored);
  EAQ_ASSERT_OK(ledger->database().Exec("PRAGMA max_page_count = 100000"));
  EXPECT_THAT(RecordTrial(*ledger, stored), IsOkAndHolds(true)) << "the same connection goes on";
}

TEST(DiskFull, SmallFileSystem) {
  const std::string folder = NewFolder();
  if (mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=2m") != 0) {
    GTEST_SKIP() << "SKIPPED: mounting is not allowed here; DiskFull.PageLimit covers the same";
  }
  {
    EAQ_ASSERT_OK_AND_ASSIGN(auto ledger, Ledger::Open(folder + "/ledger.db", Mode::kCreate));
    absl::Status failure;
    const int stored = FillUp(*ledger, failure);
    EXPECT_EQ(LedgerExitCode(failure), 3) << failure;
    ASSERT_GT(stored, 3);
    ExpectIntactAfterFull(*ledger, stored);
    ASSERT_EQ(mount("tmpfs", folder.c_str(), "tmpfs", MS_REMOUNT, "size=8m"), 0);
    EXPECT_THAT(RecordTrial(*ledger, stored), IsOkAndHolds(true));
  }
  EXPECT_EQ(umount(folder.c_str()), 0);
}

}  // namespace
}  // namespace eaq
