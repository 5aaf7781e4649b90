// Rows of a real ledger on disk -> ReportInputs.
#include "eaq/report/from_ledger.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_matchers.h"
#include "eaq/ledger/ledger.h"
#include "eaq/ledger/testing.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using testing::MakeAttempt;
using testing::MakeProvenance;
using testing::MakeResult;
using testing::MakeSpec;
using testing::NewFolder;

class FromLedgerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    EAQ_ASSERT_OK_AND_ASSIGN(ledger_, Ledger::Open(NewFolder() + "/ledger.db", Ledger::Mode::kCreate));
  }

  // A provenance that can be told from the others.
  static Provenance Binary(const std::string& name) {
    Provenance p = MakeProvenance();
    p.binary_hash = name;
    p.corpora["from " + name] = name;
    return p;
  }

  void Record(int trial, int attempt, Outcome outcome, const std::string& binary) {
    Attempt a = MakeAttempt(attempt);
    a.outcome = outcome;
    const TrialSpec spec = MakeSpec(trial);
    if (outcome == Outcome::kOk) {
      TrialResult result = MakeResult(trial);
      result.set_wall_seconds(100 + attempt);
      result.set_peak_memory_bytes(1000 + attempt);
      EXPECT_THAT(ledger_->RecordResult(TrialKey(spec), spec, result, Binary(binary), a), IsOk());
      return;
    }
    a.message = absl::StrCat("message of attempt ", attempt);
    a.log = absl::StrCat("log of attempt ", attempt);
    a.exit_code = 1;
    EAQ_EXPECT_OK(ledger_->RecordFailure(TrialKey(spec), spec, Binary(binary), a));
  }

  StoredTrial Load(int trial) {
    auto stored = ledger_->LoadTrial(TrialKey(MakeSpec(trial)));
    EXPECT_THAT(stored, IsOk());
    return *std::move(stored);
  }

  std::unique_ptr<Ledger> ledger_;
};

TEST_F(FromLedgerTest, AResultComesWithTheCostsOfItsFirstOkAttempt) {
  Record(1, 10, Outcome::kOom, "a");  // before it, and costs nothing here
  Record(1, 20, Outcome::kOk, "b");
  Record(1, 30, Outcome::kOk, "c");      // run again: the first one counts
  Record(1, 40, Outcome::kFailed, "d");  // done stays done
  ReportInputs inputs;
  AddStoredTrial(Load(1), inputs);
  ASSERT_EQ(inputs.trials.size(), 1u);
  EXPECT_TRUE(inputs.failures.empty());
  EXPECT_EQ(inputs.pending, 0);
  const ReportTrial& t = inputs.trials[0];
  EXPECT_EQ(t.key, TrialKey(MakeSpec(1)));
  EXPECT_EQ(t.spec.DebugString(), MakeSpec(1).DebugString());
  EXPECT_EQ(t.result.wall_seconds(), 120);
  EXPECT_EQ(t.result.peak_memory_bytes(), 1020);
  EXPECT_EQ(t.result.series(0).DebugString(), MakeResult(1).series(0).DebugString());
  EXPECT_EQ(inputs.provenance.binary_hash, "b");  // of the attempt that gave the result
}

// A result whose own fields hold no costs, or others: the attempt's are taken.
TEST_F(FromLedgerTest, CostsAreTheAttemptsNotTheResults) {
  Record(1, 20, Outcome::kOk, "b");
  StoredTrial stored = Load(1);
  stored.result->clear_wall_seconds();
  stored.result->set_peak_memory_bytes(7);
  ReportInputs inputs;
  AddStoredTrial(stored, inputs);
  EXPECT_EQ(inputs.trials.at(0).result.wall_seconds(), 120);
  EXPECT_EQ(inputs.trials.at(0).result.peak_memory_bytes(), 1020);
}

TEST_F(FromLedgerTest, AFailureIsThatOfTheLastAttempt) {
  Record(2, 10, Outcome::kFailed, "a");
  Record(2, 20, Outcome::kOom, "b");
  ReportInputs inputs;
  AddStoredTrial(Load(2), inputs);
  EXPECT_TRUE(inputs.trials.empty());
  EXPECT_EQ(inputs.pending, 0);
  ASSERT_EQ(inputs.failures.size(), 1u);
  const ReportFailure& f = inputs.failures[0];
  EXPECT_EQ(f.key, TrialKey(MakeSpec(2)));
  EXPECT_EQ(f.model, "ref-s");
  EXPECT_EQ(f.scheme, "W4A4");
  EXPECT_EQ(f.recipe, "gptq");
  EXPECT_EQ(f.seed, 2u);
  EXPECT_EQ(f.outcome, "oom");
  EXPECT_EQ(f.message, "message of attempt 20");
  EXPECT_EQ(f.log, "log of attempt 20");
  EXPECT_EQ(f.command, "sweep --only=20");
}

TEST_F(FromLedgerTest, AFailureIsCalledByItsTitleAndFullPrecisionByWord) {
  StoredTrial stored;
  stored.key = "k";
  stored.attempts = {MakeAttempt(1)};
  stored.attempts[0].outcome = Outcome::kTimeout;
  ReportInputs inputs;
  AddStoredTrial(stored, inputs);  // no scheme, no recipe
  stored.spec = MakeSpec(1);
  stored.spec.mutable_recipe()->set_title("GPTQ, act-order");
  AddStoredTrial(stored, inputs);
  ASSERT_EQ(inputs.failures.size(), 2u);
  EXPECT_EQ(inputs.failures[0].scheme, "full precision");
  EXPECT_EQ(inputs.failures[0].recipe, "");
  EXPECT_EQ(inputs.failures[1].recipe, "GPTQ, act-order");
  EXPECT_EQ(inputs.failures[1].outcome, "timeout");
}

TEST_F(FromLedgerTest, InterruptedAndNeverAttemptedArePending) {
  Record(3, 10, Outcome::kFailed, "a");
  Record(3, 20, Outcome::kInterrupted, "a");
  ReportInputs inputs;
  AddStoredTrial(Load(3), inputs);
  EXPECT_EQ(inputs.pending, 1);
  StoredTrial never;
  never.key = TrialKey(MakeSpec(4));
  never.spec = MakeSpec(4);
  AddStoredTrial(never, inputs);
  EXPECT_EQ(inputs.pending, 2);
  EXPECT_TRUE(inputs.trials.empty());
  EXPECT_TRUE(inputs.failures.empty());
}

TEST_F(FromLedgerTest, ProvenanceOfTheFirstCorporaOfAll) {
  Record(1, 1, Outcome::kFailed, "a");
  Record(2, 2, Outcome::kOk, "b");
  ReportInputs inputs;
  inputs.provenance.ledger = "named by the caller";
  StoredTrial never;
  AddStoredTrial(never, inputs);  // has none
  AddStoredTrial(Load(1), inputs);
  AddStoredTrial(Load(2), inputs);
  EXPECT_EQ(inputs.provenance.binary_hash, "a");
  EXPECT_EQ(inputs.provenance.commit, std::string(40, 'a'));
  EXPECT_EQ(inputs.provenance.dirty, "clean");
  EXPECT_EQ(inputs.provenance.host, "host");
  EXPECT_EQ(inputs.provenance.ledger, "named by the caller");
  EXPECT_EQ(inputs.provenance.corpora.size(), 3u);  // "code", "from a", "from b"
  EXPECT_EQ(inputs.provenance.corpora.count("from b"), 1u);
}

}  // namespace
}  // namespace eaq
