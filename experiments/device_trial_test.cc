// Whole trials on the emulated device against the CPU's.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/status_matchers.h"
#include "eaq/ledger/trial_key.h"
#include "experiments/run_trial_testing.h"
#include "kernels/device/open.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

// The emulated device measures what the CPU measures, up to where a number that is rounded lies at a tie; as a trial of
// its own.
TEST_F(RunTrialTest, AnotherBackendIsAnotherTrial) {
  const TrialSpec cpu = Spec(kRtn);
  TrialSpec emulated = cpu;
  emulated.set_backend("emulation");
  EXPECT_NE(TrialKey(emulated), TrialKey(cpu));
  EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult on_cpu, Run(cpu, 1, ""));
  const auto on_device = Run(emulated, 1, "");
  if (kernels::LinkedDevice() != kernels::BackendKind::kEmulation) {  // --config=gpu
    EXPECT_THAT(on_device.status().ToString(), HasSubstr("--config=gpu"));
    return;
  }
  ASSERT_THAT(on_device.status(), IsOk());
  EXPECT_EQ(on_cpu.device(), "");
  EXPECT_THAT(on_device->device(), HasSubstr("emulated sm_"));
  // 4-bit codes that flip at ties move a random model's loss of 96 tokens by some 1e-3.
  EXPECT_NEAR(ValueOf(*on_device, "nll"), ValueOf(on_cpu, "nll"), 0.01);
  EXPECT_NEAR(ValueOf(*on_device, "kl"), ValueOf(on_cpu, "kl"), 0.02);
  EXPECT_GT(ValueOf(*on_device, "router_topk_agreement"), 0.5);
  // Rows that are transformed at run time, too.
  TrialSpec rotated = Spec("calibration { none {} } transform { quarot {} } solve { nearest {} }");
  EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult rotated_on_cpu, Run(rotated, 1, ""));
  rotated.set_backend("emulation");
  EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult rotated_on_device, Run(rotated, 1, ""));
  EXPECT_NEAR(ValueOf(rotated_on_device, "nll"), ValueOf(rotated_on_cpu, "nll"), 0.01);

  TrialSpec nowhere = cpu;
  nowhere.set_backend("cuda");
  EXPECT_THAT(Run(nowhere, 1, "").status().ToString(), HasSubstr("--config=gpu"));
}

// GPTQ on the device: its second moments are the CPU's to float32's noise, which flips the few codes at ties.
TEST_F(RunTrialTest, ABackendQuantizesToo) {
  TrialSpec spec = Spec(kGptq);
  EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult on_cpu, Run(spec, 1, ""));
  spec.set_backend("emulation");
  const auto on_device = Run(spec, 2, "");
  if (kernels::LinkedDevice() != kernels::BackendKind::kEmulation) GTEST_SKIP() << "--config=gpu";
  ASSERT_THAT(on_device.status(), IsOk());
  ASSERT_EQ(on_device->linear_size(), on_cpu.linear_size());
  int equal = 0;
  for (int i = 0; i < on_cpu.linear_size(); ++i) {
    EXPECT_NEAR(on_device->linear(i).output_error(), on_cpu.linear(i).output_error(), 0.02) << on_cpu.linear(i).id();
    equal += on_device->linear(i).weight_error() == on_cpu.linear(i).weight_error();
  }
  EXPECT_GT(equal, on_cpu.linear_size() / 2);
  const auto hash = [](const TrialResult& result, const std::string& stage) {
    for (const StageRun& run : result.stage()) {
      if (run.stage() == stage) return run.hash();
    }
    return std::string();
  };
  EXPECT_NE(hash(on_cpu, "profile/L0"), "");
  EXPECT_NE(hash(*on_device, "profile/L0"), hash(on_cpu, "profile/L0"));  // the device did sum
}

// What both backends measured, by "name domain"; metrics but those of single layers.
struct BothBackends {
  std::map<std::string, double> metrics[2];
  std::map<std::string, std::vector<double>> series[2];
};
BothBackends ValuesOf(const TrialResult& cpu, const TrialResult& device) {
  BothBackends both;
  for (int b = 0; b < 2; ++b) {
    const TrialResult& result = b == 0 ? cpu : device;
    for (const Metric& m : result.metric()) {
      if (!m.has_layer()) both.metrics[b][absl::StrCat(m.name(), " ", m.domain())] = m.value();
    }
    for (const Series& s : result.series()) {
      both.series[b][absl::StrCat(s.metric(), " ", s.domain())].assign(s.value().begin(), s.value().end());
    }
  }
  EXPECT_EQ(both.metrics[0].size(), both.metrics[1].size());
  EXPECT_EQ(both.series[0].size(), both.series[1].size());
  return both;
}

// Tasks of all kinds, top-k agreement, and a recipe whose tokens drop experts: what the CPU measures. Without grids of
// activations, so that no code lies at a tie.
TEST_F(RunTrialTest, ABackendEvaluatesWhatTheCpuDoes) {
  if (kernels::LinkedDevice() != kernels::BackendKind::kEmulation) GTEST_SKIP() << "--config=gpu";
  const std::string choices = *folder_ + "/device_choices.jsonl", words = *folder_ + "/device_words.jsonl",
                    pairs = *folder_ + "/device_pairs.jsonl";
  ASSERT_THAT(WriteFileAtomic(choices,
                              "{\"query\": \"the router sends tokens\", \"choices\": [\"to experts\", \"add up\", "
                              "\"and they\"], \"gold\": 0}\n{\"query\": \"they\", \"choices\": [\"up\", \"add\"], "
                              "\"gold\": 1}\n"),
              IsOk());
  ASSERT_THAT(WriteFileAtomic(words, "{\"context\": \"the router sends\", \"continuation\": \"tokens\"}\n"), IsOk());
  std::string lines;
  for (int i = 0; i < 12; ++i) {
    absl::StrAppend(&lines, "{\"sentence_good\": \"the router sends tokens ", i, ".\", \"sentence_bad\": \"router the ",
                    i, " tokens sends.\", \"UID\": \"order\", \"linguistics_term\": \"syntax\"}\n");
  }
  ASSERT_THAT(WriteFileAtomic(pairs, lines), IsOk());
  const std::string dropping = std::string(kGptq) + " online_pruning { quantile: 0.5 protect: 0.1 layers: 2 }";
  for (const std::string& recipe : {std::string(), std::string(kRtn), dropping}) {
    SCOPED_TRACE(recipe);
    TrialSpec spec = Spec(recipe);
    if (!recipe.empty()) spec.mutable_scheme()->clear_activations();
    EvaluationData& evaluation = *spec.mutable_evaluation();
    evaluation.set_top_k(5);
    const auto task = [&](const char* name, const std::string& path) -> EvaluationTask& {
      EvaluationTask& added = *evaluation.add_task();
      added.set_name(name);
      if (!path.empty()) added.set_path(path);
      return added;
    };
    task("pairs", pairs);
    task("choice", choices).mutable_multiple_choice()->set_context_end(":");
    task("word", words).mutable_last_word();
    EvaluationTask::NextSegment& next = *task("next", "").mutable_next_segment();
    next.set_items(10);
    next.set_context(12);
    next.set_segment(5);
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult on_cpu, Run(spec, 2, ""));
    spec.set_backend("emulation");
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult on_device, Run(spec, 1, ""));
    const BothBackends both = ValuesOf(on_cpu, on_device);
    for (const auto& [name, want] : both.series[0]) {
      ASSERT_EQ(both.series[1].count(name), 1u) << name;
      const std::vector<double>& got = both.series[1].at(name);
      ASSERT_EQ(got.size(), want.size()) << name;
      for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-3) << name << " " << i;
    }
    for (const char* name :
         {"correct choice", "correct_norm choice", "correct word", "correct next", "correct pairs"}) {
      EXPECT_EQ(both.series[0].at(name), both.series[1].at(name)) << name;
    }
    EXPECT_GT(both.series[0].at("log_likelihood next").size(), 30u);
    if (recipe.empty()) continue;
    EXPECT_LT(both.metrics[0].at("top5_agreement story"), 1);
    EXPECT_EQ(both.metrics[1].at("top5_agreement story"), both.metrics[0].at("top5_agreement story"));
    if (recipe != dropping) continue;
    EXPECT_GT(both.metrics[0].at("dropped_activations "), 0.1);
    EXPECT_EQ(both.metrics[1].at("dropped_activations "), both.metrics[0].at("dropped_activations "));
  }
}

// Every state has an image of its own on a device.
TEST_F(SwitchingTrialTest, ABackendRunsTheStates) {
  if (kernels::LinkedDevice() != kernels::BackendKind::kEmulation) GTEST_SKIP() << "--config=gpu";
  for (const char* options : {"switching { cache_percent: 30 }",
                              "switching { cache_percent: 30 trigger: DETECTED decay: 0.01 consecutive: 1 }"}) {
    SCOPED_TRACE(options);
    TrialSpec spec = Switching(options);
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult on_cpu, Run(spec, 2, ""));
    spec.set_backend("emulation");
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult on_device, Run(spec, 1, ""));
    const BothBackends both = ValuesOf(on_cpu, on_device);
    for (const auto& [name, want] : both.metrics[0]) {
      ASSERT_EQ(both.metrics[1].count(name), 1u) << name;
      EXPECT_NEAR(both.metrics[1].at(name), want, 1e-4 * std::max(1.0, std::abs(want))) << name;
    }
  }
}

}  // namespace
}  // namespace eaq
