// For tests of whole trials: a tiny checkpoint, made-up text, specs over them.
#ifndef EXPERIMENTS_RUN_TRIAL_TESTING_H_
#define EXPERIMENTS_RUN_TRIAL_TESTING_H_

#include <google/protobuf/text_format.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/base/thread_pool.h"
#include "eaq/checkpoint/save_model.h"
#include "eaq/model/synthetic.h"
#include "eaq/text/bpe_train.h"
#include "experiments/planner.h"
#include "experiments/run_trial.h"

namespace eaq {

// Text of made-up words: many documents, so that every split gets some.
inline std::string Story(int seed) {
  Rng rng(seed, "run_trial_test/text");
  const char* words[] = {"the ", "router ", "sends ", "tokens ", "to ", "experts, ", "and ", "they ", "add ", "up.\n"};
  std::string text;
  for (int i = 0; i < 400; ++i) text += words[rng.Below(10)];
  return text;
}

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

  static inline std::string* folder_ = nullptr;
};
inline double ValueOf(const TrialResult& result, const std::string& name) {
  for (const Metric& m : result.metric())
    if (m.name() == name) return m.value();
  ADD_FAILURE() << "no metric " << name;
  return 0;
}

inline constexpr char kGptq[] = "calibration { random {} } solve { gptq {} }";
inline constexpr char kSmooth[] = "calibration { balanced {} } transform { smoothquant {} } solve { nearest {} }";
inline constexpr char kRtn[] = "calibration { none {} } solve { nearest {} }";

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

}  // namespace eaq

#endif  // EXPERIMENTS_RUN_TRIAL_TESTING_H_
