// The passes with quantized activations compute what the runtime's quantized layer computes, in every family.
#include "eaq/methods/block_training/block_trainer.h"

#include <cmath>
#include <numeric>

#include "eaq/base/status_matchers.h"
#include "eaq/methods/block_training/testing.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

// FLAT with SOLVED in place.
std::vector<float> Rounded(const BlockTrainer& trainer, const SolvedLinears& solved) {
  std::vector<float> flat = trainer.flat();
  for (const auto& [id, linear] : solved) {
    const Matrix w = Dequantize(linear.weight);
    std::copy_n(w.data(), w.size(), flat.begin() + trainer.offsets().at(id));
  }
  return flat;
}

struct Setting {
  const char *recipe, *scheme;
};
const Setting kSettings[] = {
    {"", "weights { bits: 3 }"},
    {"router { quantize {} }", "weights { bits: 4 } activations { bits: 6 }"},
    {"activation { static {} }", "weights { bits: 8 } activations { bits: 8 } attention_operands { bits: 8 }"},
    {"router { quantize {} } activation { dynamic { clip_ratio: 0.9 } }",
     "weights { bits: 4 } activations { bits: 8 } attention_operands { bits: 6 } quantize_attention: true"},
};

// One token whose choice of experts flips by an ulp would show in the error; the tolerance allows for a few.
TEST(BlockTrainer, ErrorIsThatOfTheRuntimesQuantizedLayer) {
  for (const TestFamily& family : TestFamilies()) {
    for (const Setting& setting : kSettings) {
      const LayerFixture f(family.config, family.layer, setting.recipe, setting.scheme);
      const LayerContext context = f.Context();
      EAQ_ASSERT_OK_AND_ASSIGN(const auto trainer,
                               BlockTrainer::Create(context, f.params, 4, ActivationGradient::kStraightThrough));
      EAQ_ASSERT_OK_AND_ASSIGN(const double loss, trainer->TotalLoss(Rounded(*trainer, f.Nearest())));
      const double expected = f.RuntimeError(f.Nearest());
      EXPECT_NEAR(loss, expected, 5e-3 * expected) << family.name << ": " << setting.scheme;
    }
  }
}

TEST(BlockTrainer, OnlineTransformsAndQkHadamardAreTheRuntimes) {
  LayerFixture f(TinyConfig(), 1, "", "weights { bits: 4 } activations { bits: 8 } attention_operands { bits: 8 }");
  OnlineTransform turn;
  turn.steps.push_back(OnlineStep::Hadamard(8));
  const auto shared = std::make_shared<const OnlineTransform>(turn);
  for (auto& [id, linear] : f.params.linears) {
    if (id.role == Role::kRouter) continue;
    turn.FoldIntoWeight(linear.weight.view());
    linear.online = shared;
  }
  f.params.qk_hadamard = 8;
  f.Profile();
  const LayerContext context = f.Context();
  EAQ_ASSERT_OK_AND_ASSIGN(const auto trainer,
                           BlockTrainer::Create(context, f.params, 4, ActivationGradient::kStraightThrough));
  EAQ_ASSERT_OK_AND_ASSIGN(const double loss, trainer->TotalLoss(Rounded(*trainer, f.Nearest())));
  const double expected = f.RuntimeError(f.Nearest());
  EXPECT_NEAR(loss, expected, 5e-3 * expected);

  f.params.linears.at({1, Role::kK}).online = nullptr;
  EXPECT_THAT(BlockTrainer::Create(context, f.params, 4, ActivationGradient::kStraightThrough).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("another online transform")));
}

// Rotations between, weights in full precision, no routing: everything is smooth, so the gradient of the loss can be
// compared with differences of the loss.
TEST(BlockTrainer, GradientGoesThroughOnlineTransforms) {
  const TestFamily family = TestFamilies()[2];
  ASSERT_EQ(family.name, "deepseek_dense");
  LayerFixture f(family.config, family.layer, "", "weights { bits: 4 }");
  OnlineTransform turn;
  turn.steps.push_back(OnlineStep::Hadamard(8));
  for (auto& [id, linear] : f.params.linears) {
    turn.FoldIntoWeight(linear.weight.view());
    linear.online = std::make_shared<const OnlineTransform>(turn);
  }
  const LayerContext context = f.Context();
  EAQ_ASSERT_OK_AND_ASSIGN(const auto trainer,
                           BlockTrainer::Create(context, f.params, 6, ActivationGradient::kThroughScale));
  std::vector<int64_t> all(trainer->windows());
  std::iota(all.begin(), all.end(), 0);
  std::vector<float> flat = trainer->flat(), gradient;
  const int64_t v = trainer->offsets().at({0, Role::kV}), size = 32 * 32;
  for (int64_t i = v; i < v + size; ++i) flat[i] *= 1.5f;  // away from the optimum
  EAQ_ASSERT_OK_AND_ASSIGN([[maybe_unused]] const double at, trainer->Loss(flat, all, &gradient));
  double norm = 0;  // along the gradient of v: it reaches the loss through o's transform alone
  for (int64_t i = v; i < v + size; ++i) norm += double{gradient[i]} * gradient[i];
  norm = std::sqrt(norm);
  std::vector<float> plus = flat, minus = flat;
  const double h = 1e-2;
  for (int64_t i = v; i < v + size; ++i) {
    plus[i] += static_cast<float>(h * gradient[i] / norm);
    minus[i] -= static_cast<float>(h * gradient[i] / norm);
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const double up, trainer->Loss(plus, all, nullptr));
  EAQ_ASSERT_OK_AND_ASSIGN(const double down, trainer->Loss(minus, all, nullptr));
  EXPECT_NEAR((up - down) / (2 * h), norm, 0.03 * norm);
}

TEST(BlockTrainer, SameBitsForAnyNumberOfThreads) {
  std::vector<std::vector<float>> gradients;
  std::vector<double> losses;
  for (const int threads : {1, 3}) {
    const LayerFixture f(TinyConfig(), 0, "", "weights { bits: 4 } activations { bits: 4 }", 6, threads);
    const LayerContext context = f.Context();
    EAQ_ASSERT_OK_AND_ASSIGN(const auto trainer,
                             BlockTrainer::Create(context, f.params, 5, ActivationGradient::kThroughScale));
    EAQ_ASSERT_OK_AND_ASSIGN(losses.emplace_back(),
                             trainer->Loss(trainer->flat(), {4, 0, 2, 5, 1}, &gradients.emplace_back()));
  }
  EXPECT_EQ(losses[0], losses[1]);
  EXPECT_EQ(gradients[0], gradients[1]);
}

TEST(BlockTrainer, ErrorsSayWhatIsMissing) {
  LayerFixture f(TinyConfig(), 0, "", "weights { bits: 4 }");
  f.hidden[2] = Matrix(7, f.config.hidden_size);
  LayerContext context = f.Context();
  const auto create = [&] {
    return BlockTrainer::Create(context, f.params, 4, ActivationGradient::kStraightThrough).status();
  };
  EXPECT_THAT(create(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("window 2 has 7 tokens")));
  context.hidden = {};
  EXPECT_THAT(create(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needs calibration windows")));
  context.hidden = context.full_hidden;
  f.params.linears.at({0, Role::kO}).bias.assign(32, 0.0f);
  EXPECT_THAT(create(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("L0.o has a bias")));
  f.params.linears.at({0, Role::kO}).bias.clear();
  f.params.linears.at({0, Role::kO}).weight(0, 0) = std::nanf("");
  EAQ_ASSERT_OK_AND_ASSIGN(const auto trainer,
                           BlockTrainer::Create(context, f.params, 4, ActivationGradient::kStraightThrough));
  EXPECT_THAT(trainer->TotalLoss(trainer->flat()).status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("learning rates")));
}

}  // namespace
}  // namespace eaq
