// SignRound through its registry: one step is rounding to nearest, more are better, and what no token reached stays.
#include <cmath>

#include "eaq/base/status_matchers.h"
#include "eaq/methods/block_training/testing.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

std::string Solve(const std::string& options) { return "solve { signround { " + options + " } }"; }

absl::StatusOr<SolvedLinears> SolveAll(const LayerFixture& f) {
  return SolveLayer(f.Context(), f.params, f.slots, f.Plan());
}

TEST(SignRound, TheFirstStepIsRoundingToNearest) {
  for (const TestFamily& family : TestFamilies()) {
    for (const char* objective : {"LAYER", "LINEAR"}) {
      const LayerFixture f(family.config, family.layer, Solve(std::string("iterations: 1 objective: ") + objective),
                           "weights { bits: 3 }");
      EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinears solved, SolveAll(f));
      const SolvedLinears nearest = f.Nearest();
      ASSERT_EQ(solved.size(), nearest.size());
      for (const auto& [id, linear] : nearest)
        EXPECT_EQ(solved.at(id).weight, linear.weight) << family.name << ' ' << id.ToString();
    }
  }
}

TEST(SignRound, LowersTheErrorOfTheRuntimesLayer) {
  for (const TestFamily& family : TestFamilies()) {
    for (const char* scheme : {"weights { bits: 2 granularity: GROUP group_size: 8 kind: SYMMETRIC_FULL_RANGE }",
                               "weights { bits: 3 } activations { bits: 6 } attention_operands { bits: 8 }"}) {
      const LayerFixture f(family.config, family.layer,
                           Solve("iterations: 60 batch: 6 best: RELATIVE") + " router { quantize {} }", scheme);
      EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinears solved, SolveAll(f));
      const double before = f.RuntimeError(f.Nearest()), after = f.RuntimeError(solved);
      EXPECT_LT(after, 0.8 * before) << family.name << ": " << scheme;
    }
  }
}

TEST(SignRound, ByLinearLowersTheOutputErrorOfEveryLinear) {
  const LayerFixture f(TinyConfig(), 1, Solve("iterations: 100 objective: LINEAR"), "weights { bits: 3 }");
  EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinears solved, SolveAll(f));
  const SolvedLinears nearest = f.Nearest();
  for (const auto& [id, linear] : solved) {
    const Matrix& w = f.params.linears.at(id).weight;
    const Hessian& h = f.profile.Of(id).second_moments;
    const auto error = [&](const QuantizedMatrix& q) {
      const Matrix hat = Dequantize(q);
      double sum = 0;
      for (int64_t r = 0; r < w.rows(); ++r)
        for (int64_t i = 0; i < w.cols(); ++i)
          for (int64_t j = 0; j < w.cols(); ++j)
            sum += (double{hat(r, i)} - w(r, i)) * h.at(i, j) * (double{hat(r, j)} - w(r, j));
      return sum;
    };
    EXPECT_LT(error(linear.weight), error(nearest.at(id).weight)) << id.ToString();
  }
}

// All tokens go to experts 0 and 1: the others' codes are those of rounding to nearest.
TEST(SignRound, ExpertsWithoutTokensAreRoundedToNearest) {
  for (const char* objective : {"LAYER", "LINEAR"}) {
    LayerFixture f(TinyConfig(), 1, Solve(std::string("iterations: 20 best: LAST objective: ") + objective),
                   "weights { bits: 3 }");
    Matrix& router = f.params.linears.at({1, Role::kRouter}).weight;
    for (int64_t i = 0; i < router.size(); ++i) router.data()[i] = 0.0f;  // ties go to the first experts
    f.Profile();
    EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinears solved, SolveAll(f));
    const SolvedLinears nearest = f.Nearest();
    for (const Role role : {Role::kGate, Role::kUp, Role::kDown}) {
      EXPECT_NE(solved.at({1, role, 1}).weight, nearest.at({1, role, 1}).weight);
      EXPECT_EQ(solved.at({1, role, 5}).weight, nearest.at({1, role, 5}).weight);
      EXPECT_THAT(solved.at({1, role, 5}).note, HasSubstr("no calibration token"));
    }
  }
}

TEST(SignRound, SameResultForAnyNumberOfThreads) {
  std::vector<SolvedLinears> results;
  for (const int threads : {1, 3}) {
    const LayerFixture f(TinyConfig(), 1, Solve("iterations: 15 batch: 3"),
                         "weights { bits: 4 } activations { bits: 4 }", 6, threads);
    EAQ_ASSERT_OK_AND_ASSIGN(results.emplace_back(), SolveAll(f));
  }
  for (const auto& [id, linear] : results[0]) EXPECT_EQ(linear.weight, results[1].at(id).weight);
}

TEST(SignRound, ErrorsNameTheCause) {
  LayerFixture f(TinyConfig(), 1, Solve("iterations: 5"), "weights { bits: 4 }");
  f.params.linears.at({1, Role::kV}).weight(3, 4) = std::nanf("");
  EXPECT_THAT(SolveAll(f).status(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("NaN in the weights")));
  SolveStage slot;
  slot.mutable_signround()->set_iterations(0);
  EXPECT_THAT(MakeStage<SolveSlot>(slot, "solve").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("iterations is 0")));
  slot.mutable_signround()->set_iterations(10);
  slot.mutable_signround()->set_rate(std::nan(""));
  EXPECT_THAT(MakeStage<SolveSlot>(slot, "solve").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected 0 .. 1")));
}

}  // namespace
}  // namespace eaq
