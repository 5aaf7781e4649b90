// Gradients of the loss by the layers' outputs against central differences of a float64 model.
#include "eaq/methods/gemq/loss_gradients.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/double_twin.h"
#include "eaq/model/layer.h"
#include "eaq/model/synthetic.h"

namespace eaq::gemq {
namespace {

using ::testing::HasSubstr;

// The layers of TWIN from FIRST on, with HIDDEN [ids, hidden] at their entrance in place of an embedding.
class Rest {
 public:
  Rest(const TwinModel& twin, int first) {
    model_.config = twin.config;
    model_.config.num_layers -= first;
    model_.config.dense_layers.clear();
    for (const int64_t l : twin.config.dense_layers) {
      if (l >= first) model_.config.dense_layers.push_back(l - first);
    }
    model_.head = twin.head;
    model_.final_norm = twin.final_norm;
    for (size_t l = first; l < twin.layers.size(); ++l) {
      TwinLayer& layer = model_.layers.emplace_back(twin.layers[l]);
      layer.linears.clear();
      for (const auto& [id, linear] : twin.layers[l].linears) {
        layer.linears[{id.layer - first, id.role, id.expert}] = linear;
      }
    }
  }
  // 1 / (T - 1) sum_t -log p(IDS[t + 1])
  double Loss(const std::vector<double>& hidden, const std::vector<int32_t>& ids) {
    model_.embedding = hidden;
    std::vector<int32_t> rows(ids.size());
    for (size_t t = 0; t < ids.size(); ++t) rows[t] = static_cast<int32_t>(t);
    const std::vector<double> logits = RunTwin(model_, rows).logits;
    const int64_t vocabulary = model_.config.vocab_size;
    double loss = 0;
    for (size_t t = 0; t + 1 < ids.size(); ++t) {
      double sum = 0;
      for (int64_t v = 0; v < vocabulary; ++v) sum += std::exp(logits[t * vocabulary + v]);
      loss += std::log(sum) - logits[t * vocabulary + ids[t + 1]];
    }
    return loss / static_cast<double>(ids.size() - 1);
  }

 private:
  TwinModel model_;
};

std::map<std::string, ModelConfig> Families() {
  std::map<std::string, ModelConfig> all;
  all["olmoe"] = TinyConfig();
  ModelConfig& mixtral = all["mixtral"] = TinyConfig();
  mixtral.num_kv_heads = 2, mixtral.qk_norm = QkNorm::kNone, mixtral.norm_topk_prob = true;
  ModelConfig& deepseek = all["deepseek"] = TinyConfig();
  deepseek.num_layers = 3, deepseek.qk_norm = QkNorm::kNone, deepseek.dense_layers = {1}, deepseek.dense_width = 40;
  deepseek.shared_width = 16, deepseek.shared_expert_gated = false;
  return all;
}

struct Visited {
  std::vector<Matrix> hidden, gradient;
};
absl::StatusOr<std::map<int, Visited>> Walk(const ModelSource& source, const std::vector<CalibrationWindow>& windows,
                                            int threads) {
  const ModelEnds ends(source.config(), source.LoadOuter().value());
  ThreadPool pool(threads);
  NullProgress progress;
  ModelContext context;
  context.source = &source;
  context.ends = &ends;
  context.calibration = windows;
  context.pool = &pool;
  context.progress = &progress;
  std::map<int, Visited> visited;
  int next = static_cast<int>(source.config().num_layers);
  const absl::Status status =
      WalkLossGradients(context,
                        [&](const LayerParams& layer, absl::Span<const Matrix> hidden,
                            absl::Span<const Matrix> gradient) -> absl::Status {
                          EXPECT_EQ(layer.layer, --next);
                          visited[layer.layer] = {{hidden.begin(), hidden.end()}, {gradient.begin(), gradient.end()}};
                          return absl::OkStatus();
                        });
  if (!status.ok()) return status;
  return visited;
}

std::vector<CalibrationWindow> Windows(int count, int tokens) {
  Rng rng(3, "loss_gradients_test");
  std::vector<CalibrationWindow> windows(count);
  for (int w = 0; w < count; ++w) {  // of different lengths
    for (int t = 0; t < tokens + w; ++t) windows[w].window.ids.push_back(static_cast<int32_t>(rng.Below(96)));
  }
  return windows;
}

TEST(LossGradients, AreTheSlopesOfTheLoss) {
  for (const auto& [name, config] : Families()) {
    const auto source = RandomModel(config, 5);
    const TwinModel twin = TwinModel::Load(*source);
    const auto windows = Windows(2, 12);
    const auto visited = Walk(*source, windows, 2);
    ASSERT_THAT(visited.status(), IsOk());
    Rng rng(8, "loss_gradients_test/entries");
    for (const auto& [l, v] : *visited) {
      const auto layer = *BuildLayer(config, source->LoadLayer(l).value());
      Rest rest(twin, l + 1);
      for (size_t w = 0; w < windows.size(); ++w) {
        Matrix out = v.hidden[w];
        layer->Forward(out.view());
        std::vector<double> h(out.data(), out.data() + out.size());
        double largest = 0;
        for (const float g : v.gradient[w].values()) largest = std::max(largest, std::fabs(double{g}));
        EXPECT_GT(largest, 1e-4);
        const auto& ids = windows[w].window.ids;
        for (int k = 0; k < 12; ++k) {
          const size_t i = k == 0 ? h.size() - 1 : rng.Below(h.size());  // the last token too: it predicts nothing
          const double at = h[i], step = 1e-5;
          h[i] = at + step;
          const double up = rest.Loss(h, ids);
          h[i] = at - step;
          const double down = rest.Loss(h, ids);
          h[i] = at;
          EXPECT_NEAR(v.gradient[w].data()[i], (up - down) / (2 * step), 1e-4 * largest)
              << name << " layer " << l << " window " << w << " entry " << i;
        }
      }
    }
  }
}

// The function is the same, so its gradients are, though a linear reads rotated rows.
TEST(LossGradients, SeeThroughRunTimeTransforms) {
  class Turned : public ModelSource {
   public:
    explicit Turned(std::shared_ptr<const ModelSource> base) : base_(std::move(base)) {}
    const ModelConfig& config() const override { return base_->config(); }
    absl::StatusOr<LayerParams> LoadLayer(int l) const override {
      LayerParams params = base_->LoadLayer(l).value();
      OnlineTransform turn;
      turn.steps = {OnlineStep::Hadamard(8), OnlineStep::Divide(std::vector<float>(config().expert_width, 1.5f))};
      const auto shared = std::make_shared<const OnlineTransform>(turn);
      for (int e = 0; e < config().num_experts; ++e) {
        LinearParams& down = params.linears.at({l, Role::kDown, e});
        shared->FoldIntoWeight(down.weight.view());
        down.online = shared;
      }
      return params;
    }
    absl::StatusOr<OuterParams> LoadOuter() const override { return base_->LoadOuter(); }
    const std::string& hash() const override { return base_->hash(); }

   private:
    const std::shared_ptr<const ModelSource> base_;
  };
  const auto base = RandomModel(TinyConfig(), 5);
  const auto windows = Windows(2, 12);
  const auto plain = Walk(*base, windows, 1), turned = Walk(Turned(base), windows, 1);
  ASSERT_THAT(plain.status(), IsOk());
  ASSERT_THAT(turned.status(), IsOk());
  for (const auto& [l, v] : *plain) {
    for (size_t w = 0; w < windows.size(); ++w) {
      for (int64_t i = 0; i < v.gradient[w].size(); ++i) {
        EXPECT_NEAR(v.gradient[w].data()[i], turned->at(l).gradient[w].data()[i], 1e-5);
      }
    }
  }
}

TEST(LossGradients, TheSameForAnyThreads) {
  const auto source = RandomModel(TinyConfig(), 5);
  const auto windows = Windows(7, 9);
  const auto one = Walk(*source, windows, 1), three = Walk(*source, windows, 3);
  ASSERT_THAT(one.status(), IsOk());
  for (const auto& [l, v] : *one) EXPECT_EQ(v.gradient, three->at(l).gradient);
}

TEST(LossGradients, SayWhatIsWrong) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(Walk(*RandomModel(TinyConfig(), 5), Windows(1, 1), 1).status(), invalid("window 0 has 1 tokens"));
  ModelConfig sigmoid = TinyConfig();
  sigmoid.router_score = RouterScore::kSigmoid;
  EXPECT_THAT(Walk(*RandomModel(sigmoid, 5), Windows(1, 5), 1).status(), invalid("softmax router"));
}

}  // namespace
}  // namespace eaq::gemq
