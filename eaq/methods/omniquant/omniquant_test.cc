// OmniQuant's stages through their registries: functions kept, errors lowered, what no token reached left alone.
#include <cmath>

#include "eaq/base/status_matchers.h"
#include "eaq/methods/block_training/testing.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

constexpr char kW4A4[] = "weights { bits: 4 } activations { bits: 4 }";
constexpr char kW2G8[] = "weights { bits: 2 granularity: GROUP group_size: 8 }";

absl::StatusOr<SolvedLinears> SolveAll(const LayerFixture& f) {
  return SolveLayer(f.Context(), f.params, f.slots, f.Plan());
}

TEST(OmniQuant, ClippingByFactorOneIsRoundingToNearest) {
  for (const TestFamily& family : TestFamilies()) {
    const LayerFixture f(family.config, family.layer, "solve { omniquant { init: 40 rate: 0 epochs: 1 } }", kW2G8);
    EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinears solved, SolveAll(f));
    for (const auto& [id, linear] : f.Nearest())
      EXPECT_EQ(solved.at(id).weight, linear.weight) << family.name << ' ' << id.ToString();
  }
}

TEST(OmniQuant, LearnedClippingLowersTheErrorOfTheRuntimesLayer) {
  for (const TestFamily& family : TestFamilies()) {
    const LayerFixture f(family.config, family.layer, "solve { omniquant { epochs: 20 rate: 0.05 } }", kW2G8);
    EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinears solved, SolveAll(f));
    EXPECT_LT(f.RuntimeError(solved), 0.9 * f.RuntimeError(f.Nearest())) << family.name;
  }
}

TEST(OmniQuant, AHarmfulRateKeepsRoundingToNearest) {
  const LayerFixture f(TinyConfig(), 1, "solve { omniquant { epochs: 3 init: -8 rate: 0 } }", "weights { bits: 4 }");
  EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinears solved, SolveAll(f));
  for (const auto& [id, linear] : f.Nearest()) EXPECT_EQ(solved.at(id).weight, linear.weight) << id.ToString();
  EXPECT_THAT(solved.begin()->second.note, HasSubstr("rounding to nearest, which was kept"));
}

TEST(OmniQuant, ExpertsWithoutTokensAreRoundedToNearest) {
  LayerFixture f(TinyConfig(), 1, "solve { omniquant { epochs: 10 rate: 0.05 } }", kW2G8);
  Matrix& router = f.params.linears.at({1, Role::kRouter}).weight;
  for (int64_t i = 0; i < router.size(); ++i) router.data()[i] = 0.0f;  // ties go to the first experts
  f.Profile();
  EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinears solved, SolveAll(f));
  const SolvedLinears nearest = f.Nearest();
  for (const Role role : {Role::kGate, Role::kUp, Role::kDown}) {
    EXPECT_NE(solved.at({1, role, 0}).weight, nearest.at({1, role, 0}).weight);
    EXPECT_EQ(solved.at({1, role, 6}).weight, nearest.at({1, role, 6}).weight);
    EXPECT_THAT(solved.at({1, role, 6}).note, HasSubstr("no calibration token"));
  }
}

TEST(OmniQuantLet, KeepsTheFunctionAndLowersTheErrorOfRoundingToNearest) {
  for (const TestFamily& family : TestFamilies()) {
    for (const char* operands : {"", " attention_operands { bits: 4 }"}) {
      LayerFixture f(family.config, family.layer,
                     "transform { omniquant_let { epochs: 8 rate: 0.01 } } router { quantize {} }",
                     std::string(kW4A4) + operands);
      const double before = f.RuntimeError(f.Nearest());
      const LayerParams original = f.params;
      ASSERT_THAT(f.slots.transform[0]->Apply(f.Context(), f.params), IsOk());
      EXPECT_NE(f.params.post_norm, original.post_norm);
      Matrix a = f.full_hidden[0], b = a;
      (*BuildLayer(f.config, original))->Forward(a.view());
      (*BuildLayer(f.config, f.params))->Forward(b.view());
      for (int64_t i = 0; i < a.size(); ++i)
        ASSERT_NEAR(b.data()[i], a.data()[i], 1e-4 * (1 + std::fabs(a.data()[i]))) << family.name;
      f.Profile();
      EXPECT_LT(f.RuntimeError(f.Nearest()), before) << family.name << operands;
    }
  }
}

TEST(OmniQuantLet, SameResultForAnyNumberOfThreads) {
  std::vector<LayerParams> results;
  for (const int threads : {1, 3}) {
    LayerFixture f(TinyConfig(), 1, "transform { omniquant_let { epochs: 2 batch: 3 } }", kW4A4, 6, threads);
    ASSERT_THAT(f.slots.transform[0]->Apply(f.Context(), f.params), IsOk());
    results.push_back(f.params);
  }
  EXPECT_EQ(results[0].post_norm, results[1].post_norm);
  EXPECT_EQ(results[0].linears.at({1, Role::kUp, 2}).weight, results[1].linears.at({1, Role::kUp, 2}).weight);
}

TEST(OmniQuantLet, RefusesWhatItCannotKeep) {
  LayerFixture f(TinyConfig(), 1, "transform { omniquant_let {} } activation { static {} }", kW4A4);
  EXPECT_THAT(f.slots.transform[0]->Apply(f.Context(), f.params),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected dynamic activations")));
  LayerFixture g(TinyConfig(), 1, "transform { omniquant_let {} }", kW4A4);
  OnlineTransform turn;
  turn.steps.push_back(OnlineStep::Hadamard(8));
  g.params.linears.at({1, Role::kO}).online = std::make_shared<const OnlineTransform>(turn);
  EXPECT_THAT(g.slots.transform[0]->Apply(g.Context(), g.params),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("omniquant_let after a transform that leaves L1.o run-time work")));
}

TEST(OmniQuant, NanIsAnErrorThatSaysWhere) {
  LayerFixture f(TinyConfig(), 1, "solve { omniquant { epochs: 1 } } transform { omniquant_let { epochs: 1 } }", kW4A4);
  f.full_hidden[2](0, 0) = std::nanf("");
  EXPECT_THAT(SolveAll(f).status(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("layer 1")));
  EXPECT_THAT(f.slots.transform[0]->Apply(f.Context(), f.params),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("learning rates")));
}

TEST(OmniQuant, OptionsAreChecked) {
  SolveStage solve;
  solve.mutable_omniquant()->set_rate(std::nan(""));
  EXPECT_THAT(MakeStage<SolveSlot>(solve, "solve").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("rate of clipping is nan")));
  TransformStage let;
  let.mutable_omniquant_let()->set_alpha(1.5);
  EXPECT_THAT(MakeStage<TransformSlot>(let, "transform").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("alpha is 1.5")));
  let.mutable_omniquant_let()->set_alpha(0.5);
  let.mutable_omniquant_let()->set_epochs(-1);
  EXPECT_THAT(MakeStage<TransformSlot>(let, "transform").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("epochs is -1")));
}

}  // namespace
}  // namespace eaq
