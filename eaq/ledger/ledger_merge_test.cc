#include <algorithm>

#include "eaq/base/file.h"
#include "eaq/base/status_matchers.h"
#include "eaq/ledger/ledger.h"
#include "eaq/ledger/testing.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;
using namespace eaq::testing;  // NOLINT: MakeSpec and friends
using Mode = Ledger::Mode;

std::unique_ptr<Ledger> NewLedger(const std::string& path) {
  auto ledger = Ledger::Open(path, Mode::kCreate);
  EXPECT_THAT(ledger, IsOk());
  return *std::move(ledger);
}

// Four shards that overlap, one with a conflicting result, one with a failure of a trial another finished.
std::vector<std::string> MakeShards(const std::string& folder) {
  std::vector<std::string> paths;
  for (int s = 0; s < 4; ++s) {
    paths.push_back(folder + "/shard" + std::to_string(s) + ".db");
    auto shard = NewLedger(paths.back());
    for (int i = 3 * s; i < 3 * s + 5; ++i) {
      // Trials 3 and 4, 6 and 7, ... are in two shards; 6 differs in the last shard that has it.
      EXPECT_THAT(RecordTrial(*shard, i, s == 2 && i == 6 ? 1e-12 : 0, 100 * (3 - s) + i), IsOk());
    }
    TrialSpec spec = MakeSpec(0);
    spec.mutable_model()->set_name("another label " + std::to_string(s));
    Attempt failed = MakeAttempt(s);
    failed.outcome = Outcome::kLost;
    EAQ_EXPECT_OK(shard->RecordFailure(TrialKey(spec), spec, MakeProvenance(), failed));
    EXPECT_THAT(shard->RecordSweep({"", s, "x", "spec", "sweep", {TrialKey(spec)}}), IsOk());
    EXPECT_THAT(shard->Claim({TrialKey(MakeSpec(99))}, ThisProcess("x")), IsOk());
  }
  return paths;
}

TEST(Merge, AnyOrderGivesTheSameLedger) {
  const std::string folder = NewFolder();
  const std::vector<std::string> shards = MakeShards(folder);
  std::vector<int> order = {0, 1, 2, 3};
  std::string expected;
  int n = 0;
  do {
    auto ledger = NewLedger(folder + "/all" + std::to_string(n++) + ".db");
    for (const int s : order) ASSERT_THAT(ledger->Merge(shards[s]), IsOk());
    EAQ_ASSERT_OK_AND_ASSIGN(const std::string dump, ledger->Dump());
    if (expected.empty()) expected = dump;
    ASSERT_EQ(dump, expected) << "order " << order[0] << order[1] << order[2] << order[3];
    if (n > 1) continue;
    EXPECT_EQ(ledger->ListTrials().value().size(), 14);
    EXPECT_EQ(ledger->Conflicts().value().size(), 1);
    EXPECT_THAT(ledger->database().QueryInt("SELECT count(*) FROM claim"), IsOkAndHolds(0));
  } while (std::next_permutation(order.begin(), order.end()));
  EXPECT_EQ(n, 24);
}

TEST(Merge, TwiceAddsNothing) {
  const std::string folder = NewFolder();
  const std::vector<std::string> shards = MakeShards(folder);
  auto ledger = NewLedger(folder + "/all.db");
  EAQ_ASSERT_OK_AND_ASSIGN(auto report, ledger->Merge(shards[0]));
  EXPECT_EQ(report.trials, 5);
  EXPECT_EQ(report.results, 5);
  EXPECT_EQ(report.attempts, 6);
  EXPECT_EQ(report.sweeps, 1);
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string before, ledger->Dump());
  EAQ_ASSERT_OK_AND_ASSIGN(report, ledger->Merge(shards[0]));
  EXPECT_EQ(report.trials + report.results + report.attempts + report.sweeps, 0);
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string after, ledger->Dump());
  EXPECT_EQ(before, after);
  EXPECT_THAT(ledger->Merge(folder + "/all.db"), IsOk()) << "with itself";
  EXPECT_EQ(ledger->Dump().value(), before);
}

TEST(Merge, EqualsRecordingEverythingInOne) {
  const std::string folder = NewFolder();
  auto a = NewLedger(folder + "/a.db"), b = NewLedger(folder + "/b.db"), one = NewLedger(folder + "/one.db");
  for (int i = 0; i < 6; ++i) {
    ASSERT_THAT(RecordTrial(i % 2 ? *a : *b, i), IsOk());
    ASSERT_THAT(RecordTrial(*one, i), IsOk());
  }
  ASSERT_THAT(a->Merge(folder + "/b.db"), IsOk());
  EXPECT_EQ(a->Dump().value(), one->Dump().value());
  EAQ_ASSERT_OK_AND_ASSIGN(const StoredTrial trial, a->LoadTrial(TrialKey(MakeSpec(2))));
  EXPECT_EQ(trial.result->DebugString(), MakeResult(2).DebugString());
  EAQ_ASSERT_OK_AND_ASSIGN(const auto findings, a->Doctor());
  EXPECT_TRUE(findings.empty()) << findings[0].text;
}

TEST(Merge, BadShardsChangeNothing) {
  const std::string folder = NewFolder();
  auto ledger = NewLedger(folder + "/all.db");
  ASSERT_THAT(RecordTrial(*ledger, 1), IsOk());
  const std::string before = ledger->Dump().value();

  EXPECT_THAT(ledger->Merge(folder + "/none.db"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none.db")));
  EAQ_ASSERT_OK(WriteFileAtomic(folder + "/garbage.db", std::string(9999, 'g')));
  EXPECT_EQ(LedgerExitCode(ledger->Merge(folder + "/garbage.db").status()), 4);

  {
    auto forged = NewLedger(folder + "/forged.db");
    ASSERT_THAT(RecordTrial(*forged, 2), IsOk());
    ASSERT_THAT(RecordTrial(*forged, 3), IsOk());
    EAQ_ASSERT_OK_AND_ASSIGN(Statement update,
                             forged->database().Prepare("UPDATE result SET content = ? WHERE id = 2"));
    EAQ_ASSERT_OK(update.Run(Blob{"\x0a\x00"}));
  }
  EXPECT_THAT(ledger->Merge(folder + "/forged.db"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("nothing was merged")));
  EXPECT_EQ(ledger->Dump().value(), before);
  EXPECT_THAT(ledger->Merge(folder + "/none.db"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none.db")));
}

}  // namespace
}  // namespace eaq
