// One layer's gradients against central differences in float64, with and without a hook, and its output against the
// runtime's.
#include "eaq/train/layer_pass.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "eaq/base/rng.h"
#include "eaq/model/layer.h"
#include "eaq/model/synthetic.h"

namespace eaq {
namespace {

constexpr int64_t kWindows = 2, kContext = 20;

struct Family {
  const char* name;
  int layer;
  ModelConfig config;
};
std::vector<Family> Families() {
  ModelConfig olmoe = TinyConfig();
  ModelConfig mixtral = olmoe;
  mixtral.num_kv_heads = 2, mixtral.qk_norm = QkNorm::kNone, mixtral.norm_topk_prob = true;
  ModelConfig deepseek = olmoe;
  deepseek.qk_norm = QkNorm::kNone, deepseek.dense_layers = {0}, deepseek.dense_width = 40;
  deepseek.shared_width = 16, deepseek.shared_expert_gated = false;
  return {{"olmoe", 1, olmoe}, {"mixtral", 0, mixtral}, {"deepseek_dense", 0, deepseek}, {"deepseek", 1, deepseek}};
}

class Layers : public testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(All, Layers, testing::ValuesIn(Families()), [](const auto& info) { return info.param.name; });

// A smooth hook, different at every site and expert: x <- x + c x^2, with its derivative from the rows it saw.
class Square : public RowHook<double> {
 public:
  void Forward(RowSite site, int64_t expert, double* rows, int64_t n, int64_t width) override {
    seen_[{site, expert}].assign(rows, rows + n * width);
    for (int64_t i = 0; i < n * width; ++i) rows[i] += C(site, expert) * rows[i] * rows[i];
  }
  void Backward(RowSite site, int64_t expert, double* g, int64_t n, int64_t width) override {
    const std::vector<double>& x = seen_.at({site, expert});
    for (int64_t i = 0; i < n * width; ++i) g[i] *= 1 + 2 * C(site, expert) * x[i];
  }
  void Operands(double*, double*, int64_t, double*, int64_t, int64_t) override { ++operands; }
  int operands = 0;

 private:
  static double C(RowSite site, int64_t expert) { return 0.02 * (1 + static_cast<int>(site)) + 0.01 * expert; }
  std::map<std::pair<RowSite, int64_t>, std::vector<double>> seen_;
};

struct Case {
  explicit Case(const Family& family) : layout(SingleLayerLayout(family.config, family.layer)) {
    params.assign(layout.size, 0.0);
    const LayerParams from = RandomLayer(family.config, family.layer, 3);
    const ParameterLayout::Layer& o = layout.layers[0];
    std::copy(from.input_norm.begin(), from.input_norm.end(), &params[o.input_norm]);
    std::copy(from.post_norm.begin(), from.post_norm.end(), &params[o.post_norm]);
    if (o.q_norm >= 0) {
      std::copy(from.q_norm.begin(), from.q_norm.end(), &params[o.q_norm]);
      std::copy(from.k_norm.begin(), from.k_norm.end(), &params[o.k_norm]);
    }
    for (const auto& [id, at] : LinearOffsets(layout, family.layer)) {
      const Matrix& w = from.linears.at(id).weight;
      std::copy(w.data(), w.data() + w.size(), &params[at]);
    }
    Rng rng(5, "layer_pass_test");
    for (int64_t i = 0; i < kWindows * kContext * layout.config.hidden_size; ++i) {
      x.push_back(rng.Normal());
      target.push_back(rng.Normal());
    }
  }
  ParameterLayout layout;
  std::vector<double> params, x, target;
};

TEST_P(Layers, OutputIsTheRuntimes) {
  const Case c(GetParam());
  const std::vector<float> params(c.params.begin(), c.params.end()), x(c.x.begin(), c.x.end());
  LayerPass<float> pass(c.layout, kWindows, kContext);
  std::vector<float> out(x.size());
  pass.Forward(params.data(), kWindows * kContext, x.data(), out.data());
  const ModelConfig& config = GetParam().config;
  const auto layer = *BuildLayer(config, RandomLayer(config, GetParam().layer, 3));
  for (int64_t w = 0; w < kWindows; ++w) {
    Matrix hidden(ConstMatrixView(&x[w * kContext * config.hidden_size], kContext, config.hidden_size));
    layer->Forward(hidden.view());
    for (int64_t i = 0; i < hidden.size(); ++i)
      ASSERT_NEAR(hidden.data()[i], out[w * hidden.size() + i], 2e-5 * (1 + std::abs(hidden.data()[i])));
  }
}

// Every parameter group but the final norm, and x, along the gradient and along a random direction.
TEST_P(Layers, GradientsMatchCentralDifferences) {
  for (const bool hooked : {false, true}) {
    Case c(GetParam());
    Square hook;
    LayerPass<double> pass(c.layout, kWindows, kContext, hooked ? &hook : nullptr);
    const int64_t n = kWindows * kContext;
    std::vector<double> out(c.x.size()), dx(c.x.size()), gradient(c.layout.size, 0.0);
    const auto loss = [&](const std::vector<double>& params, const std::vector<double>& x) {
      pass.Forward(params.data(), n, x.data(), out.data());
      double sum = 0;
      for (size_t i = 0; i < out.size(); ++i) sum += (out[i] - c.target[i]) * (out[i] - c.target[i]);
      return sum / out.size();
    };
    loss(c.params, c.x);
    for (size_t i = 0; i < out.size(); ++i) dx[i] = 2 * (out[i] - c.target[i]) / out.size();
    pass.Backward(c.params.data(), n, c.x.data(), dx.data(), gradient.data());
    EXPECT_EQ(hook.operands > 0, hooked);
    Rng rng(1, "directions");
    // The derivative at 0 of loss(h) against <own, direction>, own the gradient found by Backward.
    const auto check = [&](const std::string& name, const std::vector<double>& own,
                           const std::function<double(const std::vector<double>&)>& at) {
      std::vector<double> random(own.size());
      for (double& r : random) r = rng.Normal();
      for (const std::vector<double>& direction : {own, random}) {
        double norm = 0, analytic = 0;
        for (const double v : direction) norm += v * v;
        norm = std::sqrt(norm);
        ASSERT_GT(norm, 0) << name;
        std::vector<double> step(own.size());
        for (size_t i = 0; i < own.size(); ++i) {
          step[i] = 1e-5 * direction[i] / norm;
          analytic += own[i] * direction[i] / norm;
        }
        double numeric = at(step);
        for (double& v : step) v = -v;
        numeric = (numeric - at(step)) / 2e-5;
        EXPECT_NEAR(numeric, analytic, 1e-8 + 1e-6 * std::abs(analytic)) << name << ", hooked: " << hooked;
      }
    };
    for (const ParameterGroup& group : c.layout.groups) {
      if (group.size == 0 || group.name == "final_norm") continue;
      const std::vector<double> own(gradient.begin() + group.offset, gradient.begin() + group.offset + group.size);
      check(group.name, own, [&](const std::vector<double>& step) {
        std::vector<double> p = c.params;
        for (int64_t i = 0; i < group.size; ++i) p[group.offset + i] += step[i];
        return loss(p, c.x);
      });
    }
    check("x", dx, [&](const std::vector<double>& step) {
      std::vector<double> x = c.x;
      for (size_t i = 0; i < x.size(); ++i) x[i] += step[i];
      return loss(c.params, x);
    });
  }
}

TEST(SingleLayer, KnowsWhatItCannotTrain) {
  ModelConfig c = TinyConfig();
  EXPECT_TRUE(CheckTrainableLayer(c, 0).ok());
  c.attention_bias = true;
  EXPECT_EQ(CheckTrainableLayer(c, 0).code(), absl::StatusCode::kInvalidArgument);
  c = TinyConfig();
  c.router_score = RouterScore::kSigmoid, c.dense_layers = {0}, c.dense_width = 8;
  EXPECT_TRUE(CheckTrainableLayer(c, 0).ok());
  EXPECT_EQ(CheckTrainableLayer(c, 1).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace eaq
