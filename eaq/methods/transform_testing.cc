#include "eaq/methods/transform_testing.h"

#include <algorithm>
#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/model/layer.h"

namespace eaq {

ModelConfig DenseConfig() {
  ModelConfig config = TinyConfig();
  config.dense_layers = {0, 1};
  config.dense_width = 40;
  return config;
}

ModelConfig SharedConfig() {
  ModelConfig config = TinyConfig();
  config.shared_width = 16;
  return config;
}

ModelConfig GroupedConfig() {
  ModelConfig config = TinyConfig();
  config.num_kv_heads = 2;
  return config;
}

ModelConfig ClippedConfig() {
  ModelConfig config = TinyConfig();
  config.clip_qkv = 1.5;
  return config;
}

TransformBench::TransformBench(const ModelConfig& c, int windows, int tokens, int threads)
    : config(c), params(RandomLayer(c, 0, 3)), pool(threads) {
  Rng rng(5, "transform_testing");
  for (int w = 0; w < windows; ++w) {
    Matrix& m = hidden.emplace_back(tokens, config.hidden_size);
    for (int64_t i = 0; i < m.size(); ++i) {
      m.data()[i] = static_cast<float>(rng.Normal() * (i % config.hidden_size == 5 ? 30 : 1));
    }
  }
  const auto layer = BuildLayer(config, params).value();
  profile = ProfileLayer(*layer, hidden, ProfileOptions{.second_moments = false}, pool).value();
  scheme.weights = scheme.activations = GridSpec{.bits = 4};
}

LayerContext TransformBench::Context() {
  LayerContext context;
  context.config = &config;
  context.scheme = &scheme;
  context.profile = &profile;
  context.hidden = hidden;
  context.pool = &pool;
  return context;
}

double Difference(const ModelConfig& config, const LayerParams& a, const LayerParams& b,
                  const std::vector<Matrix>& windows) {
  const auto first = BuildLayer(config, a).value(), second = BuildLayer(config, b).value();
  double largest = 0, difference = 0;
  for (const Matrix& window : windows) {
    Matrix x = window, y = window;
    first->Forward(x.view());
    second->Forward(y.view());
    for (int64_t i = 0; i < x.size(); ++i) {
      largest = std::max(largest, std::fabs(double{x.data()[i]}));
      difference = std::max(difference, std::fabs(double{x.data()[i]} - y.data()[i]));
    }
  }
  return difference / largest;
}

}  // namespace eaq
