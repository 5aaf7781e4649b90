// The stages through their registries, and a stage from outside the tree (its options: a message that recipe.proto
// does not know).
#include <google/protobuf/any.pb.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/wrappers.pb.h>

#include "eaq/base/status_matchers.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/ratio_search.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Recipe Parse(const std::string& text) {
  Recipe recipe;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &recipe)) << text;
  return recipe;
}

Matrix Weight() {
  Matrix w(2, 4);
  for (int64_t i = 0; i < 8; ++i) w.data()[i] = static_cast<float>(i * i) - 9.0f;
  return w;
}

// A stage nobody in the tree knows: rounds to nearest after multiplying the weights by its option's value.
class ScaledNearest : public SolveSlot {
 public:
  explicit ScaledNearest(double factor) : factor_(static_cast<float>(factor)) {}
  absl::StatusOr<SolvedLinear> Solve(const LinearId&, ConstMatrixView weight, const InputStatistics&,
                                     const GridSpec& grid, const QuantizeOps&) const override {
    Matrix scaled(weight);
    for (int64_t i = 0; i < scaled.size(); ++i) scaled.data()[i] *= factor_;
    auto q = QuantizeNearest(scaled.const_view(), grid);
    if (!q.ok()) return q.status();
    return SolvedLinear{*std::move(q), "scaled"};
  }

 private:
  const float factor_;
};

EAQ_REGISTER_STAGE(SolveSlot, google::protobuf::DoubleValue,
                   [](const google::protobuf::DoubleValue& options) -> absl::StatusOr<std::unique_ptr<SolveSlot>> {
                     return std::make_unique<ScaledNearest>(options.value());
                   });

TEST(Stages, OneFromOutsideIsNamedThroughAny) {
  const Recipe recipe = Parse("solve { external { [type.googleapis.com/google.protobuf.DoubleValue] { value: 2 } } }");
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, MakeStage<SolveSlot>(recipe.solve(), "solve"));
  const GridSpec grid{.bits = 8};
  EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinear solved, stage->Solve({}, Weight().const_view(), {}, grid, CpuOps()));
  EXPECT_EQ(solved.note, "scaled");
  EXPECT_NEAR(Dequantize(solved.weight)(1, 3), 80.0, 0.5);
}

TEST(Stages, NearestIsQuantizeNearest) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, MakeStage<SolveSlot>(Parse("solve { nearest {} }").solve(), "solve"));
  const GridSpec grid{.bits = 3};
  EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinear solved, stage->Solve({}, Weight().const_view(), {}, grid, CpuOps()));
  EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix expected, QuantizeNearest(Weight().const_view(), grid));
  EXPECT_EQ(solved.weight, expected);
  EXPECT_FALSE(stage->needs_second_moments());
}

TEST(Stages, NearestTakesARatioOfTheRange) {
  const GridSpec grid{.bits = 3};
  const auto solve = [&](const std::string& options) -> absl::StatusOr<SolvedLinear> {
    auto stage = MakeStage<SolveSlot>(Parse("solve { nearest { " + options + " } }").solve(), "solve");
    if (!stage.ok()) return stage.status();
    return (*stage)->Solve({}, Weight().const_view(), {}, grid, CpuOps());
  };
  EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinear fixed, solve("fixed_clip_ratio: 0.8"));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto grids, FindRatioGrids(Weight().const_view(), grid, {.fixed = 0.8}));
  EXPECT_EQ(fixed.weight.params, grids);
  EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinear searched, solve("ratio_search { first_ratio: 0.65 }"));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto best, FindRatioGrids(Weight().const_view(), grid, {.search_from = 0.65}));
  EXPECT_EQ(searched.weight.params, best);
  EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinear open, solve("zero_in_range: false"));
  EXPECT_NEAR(open.weight.params[1].scale, 33.0 / 7, 0.01);  // the second row is 7 .. 40
  EXPECT_THAT(solve("fixed_clip_ratio: 0.8 clip {}").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("one way")));
  EXPECT_THAT(solve("fixed_clip_ratio: 1.2").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ratio of weights is 1.2")));
}

TEST(Stages, ClipRatioReachesQueriesAndKeysButNotValues) {
  EAQ_ASSERT_OK_AND_ASSIGN(
      const auto stage,
      MakeStage<ActivationSlot>(Parse("activation { dynamic { clip_ratio: 0.5 } }").activation(), "activation"));
  EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedAttention operands, stage->MakeOperands({.bits = 4}, 4));
  Matrix q(1, 4), k(1, 4), v(1, 4);
  q(0, 0) = k(0, 0) = v(0, 0) = 3;
  operands.Apply(q.view(), k.view(), v.view());
  EXPECT_FLOAT_EQ(q(0, 0), 1.5);
  EXPECT_FLOAT_EQ(k(0, 0), 1.5);
  EXPECT_FLOAT_EQ(v(0, 0), 3);
}

TEST(Stages, RouterHasClipRatios) {
  EAQ_ASSERT_OK_AND_ASSIGN(
      const auto router,
      MakeStage<RouterSlot>(Parse("router { quantize { fixed_clip_ratio: 0.8 activation_clip_ratio: 0.9 } }").router(),
                            "router"));
  EXPECT_EQ(router->activation_clip_ratio(), 0.9);
  EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinear solved, router->Solve({}, {}, Weight().const_view()));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto grids, FindRatioGrids(Weight().const_view(), {.bits = 8}, {.fixed = 0.8}));
  EXPECT_EQ(solved.weight.params, grids);
  EXPECT_THAT(
      MakeStage<RouterSlot>(Parse("router { quantize { activation_clip_ratio: 0 } }").router(), "router").status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("activation_clip_ratio is 0")));
}

TEST(Stages, EmptySlotAndUnknownMessageAreNamed) {
  EXPECT_THAT(MakeStage<SolveSlot>(SolveStage(), "solve"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("slot solve: no stage is named")));
  SolveStage unknown;
  unknown.mutable_external()->set_type_url("type.googleapis.com/nobody.Knows");
  EXPECT_THAT(MakeStage<SolveSlot>(unknown, "solve"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nobody.Knows")));
  SolveStage wrong_slot;
  wrong_slot.mutable_external()->PackFrom(UniformBits());
  EXPECT_THAT(MakeStage<SolveSlot>(wrong_slot, "solve"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("eaq.UniformBits; linked in: eaq.Gptq, eaq.Nearest")));
}

TEST(Stages, BadOptionsAreRefused) {
  EXPECT_THAT(MakeStage<SolveSlot>(Parse("solve { gptq { damping: -1 } }").solve(), "solve"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("damping")));
  EXPECT_THAT(
      MakeStage<CalibrationSlot>(Parse("calibration { balanced { pool_factor: 0 } }").calibration(), "calibration"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("pool_factor is 0")));
}

TEST(Stages, RouterIsKeptOrGetsEightBits) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto keep, MakeStage<RouterSlot>(Parse("router { keep {} }").router(), "router"));
  EXPECT_EQ(keep->weights().bits, 16);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto eight, MakeStage<RouterSlot>(Parse("router { quantize {} }").router(), "router"));
  EXPECT_EQ(eight->weights().bits, 8);
  EXPECT_EQ(eight->activations().bits, 8);
}

TEST(Stages, StaticActivationsWithoutTokensAreDynamic) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage,
                           MakeStage<ActivationSlot>(Parse("activation { static {} }").activation(), "activation"));
  const GridSpec grid{.bits = 4};
  InputStatistics seen;
  seen.tokens = 5;
  seen.range = {.min = -1, .max = 3};
  EAQ_ASSERT_OK_AND_ASSIGN(const ActivationQuantizer fixed, stage->Make({}, seen, grid));
  EXPECT_TRUE(fixed.is_static());
  EAQ_ASSERT_OK_AND_ASSIGN(const ActivationQuantizer idle, stage->Make({}, {}, grid));
  EXPECT_FALSE(idle.is_static());
  EXPECT_FALSE(idle.identity());
}

TEST(Stages, BalancedTakesWhatLittleUsedExpertsNeed) {
  EAQ_ASSERT_OK_AND_ASSIGN(
      const auto stage, MakeStage<CalibrationSlot>(Parse("calibration { balanced {} }").calibration(), "calibration"));
  EXPECT_EQ(stage->pool_factor(), 4);
  const std::vector<CalibrationWindow> candidates(5);
  // Only candidates 2 and 4 reach the second and third expert.
  const std::vector<ExpertCounts> use = {{12, 0, 0}, {12, 0, 0}, {6, 6, 0}, {12, 0, 0}, {6, 0, 6}};
  EXPECT_THAT(stage->Choose(candidates, use, 2), IsOkAndHolds(ElementsAre(2, 4)));
  EXPECT_THAT(stage->Choose(candidates, use, 6),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("6 calibration")));
  EXPECT_THAT(stage->Choose(candidates, {}, 2), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("counts of 0")));
}

TEST(Stages, RandomTakesTheFirstOfTheDrawnAndNoneTakesNothing) {
  const std::vector<CalibrationWindow> candidates(3);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto random,
                           MakeStage<CalibrationSlot>(Parse("calibration { random {} }").calibration(), "calibration"));
  EXPECT_THAT(random->Choose(candidates, {}, 2), IsOkAndHolds(ElementsAre(0, 1)));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto none,
                           MakeStage<CalibrationSlot>(Parse("calibration { none {} }").calibration(), "calibration"));
  EXPECT_FALSE(none->uses_data());
}

}  // namespace
}  // namespace eaq
