// ODP: what is measured against its definition, the choice of layers by hand, and a recipe with it from plan to file.
#include "eaq/recipe/online_pruning.h"

#include <algorithm>
#include <cmath>

#include "eaq/base/file.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/layer.h"
#include "eaq/model/synthetic.h"
#include "eaq/recipe/allocation_testing.h"
#include "eaq/recipe/walk_testing.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

OnlinePruning Options(double quantile = 0.5) {
  OnlinePruning options;
  options.set_quantile(quantile);
  return options;
}

std::vector<Matrix> Windows(const ModelConfig& config, int count) {
  Rng rng(2, "online_pruning_test");
  std::vector<Matrix> windows(count, Matrix(31, config.hidden_size));
  for (Matrix& h : windows) {
    for (int64_t i = 0; i < h.size(); ++i) h.data()[i] = static_cast<float>(rng.Normal());
  }
  return windows;
}

class Weights : public LayerObserver {
 public:
  void OnRouter(int, ConstMatrixView, absl::Span<const int32_t>, absl::Span<const float> w) override {
    all.insert(all.end(), w.begin(), w.end());
  }
  std::vector<float> all;
};

TEST(OnlinePruning, MeasuresTheMedianRatioAndTheLossOfAllButTheFirst) {
  ModelConfig config = TinyConfig();
  config.experts_per_token = 3;
  const LayerParams params = RandomLayer(config, 1, 5);
  const std::vector<Matrix> windows = Windows(config, 5);
  const auto plain = BuildLayer(config, params).value();
  LayerParams first = params;
  first.routing = std::make_shared<const RoutingPolicy>(RoutingPolicy{{}, ExpertDrop{.ratio = 1}});
  const auto alone = BuildLayer(config, first).value();
  Weights weights, left;
  double change = 0, square = 0;
  for (const Matrix& w : windows) {
    Matrix with = w, without = w;
    plain->Forward(with.view(), &weights);
    alone->Forward(without.view(), &left);
    for (int64_t i = 0; i < with.size(); ++i) {
      change += std::pow(static_cast<double>(with.data()[i]) - without.data()[i], 2);
      square += std::pow(static_cast<double>(with.data()[i]), 2);
    }
  }
  std::vector<double> ratios;
  for (size_t t = 0; t < weights.all.size(); t += 3) {
    ratios.push_back(static_cast<double>(weights.all[t + 1]) / weights.all[t]);
    ratios.push_back(static_cast<double>(weights.all[t + 2]) / weights.all[t]);
    EXPECT_EQ(left.all[t + 1], 0);
    EXPECT_EQ(left.all[t + 2], 0);
  }
  ASSERT_EQ(ratios.size(), 5u * 31 * 2);
  std::sort(ratios.begin(), ratios.end());
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    EAQ_ASSERT_OK_AND_ASSIGN(const DropMeasure m, MeasureDropping(config, params, windows, Options(), CpuOps(), pool));
    EXPECT_NEAR(m.ratio, (ratios[154] + ratios[155]) / 2,
                1e-6);  // of an even number, the mean of the two in the middle
    EXPECT_NEAR(m.loss, change / square, 1e-9);
    EXPECT_GT(m.loss, 0);
  }
  ThreadPool pool(1);
  EXPECT_NEAR(MeasureDropping(config, params, windows, Options(0), CpuOps(), pool)->ratio, ratios[0], 1e-6);
  EXPECT_NEAR(MeasureDropping(config, params, windows, Options(1), CpuOps(), pool)->ratio, ratios[309], 1e-6);
}

TEST(OnlinePruning, ChoosesTheLayersThatMindLeast) {
  const std::map<int, DropMeasure> measures = {{1, {0.5, 3}}, {2, {0.6, 1}}, {4, {0.7, 2}}, {5, {0.8, 1}}};
  OnlinePruning options;
  auto drops = ChooseDropping(measures, options);
  ASSERT_THAT(drops.status(), IsOk());
  EXPECT_EQ(*drops, (std::map<int, ExpertDrop>{{2, {0.6f, 0.02f}}}));  // 10 of 32 of 4 are 1.25; of equals the first
  options.set_layers(3);
  options.set_factor(1.5);
  options.set_protect(0);
  drops = ChooseDropping(measures, options);
  EXPECT_EQ(*drops, (std::map<int, ExpertDrop>{{2, {0.9f, 0}}, {4, {1.0f, 0}}, {5, {1.0f, 0}}}));
  options.set_layers(5);
  EXPECT_THAT(ChooseDropping(measures, options).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("layers is 5")));
  std::map<int, DropMeasure> mixtral;
  for (int l = 0; l < 32; ++l) mixtral[l] = {0.5, 1.0 + l};
  EXPECT_EQ(ChooseDropping(mixtral, OnlinePruning())->size(), 10u);
}

TEST(OnlinePruning, TheRuleOfThePaperIsForTwoExpertsAToken) {
  ModelConfig config = TinyConfig();
  EXPECT_THAT(ValidateOnlinePruning(config, OnlinePruning()), IsOk());
  config.experts_per_token = 3;
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(ValidateOnlinePruning(config, OnlinePruning()), invalid("rule: EVERY"));
  OnlinePruning every;
  every.set_rule(OnlinePruning::EVERY);
  EXPECT_THAT(ValidateOnlinePruning(config, every), IsOk());
  every.set_quantile(1.5);
  EXPECT_THAT(ValidateOnlinePruning(config, every), invalid("quantile is 1.5"));
  config.experts_per_token = 1;
  EXPECT_THAT(ValidateOnlinePruning(config, OnlinePruning()), invalid("at least 2 a token"));
}

std::string RecipeWith(const std::string& pruning) {
  return "calibration { random {} } allocate { uniform {} } solve { gptq {} } router { keep {} } "
         "activation { dynamic {} } " +
         pruning;
}

TEST(OnlinePruning, DropsInEvaluationAndInTheFileButNotInCalibration) {
  const WalkRun plain(SixteenExperts(), RecipeWith(""), FourBits());
  const WalkRun run(SixteenExperts(), RecipeWith("online_pruning { layers: 2 protect: 0.1 }"), FourBits());
  ASSERT_THAT(plain.status, IsOk());
  ASSERT_THAT(run.status, IsOk());
  EXPECT_EQ(run.solved, plain.solved);
  EXPECT_NE(run.out, plain.out);
  EXPECT_EQ(run.report.size.total_bytes(), plain.report.size.total_bytes());
  ASSERT_EQ(run.packed.routing.size(), 2u);
  for (int l = 0; l < 4; ++l) {
    const auto policy = run.packed.routing.find(l);
    int64_t dropped = 0;
    for (const float w : run.weights[l]) dropped += w == 0;
    const LinearReport& router = run.Report(absl::StrCat("L", l, ".router"));
    if (policy == run.packed.routing.end()) {
      EXPECT_EQ(dropped, 0);
      EXPECT_FALSE(router.has_note());
      continue;
    }
    EXPECT_GT(policy->second.drop->ratio, 0);
    EXPECT_LT(policy->second.drop->ratio, 1);
    // About half of the tokens by the median, less the protected 4 of 48.
    EXPECT_GT(dropped, 8);
    EXPECT_LT(dropped, 40);
    EXPECT_THAT(router.note(), StartsWith("tokens drop experts below 0."));
  }
  EXPECT_EQ(run.FromFile(JoinPath(::testing::TempDir(), "odp.safetensors")), run.out);
}

TEST(OnlinePruning, GivesTheSameWithAnyThreadsAndFromTheCache) {
  const std::string folder = JoinPath(::testing::TempDir(), "online_pruning_cache");
  const std::string recipe = RecipeWith("online_pruning {}");
  const WalkRun once(SixteenExperts(), recipe, FourBits(), 1);
  const WalkRun cold(SixteenExperts(), recipe, FourBits(), 3, folder);
  const WalkRun warm(SixteenExperts(), recipe, FourBits(), 2, folder);
  ASSERT_THAT(warm.status, IsOk());
  EXPECT_EQ(cold.out, once.out);
  EXPECT_EQ(warm.out, once.out);
  for (const StageRun& stage : warm.report.stages) EXPECT_TRUE(stage.from_cache()) << stage.stage();
  EXPECT_TRUE(std::any_of(warm.report.stages.begin(), warm.report.stages.end(),
                          [](const StageRun& stage) { return stage.stage() == "dropping/L3"; }));
}

TEST(OnlinePruning, NeedsCalibration) {
  const WalkRun run(SixteenExperts(),
                    "calibration { none {} } allocate { uniform {} } solve { nearest {} } router { keep {} } "
                    "activation { dynamic {} } online_pruning {}",
                    FourBits());
  EXPECT_THAT(run.status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("online_pruning needs calibration")));
}

}  // namespace
}  // namespace eaq
