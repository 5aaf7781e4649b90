#include "experiments/options.h"

#include "eaq/base/status_matchers.h"
#include "experiments/progress_view.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

TEST(Options, AreRead) {
  EAQ_ASSERT_OK_AND_ASSIGN(const SweepOptions o, ParseOptions({"a.textproto", "--jobs=3", "--retry", "failed,oom",
                                                               "--fail_fast", "--timeout=2.5", "--", "-b"}));
  EXPECT_EQ(o.specs, (std::vector<std::string>{"a.textproto", "-b"}));
  EXPECT_EQ(o.jobs, 3);
  EXPECT_EQ(o.retry, (std::set<Outcome>{Outcome::kFailed, Outcome::kOom}));
  EXPECT_TRUE(o.fail_fast);
  EXPECT_EQ(o.timeout, 2.5);
  EXPECT_EQ(o.backend, "cpu");
  EAQ_ASSERT_OK_AND_ASSIGN(const SweepOptions emulated, ParseOptions({"--backend=emulation"}));
  EXPECT_EQ(emulated.backend, "emulation");
  EAQ_ASSERT_OK_AND_ASSIGN(const SweepOptions none, ParseOptions({}));
  EXPECT_EQ(none.retry, std::set<Outcome>{Outcome::kLost});
}

TEST(Options, MistakesAreNamed) {
  const auto error = [](const std::string& flag) { return std::string(ParseOptions({flag}).status().message()); };
  EXPECT_THAT(error("--jbos=3"), HasSubstr("did you mean \"--jobs\"?"));
  EXPECT_THAT(error("--jobs=0"), HasSubstr("1 to 1024"));
  EXPECT_THAT(error("--jobs"), HasSubstr("needs a value"));
  EXPECT_THAT(error("--plan=yes"), HasSubstr("takes no value"));
  EXPECT_THAT(error("--retry=faild"), HasSubstr("did you mean \"failed\"?"));
  EXPECT_THAT(error("--timeout=nan"), HasSubstr("seconds"));
  EXPECT_THAT(error("--format=xml"), HasSubstr("text or json"));
  EXPECT_THAT(error("--backend=gpu"), HasSubstr("cpu, emulation or cuda"));
}

TEST(ProgressBlock, StaysWithinItsLinesAndColumns) {
  SweepView view;
  view.done = 3;
  view.left = 4;
  view.seconds_left = 200;
  view.workers = {{"gptq / W4A4 / seed 0", "solve", 2, 4, int64_t{3} << 29, 12},
                  {std::string(300, 'x'), "", 0, 0, 0, 0}};
  const std::vector<std::string> lines = RenderBlock(view, 80);
  ASSERT_LE(lines.size(), 6);
  EXPECT_EQ(lines[0], "3 done, 0 failed, 4 left, about 3 min 20 s");
  EXPECT_EQ(lines[1], "  gptq / W4A4 / seed 0 - solve 2/4 - 1.5 GiB - 12 s");
  for (const std::string& line : lines) EXPECT_LT(line.size(), 80);
}

}  // namespace
}  // namespace eaq
