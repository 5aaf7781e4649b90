// One layer against the same mathematics composed from kernels/reference in float64, for every part that families vary.
#include "eaq/model/layer.h"

#include <algorithm>
#include <cmath>

#include "eaq/base/status_matchers.h"
#include "eaq/model/rope.h"
#include "eaq/model/router.h"
#include "eaq/model/synthetic.h"
#include "kernels/reference/reference.h"

namespace eaq {
namespace {

namespace ref = ::eaq::kernels::reference;
using ref::Doubles;
using ::testing::HasSubstr;

Doubles Widen(const float* x, int64_t n) { return Doubles(x, x + n); }

Doubles Apply(const LayerParams& p, const LinearId& id, const Doubles& x) {
  const LinearParams& linear = p.linears.at(id);
  const int64_t out = linear.weight.rows(), in = linear.weight.cols(), n = static_cast<int64_t>(x.size()) / in;
  Doubles y = ref::Gemm(false, true, n, out, in, x, Widen(linear.weight.data(), linear.weight.size()));
  if (!linear.bias.empty())
    for (size_t i = 0; i < y.size(); ++i) y[i] += linear.bias[i % out];
  return y;
}

Doubles SwiGlu(const LayerParams& p, Role gate, Role up, Role down, int expert, const Doubles& x) {
  return Apply(p, {p.layer, down, expert},
               ref::SiluMul(Apply(p, {p.layer, gate, expert}, x), Apply(p, {p.layer, up, expert}, x)));
}

Doubles ReferenceLayer(const ModelConfig& c, const LayerParams& p, const Doubles& input) {
  const int64_t n = static_cast<int64_t>(input.size()) / c.hidden_size, h = c.hidden_size;
  const auto norm = [&](const std::vector<float>& w, const Doubles& x) {
    const int64_t size = static_cast<int64_t>(w.size());
    return ref::RmsNorm(x, Widen(w.data(), size), c.rms_norm_eps, static_cast<int64_t>(x.size()) / size, size);
  };
  Doubles x = input, a = norm(p.input_norm, x);
  Doubles q = Apply(p, {p.layer, Role::kQ}, a), k = Apply(p, {p.layer, Role::kK}, a),
          v = Apply(p, {p.layer, Role::kV}, a);
  if (c.qk_norm != QkNorm::kNone) q = norm(p.q_norm, q), k = norm(p.k_norm, k);
  if (c.clip_qkv)
    for (Doubles* m : {&q, &k, &v})
      for (double& value : *m) value = std::min(std::max(value, -*c.clip_qkv), *c.clip_qkv);
  Doubles cosines(n * c.head_dim / 2), sines(cosines.size());
  for (int64_t t = 0; t < n; ++t)
    for (int64_t i = 0; i < c.head_dim / 2; ++i) {
      const double angle = t * std::pow(c.rope_theta, -2.0 * i / c.head_dim);
      cosines[t * c.head_dim / 2 + i] = std::cos(angle);
      sines[t * c.head_dim / 2 + i] = std::sin(angle);
    }
  q = ref::RotaryHalfSplit(q, cosines, sines, n, c.num_heads, c.head_dim);
  k = ref::RotaryHalfSplit(k, cosines, sines, n, c.num_kv_heads, c.head_dim);
  const kernels::AttentionShape shape{
      n, 0, c.num_heads, c.num_kv_heads, c.head_dim, c.sliding_window, static_cast<float>(1 / std::sqrt(c.head_dim))};
  const Doubles o = Apply(p, {p.layer, Role::kO}, ref::Attention(shape, q, k, v));
  for (size_t i = 0; i < x.size(); ++i) x[i] += o[i];
  a = norm(p.post_norm, x);
  if (!c.IsMoe(p.layer)) {
    const Doubles y = SwiGlu(p, Role::kGate, Role::kUp, Role::kDown, -1, a);
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
    return x;
  }
  const Doubles scores = ref::SoftmaxRows(Apply(p, {p.layer, Role::kRouter}, a), n, c.num_experts);
  for (int64_t t = 0; t < n; ++t) {
    const Doubles row(scores.begin() + t * c.num_experts, scores.begin() + (t + 1) * c.num_experts);
    const Doubles token(a.begin() + t * h, a.begin() + (t + 1) * h);
    const auto chosen = ref::TopK(row, c.experts_per_token);
    double sum = 0;
    for (const int32_t e : chosen) sum += row[e];
    for (const int32_t e : chosen) {
      const Doubles y = SwiGlu(p, Role::kGate, Role::kUp, Role::kDown, e, token);
      for (int64_t i = 0; i < h; ++i) x[t * h + i] += row[e] / (c.norm_topk_prob ? sum : 1.0) * y[i];
    }
    if (c.shared_width == 0) continue;
    const double gate = 1 / (1 + std::exp(-Apply(p, {p.layer, Role::kSharedExpertGate}, token)[0]));
    const Doubles y = SwiGlu(p, Role::kSharedGate, Role::kSharedUp, Role::kSharedDown, -1, token);
    for (int64_t i = 0; i < h; ++i) x[t * h + i] += gate * y[i];
  }
  return x;
}

std::vector<ModelConfig> Variants() {
  std::vector<ModelConfig> all(6, TinyConfig());
  all[1].clip_qkv = 0.7;
  all[2].qk_norm = QkNorm::kPerHead;
  all[2].num_kv_heads = 2;
  all[2].head_dim = 12;
  all[2].norm_topk_prob = true;
  all[3].qk_norm = QkNorm::kNone;
  all[3].sliding_window = 9;
  all[3].norm_topk_prob = true;
  all[4].qk_norm = QkNorm::kNone;
  all[4].shared_width = 40;
  all[4].attention_bias = true;
  all[5].dense_layers = {0};
  all[5].dense_width = 72;
  return all;
}

TEST(DecoderLayer, AgreesWithReferenceInEveryVariant) {
  int variant = 0;
  for (const ModelConfig& config : Variants()) {
    SCOPED_TRACE(variant++);
    const LayerParams params = RandomLayer(config, 0, 5);
    EAQ_ASSERT_OK_AND_ASSIGN(const auto layer, BuildLayer(config, params));
    const Matrix input = [&] {
      Matrix m(75, config.hidden_size);
      for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = std::sin(0.37f * i) + 0.3f * std::cos(1.91f * i);
      return m;
    }();
    Matrix hidden = input;
    layer->Forward(hidden.view());
    const Doubles expected = ReferenceLayer(config, params, Widen(input.data(), input.size()));
    for (int64_t i = 0; i < hidden.size(); ++i) ASSERT_NEAR(hidden.data()[i], expected[i], 3e-5) << i;
  }
}

// Sequences of several lengths, a token each at a time, in every variant and with Hadamard blocks after RoPE.
TEST(DecoderLayer, ForwardEachContinuesEverySequence) {
  int variant = 0;
  for (const ModelConfig& config : Variants()) {
    SCOPED_TRACE(variant++);
    LayerParams params = RandomLayer(config, 0, 5);
    if (variant % 2 == 0) params.qk_hadamard = 4;
    EAQ_ASSERT_OK_AND_ASSIGN(const auto layer, BuildLayer(config, params));
    const std::vector<int64_t> prompts = {3, 0, 14};
    const int64_t steps = 6, kv_width = config.num_kv_heads * config.head_dim;
    std::vector<Matrix> inputs, expected;
    std::vector<LayerCache> caches;
    std::vector<LayerCache*> pointers;
    for (size_t s = 0; s < prompts.size(); ++s) {
      const int64_t n = prompts[s] + steps;
      Matrix m(n, config.hidden_size);
      for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = std::sin(0.37f * i + s) + 0.3f * std::cos(1.91f * i);
      inputs.push_back(m);
      Matrix start(inputs[s].const_view().Rows(0, prompts[s]));
      caches.push_back({Matrix(n, kv_width), Matrix(n, kv_width), 0});
      layer->ForwardCached(start.view(), caches.back());
      layer->Forward(m.view());
      expected.push_back(std::move(m));
    }
    for (LayerCache& cache : caches) pointers.push_back(&cache);
    for (int64_t step = 0; step < steps; ++step) {
      Matrix rows(static_cast<int64_t>(prompts.size()), config.hidden_size);
      for (size_t s = 0; s < prompts.size(); ++s)
        std::copy_n(inputs[s].row(prompts[s] + step), config.hidden_size, rows.row(s));
      layer->ForwardEach(rows.view(), pointers);
      for (size_t s = 0; s < prompts.size(); ++s) {
        EXPECT_EQ(caches[s].length, prompts[s] + step + 1);
        for (int64_t c = 0; c < config.hidden_size; ++c)
          ASSERT_NEAR(rows(s, c), expected[s](prompts[s] + step, c), 3e-5) << "sequence " << s << " step " << step;
      }
    }
  }
}

// Records what it is told.
class Recorder : public LayerObserver {
 public:
  void OnLinearInput(const LinearId& id, ConstMatrixView x, absl::Span<const int32_t> tokens) override {
    rows[id] += x.rows;
    for (size_t i = 1; i < tokens.size(); ++i) EXPECT_LT(tokens[i - 1], tokens[i]);
    EXPECT_EQ(static_cast<int64_t>(tokens.size()), id.expert < 0 ? 0 : x.rows);
  }
  void OnRouter(int, ConstMatrixView logits, absl::Span<const int32_t> experts, absl::Span<const float> w) override {
    chosen.assign(experts.begin(), experts.end());
    weights.assign(w.begin(), w.end());
    EXPECT_EQ(logits.cols, 8);
  }
  std::map<LinearId, int64_t> rows;
  std::vector<int32_t> chosen;
  std::vector<float> weights;
};

TEST(DecoderLayer, ObserverSeesEveryInputAndChangesNothing) {
  const ModelConfig config = TinyConfig();
  EAQ_ASSERT_OK_AND_ASSIGN(const auto layer, BuildLayer(config, RandomLayer(config, 0, 5)));
  Matrix plain(20, config.hidden_size);
  for (int64_t i = 0; i < plain.size(); ++i) plain.data()[i] = std::sin(0.37f * i);
  Matrix observed = plain;
  Recorder recorder;
  layer->Forward(plain.view());
  layer->Forward(observed.view(), &recorder);
  EXPECT_EQ(plain, observed);
  int64_t expert_rows = 0;
  for (const auto& [id, n] : recorder.rows) {
    if (id.expert < 0) {
      EXPECT_EQ(n, 20) << id.ToString();
    }
    if (id.role == Role::kDown) expert_rows += n;
  }
  EXPECT_EQ(expert_rows, 20 * 2);
  EXPECT_EQ(recorder.chosen.size(), 40);
  for (size_t i = 0; i < 40; i += 2) EXPECT_GE(recorder.weights[i], recorder.weights[i + 1]);
  EXPECT_TRUE(recorder.rows.contains({0, Role::kRouter}));
}

TEST(DecoderLayer, CreateNamesWhatIsWrong) {
  const ModelConfig config = TinyConfig();
  LayerParams params = RandomLayer(config, 1, 5);
  params.linears.erase({1, Role::kUp, 3});
  EXPECT_THAT(BuildLayer(config, params),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("L1.e3.up is missing")));
  params = RandomLayer(config, 1, 5);
  params.linears.at({1, Role::kUp, 3}).weight = Matrix(3, 4);
  EXPECT_THAT(BuildLayer(config, params), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected [24, 32]")));
  params = RandomLayer(config, 1, 5);
  params.q_norm.clear();
  EXPECT_THAT(BuildLayer(config, params), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("q_norm")));
}

TEST(InverseFrequencies, PublishedOracles) {
  ModelConfig c = TinyConfig();
  c.head_dim = 128;
  EXPECT_NEAR(InverseFrequencies(c)[1], 0.8659643234, 1e-7);
  EXPECT_NEAR(InverseFrequencies(c)[63], 1.154781985e-4, 1e-11);
  c.rope_theta = 1e6;
  EXPECT_NEAR(InverseFrequencies(c)[1], 0.8058421878, 1e-7);
  EXPECT_NEAR(InverseFrequencies(c)[63], 1.240937761e-6, 1e-13);
}

TEST(Route, TiesGoToTheLowestIndexAndSumsFollowTheConfiguration) {
  ModelConfig c = TinyConfig();
  Matrix logits(1, 8);  // all equal
  Routing routing;
  Route(c, logits.view(), &routing);
  EXPECT_EQ(routing.experts, (std::vector<int32_t>{0, 1}));
  EXPECT_NEAR(routing.weights[0] + routing.weights[1], 2.0 / 8, 1e-7);
  c.norm_topk_prob = true;
  Route(c, logits.view(), &routing);
  EXPECT_NEAR(routing.weights[0] + routing.weights[1], 1.0, 1e-7);
}

}  // namespace
}  // namespace eaq
