// DuQuant through its registry: the function stays, rotations are shared as the paper says, samples are what they say.
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/methods/duquant/rotation.h"
#include "eaq/methods/duquant/samples.h"
#include "eaq/methods/transform_testing.h"
#include "eaq/model/model.h"
#include "eaq/model/synthetic.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/calibration_sample.h"
#include "eaq/recipe/layer_inputs.h"
#include "eaq/recipe/stage.h"

namespace eaq::duquant {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::unique_ptr<TransformSlot>> Stage(const std::string& options) {
  TransformStage slot;
  slot.mutable_duquant()->set_max_rotation_steps(8);
  google::protobuf::TextFormat::Parser parser;
  EXPECT_TRUE(parser.MergeFromString("duquant { " + options + " }", &slot));
  return MakeStage<TransformSlot>(slot, "transform");
}

class EightBitRouter : public RouterSlot {
 public:
  explicit EightBitRouter(int bits) : grid_{.bits = bits} {}
  GridSpec weights() const override { return grid_; }
  GridSpec activations() const override { return grid_; }

 private:
  GridSpec grid_;
};

struct Bench : TransformBench {
  explicit Bench(const ModelConfig& c, int windows = 3, int tokens = 24, int threads = 1)
      : TransformBench(c, windows, tokens, threads) {
    scheme.operands = GridSpec{.bits = 4};
  }
  LayerContext Context() {
    LayerContext context = TransformBench::Context();
    context.router = &router;
    context.seed = 7;
    return context;
  }
  EightBitRouter router{8};
};

TEST(DuQuantStage, KeepsTheFunction) {
  for (const ModelConfig& config : {TinyConfig(), DenseConfig(), SharedConfig(), GroupedConfig(), ClippedConfig()}) {
    Bench bench(config);
    for (const char* options :
         {"", "pick: ROW", "smooth: false", "moe_smoothing: SMOOTHQUANT alpha: 0.5", "permutations: 0 block_size: 4",
          "permutations: 2 sample { kind: TOKENS max_rows: 20 }", "expert_token_ratio: 2",
          "expert_token_ratio: 4 balance_source: LAYER_OUTPUT sample { kind: TOKENS }", "qk_hadamard: 2"}) {
      EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Stage(options));
      LayerParams edited = bench.params;
      ASSERT_THAT(stage->Apply(bench.Context(), edited), IsOk()) << options;
      EXPECT_NE(edited.linears.at({0, Role::kQ}).online, nullptr);
      EXPECT_NE(edited.qk_hadamard, 0);
      EXPECT_LT(Difference(config, bench.params, edited, bench.hidden), 2e-5) << options;
    }
  }
}

// The rotations of a layer in float64: x T (W T^-T)^T = x W^T although R is rounded to float16.
TEST(DuQuantStage, KeepsTheFunctionInFloat64) {
  Bench bench(TinyConfig());
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Stage("smooth: false max_rotation_steps: 200"));
  LayerParams edited = bench.params;
  ASSERT_THAT(stage->Apply(bench.Context(), edited), IsOk());
  Rng rng(1, "rows");
  for (const auto& [id, linear] : edited.linears) {
    ASSERT_NE(linear.online, nullptr) << id.ToString();
    ASSERT_THAT(linear.online->Validate(linear.weight.cols()), IsOk());
    const Matrix& weight = bench.params.linears.at(id).weight;
    const int64_t width = weight.cols();
    std::vector<double> w(weight.data(), weight.data() + weight.size()), x(3 * width);
    for (double& value : x) value = rng.Normal();
    std::vector<double> rotated_w = w, rotated_x = x;
    linear.online->FoldIntoWeight(rotated_w.data(), weight.rows(), width);
    linear.online->ApplyToInput(rotated_x.data(), 3, width);
    for (int64_t i = 0; i < 3; ++i) {
      for (int64_t o = 0; o < weight.rows(); ++o) {
        double before = 0, after = 0, size = 0;
        for (int64_t c = 0; c < width; ++c) {
          before += x[i * width + c] * w[o * width + c];
          after += rotated_x[i * width + c] * rotated_w[o * width + c];
          size += std::fabs(x[i * width + c] * w[o * width + c]);
        }
        EXPECT_NEAR(after, before, 1e-10 * size);
      }
    }
  }
}

TEST(DuQuantStage, SharersShareAndOthersDoNot) {
  Bench bench(SharedConfig());
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Stage(""));
  LayerParams edited = bench.params;
  ASSERT_THAT(stage->Apply(bench.Context(), edited), IsOk());
  const auto online = [&](Role role, int expert = -1) { return edited.linears.at({0, role, expert}).online.get(); };
  EXPECT_EQ(online(Role::kQ), online(Role::kK));
  EXPECT_EQ(online(Role::kQ), online(Role::kV));
  EXPECT_EQ(online(Role::kGate, 2), online(Role::kUp, 2));
  EXPECT_EQ(online(Role::kSharedGate), online(Role::kSharedUp));
  EXPECT_EQ(online(Role::kRouter), online(Role::kSharedExpertGate));
  std::set<const OnlineTransform*> different = {online(Role::kQ), online(Role::kO), online(Role::kRouter),
                                                online(Role::kSharedGate), online(Role::kSharedDown)};
  for (int e = 0; e < 8; ++e) {
    different.insert(online(Role::kGate, e));
    different.insert(online(Role::kDown, e));
  }
  EXPECT_EQ(different.size(), 5 + 16);
  EXPECT_EQ(online(Role::kQ)->ToString(), "rotate 32, permute, rotate 32");
  EXPECT_EQ(online(Role::kDown, 0)->ToString(), "rotate 8, permute, rotate 8");  // 24 = 3 * 8
}

TEST(DuQuantStage, FlattensWhatItReads) {
  Bench bench(TinyConfig());
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Stage("smooth: false max_rotation_steps: 64"));
  LayerParams edited = bench.params;
  ASSERT_THAT(stage->Apply(bench.Context(), edited), IsOk());
  const auto after = *BuildLayer(bench.config, edited);
  const LayerProfile profile = *ProfileLayer(*after, bench.hidden, ProfileOptions{.second_moments = false}, bench.pool);
  const LinearId q{0, Role::kQ};
  const Range was = bench.profile.Of(q).range, is = profile.Of(q).range;
  EXPECT_LT(is.max - is.min, 0.8 * (was.max - was.min));
}

TEST(DuQuantStage, SmoothsByItsOwnRule) {
  Bench bench(DenseConfig());
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Stage("alpha: 0.6"));
  LayerParams edited = bench.params;
  ASSERT_THAT(stage->Apply(bench.Context(), edited), IsOk());
  const auto column = [&](Role role, int64_t j) {
    const Matrix& w = bench.params.linears.at({0, role}).weight;
    float largest = 0;
    for (int64_t r = 0; r < w.rows(); ++r) largest = std::max(largest, std::fabs(w(r, j)));
    return largest;
  };
  for (int64_t j = 0; j < bench.config.hidden_size; ++j) {
    const auto scale = [&](Role role) {  // of q or up alone, not of their sharers
      return std::max(1e-2, std::pow(bench.profile.Of({0, role}).abs_max[j], 0.6) / std::pow(column(role, j), 0.4));
    };
    EXPECT_NEAR(bench.params.input_norm[j] / edited.input_norm[j], scale(Role::kQ), 1e-4 * scale(Role::kQ));
    EXPECT_NEAR(bench.params.post_norm[j] / edited.post_norm[j], scale(Role::kUp), 1e-4 * scale(Role::kUp));
  }
  // up -> down and v -> o: rows of up are divided, columns of up (its own input) multiplied.
  const Matrix &up = bench.params.linears.at({0, Role::kUp}).weight, &now = edited.linears.at({0, Role::kUp}).weight;
  double before = 0, after = 0;  // rotations keep a row's length: undo the columns, compare the lengths
  for (int64_t j = 0; j < up.cols(); ++j) {
    const double s = bench.params.post_norm[j] / edited.post_norm[j];
    before += std::pow(up(7, j) * s, 2);
    after += std::pow(now(7, j), 2);
  }
  const double expected =
      std::pow(bench.profile.Of({0, Role::kDown}).abs_max[7], 0.6) / std::pow(column(Role::kDown, 7), 0.4);
  EXPECT_NEAR(std::sqrt(before / after), std::max(1e-2, expected), 2e-3 * expected);
}

TEST(DuQuantStage, AMixtureIsSmoothedOnlyWhenAsked) {
  Bench bench(TinyConfig());
  EAQ_ASSERT_OK_AND_ASSIGN(const auto plain, Stage(""));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto smooth, Stage("moe_smoothing: SMOOTHQUANT"));
  LayerParams a = bench.params, b = bench.params;
  ASSERT_THAT(plain->Apply(bench.Context(), a), IsOk());
  ASSERT_THAT(smooth->Apply(bench.Context(), b), IsOk());
  EXPECT_EQ(a.post_norm, bench.params.post_norm);
  EXPECT_NE(b.post_norm, bench.params.post_norm);
  EXPECT_NE(a.input_norm, bench.params.input_norm);
}

TEST(DuQuantStage, ExpertsWithoutTokens) {
  for (const char* options : {"", "sample { kind: TOKENS }", "expert_token_ratio: 2", "moe_smoothing: SMOOTHQUANT"}) {
    Bench bench(TinyConfig(), 1, 1);  // one token: 2 of 8 experts
    EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Stage(options));
    LayerParams edited = bench.params;
    ASSERT_THAT(stage->Apply(bench.Context(), edited), IsOk());
    const Bench other(TinyConfig(), 4, 30);  // tokens that reach the others
    EXPECT_LT(Difference(bench.config, bench.params, edited, other.hidden), 2e-5);
    for (int e = 0; e < 8; ++e) EXPECT_NE(edited.linears.at({0, Role::kDown, e}).online, nullptr);
  }
}

TEST(DuQuantStage, RotatesOnlyWhatIsQuantized) {
  Bench bench(TinyConfig());
  bench.router = EightBitRouter(16);
  bench.scheme.attention = false;
  bench.scheme.operands = GridSpec();
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Stage(""));
  LayerParams edited = bench.params;
  ASSERT_THAT(stage->Apply(bench.Context(), edited), IsOk());
  EXPECT_EQ(edited.linears.at({0, Role::kRouter}).online, nullptr);
  EXPECT_EQ(edited.linears.at({0, Role::kQ}).online, nullptr);
  EXPECT_EQ(edited.qk_hadamard, 0);
  EXPECT_NE(edited.linears.at({0, Role::kGate, 0}).online, nullptr);
}

TEST(DuQuantStage, ThreadsDoNotMatterAndSeedsDo) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Stage("expert_token_ratio: 1"));
  const auto weights = [&](int threads, uint64_t seed) {
    Bench bench(TinyConfig(), 3, 24, threads);
    LayerContext context = bench.Context();
    context.seed = seed;
    LayerParams edited = bench.params;
    EXPECT_THAT(stage->Apply(context, edited), IsOk());
    return edited.linears.at({0, Role::kDown, 3}).weight;
  };
  EXPECT_EQ(weights(1, 7), weights(3, 7));
  EXPECT_NE(weights(1, 7), weights(1, 8));
}

TEST(DuQuantStage, ErrorsSayWhat) {
  Bench bench(TinyConfig());
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Stage("smooth: false"));
  LayerParams edited = bench.params;
  bench.hidden[1](2, 3) = std::nanf("");
  EXPECT_THAT(stage->Apply(bench.Context(), edited),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("L0.q holds NaN")));
  bench.hidden.clear();
  EXPECT_THAT(stage->Apply(bench.Context(), edited),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no calibration window")));
  EXPECT_THAT(Stage("block_size: 48").status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is 48")));
  EXPECT_THAT(Stage("alpha: nan").status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("alpha is nan")));
  EXPECT_THAT(Stage("expert_token_ratio: -1").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expert_token_ratio is -1")));
  Bench again(TinyConfig());
  EAQ_ASSERT_OK_AND_ASSIGN(const auto wide, Stage("qk_hadamard: 64"));
  edited = again.params;
  EXPECT_THAT(wide->Apply(again.Context(), edited),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("does not divide the 8 channels")));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto twice, Stage(""));
  edited = again.params;
  ASSERT_THAT(twice->Apply(again.Context(), edited), IsOk());
  EXPECT_THAT(twice->Apply(again.Context(), edited),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected it before that transform")));
}

TEST(DuQuantStage, ComesAfterAnotherOnlineTransform) {
  for (const ModelConfig& config : {TinyConfig(), GroupedConfig()}) {
    Bench bench(config);
    EAQ_ASSERT_OK_AND_ASSIGN(const auto first, Stage("block_size: 4 permutations: 0"));
    EAQ_ASSERT_OK_AND_ASSIGN(const auto second, Stage("smooth: false"));
    LayerParams edited = bench.params;
    ASSERT_THAT(first->Apply(bench.Context(), edited), IsOk());
    ASSERT_THAT(second->Apply(bench.Context(), edited), IsOk());
    EXPECT_LT(Difference(config, bench.params, edited, bench.hidden), 3e-5);
    EXPECT_EQ(edited.linears.at({0, Role::kDown, 1}).online->ToString(), "rotate 4, rotate 8, permute, rotate 8");
  }
}

// ---- samples ----

TEST(DuQuantSamples, BudgetIsTheReleasedCodes) {
  ModelConfig olmoe;
  olmoe.num_experts = 64;
  olmoe.experts_per_token = 8;
  EXPECT_EQ(ExpertBudget(olmoe, 4096, 2.0), 1024);
  olmoe.num_experts = 7;
  olmoe.experts_per_token = 2;
  EXPECT_EQ(ExpertBudget(olmoe, 10, 1), 2);
  EXPECT_EQ(ExpertBudget(olmoe, 1, 0.1), 1);
}

TEST(DuQuantSamples, AreTheRowsTheySayTheyAre) {
  Bench bench(TinyConfig(), 20, 24);
  const auto layer = *BuildLayer(bench.config, bench.params);
  std::vector<Matrix> all = {AveragedWindow(bench.hidden)};
  const std::vector<LinearId> ids = {
      {0, Role::kQ}, {0, Role::kGate, 1}, {0, Role::kGate, 5}, {0, Role::kDown, 1}, {0, Role::kDown, 5}};
  const auto mean = CollectInputs(*layer, all, ids, CpuOps(), bench.pool).value();
  std::vector<Matrix> outputs = all;
  for (const Matrix& window : bench.hidden) {
    all.push_back(window);
    layer->Forward(outputs.emplace_back(window).view());
  }
  const auto inputs = CollectInputs(*layer, all, ids, CpuOps(), bench.pool).value();
  const auto released = CollectInputs(*layer, outputs, ids, CpuOps(), bench.pool).value();
  const auto prefix = [](const Matrix& x, const Matrix& of) {
    return x.rows() <= of.rows() && std::equal(x.data(), x.data() + x.size(), of.data());
  };

  EAQ_ASSERT_OK_AND_ASSIGN(const auto none, LayerSamples(bench.Context(), bench.params, {}));
  for (const LinearId& id : ids) {
    if (mean.at(id).rows() == 0) continue;
    EXPECT_EQ(none.at(id), mean.at(id)) << id.ToString();
  }
  for (const bool output : {false, true}) {
    EAQ_ASSERT_OK_AND_ASSIGN(
        const auto some, LayerSamples(bench.Context(), bench.params,
                                      {.expert_token_ratio = 4, .balance_on_outputs = output}));  // 2/8 * 24 * 4 = 24
    EXPECT_EQ(some.at(ids[0]), mean.at(ids[0]));
    for (size_t i = 1; i < ids.size(); ++i) {
      const Matrix& from = (output ? released : inputs).at(ids[i]);
      EXPECT_EQ(some.at(ids[i]).rows(), std::min<int64_t>(24, from.rows()));
      EXPECT_TRUE(prefix(some.at(ids[i]), from)) << ids[i].ToString() << output;
    }
  }
  SampleOptions tokens;
  tokens.sample = {.averaged = false, .max_rows = 50};
  EAQ_ASSERT_OK_AND_ASSIGN(const auto real, LayerSamples(bench.Context(), bench.params, tokens));
  const auto every = CollectInputs(*layer, bench.hidden, ids, CpuOps(), bench.pool).value();
  for (const LinearId& id : ids) EXPECT_EQ(real.at(id), SampleRows(tokens.sample, every.at(id)));
  tokens.expert_token_ratio = 4;
  EAQ_ASSERT_OK_AND_ASSIGN(const auto balanced, LayerSamples(bench.Context(), bench.params, tokens));
  EXPECT_TRUE(prefix(balanced.at(ids[1]), every.at(ids[1])));
  EXPECT_EQ(balanced.at(ids[0]).rows(), 50);
}

TEST(DuQuantSamples, AnExpertWithoutTokensHasTheRouters) {
  Bench bench(TinyConfig(), 1, 1);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto samples, LayerSamples(bench.Context(), bench.params, {}));
  int without = 0;
  for (int e = 0; e < 8; ++e) {
    if (bench.profile.Of({0, Role::kGate, e}).tokens > 0) continue;
    ++without;
    EXPECT_EQ(samples.at({0, Role::kGate, e}), samples.at({0, Role::kRouter}));
    // down: silu(gate) up by hand for channel 3.
    const Matrix& x = samples.at({0, Role::kRouter});
    double gate = 0, up = 0;
    for (int64_t c = 0; c < x.cols(); ++c) {
      gate += double{x(0, c)} * bench.params.linears.at({0, Role::kGate, e}).weight(3, c);
      up += double{x(0, c)} * bench.params.linears.at({0, Role::kUp, e}).weight(3, c);
    }
    EXPECT_NEAR(samples.at({0, Role::kDown, e})(0, 3), gate / (1 + std::exp(-gate)) * up, 1e-5);
  }
  EXPECT_EQ(without, 6);
}

}  // namespace
}  // namespace eaq::duquant
