#include "experiments/ledger_verify.h"

#include <cmath>

#include "eaq/ledger/digest.h"
#include "eaq/ledger/testing.h"

namespace eaq {
namespace {

StoredTrial Stored() {
  StoredTrial trial;
  trial.result = testing::MakeResult(1);
  trial.result->add_stage()->set_stage("solve/L0");
  trial.result->mutable_stage(1)->set_hash("h1");
  trial.digest = ResultDigest(*trial.result);
  return trial;
}

TEST(CompareRuns, TimingsDoNotMatter) {
  const StoredTrial stored = Stored();
  TrialResult again = *stored.result;
  again.set_wall_seconds(77);
  again.mutable_stage(0)->set_from_cache(false);
  EXPECT_TRUE(CompareRuns(stored, again).same);
}

TEST(CompareRuns, NamesTheFirstStageThatDiffers) {
  const StoredTrial stored = Stored();
  TrialResult again = *stored.result;
  again.mutable_stage(1)->set_hash("h2");
  again.mutable_metric(0)->set_value(9);
  const Verdict verdict = CompareRuns(stored, again);
  EXPECT_FALSE(verdict.same);
  EXPECT_EQ(verdict.stage, "solve/L0");
  EXPECT_NE(verdict.text.find("h1 then, h2 now"), std::string::npos) << verdict.text;
}

TEST(CompareRuns, MissingAndNewStages) {
  const StoredTrial stored = Stored();
  TrialResult fewer = *stored.result, more = fewer;
  fewer.mutable_stage()->RemoveLast();
  more.add_stage()->set_stage("extra");
  EXPECT_EQ(CompareRuns(stored, fewer).stage, "solve/L0");
  EXPECT_EQ(CompareRuns(stored, more).stage, "extra");
  EXPECT_FALSE(CompareRuns(stored, fewer).same);
  EXPECT_FALSE(CompareRuns(stored, more).same);
}

TEST(CompareRuns, FindsOneBitInOneWindow) {
  const StoredTrial stored = Stored();
  TrialResult again = *stored.result;
  again.mutable_series(0)->set_value(5, std::nextafter(again.series(0).value(5), 0.0));
  const Verdict verdict = CompareRuns(stored, again);
  EXPECT_FALSE(verdict.same);
  EXPECT_NE(verdict.text.find("window 5"), std::string::npos) << verdict.text;
}

TEST(CompareRuns, WithoutAStoredResult) { EXPECT_FALSE(CompareRuns(StoredTrial(), testing::MakeResult(1)).same); }

}  // namespace
}  // namespace eaq
