#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "eaq/base/file.h"
#include "eaq/base/status_matchers.h"
#include "eaq/ledger/ledger.h"
#include "eaq/ledger/testing.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using namespace eaq::testing;  // NOLINT: MakeSpec and friends
using Mode = Ledger::Mode;

std::string Key(int i) { return TrialKey(MakeSpec(i)); }

class ClaimTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = NewFolder() + "/ledger.db";
    EAQ_ASSERT_OK_AND_ASSIGN(ledger_, Ledger::Open(path_, Mode::kCreate));
    me_ = ThisProcess("me");
  }
  std::string path_;
  std::unique_ptr<Ledger> ledger_;
  Owner me_;
};

TEST_F(ClaimTest, MineDoneHeld) {
  ASSERT_THAT(RecordTrial(*ledger_, 1), IsOk());
  Owner elsewhere = me_;
  elsewhere.host = "elsewhere";
  ASSERT_THAT(ledger_->Claim({Key(2)}, elsewhere), IsOk());
  EAQ_ASSERT_OK_AND_ASSIGN(auto claim, ledger_->Claim({Key(3), Key(2), Key(1)}, me_));
  EXPECT_THAT(claim.mine, ElementsAre(Key(3)));
  EXPECT_THAT(claim.held, ElementsAre(Key(2)));
  EXPECT_THAT(claim.done, ElementsAre(Key(1)));
  EXPECT_TRUE(claim.taken_over.empty());
  EAQ_ASSERT_OK_AND_ASSIGN(claim, ledger_->Claim({Key(3)}, me_));
  EXPECT_THAT(claim.mine, ElementsAre(Key(3))) << "again by the same owner";
  EXPECT_FALSE(ledger_->Claim({"not a key"}, me_).ok());
}

TEST_F(ClaimTest, ReleaseGivesUpOnlyOnesOwn) {
  Owner elsewhere = me_;
  elsewhere.host = "elsewhere";
  ASSERT_THAT(ledger_->Claim({Key(1), Key(2)}, elsewhere), IsOk());
  EAQ_ASSERT_OK(ledger_->Release({Key(1)}, me_));
  EAQ_ASSERT_OK_AND_ASSIGN(auto claim, ledger_->Claim({Key(1)}, me_));
  EXPECT_THAT(claim.mine, IsEmpty());
  EAQ_ASSERT_OK(ledger_->Release({Key(1)}, elsewhere));
  EAQ_ASSERT_OK_AND_ASSIGN(claim, ledger_->Claim({Key(1), Key(2)}, me_));
  EXPECT_THAT(claim.mine, ElementsAre(Key(1)));
  EAQ_ASSERT_OK(ledger_->Release({}, elsewhere));
  EAQ_ASSERT_OK_AND_ASSIGN(claim, ledger_->Claim({Key(1), Key(2)}, me_));
  EXPECT_THAT(claim.mine, ElementsAre(Key(1), Key(2)));
}

TEST_F(ClaimTest, RecordingReleases) {
  ASSERT_THAT(ledger_->Claim({Key(1), Key(2)}, me_), IsOk());
  ASSERT_THAT(RecordTrial(*ledger_, 1), IsOk());
  Attempt failed = MakeAttempt(2);
  failed.outcome = Outcome::kFailed;
  EAQ_ASSERT_OK(ledger_->RecordFailure(Key(2), MakeSpec(2), MakeProvenance(), failed));
  EXPECT_THAT(ledger_->database().QueryInt("SELECT count(*) FROM claim"), IsOkAndHolds(0));
}

TEST_F(ClaimTest, DeadProcessIsTakenOver) {
  const pid_t child = fork();
  if (child == 0) {
    const auto own = Ledger::Open(path_, Mode::kExisting);
    if (!own.ok() || !(*own)->Claim({Key(1)}, ThisProcess("child")).ok()) _exit(1);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto findings, ledger_->Doctor());
  ASSERT_EQ(findings.size(), 1);
  EXPECT_EQ(findings[0].kind, "orphan_claim");
  EXPECT_FALSE(findings[0].serious);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto claim, ledger_->Claim({Key(1)}, me_));
  EXPECT_THAT(claim.mine, ElementsAre(Key(1)));
  ASSERT_EQ(claim.taken_over.size(), 1);
  EXPECT_EQ(claim.taken_over[0].owner.pid, child);
  EXPECT_EQ(claim.taken_over[0].owner.worker, "child");
}

TEST_F(ClaimTest, ReusedPidIsNoOwner) {
  Owner former = me_;
  former.pid_start -= 1;  // this very pid, another process
  ASSERT_THAT(ledger_->Claim({Key(1)}, former), IsOk());
  EAQ_ASSERT_OK_AND_ASSIGN(const auto claim, ledger_->Claim({Key(1)}, me_));
  EXPECT_THAT(claim.mine, ElementsAre(Key(1)));
}

TEST_F(ClaimTest, LivingParentIsNotTakenOver) {
  ASSERT_THAT(ledger_->Claim({Key(1)}, me_), IsOk());
  ledger_.reset();
  const pid_t child = fork();
  if (child == 0) {
    const auto own = Ledger::Open(path_, Mode::kExisting);
    if (!own.ok()) _exit(1);
    const auto claim = (*own)->Claim({Key(1)}, ThisProcess("child"), absl::ZeroDuration());
    _exit(claim.ok() && claim->held.size() == 1 ? 0 : 2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(ClaimTest, OtherHostsAndOtherBoots) {
  Owner elsewhere = me_;
  elsewhere.host = "elsewhere";
  Owner rebooted = me_;
  rebooted.boot_id = "another-boot/1";
  Owner container = me_;
  container.boot_id += "1";  // another namespace of the same boot: its pids mean nothing here
  container.pid = 0x7fffffff;
  ASSERT_THAT(ledger_->Claim({Key(1)}, elsewhere), IsOk());
  ASSERT_THAT(ledger_->Claim({Key(2)}, rebooted), IsOk());
  ASSERT_THAT(ledger_->Claim({Key(3)}, container), IsOk());
  EAQ_ASSERT_OK_AND_ASSIGN(auto claim, ledger_->Claim({Key(1), Key(2), Key(3)}, me_, absl::Minutes(2)));
  EXPECT_THAT(claim.mine, ElementsAre(Key(2)));
  EXPECT_THAT(claim.held, ElementsAre(Key(1), Key(3)));
  usleep(20'000);
  EAQ_ASSERT_OK(ledger_->Heartbeat(container));
  EAQ_ASSERT_OK_AND_ASSIGN(claim, ledger_->Claim({Key(1), Key(3)}, me_, absl::Milliseconds(15)));
  EXPECT_THAT(claim.mine, ElementsAre(Key(1))) << "its heartbeat is stale";
  EXPECT_THAT(claim.held, ElementsAre(Key(3))) << "its heartbeat is fresh";
}

// Six processes claim overlapping sets, all start at once, and write down what they got: no key twice, none left.
TEST_F(ClaimTest, NoKeyIsClaimedTwice) {
  constexpr int kProcesses = 6, kKeys = 60;
  ledger_.reset();
  int gate[2];
  ASSERT_EQ(pipe(gate), 0);
  std::vector<pid_t> children;
  for (int p = 0; p < kProcesses; ++p) {
    const pid_t child = fork();
    if (child == 0) {
      close(gate[1]);
      const auto own = Ledger::Open(path_, Mode::kExisting);
      char byte;
      (void)!read(gate[0], &byte, 1);  // end of file when the parent opens the gate
      std::string got;
      for (int i = 0; i < kKeys && own.ok(); ++i) {
        const auto claim = (*own)->Claim({Key((i * 7 + p * 5) % kKeys)}, ThisProcess("p"));
        if (!claim.ok()) _exit(1);
        for (const std::string& key : claim->mine) got += key + "\n";
      }
      if (!own.ok() || !WriteFileAtomic(path_ + "." + std::to_string(p), got).ok()) _exit(2);
      pause();  // stay alive: a dead owner's claims would rightly be taken over
      _exit(0);
    }
    children.push_back(child);
  }
  close(gate[0]);
  close(gate[1]);
  std::multiset<std::string> all;
  for (int p = 0; p < kProcesses; ++p) {
    const std::string file = path_ + "." + std::to_string(p);
    for (int i = 0; i < 900 && !FileExists(file); ++i) usleep(10'000);
    EAQ_ASSERT_OK_AND_ASSIGN(const std::string got, ReadFile(file));
    for (size_t at = 0; at < got.size(); at += 65) all.insert(got.substr(at, 64));
  }
  for (const pid_t child : children) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  EXPECT_EQ(all.size(), kKeys);
  for (const std::string& key : all) EXPECT_EQ(all.count(key), 1);
}

}  // namespace
}  // namespace eaq
