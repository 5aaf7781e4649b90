// EAQuant's stages through their registries: the function stays, and the numbers are the formulas'.
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/methods/eaquant/alignment.h"
#include "eaq/methods/eaquant/expert_statistics.h"
#include "eaq/methods/eaquant/outliers.h"
#include "eaq/methods/transform_testing.h"
#include "eaq/model/model.h"
#include "eaq/model/synthetic.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/activation_quant.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/recipe/calibration_sample.h"
#include "eaq/recipe/layer_inputs.h"
#include "eaq/recipe/stage.h"

namespace eaq::eaquant {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::unique_ptr<TransformSlot>> Smoothing(const std::string& options) {
  TransformStage slot;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString("eaquant_smoothing { " + options + " }", &slot));
  return MakeStage<TransformSlot>(slot, "transform");
}
absl::StatusOr<std::unique_ptr<RouterSlot>> Router(const std::string& options) {
  RouterStage slot;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString("aligned { " + options + " }", &slot));
  return MakeStage<RouterSlot>(slot, "router");
}

struct Bench : TransformBench {
  using TransformBench::TransformBench;
  // S(F, amax) in float64.
  double Scale(const LinearId& reader, const std::vector<LinearId>& family, int64_t j, double alpha = 0.6) const {
    double w = 1e-5;
    for (const LinearId& id : family) {
      const Matrix& m = params.linears.at(id).weight;
      for (int64_t r = 0; r < m.rows(); ++r) w = std::max<double>(w, std::fabs(m(r, j)));
    }
    return std::pow(std::max<double>(profile.Of(reader).abs_max[j], 1e-5), alpha) / std::pow(w, 1 - alpha);
  }
};

TEST(EaquantSmoothingStage, KeepsTheFunction) {
  for (const ModelConfig& config : {TinyConfig(), DenseConfig(), SharedConfig(), GroupedConfig()}) {
    Bench bench(config);
    for (int operation = 0; operation < EaquantSmoothing::Aggregation_ARRAYSIZE; ++operation) {
      for (const char* options : {"", "with_router: false outlier_ratio: 0.5 outlier_rate: 1",
                                  "grouped_value_output: true alpha: 0.3", "value_output: false up_down: false"}) {
        const std::string name = EaquantSmoothing::Aggregation_Name(operation);
        EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Smoothing("aggregation: " + name + " " + options));
        LayerParams edited = bench.params;
        ASSERT_THAT(stage->Apply(bench.Context(), edited), IsOk());
        EXPECT_NE(edited.post_norm, bench.params.post_norm);
        EXPECT_LT(Difference(config, bench.params, edited, bench.hidden), 2e-5) << name << " " << options;
      }
    }
  }
}

TEST(EaquantSmoothingStage, TheMaximumIsOverExpertsAndTheRouter) {
  Bench bench(SharedConfig());
  for (const bool with_router : {true, false}) {
    EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Smoothing(with_router ? "" : "with_router: false"));
    LayerParams edited = bench.params;
    ASSERT_THAT(stage->Apply(bench.Context(), edited), IsOk());
    const LinearId router{0, Role::kRouter}, shared{0, Role::kSharedGate}, shared_up{0, Role::kSharedUp};
    for (int64_t j = 0; j < bench.config.hidden_size; ++j) {
      double s = bench.Scale(shared, {shared, shared_up}, j);
      for (int e = 0; e < 8; ++e) {
        const LinearId gate{0, Role::kGate, e}, up{0, Role::kUp, e};
        if (bench.profile.Of(gate).tokens > 0) s = std::max(s, bench.Scale(gate, {gate, up}, j));
      }
      if (with_router) s = std::max(s, bench.Scale(router, {router}, j));
      EXPECT_NEAR(bench.params.post_norm[j] / edited.post_norm[j], s, 1e-4 * s);
      EXPECT_NEAR(edited.linears.at(router).weight(1, j), bench.params.linears.at(router).weight(1, j) * s, 1e-4 * s);
      const LinearId gate{0, Role::kGate, 4};
      EXPECT_NEAR(edited.linears.at(gate).weight(2, j), bench.params.linears.at(gate).weight(2, j) * s, 1e-4 * s);
      const double qkv = bench.Scale({0, Role::kQ}, {{0, Role::kQ}, {0, Role::kK}, {0, Role::kV}}, j);
      EXPECT_NEAR(bench.params.input_norm[j] / edited.input_norm[j], qkv, 1e-4 * qkv);
    }
  }
}

TEST(EaquantSmoothingStage, ValueOutputAndGroupedQueries) {
  Bench full(TinyConfig()), grouped(GroupedConfig());
  const LinearId o{0, Role::kO};
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Smoothing(""));
  LayerParams edited = full.params;
  ASSERT_THAT(stage->Apply(full.Context(), edited), IsOk());
  EXPECT_NEAR(edited.linears.at(o).weight(3, 7), full.params.linears.at(o).weight(3, 7) * full.Scale(o, {o}, 7), 1e-4);
  EXPECT_EQ(edited.linears.at(o).online, nullptr);
  edited = grouped.params;
  ASSERT_THAT(stage->Apply(grouped.Context(), edited), IsOk());
  EXPECT_EQ(edited.linears.at(o).weight, grouped.params.linears.at(o).weight);  // as released: left out
  EAQ_ASSERT_OK_AND_ASSIGN(const auto online, Smoothing("grouped_value_output: true"));
  edited = grouped.params;
  ASSERT_THAT(online->Apply(grouped.Context(), edited), IsOk());
  ASSERT_NE(edited.linears.at(o).online, nullptr);
  EXPECT_EQ(edited.linears.at(o).online->ToString(), "divide");
  EXPECT_NEAR(edited.linears.at(o).online->steps[0].divisors[7], grouped.Scale(o, {o}, 7),
              1e-3 * grouped.Scale(o, {o}, 7));
}

TEST(EaquantSmoothingStage, UpAndDownFollowTheOutlierRule) {
  Bench bench(TinyConfig(), 5, 60);
  // An expert with one loud channel.
  const LinearId up{0, Role::kUp, 2}, down{0, Role::kDown, 2};
  for (int64_t c = 0; c < 32; ++c) bench.params.linears.at(up).weight(9, c) *= 50;
  const auto layer = *BuildLayer(bench.config, bench.params);
  bench.profile = *ProfileLayer(*layer, bench.hidden, ProfileOptions{.second_moments = false}, bench.pool);
  const ExpertStatistics statistics = CollectExpertStatistics(*layer, bench.hidden, bench.pool);
  const auto& extremes = statistics.down.at(down);
  ASSERT_FALSE(extremes.max.empty());
  const std::vector<float> s = OutlierScales(extremes.max, extremes.min, {});
  EXPECT_GT(s[9], 2);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Smoothing(""));
  LayerParams edited = bench.params;
  ASSERT_THAT(stage->Apply(bench.Context(), edited), IsOk());
  for (int64_t j = 0; j < 24; ++j) {
    EXPECT_FLOAT_EQ(edited.linears.at(down).weight(5, j), bench.params.linears.at(down).weight(5, j) * s[j]);
  }
}

TEST(EaquantSmoothingStage, ExtremesAreMovingAveragesOverWindows) {
  Bench bench(SharedConfig(), 4, 6);
  const auto layer = *BuildLayer(bench.config, bench.params);
  const ExpertStatistics statistics = CollectExpertStatistics(*layer, bench.hidden, bench.pool);
  std::vector<LinearId> downs = {{0, Role::kSharedDown}};
  for (int e = 0; e < 8; ++e) downs.push_back({0, Role::kDown, e});
  for (const LinearId& id : downs) {
    double max = 0, min = 0;
    bool seen = false;
    for (const Matrix& window : bench.hidden) {
      const Matrix x =
          CollectInputs(*layer, absl::MakeConstSpan(&window, 1), {id}, CpuOps(), bench.pool).value().at(id);
      if (x.rows() == 0) continue;
      double top = x(0, 3), bottom = x(0, 3);
      for (int64_t r = 0; r < x.rows(); ++r) {
        top = std::max<double>(top, x(r, 3));
        bottom = std::min<double>(bottom, x(r, 3));
      }
      max = seen ? 0.9 * max + 0.1 * top : top;
      min = seen ? 0.9 * min + 0.1 * bottom : bottom;
      seen = true;
    }
    ASSERT_EQ(seen, !statistics.down.at(id).max.empty());
    if (!seen) continue;
    EXPECT_NEAR(statistics.down.at(id).max[3], max, 1e-12);
    EXPECT_NEAR(statistics.down.at(id).min[3], min, 1e-12);
  }
  double sum = 0;
  for (const double p : statistics.mean_probability) sum += p;
  EXPECT_NEAR(sum, 1, 1e-9);
  ThreadPool three(3);
  EXPECT_EQ(CollectExpertStatistics(*layer, bench.hidden, three).down.at(downs[3]).max,
            statistics.down.at(downs[3]).max);
}

TEST(EaquantSmoothingStage, ExpertsWithoutTokens) {
  for (const char* options : {"", "aggregation: ALL", "aggregation: SUM3", "aggregation: SUM2_1"}) {
    Bench bench(TinyConfig(), 1, 1);  // one token: 2 of 8 experts
    EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Smoothing(options));
    LayerParams edited = bench.params;
    ASSERT_THAT(stage->Apply(bench.Context(), edited), IsOk());
    const Bench other(TinyConfig(), 4, 30);
    EXPECT_LT(Difference(bench.config, bench.params, edited, other.hidden), 2e-5) << options;
  }
}

TEST(EaquantSmoothingStage, ErrorsSayWhat) {
  EXPECT_THAT(Smoothing("alpha: 2").status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("alpha is 2")));
  EXPECT_THAT(Smoothing("outlier_ratio: nan").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("outlier_ratio is nan")));
  Bench bench(GroupedConfig());
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Smoothing("grouped_value_output: true"));
  LayerParams edited = bench.params;
  ASSERT_THAT(stage->Apply(bench.Context(), edited), IsOk());
  EXPECT_THAT(stage->Apply(bench.Context(), edited),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("leaves L0.o run-time work (divide)")));
}

TEST(EaquantRouterStage, SolvesWithWhatTheRouterReads) {
  for (const bool averaged : {true, false}) {
    Bench bench(TinyConfig());
    const std::string sample = averaged ? "" : " sample { kind: TOKENS max_rows: 30 }";
    EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Router("weights { bits: 3 } objective: KL_TOP alpha_top: 0.5" + sample));
    const LinearId id{0, Role::kRouter};
    EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinear solved,
                             stage->Solve(bench.Context(), bench.params, bench.params.linears.at(id).weight.view()));
    const auto layer = *BuildLayer(bench.config, bench.params);
    const SampleSpec spec{.averaged = averaged, .max_rows = 30};
    Matrix rows = SampleRows(
        spec, CollectInputs(*layer, SampleWindows(spec, bench.hidden), {id}, CpuOps(), bench.pool).value().at(id));
    (*ActivationQuantizer::Dynamic({.bits = 8}, 0.9)).Apply(rows.view());
    const AlignmentOptions options{.objective = AlignedRouter::KL_TOP, .top = 5};  // 2 + floor(0.5 * 6)
    EAQ_ASSERT_OK_AND_ASSIGN(const RouterAlignment expected,
                             AlignRouter(bench.params.linears.at(id).weight.view(), rows, {.bits = 3}, options));
    EXPECT_EQ(solved.weight.params, expected.grids);
    EXPECT_THAT(solved.note, HasSubstr("clip ratio"));
  }
}

TEST(EaquantRouterStage, DefaultsAndErrors) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Router(""));
  EXPECT_EQ(stage->weights().bits, 8);
  EXPECT_EQ(stage->activations().bits, 8);
  EXPECT_EQ(stage->activation_clip_ratio(), 0.9);
  EXPECT_TRUE(stage->needs_hidden());
  const auto expect = [](const char* options, const char* text) {
    EXPECT_THAT(Router(options).status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  };
  expect("weights { bits: 16 }", "aligned.weights is not quantized");
  expect("weights { bits: 8 granularity: GROUP group_size: 8 }", "per channel");
  expect("alpha_top: 1.5", "alpha_top is 1.5");
  expect("top: -2", "top is -2");
  expect("objective: KL_TOP top: 0", "KL over nothing");
  expect("first_ratio: 0", "first_ratio is 0");
  expect("activation_clip_ratio: 0", "clip ratio");
  Bench bench(TinyConfig());
  EAQ_ASSERT_OK_AND_ASSIGN(const auto all, Router("top: 9"));
  EXPECT_THAT(
      all->Solve(bench.Context(), bench.params, bench.params.linears.at({0, Role::kRouter}).weight.view()).status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("top set of 9")));
}

}  // namespace
}  // namespace eaq::eaquant
