// QuaRot through its registry and by its arithmetic: Q is orthogonal, the model's function stays (float32, and float64
// to 1e-10), outliers go.
#include <google/protobuf/text_format.h>

#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/methods/quarot/fold.h"
#include "eaq/model/double_twin.h"
#include "eaq/model/model.h"
#include "eaq/model/synthetic.h"
#include "eaq/recipe/layer_inputs.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

QuaRot Options(const std::string& text) {
  QuaRot options;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &options)) << text;
  return options;
}

absl::StatusOr<std::unique_ptr<TransformSlot>> Stage(const QuaRot& options) {
  TransformStage slot;
  *slot.mutable_quarot() = options;
  return MakeStage<TransformSlot>(slot, "transform");
}

std::vector<int32_t> Ids(int n) {
  Rng rng(8, "quarot_test/ids");
  std::vector<int32_t> ids(n);
  for (int32_t& id : ids) id = static_cast<int32_t>(rng.Below(96));
  return ids;
}

// The architectures of the house in small, and odd widths.
std::map<std::string, ModelConfig> Configs() {
  std::map<std::string, ModelConfig> all;
  all["olmoe"] = TinyConfig();
  ModelConfig& mixtral = all["grouped queries, biases"] = TinyConfig();
  mixtral.num_heads = 6;  // no Hadamard matrix of order 6: pairs of heads
  mixtral.num_kv_heads = 2;
  mixtral.qk_norm = QkNorm::kNone;
  mixtral.attention_bias = mixtral.attention_output_bias = true;
  mixtral.norm_topk_prob = true;
  ModelConfig& deepseek = all["shared expert, first layer dense, tied head"] = TinyConfig();
  deepseek.shared_width = 40;
  deepseek.shared_expert_gated = false;
  deepseek.dense_layers = {0};
  deepseek.dense_width = 96;
  deepseek.tie_word_embeddings = true;
  ModelConfig& qwen = all["gated shared expert, norm per head"] = TinyConfig();
  qwen.shared_width = 10;  // blocks of 2
  qwen.qk_norm = QkNorm::kPerHead;
  qwen.num_kv_heads = 1;
  ModelConfig& odd = all["odd widths, clipped values"] = TinyConfig();
  odd.hidden_size = 36;  // 12 * 3 = 36, of Paley's second kind
  odd.num_heads = odd.num_kv_heads = 12;
  odd.head_dim = 6;
  odd.expert_width = 27;  // no Hadamard block at all
  odd.clip_qkv = 0.7;
  return all;
}

// What the pipeline does with the slot's transform, for all layers at once.
class Transformed : public ModelSource {
 public:
  Transformed(std::shared_ptr<const ModelSource> source, const TransformSlot& stage)
      : source_(std::move(source)), stage_(stage) {
    const auto wrapped = stage.Wrap(source_).value();
    if (wrapped != nullptr) source_ = wrapped;
  }
  const ModelConfig& config() const override { return source_->config(); }
  absl::StatusOr<OuterParams> LoadOuter() const override { return source_->LoadOuter(); }
  const std::string& hash() const override { return source_->hash(); }
  absl::StatusOr<LayerParams> LoadLayer(int layer) const override {
    LayerParams params = source_->LoadLayer(layer).value();
    LayerContext context;
    context.config = &source_->config();
    EXPECT_THAT(stage_.Apply(context, params), IsOk());
    return params;
  }

 private:
  std::shared_ptr<const ModelSource> source_;
  const TransformSlot& stage_;
};

double LargestDifference(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::fabs(a[i] - b[i]));
  return largest;
}
double Largest(const std::vector<double>& a) { return LargestDifference(a, std::vector<double>(a.size(), 0.0)); }

// Every choice of every router of the float32 model, and its logits.
struct Choices : public LayerObserver {
  std::vector<int32_t> experts;
  void OnRouter(int, ConstMatrixView, absl::Span<const int32_t> chosen, absl::Span<const float>) override {
    experts.insert(experts.end(), chosen.begin(), chosen.end());
  }
};
std::vector<double> Logits(const ModelSource& source, const std::vector<int32_t>& ids, Choices& choices) {
  const auto model = Model::Load(source).value();
  Matrix hidden(ids.size(), source.config().hidden_size), logits(ids.size(), source.config().vocab_size);
  model->ForwardHidden(ids, hidden.view(), &choices);
  model->ends().Logits(hidden.view(), logits.view());
  return std::vector<double>(logits.data(), logits.data() + logits.size());
}

TEST(QuaRotRotation, IsOrthogonal) {
  for (const int64_t n : {1, 12, 36, 96, 128}) {
    for (const Rotation& q : {Rotation::Hadamard(n, 5).value(), Rotation::Orthogonal(n, 5)}) {
      std::vector<double> m(n * n, 0.0);
      for (int64_t i = 0; i < n; ++i) m[i * n + i] = 1;
      q.Turn(m.data(), n);
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j <= i; ++j) {
          double rows = 0, columns = 0;
          for (int64_t k = 0; k < n; ++k) rows += m[i * n + k] * m[j * n + k], columns += m[k * n + i] * m[k * n + j];
          ASSERT_NEAR(rows, i == j ? 1 : 0, 1e-12) << n;
          ASSERT_NEAR(columns, i == j ? 1 : 0, 1e-12) << n;
        }
    }
  }
  EXPECT_THAT(Rotation::Hadamard(30, 0),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("width is 30, for which no Hadamard")));
}

TEST(QuaRotTest, TheFunctionStays) {
  const std::vector<int32_t> ids = Ids(20);
  for (const auto& [name, config] : Configs()) {
    for (const char* text : {"", "residual: ORTHOGONAL seed: 3", "weight_only: true", "residual: NONE",
                             "down: false query_key: false", "residual: NONE value_output: false"}) {
      const auto source = RandomModel(config, 7);
      EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Stage(Options(text)));
      const Transformed turned(source, *stage);
      Choices before, after;
      const std::vector<double> x = Logits(*source, ids, before), y = Logits(turned, ids, after);
      EXPECT_LT(LargestDifference(x, y), 1e-4 * Largest(x)) << name << ": " << text;
      EXPECT_GT(LargestDifference(x, y), 0) << name << ": " << text;
      EXPECT_EQ(before.experts, after.experts) << name << ": " << text;
      // The float32 layer means what the twin means.
      EXPECT_LT(LargestDifference(x, RunTwin(TwinModel::Load(*source), ids).logits), 1e-4 * Largest(x)) << name;
    }
  }
}

// The same arithmetic on the float64 twin: no rounding of weights in between.
TEST(QuaRotTest, TheFunctionStaysInFloat64) {
  const std::vector<int32_t> ids = Ids(12);
  for (const auto& [name, config] : Configs()) {
    for (const bool hadamard : {true, false}) {
      const TwinModel original = TwinModel::Load(*RandomModel(config, 7));
      TwinModel twin = original;
      const int64_t width = config.hidden_size;
      const Rotation q = hadamard ? Rotation::Hadamard(width, 2).value() : Rotation::Orthogonal(width, 2);
      for (int64_t r = 0; r < config.vocab_size; ++r)
        for (int64_t c = 0; c < width; ++c) twin.head[r * width + c] *= twin.final_norm[c];
      q.Turn(twin.head.data(), config.vocab_size);
      q.Turn(twin.embedding.data(), config.vocab_size);
      twin.final_norm.assign(width, 1.0);
      for (int l = 0; l < config.num_layers; ++l) {
        TwinLayer& layer = twin.layers[l];
        const std::vector<float> input(layer.input_norm.begin(), layer.input_norm.end()),
            post(layer.post_norm.begin(), layer.post_norm.end());
        for (auto& [id, w] : layer.linears)
          FoldResidual(id.role, input, post, q, w.out, w.in, w.weight.data(), absl::MakeSpan(w.bias));
        layer.input_norm.assign(width, 1.0);
        layer.post_norm.assign(width, 1.0);
        for (const auto& [id, change] : PlanOnline(config, l, QuaRot())) {
          TwinLinear& w = layer.linears.at(id);
          ApplyChange(change, w.out, w.in, w.weight.data(), absl::MakeSpan(w.bias));
          w.online = change.online;
        }
        layer.qk_hadamard = QueryKeyBlock(config, QuaRot());
      }
      const TwinResult before = RunTwin(original, ids), after = RunTwin(twin, ids);
      EXPECT_LT(LargestDifference(before.logits, after.logits), 1e-10 * Largest(before.logits)) << name;
      EXPECT_EQ(before.experts, after.experts) << name;
    }
  }
}

TEST(QuaRotTest, LeavesForRunTimeWhatItSays) {
  const auto online = [](const ModelConfig& config, const char* text) {
    const auto stage = Stage(Options(text)).value();
    LayerParams params = RandomLayer(config, 1, 3);
    LayerContext context;
    context.config = &config;
    EXPECT_THAT(stage->Apply(context, params), IsOk());
    std::map<std::string, std::string> found;
    for (const auto& [id, linear] : params.linears)
      if (linear.online != nullptr) found[id.ToString()] = linear.online->ToString();
    if (params.qk_hadamard > 0) found["qk"] = std::to_string(params.qk_hadamard);
    return found;
  };
  ModelConfig one = TinyConfig();
  one.num_experts = one.experts_per_token = 1;
  one.shared_width = 96;
  using Map = std::map<std::string, std::string>;
  EXPECT_EQ(online(one, ""), (Map{{"L1.e0.down", "Hadamard 24"},
                                  {"L1.o", "Hadamard 4 stride 8"},
                                  {"L1.shared_down", "Hadamard 96"},
                                  {"qk", "8"}}));
  EXPECT_EQ(online(one, "weight_only: true"), Map());
  EXPECT_EQ(online(one, "down: false query_key: false"), (Map{{"L1.o", "Hadamard 4 stride 8"}}));
  one.num_heads = one.num_kv_heads = 1;
  one.head_dim = 32;
  EXPECT_EQ(online(one, "down: false"), (Map{{"qk", "32"}}));  // one head: all of it is folded
  one.clip_qkv = 1.0;                                          // but not where values are clipped
  EXPECT_EQ(online(one, "down: false query_key: false"), (Map{{"L1.o", "Hadamard 32"}}));
  EXPECT_EQ(LargestHadamardBlock(96), 96);
  EXPECT_EQ(LargestHadamardBlock(6), 2);
  EXPECT_EQ(LargestHadamardBlock(27), 1);
}

// 4th moment over squared 2nd moment of all entries: 3 for a Gaussian.
double Kurtosis(const Matrix& x) {
  double second = 0, fourth = 0;
  for (const float v : x.values()) second += double{v} * v, fourth += double{v} * v * v * v;
  return fourth * x.size() / (second * second);
}

// A model with massive channels in the residual stream, in values and inside experts.
class WithOutliers : public ModelSource {
 public:
  explicit WithOutliers(const ModelConfig& config) : source_(RandomModel(config, 7)) {}
  const ModelConfig& config() const override { return source_->config(); }
  const std::string& hash() const override { return source_->hash(); }
  absl::StatusOr<OuterParams> LoadOuter() const override {
    OuterParams outer = source_->LoadOuter().value();
    for (int64_t r = 0; r < outer.embedding.rows(); ++r) outer.embedding(r, 5) = 400;
    return outer;
  }
  absl::StatusOr<LayerParams> LoadLayer(int layer) const override {
    LayerParams params = source_->LoadLayer(layer).value();
    for (auto& [id, linear] : params.linears) {
      if (id.role != Role::kUp && id.role != Role::kV) continue;
      for (int64_t c = 0; c < linear.weight.cols(); ++c) linear.weight(3, c) *= id.role == Role::kUp ? 1000 : 30;
    }
    return params;
  }

 private:
  std::shared_ptr<const ModelSource> source_;
};

TEST(QuaRotTest, OutliersGo) {
  ModelConfig config = TinyConfig();
  config.num_experts = config.experts_per_token = 2;
  const auto source = std::make_shared<WithOutliers>(config);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Stage(QuaRot()));
  const Transformed turned(source, *stage);
  const std::vector<int32_t> ids = Ids(60);
  const std::vector<LinearId> linears = {{0, Role::kQ}, {0, Role::kO}, {0, Role::kRouter}, {0, Role::kDown, 1}};
  std::vector<std::map<LinearId, Matrix>> inputs;
  for (const ModelSource* s :
       {static_cast<const ModelSource*>(source.get()), static_cast<const ModelSource*>(&turned)}) {
    const ModelEnds ends(config, s->LoadOuter().value());
    std::vector<Matrix> hidden(1, Matrix(ids.size(), config.hidden_size));
    ends.Embed(ids, hidden[0].view());
    ThreadPool pool(1);
    inputs.push_back(
        CollectInputs(*BuildLayer(config, s->LoadLayer(0).value()).value(), hidden, linears, CpuOps(), pool).value());
  }
  for (const LinearId& id : linears) {
    EXPECT_GT(Kurtosis(inputs[0].at(id)), 9) << id.ToString();
    EXPECT_LT(Kurtosis(inputs[1].at(id)), 5) << id.ToString();
  }
}

TEST(QuaRotTest, TheHashNamesTheRotation) {
  const auto source = RandomModel(TinyConfig(), 7);
  const auto hash = [&](const char* text) { return Stage(Options(text)).value()->Wrap(source).value()->hash(); };
  EXPECT_EQ(hash(""), hash("residual: HADAMARD seed: 0"));
  EXPECT_NE(hash(""), hash("seed: 1"));
  EXPECT_NE(hash(""), hash("residual: ORTHOGONAL"));
  EXPECT_NE(hash(""), source->hash());
  EXPECT_EQ(Stage(Options("residual: NONE")).value()->Wrap(source).value(), nullptr);
}

TEST(QuaRotTest, WhatMakesNoSenseIsRefused) {
  EXPECT_THAT(Stage(Options("weight_only: true residual: NONE")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nothing would be done")));
  ModelConfig config = TinyConfig();
  config.hidden_size = 30;
  EXPECT_THAT(Stage(QuaRot()).value()->Wrap(RandomModel(config, 1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("use residual: ORTHOGONAL")));
  LayerParams params = RandomLayer(TinyConfig(), 0, 3);
  const LinearId o{.layer = 0, .role = Role::kO};
  params.linears.at(o).online = std::make_shared<const OnlineTransform>(OnlineTransform{{OnlineStep::Hadamard(4)}});
  const ModelConfig tiny = TinyConfig();
  LayerContext context;
  context.config = &tiny;
  EXPECT_THAT(Stage(QuaRot()).value()->Apply(context, params),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("quarot after a transform that leaves L0.o run-time work")));
}

}  // namespace
}  // namespace eaq
