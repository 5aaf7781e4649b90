// On the file that an H100 wrote (tools/gpu_check.sh --seed=20261129 at eddd8a3), and on what is done to it.
#include "tools/gpu_compare/report.h"

#include <string>

#include "eaq/base/file.h"
#include "gtest/gtest.h"

namespace eaq::gpu_compare {
namespace {

constexpr char kW8A8[] = "MoeDecode: OLMoE W8A8 1 tokens gate+up";

GpuReport Recorded() {
  const absl::StatusOr<std::string> text = ReadFile("tools/gpu_compare/testdata/h100.json");
  EXPECT_TRUE(text.ok()) << text.status();
  absl::StatusOr<GpuReport> report = ParseGpuReport(*text);
  EXPECT_TRUE(report.ok()) << report.status();
  return *std::move(report);
}

TEST(GpuReportTest, ReadsTheRecordedFile) {
  const GpuReport report = Recorded();
  EXPECT_EQ(report.device, "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(report.sm, 90);
  EXPECT_TRUE(report.passed);
  EXPECT_EQ(report.checks.size(), 54u);
  for (const auto& [name, failures] : report.checks) EXPECT_EQ(failures, 0) << name;
  ASSERT_EQ(report.seconds.count(kW8A8), 1u);
  EXPECT_NEAR(report.seconds.at(kW8A8), 16.7e-6, 0.1e-6);
  // The error that a label ends in would make a new name of every run.
  EXPECT_EQ(report.seconds.count("Hessian: own, 6 bf16 products [4096, 2048]"), 1u);
}

TEST(GpuReportTest, SameFileIsNeitherBetterNorWorse) {
  const GpuComparison c = CompareGpuReports(Recorded(), Recorded(), 0);
  EXPECT_FALSE(c.worse());
  EXPECT_EQ(c.mean_ratio, 1);
  EXPECT_EQ(c.compared, static_cast<int>(Recorded().seconds.size()));
  EXPECT_TRUE(c.faster.empty() && c.added.empty() && c.mended.empty());
}

TEST(GpuReportTest, FindsWhatGotSlowerAndWhatGotFaster) {
  const GpuReport before = Recorded();
  GpuReport after = before;
  after.seconds[kW8A8] *= 1.2;
  auto other = after.seconds.begin();
  other->second /= 1.5;
  const GpuComparison c = CompareGpuReports(before, after, 0.05);
  EXPECT_TRUE(c.worse());
  ASSERT_EQ(c.slower.size(), 1u);
  EXPECT_NE(c.slower[0].find(kW8A8), std::string::npos) << c.slower[0];
  EXPECT_NE(c.slower[0].find("1.20 times"), std::string::npos) << c.slower[0];
  ASSERT_EQ(c.faster.size(), 1u);
  EXPECT_NE(c.faster[0].find(other->first), std::string::npos) << c.faster[0];
  EXPECT_FALSE(CompareGpuReports(before, after, 0.25).worse());
  EXPECT_NE(Print(c).find("slower:  1.20 times"), std::string::npos) << Print(c);
}

TEST(GpuReportTest, FindsBrokenMendedMissingAndNewChecks) {
  GpuReport before = Recorded(), after = before;
  after.checks["GroupedGemmW8A8"] = 7;
  before.checks["RouteTopK"] = 1;
  after.checks["RouteTopK"] = 0;
  after.checks.erase("CombineExperts");
  after.checks["Another"] = 0;
  after.seconds.erase(kW8A8);
  const GpuComparison c = CompareGpuReports(before, after, 0.05);
  EXPECT_EQ(c.broken, std::vector<std::string>{"GroupedGemmW8A8: 7 expectations fail"});
  EXPECT_EQ(c.mended, std::vector<std::string>{"RouteTopK"});
  EXPECT_EQ(c.missing, (std::vector<std::string>{"check CombineExperts", kW8A8}));
  EXPECT_EQ(c.added, std::vector<std::string>{"check Another"});
  EXPECT_TRUE(c.worse());
}

TEST(GpuReportTest, SaysWhatIsWrongWithAFile) {
  const auto message = [](absl::string_view text) { return std::string(ParseGpuReport(text).status().message()); };
  EXPECT_NE(message("[]").find("an object"), std::string::npos);
  EXPECT_NE(message(R"({"sm": 90, "passed": true})").find("\"device\": expected a string"), std::string::npos);
  EXPECT_NE(message(R"({"device": "x", "sm": 90})").find("passed"), std::string::npos);
  const std::string head = R"({"device": "x", "sm": 90, "passed": true, "benchmarks": )";
  EXPECT_NE(message(head + R"([{"benchmark": "a", "label": "b", "seconds": 0}]})").find("above 0"), std::string::npos);
  EXPECT_NE(message(head + "3}").find("an array"), std::string::npos);
  EXPECT_TRUE(ParseGpuReport(head + "[]}").ok());
}

}  // namespace
}  // namespace eaq::gpu_compare
