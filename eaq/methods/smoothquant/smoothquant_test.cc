// SmoothQuant through its registry: the function stays, and the scales are the paper's.
#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/methods/transform_testing.h"
#include "eaq/model/model.h"
#include "eaq/model/synthetic.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::unique_ptr<TransformSlot>> Stage(double alpha) {
  TransformStage slot;
  slot.mutable_smoothquant()->set_alpha(alpha);
  return MakeStage<TransformSlot>(slot, "transform");
}

std::vector<Matrix> Windows(int64_t hidden) {
  std::vector<Matrix> windows;
  Rng rng(5, "smoothquant_test");
  for (int w = 0; w < 3; ++w) {
    Matrix m(20, hidden);
    for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(rng.Normal() * (1 + i % 5));
    windows.push_back(std::move(m));
  }
  return windows;
}

LayerProfile ProfileOf(const ModelConfig& config, const LayerParams& params, const std::vector<Matrix>& windows) {
  ThreadPool pool(1);
  const auto layer = *BuildLayer(config, params);
  return *ProfileLayer(*layer, windows, ProfileOptions{.second_moments = false}, pool);
}

absl::Status ApplyTo(const TransformSlot& stage, const ModelConfig& config, const LayerProfile& profile,
                     LayerParams& params) {
  LayerContext context;
  context.config = &config;
  context.profile = &profile;
  return stage.Apply(context, params);
}

TEST(SmoothQuant, KeepsTheFunction) {
  for (const ModelConfig& config : {TinyConfig(), DenseConfig(), SharedConfig()}) {
    for (const double alpha : {0.0, 0.5, 0.9}) {
      const LayerParams params = RandomLayer(config, 0, 3);
      const std::vector<Matrix> windows = Windows(config.hidden_size);
      LayerParams smooth = params;
      EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Stage(alpha));
      ASSERT_THAT(ApplyTo(*stage, config, ProfileOf(config, params, windows), smooth), IsOk());
      EXPECT_NE(smooth.post_norm, params.post_norm);
      EXPECT_NE(smooth.input_norm, params.input_norm);
      Matrix before = windows[0], after = windows[0];
      (*BuildLayer(config, params))->Forward(before.view());
      (*BuildLayer(config, smooth))->Forward(after.view());
      double largest = 0, difference = 0;
      for (int64_t i = 0; i < before.size(); ++i) {
        largest = std::max(largest, std::fabs(double{before.data()[i]}));
        difference = std::max(difference, std::fabs(double{before.data()[i]} - after.data()[i]));
      }
      EXPECT_LT(difference, 1e-5 * largest) << "alpha " << alpha;
    }
  }
}

TEST(SmoothQuant, ScalesAreThePapers) {
  const ModelConfig config = TinyConfig();
  const LayerParams params = RandomLayer(config, 0, 3);
  const std::vector<Matrix> windows = Windows(config.hidden_size);
  const LayerProfile profile = ProfileOf(config, params, windows);
  LayerParams smooth = params;
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Stage(0.7));
  ASSERT_THAT(ApplyTo(*stage, config, profile, smooth), IsOk());
  const auto& x = profile.Of({.layer = 0, .role = Role::kRouter}).abs_max;
  for (int64_t j = 0; j < config.hidden_size; ++j) {
    double w = 0;
    for (const auto& [id, linear] : params.linears) {
      if (id.role != Role::kRouter && id.role != Role::kGate && id.role != Role::kUp) continue;
      for (int64_t r = 0; r < linear.weight.rows(); ++r) w = std::max(w, std::fabs(double{linear.weight(r, j)}));
    }
    const double s = std::pow(double{x[j]}, 0.7) / std::pow(w, 0.3);
    EXPECT_NEAR(params.post_norm[j] / smooth.post_norm[j], s, 1e-5 * s);
    const LinearId up{.layer = 0, .role = Role::kUp, .expert = 2};
    EXPECT_NEAR(smooth.linears.at(up).weight(1, j), params.linears.at(up).weight(1, j) * s, 1e-5 * s);
  }
  const LinearId down{.layer = 0, .role = Role::kDown, .expert = 2};
  EXPECT_EQ(smooth.linears.at(down).weight, params.linears.at(down).weight);
}

TEST(SmoothQuant, AChannelThatIsAlwaysZeroIsLeftAlone) {
  const ModelConfig config = TinyConfig();
  LayerParams params = RandomLayer(config, 0, 3);
  params.post_norm[4] = 0;
  const LayerProfile profile = ProfileOf(config, params, Windows(config.hidden_size));
  LayerParams smooth = params;
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Stage(0.5));
  ASSERT_THAT(ApplyTo(*stage, config, profile, smooth), IsOk());
  const LinearId gate{.layer = 0, .role = Role::kGate, .expert = 0};
  EXPECT_EQ(smooth.linears.at(gate).weight(0, 4), params.linears.at(gate).weight(0, 4));
  EXPECT_NE(smooth.linears.at(gate).weight(0, 5), params.linears.at(gate).weight(0, 5));
}

TEST(SmoothQuant, AlphaIsChecked) {
  EXPECT_THAT(Stage(1.5).status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("alpha is 1.5")));
  EXPECT_THAT(Stage(std::nan("")).status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected 0 .. 1")));
}

}  // namespace
}  // namespace eaq
