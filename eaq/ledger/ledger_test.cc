#include "eaq/ledger/ledger.h"

#include "eaq/base/status_matchers.h"
#include "eaq/ledger/digest.h"
#include "eaq/ledger/export.h"
#include "eaq/ledger/testing.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace eaq::testing;  // NOLINT: MakeSpec and friends
using Mode = Ledger::Mode;

class LedgerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = NewFolder() + "/ledger.db";
    EAQ_ASSERT_OK_AND_ASSIGN(ledger_, Ledger::Open(path_, Mode::kCreate));
  }
  void ExpectSound() {
    EAQ_ASSERT_OK_AND_ASSIGN(const auto findings, ledger_->Doctor());
    for (const auto& finding : findings) ADD_FAILURE() << finding.kind << ": " << finding.text;
  }
  std::string path_;
  std::unique_ptr<Ledger> ledger_;
};

TEST_F(LedgerTest, GivesBackWhatWasRecorded) {
  EXPECT_THAT(RecordTrial(*ledger_, 3), IsOkAndHolds(true));
  const TrialSpec spec = MakeSpec(3);
  EAQ_ASSERT_OK_AND_ASSIGN(const StoredTrial trial, ledger_->LoadTrial(TrialKey(spec).substr(0, 10)));
  EXPECT_EQ(trial.key, TrialKey(spec));
  EXPECT_EQ(trial.spec.DebugString(), spec.DebugString());
  ASSERT_TRUE(trial.result.has_value());
  EXPECT_EQ(trial.result->DebugString(), MakeResult(3).DebugString());
  EXPECT_EQ(trial.digest, ResultDigest(MakeResult(3)));
  ASSERT_EQ(trial.attempts.size(), 1);
  EXPECT_EQ(trial.attempts[0].command, "sweep --only=3");
  EXPECT_EQ(trial.attempts[0].outcome, Outcome::kOk);
  EXPECT_EQ(trial.attempts[0].duration_ns, 500'000'000);
  EXPECT_EQ(trial.provenance.commit, std::string(40, 'a'));
  EXPECT_EQ(trial.provenance.corpora.at("code"), "python3.11-doc 3.11.2 abc");
  ExpectSound();
}

TEST_F(LedgerTest, TablesHoldNumbersAndKinds) {
  ASSERT_THAT(RecordTrial(*ledger_, 3), IsOk());
  Database& db = ledger_->database();
  EXPECT_THAT(db.QueryText("SELECT value || kind FROM metric WHERE name = 'nll'"), IsOkAndHolds("6.0finite"));
  EXPECT_THAT(db.QueryText("SELECT kind FROM metric WHERE name = 'broken' AND value IS NULL"), IsOkAndHolds("nan"));
  EXPECT_THAT(db.QueryText("SELECT kind FROM metric WHERE name = 'endless' AND value IS NULL"), IsOkAndHolds("-inf"));
  EXPECT_THAT(db.QueryInt("SELECT layer FROM metric WHERE name = 'router_topk_agreement'"), IsOkAndHolds(2));
  EXPECT_THAT(db.QueryText("SELECT names FROM documents"),
              IsOkAndHolds(R"(["doc0","doc0","doc1","doc1","doc2","doc2","doc3","doc3"])"));
  EXPECT_THAT(db.QueryInt("SELECT length(value) FROM series"), IsOkAndHolds(64));
  EXPECT_FALSE(db.Exec("INSERT INTO metric VALUES (1, 'x', '', -1, 0, NULL, 'finite')").ok()) << "the CHECK is gone";
  EXPECT_FALSE(db.Exec("INSERT INTO metric VALUES (1, 'x', '', -1, 0, 'text', 'finite')").ok()) << "not STRICT";
  EXPECT_FALSE(db.Exec("INSERT INTO metric VALUES (77, 'x', '', -1, 0, 1.0, 'finite')").ok()) << "foreign keys off";
}

TEST_F(LedgerTest, TheSameAgainAddsAnAttemptOnly) {
  EXPECT_THAT(RecordTrial(*ledger_, 1), IsOkAndHolds(true));
  EXPECT_THAT(RecordTrial(*ledger_, 1, 0, 7), IsOkAndHolds(false));
  EXPECT_THAT(RecordTrial(*ledger_, 1, 0, 7), IsOkAndHolds(false));  // the very same attempt
  EAQ_ASSERT_OK_AND_ASSIGN(const auto rows, ledger_->ListTrials());
  ASSERT_EQ(rows.size(), 1);
  EXPECT_EQ(rows[0].attempts, 2);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto conflicts, ledger_->Conflicts());
  EXPECT_TRUE(conflicts.empty());
  ExpectSound();
}

TEST_F(LedgerTest, DifferentContentIsAConflictAndTheFirstStays) {
  EXPECT_THAT(RecordTrial(*ledger_, 1), IsOkAndHolds(true));
  EXPECT_THAT(RecordTrial(*ledger_, 1, 1e-9, 7), IsOkAndHolds(false));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto conflicts, ledger_->Conflicts());
  ASSERT_EQ(conflicts.size(), 1);
  EXPECT_EQ(conflicts[0].second.size(), 2);
  EAQ_ASSERT_OK_AND_ASSIGN(const StoredTrial trial, ledger_->LoadTrial(TrialKey(MakeSpec(1))));
  EXPECT_EQ(trial.result->metric(0).value(), 4.0);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto findings, ledger_->Doctor());
  ASSERT_EQ(findings.size(), 1);
  EXPECT_EQ(findings[0].kind, "conflict");
}

TEST_F(LedgerTest, AKeyThatIsNotTheSpecsIsRefused) {
  EXPECT_THAT(
      ledger_->RecordResult(TrialKey(MakeSpec(2)), MakeSpec(1), MakeResult(1), MakeProvenance(), MakeAttempt(1)),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("does not belong")));
}

TEST_F(LedgerTest, FailuresAndRetry) {
  const TrialSpec spec = MakeSpec(1);
  Attempt attempt = MakeAttempt(1);
  attempt.outcome = Outcome::kOom;
  attempt.exit_code = 137;
  attempt.message = "killed by signal 9";
  attempt.log = std::string(1 << 20, 'x');
  EAQ_ASSERT_OK(ledger_->RecordFailure(TrialKey(spec), spec, MakeProvenance(), attempt));
  EAQ_ASSERT_OK_AND_ASSIGN(auto failures, ledger_->Failures());
  ASSERT_EQ(failures.size(), 1);
  EXPECT_EQ(failures[0].status, "oom");
  EXPECT_EQ(failures[0].message, "killed by signal 9");
  EXPECT_EQ(failures[0].command, "sweep --only=1");
  EXPECT_LT(failures[0].log.size(), 70000);
  EXPECT_THAT(failures[0].log, HasSubstr("bytes left out"));
  EAQ_ASSERT_OK_AND_ASSIGN(auto done, ledger_->Done({TrialKey(spec)}));
  EXPECT_TRUE(done.empty());

  attempt = MakeAttempt(2);
  attempt.outcome = Outcome::kTimeout;
  EAQ_ASSERT_OK(ledger_->RecordFailure(TrialKey(spec), spec, MakeProvenance(), attempt));
  EAQ_ASSERT_OK_AND_ASSIGN(failures, ledger_->Failures());
  EXPECT_EQ(failures[0].status, "timeout") << "the last attempt counts";

  ASSERT_THAT(RecordTrial(*ledger_, 1, 0, 3), IsOk());
  attempt = MakeAttempt(4);
  attempt.outcome = Outcome::kFailed;
  EAQ_ASSERT_OK(ledger_->RecordFailure(TrialKey(spec), spec, MakeProvenance(), attempt));
  EAQ_ASSERT_OK_AND_ASSIGN(failures, ledger_->Failures());
  EXPECT_TRUE(failures.empty()) << "once ok, always ok";
  EAQ_ASSERT_OK_AND_ASSIGN(const StoredTrial trial, ledger_->LoadTrial(TrialKey(spec)));
  EXPECT_EQ(trial.attempts.size(), 4);
  EAQ_ASSERT_OK_AND_ASSIGN(done, ledger_->Done({TrialKey(spec), TrialKey(MakeSpec(9))}));
  EXPECT_THAT(done, ElementsAre(TrialKey(spec)));
  ExpectSound();
}

TEST_F(LedgerTest, ListFiltersAndSweeps) {
  std::vector<std::string> keys;
  for (int i = 0; i < 4; ++i) {
    ASSERT_THAT(RecordTrial(*ledger_, i), IsOk());
    if (i != 2) keys.push_back(TrialKey(MakeSpec(i)));
  }
  SweepRow sweep{"", 5, "default", "spec", "sweep --spec=x", keys};
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string id, ledger_->RecordSweep(sweep));
  EXPECT_THAT(ledger_->RecordSweep(sweep), IsOkAndHolds(id));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto sweeps, ledger_->Sweeps());
  ASSERT_EQ(sweeps.size(), 1);
  EXPECT_EQ(sweeps[0].trials, keys);
  const auto count = [&](const TrialFilter& filter) { return ledger_->ListTrials(filter).value().size(); };
  EXPECT_EQ(count({}), 4);
  EXPECT_EQ(count({.sweep = id}), 3);
  EXPECT_EQ(count({.recipe = "gptq", .scheme = "W4A4", .status = "ok"}), 4);
  EXPECT_EQ(count({.recipe = "rtn"}), 0);
  EXPECT_EQ(count({.key_prefix = keys[1].substr(0, 12)}), 1);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto timings, ledger_->Timings());
  ASSERT_EQ(timings.size(), 4);
  EXPECT_EQ(timings[0].seconds, 5.5);
  EXPECT_EQ(timings[0].stages_from_cache, 1);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto trials, ledger_->LoadTrials(keys));
  EXPECT_EQ(trials.size(), 3);
}

TEST_F(LedgerTest, PrefixesThatNameNothingOrTooMuch) {
  EXPECT_THAT(ledger_->LoadTrial("abcd"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("ledger ls")));
  EXPECT_THAT(ledger_->LoadTrial("ab"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("at least 4")));
  EXPECT_THAT(ledger_->LoadTrial("'; DROP TABLE trial"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no trial")));
}

TEST_F(LedgerTest, HostileStrings) {
  const std::string hostile[] = {"'; DROP TABLE trial; --",
                                 "</script><script>alert(1)</script>",
                                 "a\nb,\"c\"",
                                 std::string("nul\0inside", 10),
                                 "\xff\xfe broken utf-8",
                                 "%s%n",
                                 ""};
  int i = 0;
  for (const std::string& text : hostile) {
    TrialSpec spec = MakeSpec(i);
    spec.mutable_model()->set_name(text);
    spec.mutable_recipe()->set_name(text);
    spec.mutable_evaluation()->mutable_domain(0)->set_name(text);
    TrialResult result = MakeResult(i);
    result.mutable_metric(0)->set_name(text);
    result.mutable_metric(0)->set_domain(text);
    result.mutable_series(0)->set_document(0, text);
    result.mutable_linear(0)->set_note(text);
    Provenance provenance = MakeProvenance();
    provenance.host = text;
    provenance.dirty = text;
    provenance.corpora[text] = text;
    Attempt attempt = MakeAttempt(i++);
    attempt.command = text;
    const std::string key = TrialKey(spec);
    EXPECT_THAT(ledger_->RecordResult(key, spec, result, provenance, attempt), IsOkAndHolds(true));
    EAQ_ASSERT_OK_AND_ASSIGN(const StoredTrial trial, ledger_->LoadTrial(key));
    EXPECT_EQ(trial.result->SerializeAsString(), result.SerializeAsString());
    EXPECT_EQ(trial.attempts[0].command, text);
    EXPECT_EQ(trial.provenance.host, text);
  }
  ExpectSound();
  EXPECT_THAT(ExportCsv(*ledger_), IsOkAndHolds(HasSubstr("\"a\nb,\"\"c\"\"\"")));
  EXPECT_THAT(ExportJson(*ledger_), IsOk());
}

TEST_F(LedgerTest, ExportIsTidyAndComplete) {
  ASSERT_THAT(RecordTrial(*ledger_, 1), IsOk());
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string csv, ExportCsv(*ledger_));
  const std::string start = TrialKey(MakeSpec(1)) + ",ref-s,gptq,W4A4,1,";
  EXPECT_EQ(csv, "trial,model,recipe,scheme,seed,metric,domain,layer,kind,value\n" + start + "nll,code,,finite,4\n" +
                     start + "router_topk_agreement,code,2,finite,0.10000000000000001\n" + start + "broken,,,nan,\n" +
                     start + "endless,,,-inf,\n");
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string json, ExportJson(*ledger_));
  EXPECT_THAT(json, HasSubstr("\"digest\": \"" + ResultDigest(MakeResult(1)) + "\""));
  EXPECT_THAT(json, Not(HasSubstr("NaN")));
}

TEST_F(LedgerTest, DoctorSeesTampering) {
  ASSERT_THAT(RecordTrial(*ledger_, 1), IsOk());
  EAQ_ASSERT_OK(ledger_->database().Exec("UPDATE metric SET value = 1.0 WHERE name = 'nll'"));
  EAQ_ASSERT_OK_AND_ASSIGN(auto findings, ledger_->Doctor());
  ASSERT_EQ(findings.size(), 1);
  EXPECT_EQ(findings[0].kind, "explosion");
  TrialResult forged = MakeResult(1);
  forged.mutable_metric(0)->set_value(1.0);
  EAQ_ASSERT_OK_AND_ASSIGN(Statement update, ledger_->database().Prepare("UPDATE result SET content = ?"));
  EAQ_ASSERT_OK(update.Run(Blob{forged.SerializeAsString()}));
  EAQ_ASSERT_OK_AND_ASSIGN(findings, ledger_->Doctor());
  ASSERT_EQ(findings.size(), 1);
  EXPECT_EQ(findings[0].kind, "digest");
}

TEST_F(LedgerTest, BackupHasEverythingAndOverwritesNothing) {
  for (int i = 0; i < 3; ++i) ASSERT_THAT(RecordTrial(*ledger_, i), IsOk());
  const std::string copy = path_ + ".copy";
  EAQ_ASSERT_OK(ledger_->Backup(copy));
  EXPECT_THAT(ledger_->Backup(copy), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr(copy)));
  EAQ_ASSERT_OK_AND_ASSIGN(auto backup, Ledger::Open(copy, Mode::kExisting));
  EXPECT_EQ(backup->Dump().value(), ledger_->Dump().value());
}

TEST_F(LedgerTest, ClockSetBack) {
  const TrialSpec spec = MakeSpec(1);
  Attempt attempt = MakeAttempt(1);
  attempt.finished_ns = attempt.started_ns - 3'600'000'000'000;
  attempt.duration_ns = -5;  // a caller's mistake is not stored either
  ASSERT_THAT(ledger_->RecordResult(TrialKey(spec), spec, MakeResult(1), MakeProvenance(), attempt), IsOk());
  EAQ_ASSERT_OK_AND_ASSIGN(const StoredTrial trial, ledger_->LoadTrial(TrialKey(spec)));
  EXPECT_EQ(trial.attempts[0].duration_ns, 0);
  ExpectSound();
}

}  // namespace
}  // namespace eaq
