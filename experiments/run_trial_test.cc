// Whole trials on a tiny checkpoint and made-up text, from folder to result.
#include "experiments/run_trial.h"

#include <google/protobuf/wrappers.pb.h>

#include <map>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/status_matchers.h"
#include "eaq/checkpoint/model_source.h"
#include "eaq/checkpoint/save_model.h"
#include "eaq/ledger/digest.h"
#include "eaq/ledger/trial_key.h"
#include "eaq/model/synthetic.h"
#include "eaq/recipe/registry.h"
#include "eaq/recipe/stage.h"
#include "experiments/run_trial_testing.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

// A transform of the whole model: the checkpoint in the folder named, so that every wrong end or layer shows.
class AnotherModel : public TransformSlot {
 public:
  explicit AnotherModel(std::string folder) : folder_(std::move(folder)) {}
  bool needs_profile() const override { return false; }
  absl::StatusOr<std::shared_ptr<const ModelSource>> Wrap(std::shared_ptr<const ModelSource>) const override {
    return OpenModel(folder_);
  }
  absl::Status Apply(const LayerContext&, LayerParams&) const override { return absl::OkStatus(); }

 private:
  const std::string folder_;
};
EAQ_REGISTER_STAGE(TransformSlot, google::protobuf::StringValue,
                   [](const google::protobuf::StringValue& options) -> absl::StatusOr<std::unique_ptr<TransformSlot>> {
                     return std::make_unique<AnotherModel>(options.value());
                   });

TEST_F(RunTrialTest, SameBitsForAnyThreadsAndAnyCache) {
  const std::string cache = *folder_ + "/cache";
  for (const char* recipe : {"", kGptq, kSmooth, kRtn}) {
    const TrialSpec spec = Spec(recipe);
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult one, Run(spec, 1, ""));
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult two, Run(spec, 2, ""));
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult cold, Run(spec, 2, cache));
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult warm, Run(spec, 1, cache));
    EXPECT_EQ(ResultDigest(two), ResultDigest(one)) << recipe;
    EXPECT_EQ(ResultDigest(cold), ResultDigest(one)) << recipe;
    EXPECT_EQ(ResultDigest(warm), ResultDigest(one)) << recipe;
    for (const StageRun& stage : warm.stage()) {
      const bool measured = stage.stage() == "evaluate/story" || stage.stage() == "quantized model";
      EXPECT_NE(stage.from_cache(), measured) << stage.stage();  // what a trial is about is never looked up
    }
  }
}

TEST_F(RunTrialTest, MeasuresWhatTheReportShows) {
  EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult full, Run(Spec(""), 1, ""));
  EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult rtn, Run(Spec(kRtn), 1, ""));
  EXPECT_EQ(ValueOf(full, "bits_per_weight"), 16);
  EXPECT_GT(ValueOf(rtn, "bits_per_weight"), 3.0);
  EXPECT_LT(ValueOf(rtn, "bits_per_weight"), 4.0);
  EXPECT_LT(ValueOf(rtn, "stored_bytes"), ValueOf(full, "stored_bytes"));
  EXPECT_GT(ValueOf(rtn, "kl"), 0);
  EXPECT_LT(ValueOf(rtn, "router_topk_agreement"), 1);
  EXPECT_EQ(rtn.linear_size(), 2 * (4 + 1 + 3 * 8));
  EXPECT_EQ(full.linear_size(), 0);
}

// What the model wrote is measured beside the text it would have read, and both only where it wrote.
TEST_F(RunTrialTest, WrittenCalibrationIsMeasured) {
  const char ebss[] = "calibration { ebss { tau: 0.1 } } solve { gptq { affinity {} } }";
  const TrialSpec spec = Spec(ebss);
  const std::string cache = *folder_ + "/ebss_cache";
  EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult one, Run(spec, 1, ""));
  EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult cold, Run(spec, 2, cache));
  EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult warm, Run(spec, 2, cache));
  EXPECT_EQ(ResultDigest(cold), ResultDigest(one));
  EXPECT_EQ(ResultDigest(warm), ResultDigest(one));
  for (const StageRun& stage : warm.stage()) {
    if (absl::StrContains(stage.stage(), "statistics") || stage.stage() == "calibration") {
      EXPECT_TRUE(stage.from_cache()) << stage.stage();
    }
  }
  for (const char* name : {"imbalance", "window_imbalance", "zlib_ratio"}) {
    EXPECT_GT(ValueOf(one, absl::StrCat("calibration_", name)), 0);
    EXPECT_GT(ValueOf(one, absl::StrCat("natural_", name)), 0);
    EXPECT_NE(ValueOf(one, absl::StrCat("calibration_", name)), ValueOf(one, absl::StrCat("natural_", name)));
  }
  EXPECT_EQ(ValueOf(one, "natural_repetitive"), 0);
  EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult random, Run(Spec(kGptq), 1, ""));
  for (const Metric& metric : random.metric()) EXPECT_FALSE(absl::StrContains(metric.name(), "natural"));
}

TEST_F(SwitchingTrialTest, SameBitsForAnyThreadsAndAnyCache) {
  const std::string cache = *folder_ + "/switching_cache";
  for (const char* options : {"switching { cache_percent: 20 }", "switching { cache_percent: 20 mode: FP16_ROWS }",
                              "switching { cache_percent: 20 trigger: DETECTED decay: 0.01 consecutive: 1 }"}) {
    const TrialSpec spec = Switching(options);
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult one, Run(spec, 1, ""));
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult cold, Run(spec, 2, cache));
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult warm, Run(spec, 1, cache));
    EXPECT_EQ(ResultDigest(cold), ResultDigest(one)) << options;
    EXPECT_EQ(ResultDigest(warm), ResultDigest(one)) << options;
  }
}

TEST_F(SwitchingTrialTest, DomainsRunInTheirStates) {
  EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult base, Run(Switching(""), 2, ""));
  EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult none, Run(Switching("switching { cache_percent: 0 }"), 2, ""));
  EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult told, Run(Switching("switching { cache_percent: 30 }"), 2, ""));
  EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult fp16,
                           Run(Switching("switching { cache_percent: 100 mode: FP16_ROWS }"), 2, ""));
  auto of_base = Values(base), of_none = Values(none), of_told = Values(told), of_fp16 = Values(fp16);
  EXPECT_EQ(base.expert_table_size(), 0);
  for (const std::string domain : {"prose", "code", "verse"}) {
    EXPECT_EQ(of_none["nll " + domain], of_base["nll " + domain]);  // nothing is cached: the baseline
    EXPECT_EQ(of_told["told_known " + domain], domain == "verse" ? 0 : 1);
    // A state in which no row changes is the baseline, bit for bit; any other is not.
    EXPECT_EQ(of_told["nll " + domain] != of_base["nll " + domain], of_told["switched_rows " + domain] > 0) << domain;
    EXPECT_LT(of_fp16["kl " + domain], of_base["kl " + domain] / 1000);  // all rows of the experts are float16
  }
  EXPECT_GT(of_told["switched_rows prose"] + of_told["switched_rows code"] + of_told["switched_rows verse"], 0);
  EXPECT_GT(of_told["bits_per_weight"], of_base["bits_per_weight"]);
  EXPECT_EQ(of_none["bits_per_weight"], of_base["bits_per_weight"]);
  int tables = 0;
  for (const TrialResult::ExpertTable& table : told.expert_table()) tables += table.name() == "significance";
  EXPECT_EQ(tables, 2 * 3);  // layers, data sets
  bool correlated = false;
  for (const Metric& m : told.metric()) correlated = correlated || m.name() == "significance_rank_correlation";
  EXPECT_TRUE(correlated);
}

TEST_F(SwitchingTrialTest, TheDetectorIsMeasured) {
  EAQ_ASSERT_OK_AND_ASSIGN(
      const TrialResult result,
      Run(Switching("switching { cache_percent: 30 trigger: DETECTED decay: 0.01 consecutive: 1 }"), 2, ""));
  auto values = Values(result);
  for (const std::string domain : {"prose", "code", "verse"}) {
    EXPECT_DOUBLE_EQ(
        values["detector_right " + domain] + values["detector_wrong " + domain] + values["detector_none " + domain], 1);
  }
  EXPECT_GE(values["detector_none prose"], 0.25);  // the first window of all
  EXPECT_EQ(values.count("told_known prose"), 0u);
}

TEST_F(SwitchingTrialTest, WhatCannotSwitchIsRefused) {
  TrialSpec spec = Switching("switching {}");
  spec.mutable_calibration()->mutable_domain()->RemoveLast();
  spec.mutable_corpus_hash()->DeleteSubrange(1, 1);
  EXPECT_THAT(Run(spec, 1, ""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("with 1 calibration domain")));
}

TEST_F(RunTrialTest, ThePlansHashesAreChecked) {
  TrialSpec spec = Spec(kRtn);
  spec.set_corpus_hash(0, std::string(64, '0'));
  EXPECT_THAT(Run(spec, 1, ""), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("corpus story has changed")));
  spec = Spec(kRtn);
  spec.mutable_model()->set_hash(std::string(64, '0'));
  EXPECT_THAT(Run(spec, 1, ""), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("/model has changed")));
  spec = Spec(kRtn);
  spec.mutable_model()->set_tokenizer_hash(std::string(64, '0'));
  EXPECT_THAT(Run(spec, 1, ""), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("tokenizer.json has")));
}

TEST_F(RunTrialTest, TooLittleTextIsSaidWithNumbers) {
  TrialSpec spec = Spec(kGptq);
  spec.mutable_calibration()->set_windows(100000);
  EXPECT_THAT(Run(spec, 1, ""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected at least 100000")));
  spec = Spec(kGptq);
  spec.mutable_evaluation()->set_windows(100000);
  EXPECT_THAT(Run(spec, 1, ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("evaluation: domain story has")));
}

// Minimal pairs go through the same quantized layers; their numbers depend on nothing but the spec either.
TEST_F(RunTrialTest, TasksAreMeasuredAndChecked) {
  const std::string pairs = *folder_ + "/pairs.jsonl";
  std::string lines;
  for (int i = 0; i < 12; ++i) {
    absl::StrAppend(&lines, "{\"sentence_good\": \"the router sends tokens ", i, ".\", \"sentence_bad\": \"router the ",
                    i, " tokens sends.\", \"UID\": \"order\", \"linguistics_term\": \"syntax\"}\n");
  }
  ASSERT_THAT(WriteFileAtomic(pairs, lines), IsOk());
  for (const char* recipe : {"", kRtn, kGptq}) {
    TrialSpec spec = Spec(recipe);
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult before, Run(spec, 1, ""));
    EvaluationTask& task = *spec.mutable_evaluation()->add_task();
    task.set_name("pairs");
    task.set_path(pairs);
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult one, Run(spec, 1, ""));
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult two, Run(spec, 2, *folder_ + "/task_cache"));
    EXPECT_EQ(ResultDigest(two), ResultDigest(one)) << recipe;
    EXPECT_EQ(ValueOf(one, "perplexity"), ValueOf(before, "perplexity"));
    const Series& correct = one.series(one.series_size() - 1);
    EXPECT_EQ(correct.metric(), "correct");
    ASSERT_EQ(correct.value_size(), 12);
    double sum = 0;
    for (const double v : correct.value()) sum += v;
    EXPECT_DOUBLE_EQ(ValueOf(one, "accuracy"), sum / 12);
    task.set_hash(std::string(64, '0'));
    EXPECT_THAT(Run(spec, 1, ""), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("task pairs has changed")));
  }
}

// Every kind of task in one trial: the same bits for any threads and cache, next segments from the cache the second
// time, and in both halves (with and without a recipe) what the ledger needs.
TEST_F(RunTrialTest, AllKindsOfTasks) {
  const std::string choices = *folder_ + "/choices.jsonl", words = *folder_ + "/words.jsonl";
  ASSERT_THAT(WriteFileAtomic(choices,
                              "{\"query\": \"the router sends tokens\", \"choices\": [\"to experts\", \"add up\", "
                              "\"and they\"], \"gold\": 0}\n{\"query\": \"they\", \"choices\": [\"up\", \"add\"], "
                              "\"gold\": 1}\n"),
              IsOk());
  ASSERT_THAT(WriteFileAtomic(words, "{\"context\": \"the router sends\", \"continuation\": \"tokens\"}\n"), IsOk());
  const std::string cache = *folder_ + "/kinds_cache";
  for (const char* recipe : {"", kGptq}) {
    TrialSpec spec = Spec(recipe);
    EvaluationTask& choice = *spec.mutable_evaluation()->add_task();
    choice.set_name("choice");
    choice.set_path(choices);
    choice.mutable_multiple_choice()->set_context_end(":");
    EvaluationTask& word = *spec.mutable_evaluation()->add_task();
    word.set_name("word");
    word.set_path(words);
    word.mutable_last_word();
    EvaluationTask& next = *spec.mutable_evaluation()->add_task();
    next.set_name("next");
    next.mutable_next_segment()->set_items(25);
    next.mutable_next_segment()->set_context(12);
    next.mutable_next_segment()->set_segment(5);
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult one, Run(spec, 1, ""));
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult cold, Run(spec, 2, cache));
    EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult warm, Run(spec, 2, cache));
    EXPECT_EQ(ResultDigest(cold), ResultDigest(one)) << recipe;
    EXPECT_EQ(ResultDigest(warm), ResultDigest(one)) << recipe;
    bool seen = false;
    for (const StageRun& stage : warm.stage()) {
      if (stage.stage() != "items of next/story") continue;
      seen = true;
      EXPECT_TRUE(stage.from_cache());
    }
    EXPECT_TRUE(seen);
    std::map<std::string, int> values;
    for (const Series& s : one.series()) values[s.domain() + " " + s.metric()] = s.value_size();
    EXPECT_EQ(values["choice correct"], 2);
    EXPECT_EQ(values["choice correct_norm"], 2);
    EXPECT_EQ(values["choice log_likelihood"], 5);
    EXPECT_EQ(values["word correct"], 1);
    EXPECT_EQ(values["next correct"], 25);
    EXPECT_EQ(values["next log_likelihood"], 100);
    EXPECT_DOUBLE_EQ(ValueOf(one, "chance"), 5.0 / 12);  // of "choice", the first: (1/3 + 1/2) / 2
    EXPECT_GT(ValueOf(one, "word_perplexity"), 1);
    next.mutable_next_segment()->set_items(100000);
    EXPECT_THAT(Run(spec, 1, ""),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("task next: next segment: domain story has")));
  }
}

// A recipe that transforms embedding and head: the sentences go through its own ends and layers, not the original's.
TEST_F(RunTrialTest, TasksUseTheTransformedEnds) {
  const std::string other = *folder_ + "/other", pairs = *folder_ + "/wrapped.jsonl";
  ASSERT_THAT(MakeDirectories(other), IsOk());
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string tokenizer, ReadFile(*folder_ + "/model/tokenizer.json"));
  ASSERT_THAT(WriteFileAtomic(other + "/tokenizer.json", tokenizer), IsOk());
  ModelConfig config = TinyConfig();
  config.vocab_size = 280;
  const std::vector<LayerParams> layers = {RandomLayer(config, 0, 4), RandomLayer(config, 1, 4)};
  ASSERT_THAT(SaveModel(other, config, layers, RandomOuter(config, 4), DType::kF32), IsOk());
  std::string lines;
  for (int i = 0; i < 200; ++i) {
    absl::StrAppend(&lines, "{\"sentence_good\": \"the ", i * 17 % 101, "\", \"sentence_bad\": \"the ", i * 31 % 97,
                    "\", \"UID\": \"u\", \"linguistics_term\": \"t\"}\n");
  }
  ASSERT_THAT(WriteFileAtomic(pairs, lines), IsOk());
  const auto correct = [&](TrialSpec spec) {
    EvaluationTask& task = *spec.mutable_evaluation()->add_task();
    task.set_name("pairs");
    task.set_path(pairs);
    const auto result = Run(spec, 2, "");
    EXPECT_THAT(result, IsOk());
    std::vector<double> values;
    if (!result.ok()) return values;
    const Series& series = result->series(result->series_size() - 1);
    EXPECT_EQ(series.metric(), "correct");
    values.assign(series.value().begin(), series.value().end());
    return values;
  };
  TrialSpec wrapped = Spec(kRtn), direct = Spec("");
  wrapped.mutable_scheme()->mutable_weights()->set_bits(16);
  wrapped.mutable_scheme()->clear_activations();
  google::protobuf::StringValue folder;
  folder.set_value(other);
  wrapped.mutable_recipe()->add_transform()->mutable_external()->PackFrom(folder);
  direct.mutable_model()->set_path(other);
  direct.mutable_model()->clear_hash();
  const std::vector<double> expected = correct(direct);
  ASSERT_EQ(expected.size(), 200u);
  EXPECT_EQ(correct(wrapped), expected);
  EXPECT_NE(correct(Spec("")), expected);  // the original answers otherwise
}

TEST_F(RunTrialTest, ADamagedCacheCostsTimeOnly) {
  const std::string cache = *folder_ + "/damaged";
  const TrialSpec spec = Spec(kGptq);
  EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult first, Run(spec, 1, cache));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto folders, ListDirectory(cache + "/stages"));
  for (const std::string& folder : folders) {
    EAQ_ASSERT_OK_AND_ASSIGN(const auto files, ListDirectory(absl::StrCat(cache, "/stages/", folder)));
    for (const std::string& file : files) {
      const std::string path = absl::StrCat(cache, "/stages/", folder, "/", file);
      EAQ_ASSERT_OK_AND_ASSIGN(std::string bytes, ReadFile(path));
      bytes[bytes.size() / 2] ^= 1;
      ASSERT_THAT(WriteFileAtomic(path, bytes), IsOk());
    }
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const TrialResult again, Run(spec, 1, cache));
  EXPECT_EQ(ResultDigest(again), ResultDigest(first));
  EXPECT_FALSE(again.stage(0).from_cache());
}

}  // namespace
}  // namespace eaq
