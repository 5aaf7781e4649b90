#include "eaq/train/gradients.h"

#include <gtest/gtest.h>

#include <cmath>

#include "eaq/base/rng.h"

namespace eaq {
namespace {

// More than one causal block of 64.
constexpr int kWindows = 2, kContext = 70;

ModelConfig Tiny() {
  ModelConfig c;
  c.model_type = "olmoe";
  c.vocab_size = 23, c.hidden_size = 8, c.num_layers = 2, c.num_heads = c.num_kv_heads = 2, c.head_dim = 4;
  c.num_experts = 4, c.experts_per_token = 2, c.expert_width = 6, c.norm_topk_prob = true;
  c.qk_norm = QkNorm::kFullWidth, c.tie_word_embeddings = true, c.max_position_embeddings = 16;
  return c;
}

// Mixtral's shape: grouped queries, no norms of q and k, wide heads.
ModelConfig TinyMixtral() {
  ModelConfig c = Tiny();
  c.model_type = "mixtral", c.num_heads = 4, c.num_kv_heads = 2, c.qk_norm = QkNorm::kNone;
  return c;
}

// DeepSeek-MoE's: a dense first layer, a shared expert, weights that are not renormalised.
ModelConfig TinyDeepseek() {
  ModelConfig c = Tiny();
  c.model_type = "deepseek", c.qk_norm = QkNorm::kNone, c.norm_topk_prob = false;
  c.dense_layers = {0}, c.dense_width = 10, c.shared_width = 5, c.shared_expert_gated = false;
  return c;
}

class Architectures : public testing::TestWithParam<ModelConfig> {};
INSTANTIATE_TEST_SUITE_P(All, Architectures, testing::Values(Tiny(), TinyMixtral(), TinyDeepseek()),
                         [](const auto& info) { return info.param.model_type; });

struct Case {
  ParameterLayout layout;
  std::vector<double> params;
  std::vector<std::vector<uint16_t>> ids;
  std::vector<const uint16_t*> windows;
  explicit Case(const ModelConfig& config) : layout(config) {
    Rng rng(7, "gradients_test");
    for (const float p : InitialParameters(layout, 3)) params.push_back(p + 0.2 * rng.Normal());
    for (int w = 0; w < kWindows; ++w) {
      ids.emplace_back();
      for (int t = 0; t < kContext + 1; ++t) ids.back().push_back(rng.Below(23));
    }
    for (const auto& w : ids) windows.push_back(w.data());
  }
};

// Every parameter group's gradient against central differences in float64, along the gradient and along a random
// direction. Large auxiliary coefficients so that an error in them cannot hide.
TEST_P(Architectures, MatchCentralDifferencesInEveryGroup) {
  Case c(GetParam());
  ASSERT_TRUE(CheckTrainable(c.layout.config).ok());
  const LossOptions options{.balance = 0.3, .z = 0.05, .scale = 0.7};
  Gradients<double> work(c.layout, kWindows, kContext);
  std::vector<double> gradient(c.layout.size, 0.0);
  work.LossAndGradients(c.params.data(), c.windows, options, gradient.data());
  Rng rng(1, "directions");
  for (const ParameterGroup& group : c.layout.groups) {
    std::vector<double> random(group.size),
        own(gradient.begin() + group.offset, gradient.begin() + group.offset + group.size);
    for (double& x : random) x = rng.Normal();
    for (const std::vector<double>& direction : {own, random}) {
      double norm = 0, analytic = 0;
      for (const double x : direction) norm += x * x;
      norm = std::sqrt(norm);
      ASSERT_GT(norm, 0) << group.name;
      const auto loss = [&](double h) {
        std::vector<double> p = c.params;
        for (int64_t i = 0; i < group.size; ++i) p[group.offset + i] += h * direction[i] / norm;
        return work.LossAndGradients(p.data(), c.windows, options, nullptr).Total(options);
      };
      for (int64_t i = 0; i < group.size; ++i) analytic += own[i] * direction[i] / norm;
      const double numeric = (loss(1e-5) - loss(-1e-5)) / 2e-5;
      EXPECT_NEAR(numeric, analytic, 1e-8 + 1e-6 * std::abs(analytic)) << group.name;
    }
  }
}

TEST_P(Architectures, FloatAgreesWithDouble) {
  Case c(GetParam());
  const LossOptions options;
  const std::vector<float> params(c.params.begin(), c.params.end());
  const std::vector<double> same(params.begin(), params.end());
  std::vector<float> gf(c.layout.size, 0.0f);
  std::vector<double> gd(c.layout.size, 0.0);
  Gradients<float> f(c.layout, kWindows, kContext);
  Gradients<double> d(c.layout, kWindows, kContext);
  EXPECT_NEAR(f.LossAndGradients(params.data(), c.windows, options, gf.data()).Total(options),
              d.LossAndGradients(same.data(), c.windows, options, gd.data()).Total(options), 1e-5);
  ASSERT_EQ(f.expert_use(), d.expert_use());
  for (int64_t i = 0; i < c.layout.size; ++i) ASSERT_NEAR(gf[i], gd[i], 1e-4 * (1 + std::abs(gd[i]))) << i;
}

}  // namespace
}  // namespace eaq
