#include "tools/flags.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

struct Values {
  std::string text = "a";
  int64_t count = 3;
  double rate = 0.5;
  bool json = false;
};

std::optional<int> Parse(std::vector<std::string> arguments, Values* values) {
  Flags flags("demo", "Shows.", "eaq demo");
  flags.Add("text", &values->text, "a text");
  flags.Add("count", &values->count, "a number");
  flags.Add("rate", &values->rate, "a rate");
  flags.Add("json", &values->json, "a switch");
  arguments.insert(arguments.begin(), "demo");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  return flags.Parse(static_cast<int>(argv.size()), argv.data());
}

TEST(Flags, BothSpellings) {
  Values v;
  EXPECT_EQ(Parse({"--text=x=y", "--count", "-7", "--rate=1e-3", "--json"}, &v), std::nullopt);
  EXPECT_EQ(v.text, "x=y");
  EXPECT_EQ(v.count, -7);
  EXPECT_EQ(v.rate, 1e-3);
  EXPECT_TRUE(v.json);
  EXPECT_EQ(Parse({"--nojson"}, &v), std::nullopt);
  EXPECT_FALSE(v.json);
}

TEST(Flags, HelpIsExitZero) {
  Values v;
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(Parse({"--help"}, &v), 0);
  EXPECT_THAT(::testing::internal::GetCapturedStdout(), ::testing::HasSubstr("--count  a number [3]"));
}

TEST(Flags, MistakesAreExitTwoWithOneMessage) {
  const auto error = [](std::vector<std::string> arguments) {
    Values v;
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(Parse(std::move(arguments), &v), 2);
    return ::testing::internal::GetCapturedStderr();
  };
  EXPECT_THAT(error({"--cuont=3"}), ::testing::HasSubstr("did you mean --count?"));
  EXPECT_THAT(error({"--zzzzzzzz=3"}), ::testing::Not(::testing::HasSubstr("did you mean")));
  EXPECT_THAT(error({"--count=three"}), ::testing::HasSubstr("--count=three"));
  EXPECT_THAT(error({"--count"}), ::testing::HasSubstr("needs a value"));
  EXPECT_THAT(error({"count"}), ::testing::HasSubstr("unexpected argument"));
  EXPECT_THAT(error({"--notext"}), ::testing::HasSubstr("unknown flag --notext"));
}

}  // namespace
}  // namespace eaq
