// `eaq train` from end to end, on a made-up text: files, exit codes, messages, and interruptions of two kinds.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "eaq/base/file.h"
#include "eaq/base/status_matchers.h"
#include "eaq/base/thread_pool.h"
#include "eaq/text/bpe_train.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/commands.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

int Main(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "train");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  return TrainMain(static_cast<int>(argv.size()), argv.data());
}

class TrainTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = JoinPath(testing::TempDir(), ::testing::UnitTest::GetInstance()->current_test_info()->name());
    ASSERT_THAT(MakeDirectories(folder_), IsOk());
    std::string text;
    for (int i = 0; i < 40; ++i)
      absl::StrAppend(&text, "{\"text\": \"", i, " times ", i % 7, " is ", i * (i % 7),
                      ", and no more than that.\"}\n");
    ThreadPool pool(1);
    Write("tokenizer.json", *TrainByteLevelBpe({}, {.vocab_size = 300}, &pool));
    Write("text.jsonl", text);
  }
  void Write(const std::string& name, absl::string_view bytes) {
    ASSERT_THAT(WriteFileAtomic(At(name), bytes), IsOk());
  }
  std::string At(absl::string_view name) const { return JoinPath(folder_, name); }
  std::string Read(absl::string_view name) const { return ReadFile(At(name)).value_or("none"); }
  // The flags of a training into the folder OUT.
  std::vector<std::string> Flags(const std::string& out) const {
    return {absl::StrCat("--spec=", At("spec")), absl::StrCat("--out=", At(out)), "--threads=2"};
  }
  std::string Spec(int steps) const {
    return absl::StrCat(
        "model { hidden: 8 layers: 1 heads: 2 experts: 4 experts_per_token: 2 expert_width: 8 context: 16 }\n",
        "domain { corpus: \"sums\" path: \"", At("text.jsonl"), "\" }\n", "steps: ", steps,
        " warmup: 5 windows_per_step: 2\n");
  }
  // The exit code, what went to stderr in ERROR.
  int Fail(const std::vector<std::string>& flags, std::string* error) {
    ::testing::internal::CaptureStderr();
    const int code = Main(flags);
    *error = ::testing::internal::GetCapturedStderr();
    return code;
  }
  std::string folder_;
};

TEST_F(TrainTest, AnInterruptedRunEndsWithTheSameBytes) {
  Write("spec", Spec(1250));
  ASSERT_EQ(Main(Flags("whole")), 0);
  const std::string model = Read("whole/model.safetensors"), log = Read("whole/train_log.tsv");
  EXPECT_EQ(Read("whole/train.textproto"), Spec(1250));
  EXPECT_EQ(Read("whole/tokenizer.json"), Read("tokenizer.json"));
  const std::vector<std::string> lines = absl::StrSplit(log, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 14);  // the header, 100 .. 1200, 1250
  EXPECT_THAT(lines[0], ::testing::StartsWith("step\ttokens\tnll\t"));
  EXPECT_THAT(lines[1], ::testing::StartsWith("100\t3200\t"));
  EXPECT_THAT(lines[13], ::testing::StartsWith("1250\t40000\t"));

  std::vector<std::string> flags = Flags("stopped");
  flags.push_back("--stop_after=300");
  ASSERT_EQ(Main(flags), 0);
  EXPECT_FALSE(FileExists(At("stopped/model.safetensors")));
  ASSERT_EQ(Main(Flags("stopped")), 0);
  EXPECT_TRUE(Read("stopped/model.safetensors") == model);
  EXPECT_EQ(Read("stopped/train_log.tsv"), log);

  // Killed somewhere after the first checkpoint; the rows after it are made anew.
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(Main(Flags("killed")));
  while (!FileExists(At("killed/train.state")) && waitpid(child, nullptr, WNOHANG) == 0)
    absl::SleepFor(absl::Milliseconds(1));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  ASSERT_EQ(Main(Flags("killed")), 0);
  EXPECT_TRUE(Read("killed/model.safetensors") == model);
  EXPECT_EQ(Read("killed/train_log.tsv"), log);

  // Once more on a finished run: nothing to do, nothing changes.
  ASSERT_EQ(Main(Flags("killed")), 0);
  EXPECT_TRUE(Read("killed/model.safetensors") == model);
  EXPECT_EQ(Read("killed/train_log.tsv"), log);
}

TEST_F(TrainTest, ABadSpecIsExitTwoAndNamesThePlace) {
  std::string error;
  Write("spec", "steps: 10\nmodel { hiden: 8 }\n");
  EXPECT_EQ(Fail(Flags("out"), &error), 2);
  EXPECT_THAT(error, HasSubstr(absl::StrCat(At("spec"), ":2:")));
  EXPECT_THAT(error, HasSubstr("hiden"));
  struct Case {
    std::string from, to, message;
  };
  for (const Case& c : std::vector<Case>{
           {"steps: 10", "steps: 0", "steps: expected 1 or more, found 0"},
           {"warmup: 5", "shards: 3", "windows_per_step: expected a multiple of shards (3), found 2"},
           {"heads: 2", "heads: 3", "model.hidden: expected a multiple of twice the heads (3), found 8"},
           {"experts: 4", "experts: 1", "model.experts_per_token: expected at most model.experts (1), found 2"},
           {" path:", " weight: -1 path:", "domain sums: expected a weight > 0, found -1"},
           {"corpus: \"sums\"", "", "domain 0: expected a name"},
           {"warmup: 5", "learning_rate: nan", "learning_rate: expected a number > 0, found nan"}}) {
    Write("spec", absl::StrReplaceAll(Spec(10), {{c.from, c.to}}));
    EXPECT_EQ(Fail(Flags("out"), &error), 2) << c.to;
    EXPECT_THAT(error, HasSubstr(absl::StrCat(At("spec"), ": ", c.message)));
  }
  EXPECT_FALSE(FileExists(At("out")));
}

TEST_F(TrainTest, WrongUseAndMissingFiles) {
  std::string error;
  Write("spec", Spec(10));
  EXPECT_EQ(Fail({"--spec=x"}, &error), 2);
  std::vector<std::string> flags = Flags("out");
  flags.push_back("--stop_after=7");
  EXPECT_EQ(Fail(flags, &error), 2);
  EXPECT_THAT(error, HasSubstr("multiple of 100"));
  EXPECT_EQ(Fail({"--spec=/nowhere/spec", "--out=/nowhere/out"}, &error), 1);
  EXPECT_THAT(error, HasSubstr("/nowhere/spec"));
  ASSERT_THAT(RemoveFile(At("text.jsonl")), IsOk());
  EXPECT_EQ(Fail(Flags("out"), &error), 1);
  EXPECT_THAT(error, HasSubstr(At("text.jsonl")));
  Write("text.jsonl", "{\"text\": \"short\"}\n");
  EXPECT_EQ(Fail(Flags("out"), &error), 1);
  EXPECT_THAT(error, HasSubstr("domain sums: expected more than 16 tokens"));
}

TEST_F(TrainTest, AForeignLogIsNotOverwritten) {
  std::string error;
  Write("spec", Spec(10));
  ASSERT_THAT(MakeDirectories(At("out")), IsOk());
  Write("out/train_log.tsv", "mine\n");
  EXPECT_EQ(Fail(Flags("out"), &error), 1);
  EXPECT_THAT(error, HasSubstr(At("out/train_log.tsv")));
  EXPECT_EQ(Read("out/train_log.tsv"), "mine\n");
}

}  // namespace
}  // namespace eaq
