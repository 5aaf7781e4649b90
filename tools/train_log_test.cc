#include "tools/train_log.h"

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

TEST(ParseTrainLog, NeedsThreeColumnsInAnyOrder) {
  EAQ_ASSERT_OK_AND_ASSIGN(
      const std::vector<TrainLogRow> rows,
      ParseTrainLog("# by hand\nnll\tstep\tother\ttokens\n5.5\t100\tx\t4096\r\n\n4.5\t200\t\t8192\n", "log"));
  ASSERT_EQ(rows.size(), 2);
  EXPECT_EQ(rows[1].step, 200);
  EXPECT_EQ(rows[1].tokens, 8192);
  EXPECT_EQ(rows[1].nll, 4.5);
}

TEST(ParseTrainLog, ErrorsNameTheLine) {
  const auto error = [](absl::string_view text) { return std::string(ParseTrainLog(text, "log").status().message()); };
  EXPECT_THAT(error(""), HasSubstr("log: expected a header line"));
  EXPECT_THAT(error("step\tnll\n"), HasSubstr("log:1: expected a header with the columns step, tokens and nll"));
  const std::string head = "step\ttokens\tnll\n";
  EXPECT_THAT(error(head + "1\t2\n"), HasSubstr("log:2: expected 3 columns, found 2"));
  EXPECT_THAT(error(head + "1\t2\tnan\n"), HasSubstr("log:2: expected whole numbers"));
  EXPECT_THAT(error(head + "1.5\t2\t3\n"), HasSubstr("log:2: expected whole numbers"));
  EXPECT_THAT(error(head + "1\t2\t3\n1\t3\t3\n"), HasSubstr("log:3: expected steps and tokens above 0 that rise"));
}

TEST(TrainLog, MeansOverTheStepsSinceTheRowBefore) {
  const std::string path = JoinPath(testing::TempDir(), "means.tsv");
  ASSERT_THAT(RemoveFile(path), IsOk());
  const auto run = [&](int64_t first, int64_t last, double nll) {
    EAQ_ASSERT_OK_AND_ASSIGN(TrainLog log, TrainLog::Open(path, 32));
    for (int64_t step = first; step <= last; ++step) {
      TrainProgress p;
      p.step = step, p.steps = 250, p.learning_rate = 0.004;
      p.loss = {.nll = nll + (step % 2), .balance = 1, .z = 2};
      p.gradient_norm = 0.5, p.least_used = step, p.most_used = 1000 - step;
      ASSERT_THAT(log.Add(p), IsOk());
    }
  };
  run(1, 240, 3);
  const std::string head = "step\ttokens\tnll\tbalance\tz\tgradient_norm\tleast_used\tmost_used\tlearning_rate\n";
  const std::string first = "100\t3200\t3.500000\t1.000000\t2.000000\t0.500000\t1\t999\t0.004\n";
  EXPECT_THAT(ReadFile(path),
              IsOkAndHolds(head + first + "200\t6400\t3.500000\t1.000000\t2.000000\t0.500000\t101\t899\t0.004\n"));
  EXPECT_EQ(ReadTrainLog(path)->size(), 2);
  run(101, 250, 2);  // from a checkpoint at step 100: the row of step 200 is made anew
  EXPECT_THAT(ReadFile(path),
              IsOkAndHolds(head + first + "200\t6400\t2.500000\t1.000000\t2.000000\t0.500000\t101\t899\t0.004\n" +
                           "250\t8000\t2.500000\t1.000000\t2.000000\t0.500000\t201\t799\t0.004\n"));
}

TEST(TrainLog, RefusesWhatItDidNotWrite) {
  const std::string path = JoinPath(testing::TempDir(), "foreign.tsv");
  ASSERT_THAT(WriteFileAtomic(path, "step\ttokens\tnll\n100\t3200\t3\n"), IsOk());
  EXPECT_THAT(TrainLog::Open(path, 32), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("move the file away")));
}

}  // namespace
}  // namespace eaq
