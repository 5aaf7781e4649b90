#include "eaq/train/adamw.h"

#include <gtest/gtest.h>

#include <cmath>

namespace eaq {
namespace {

ModelConfig Tiny() {
  ModelConfig c;
  c.vocab_size = 4, c.hidden_size = 4, c.num_layers = 1, c.num_heads = c.num_kv_heads = 1, c.head_dim = 4;
  c.num_experts = 2, c.experts_per_token = 1, c.expert_width = 4;
  return c;
}

// A constant gradient below the clip: m / (1 - b1^t) = g and v / (1 - b2^t) = g^2, so that each step moves by
// rate * sign(g), plus decay: w' = w (1 - rate decay) - rate sign(g).
TEST(AdamW, ConstantGradientHasAClosedForm) {
  const ParameterLayout layout(Tiny());
  AdamW adamw(layout, {});
  Buffer<float> params(layout.size, 0.5f);
  ThreadPool pool(2);
  for (int i = 0; i < 5; ++i) {
    std::vector<Buffer<float>> shards(2, Buffer<float>(layout.size, 0.005f));
    EXPECT_NEAR(adamw.Step(shards, 0.1, pool, params), 0.01 * std::sqrt(layout.size), 1e-6);
  }
  for (const ParameterGroup& group : layout.groups) {
    double w = 0.5;
    for (int i = 0; i < 5; ++i) w = w * (1 - 0.1 * (group.decay ? 0.1 : 0.0)) - 0.1;
    EXPECT_NEAR(params[group.offset], w, 1e-5) << group.name;
  }
}

TEST(AdamW, ClipsByTheGlobalNorm) {
  const ParameterLayout layout(Tiny());
  AdamW adamw(layout, {});
  Buffer<float> params(layout.size, 0.0f);
  std::vector<Buffer<float>> gradient(1, Buffer<float>(layout.size, 3.0f));
  ThreadPool pool(1);
  const double norm = adamw.Step(gradient, 0.1, pool, params);
  EXPECT_NEAR(norm, 3 * std::sqrt(layout.size), 1e-4);
  EXPECT_NEAR(adamw.m[0], 0.1 * 3 / norm, 1e-7);
}

TEST(LearningRate, WarmsUpThenFallsToATwentieth) {
  EXPECT_DOUBLE_EQ(LearningRate(4e-3, 50, 100, 1000), 2e-3);
  EXPECT_DOUBLE_EQ(LearningRate(4e-3, 100, 100, 1000), 4e-3);
  EXPECT_NEAR(LearningRate(4e-3, 550, 100, 1000), 4e-3 * 0.525, 1e-12);
  EXPECT_NEAR(LearningRate(4e-3, 1000, 100, 1000), 2e-4, 1e-12);
}

}  // namespace
}  // namespace eaq
