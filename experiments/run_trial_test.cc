// Whole trials on a tiny checkpoint and made-up text, from folder to result.
#include "experiments/run_trial.h"

#include <google/protobuf/text_format.h>
#include <google/protobuf/wrappers.pb.h>

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/checkpoint/model_source.h"
#include "eaq/checkpoint/save_model.h"
#include "eaq/ledger/digest.h"
#include "eaq/ledger/trial_key.h"
#include "eaq/model/synthetic.h"
#include "eaq/recipe/registry.h"
#include "eaq/recipe/stage.h"
#include "eaq/text/bpe_train.h"
#include "experiments/planner.h"
#include "kernels/device/open.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

// Text of made-up words: many documents, so that every split gets some.
std::string Story(int seed) {
  Rng rng(seed, "run_trial_test/text");
  const char* words[] = {"the ", "router ", "sends ", "tokens ", "to ", "experts, ", "and ", "they ", "add ", "up.\n"};
  std::string text;
  for (int i = 0; i < 400; ++i) text += words[rng.Below(10)];
  return text;
}

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

class RunTrialTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new std::string(JoinPath(::testing::TempDir(), "run_trial"));
    ASSERT_THAT(MakeDirectories(*folder_ + "/model"), IsOk());
    ASSERT_THAT(MakeDirectories(*folder_ + "/text"), IsOk());
    std::string all;
    for (int d = 0; d < 120; ++d) {
      const std::string text = Story(d);
      all += text;
      ASSERT_THAT(WriteFileAtomic(absl::StrCat(*folder_, "/text/", d, ".txt"), text), IsOk());
    }
    ThreadPool pool(1);
    EAQ_ASSERT_OK_AND_ASSIGN(const std::string tokenizer, TrainByteLevelBpe({all}, {.vocab_size = 280}, &pool));
    ASSERT_THAT(WriteFileAtomic(*folder_ + "/model/tokenizer.json", tokenizer), IsOk());
    ModelConfig config = TinyConfig();
    config.vocab_size = 280;
    config.num_heads = config.num_kv_heads = 1;
    config.head_dim = config.hidden_size;  // 32: the least that a device has kernels for
    const std::vector<LayerParams> layers = {RandomLayer(config, 0, 3), RandomLayer(config, 1, 3)};
    ASSERT_THAT(SaveModel(*folder_ + "/model", config, layers, RandomOuter(config, 3), DType::kF32), IsOk());
  }

  static TrialSpec Spec(const std::string& recipe) {
    TrialSpec spec;
    const std::string corpus = absl::StrCat("{ name: \"story\" path: \"", *folder_, "/text\" }");
    std::string text = absl::StrCat("model { name: \"tiny\" path: \"", *folder_,
                                    "/model\" } evaluation { windows: 4 window: 24 domain ", corpus, " }");
    if (!recipe.empty()) {
      absl::StrAppend(&text,
                      "scheme { name: \"W3A4\" weights { bits: 3 } activations { bits: 4 } } recipe { name: \"r\" ",
                      recipe, " allocate { uniform {} } router { keep {} } activation { dynamic {} } }");
      if (recipe.find("calibration { none") == std::string::npos)
        absl::StrAppend(&text, " calibration { windows: 6 window: 24 domain ", corpus, " }");
    }
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec)) << text;
    auto plan = Resolve({spec}, 1, MakeResolvers("", *folder_ + "/hashes"));
    EXPECT_THAT(plan, IsOk());
    return plan->trials[0].spec;
  }

  static absl::StatusOr<TrialResult> Run(const TrialSpec& spec, int threads, const std::string& cache) {
    RunOptions options;
    options.model_path = spec.model().path();
    options.cache_folder = cache;
    options.threads = threads;
    return RunTrial(spec, options);
  }

  static std::string* folder_;
};
std::string* RunTrialTest::folder_ = nullptr;

double ValueOf(const TrialResult& result, const std::string& name) {
  for (const Metric& m : result.metric())
    if (m.name() == name) return m.value();
  ADD_FAILURE() << "no metric " << name;
  return 0;
}

const char kGptq[] = "calibration { random {} } solve { gptq {} }";
const char kSmooth[] = "calibration { balanced {} } transform { smoothquant {} } solve { nearest {} }";
const char kRtn[] = "calibration { none {} } solve { nearest {} }";

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

  TrialSpec tasks = emulated;
  tasks.mutable_evaluation()->add_task()->set_name("story");
  EXPECT_THAT(Run(tasks, 1, "").status().ToString(), HasSubstr("backend"));
  TrialSpec dropping = emulated;
  dropping.mutable_recipe()->mutable_online_pruning();
  EXPECT_THAT(Run(dropping, 1, "").status().ToString(), HasSubstr("online_pruning with backend \"emulation\""));
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

// A model that switches by data set: three domains, of which calibration knows two.
class SwitchingTrialTest : public RunTrialTest {
 protected:
  // ALLOCATE: options of moqa.
  static TrialSpec Switching(const std::string& allocate) {
    const auto corpus = [](const std::string& name, int words) {
      const std::string folder = absl::StrCat(*folder_, "/", name);
      EXPECT_THAT(MakeDirectories(folder), IsOk());
      for (int d = 0; d < 120; ++d) {
        Rng rng(d, absl::StrCat("run_trial_test/", name));
        const char* parts[] = {"the ",      "router ", "sends ", "tokens ", "to ",
                               "experts, ", "and ",    "they ",  "add ",    "up.\n"};
        std::string text;
        for (int i = 0; i < 400; ++i) text += parts[(words + rng.Below(4)) % 10];
        EXPECT_THAT(WriteFileAtomic(absl::StrCat(folder, "/", d, ".txt"), text), IsOk());
      }
      return absl::StrCat("domain { name: \"", name, "\" path: \"", folder, "\" } ");
    };
    const std::string prose = corpus("prose", 0), code = corpus("code", 3), verse = corpus("verse", 6);
    TrialSpec spec;
    const std::string text = absl::StrCat(
        "model { name: \"tiny\" path: \"", *folder_, "/model\" } evaluation { windows: 4 window: 24 ", prose, code,
        verse,
        "} scheme { name: \"W4\" quantize_attention: false weights { bits: 4 } } recipe { name: \"r\" calibration { "
        "random {} } allocate { moqa "
        "{ ",
        allocate, " } } solve { nearest {} } router { keep {} } activation { dynamic {} } } calibration { windows: 8 ",
        "window: 24 ", prose, code, "}");
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec)) << text;
    auto plan = Resolve({spec}, 1, MakeResolvers("", *folder_ + "/hashes"));
    EXPECT_THAT(plan, IsOk());
    return plan->trials[0].spec;
  }

  static std::map<std::string, double> Values(const TrialResult& result) {
    std::map<std::string, double> values;
    for (const Metric& m : result.metric()) {
      if (!m.has_layer()) values[m.name() + (m.has_domain() ? " " + m.domain() : "")] = m.value();
    }
    return values;
  }
};

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
