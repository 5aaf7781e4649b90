// What a routing policy leaves out: against smaller routers, a mixture in float64, and attention maps written out.
#include "eaq/model/routing_policy.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/layer.h"
#include "eaq/model/router.h"
#include "eaq/model/synthetic.h"
#include "eaq/model/token_importance.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Matrix RandomMatrix(int64_t rows, int64_t cols, const std::string& purpose) {
  Rng rng(3, "routing_policy_test/" + purpose);
  Matrix m(rows, cols);
  for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(rng.Normal());
  return m;
}

std::shared_ptr<const RoutingPolicy> Policy(RoutingPolicy policy) {
  return std::make_shared<const RoutingPolicy>(std::move(policy));
}

TEST(Route, KeptExpertsAreARouterOfTheirRowsAlone) {
  const std::vector<int32_t> kept = {1, 3, 4, 6};
  const Matrix logits = RandomMatrix(50, 8, "logits");
  for (const RouterScore score : {RouterScore::kSoftmax, RouterScore::kSigmoid}) {
    for (const bool normalised : {false, true}) {
      ModelConfig c = TinyConfig();
      c.router_score = score;
      c.norm_topk_prob = normalised;
      Routing routing;
      Route(c, logits.const_view(), &routing, kept);
      for (int64_t t = 0; t < logits.rows(); ++t) {
        std::map<int32_t, double> scores;
        double sum = 0;
        for (const int32_t e : kept) sum += std::exp(static_cast<double>(logits(t, e)));
        for (const int32_t e : kept) {
          const double z = logits(t, e);
          scores[e] = score == RouterScore::kSoftmax ? std::exp(z) / sum : 1 / (1 + std::exp(-z));
        }
        std::vector<int32_t> order = kept;
        std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return scores[a] > scores[b]; });
        const double both = normalised ? scores[order[0]] + scores[order[1]] : 1;
        for (int i = 0; i < 2; ++i) {
          EXPECT_EQ(routing.experts[2 * t + i], order[i]);
          EXPECT_NEAR(routing.weights[2 * t + i], scores[order[i]] / both, 1e-6);
        }
      }
    }
  }
}

TEST(DropExperts, DropsBelowTheRatioAndKeepsTheSum) {
  Routing routing;
  routing.weights = {0.5f, 0.2f, 0.1f, /**/ 0.5f, 0.2f, 0.1f, /**/ 0.4f, 0.3f, 0.2f};
  routing.experts.assign(9, 0);
  DropExperts({.ratio = 0.4f}, 3, std::vector<uint8_t>{0, 1, 0}, &routing);
  // 0.4 * 0.5 = 0.2 is kept: only what lies below is dropped. 0.8 / 0.7 makes up for 0.1.
  const float up = 0.8f / 0.7f;
  const float expected[] = {0.5f * up, 0.2f * up, 0, 0.5f, 0.2f, 0.1f, 0.4f, 0.3f, 0.2f};
  for (int i = 0; i < 9; ++i) EXPECT_NEAR(routing.weights[i], expected[i], 1e-6) << i;
}

TEST(TokenImportance, AttentionReceivedIsTheColumnMeanOfTheMap) {
  for (const int64_t window : {0, 5}) {
    kernels::AttentionShape shape;
    shape.queries = 13, shape.heads = 4, shape.kv_heads = 2, shape.head_dim = 6, shape.window = window;
    shape.scale = 0.7f;
    const Matrix q = RandomMatrix(13, 24, "q"), k = RandomMatrix(13, 12, "k");
    const std::vector<double> received = AttentionReceived(shape, q.const_view(), k.const_view());
    std::vector<double> sum(13, 0.0), seen(13, 0.0);
    for (int h = 0; h < 4; ++h) {
      for (int i = 0; i < 13; ++i) {
        std::map<int, double> row;
        double total = 0;
        for (int j = 0; j <= i; ++j) {
          if (window > 0 && i - j >= window) continue;
          double product = 0;
          for (int c = 0; c < 6; ++c) product += static_cast<double>(q(i, 6 * h + c)) * k(j, 6 * (h / 2) + c);
          total += row[j] = std::exp(0.7f * product);
        }
        for (const auto& [j, e] : row) sum[j] += e / total, seen[j] += 1;
      }
    }
    for (int t = 0; t < 13; ++t) EXPECT_NEAR(received[t], sum[t] / seen[t], 1e-6) << window << " " << t;
  }
}

TEST(TokenImportance, TheShareWithTheLargestProductsIsChosen) {
  Matrix hidden(5, 2);
  const float sizes[] = {1, -3, 2, 2, 1};
  for (int t = 0; t < 5; ++t) hidden(t, 0) = hidden(t, 1) = sizes[t];
  const std::vector<double> received = {4, 0.5, 1, 1, 3};  // products 8, 3, 4, 4, 6
  EXPECT_THAT(MostImportant(received, hidden.const_view(), 0.0), ElementsAre(0, 0, 0, 0, 0));
  EXPECT_THAT(MostImportant(received, hidden.const_view(), 0.1), ElementsAre(1, 0, 0, 0, 0));  // at least one
  EXPECT_THAT(MostImportant(received, hidden.const_view(), 0.6), ElementsAre(1, 0, 1, 0, 1));  // of equals the first
  EXPECT_THAT(MostImportant(received, hidden.const_view(), 1.0), ElementsAre(1, 1, 1, 1, 1));
}

// The weights that a layer gave its experts, and what these read.
class Recorder : public LayerObserver {
 public:
  void OnRouter(int, ConstMatrixView, absl::Span<const int32_t> e, absl::Span<const float> w) override {
    experts.assign(e.begin(), e.end());
    weights.assign(w.begin(), w.end());
  }
  void OnLinearInput(const LinearId& id, ConstMatrixView x, absl::Span<const int32_t> tokens) override {
    if (id.role == Role::kRouter) router_input = Matrix(x);
    if (id.role == Role::kGate) reads[id.expert] = {tokens.begin(), tokens.end()};
  }
  std::vector<int32_t> experts;
  std::vector<float> weights;
  std::map<int, std::vector<int32_t>> reads;
  Matrix router_input;
};

// down(silu(gate x) up x) in float64.
std::vector<double> Expert(const LayerParams& params, int expert, const float* x) {
  const auto product = [&](Role role, const std::vector<double>& in) {
    const Matrix& w = params.linears.at({params.layer, role, expert}).weight;
    std::vector<double> out(w.rows(), 0.0);
    for (int64_t r = 0; r < w.rows(); ++r) {
      for (int64_t c = 0; c < w.cols(); ++c) out[r] += static_cast<double>(w(r, c)) * in[c];
    }
    return out;
  };
  const std::vector<double> in(x, x + params.linears.at({params.layer, Role::kGate, expert}).weight.cols());
  std::vector<double> g = product(Role::kGate, in);
  const std::vector<double> u = product(Role::kUp, in);
  for (size_t i = 0; i < g.size(); ++i) g[i] = g[i] / (1 + std::exp(-g[i])) * u[i];
  return product(Role::kDown, g);
}

struct Ran {
  Matrix out;
  Recorder seen;
};
Ran RunLayer(const ModelConfig& config, LayerParams params, std::shared_ptr<const RoutingPolicy> policy,
             const Matrix& hidden) {
  params.routing = std::move(policy);
  const auto layer = BuildLayer(config, std::move(params)).value();
  Ran run{hidden, {}};
  layer->Forward(run.out.view(), &run.seen);
  return run;
}

TEST(RoutingPolicy, DroppedExpertsAreMissingFromTheSumAndTheOthersMakeUpForThem) {
  const ModelConfig config = TinyConfig();
  const LayerParams params = RandomLayer(config, 1, 5);
  const Matrix hidden = RandomMatrix(40, config.hidden_size, "hidden");
  const Ran plain = RunLayer(config, params, nullptr, hidden);
  const Ran dropped = RunLayer(config, params, Policy({.drop = ExpertDrop{.ratio = 0.8f}}), hidden);
  int64_t gone = 0, read = 0;
  for (int64_t t = 0; t < 40; ++t) {
    const float first = plain.seen.weights[2 * t], second = plain.seen.weights[2 * t + 1];
    const bool drops = second < 0.8f * first;
    gone += drops;
    const double factor[] = {drops ? static_cast<double>(first) + second : first, drops ? 0 : second};
    std::vector<double> expected(plain.out.row(t), plain.out.row(t) + config.hidden_size);
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(dropped.seen.experts[2 * t + i], plain.seen.experts[2 * t + i]);
      EXPECT_NEAR(dropped.seen.weights[2 * t + i], factor[i], 1e-6);
      const std::vector<double> y = Expert(params, plain.seen.experts[2 * t + i], plain.seen.router_input.row(t));
      for (size_t c = 0; c < y.size(); ++c) expected[c] += (factor[i] - plain.seen.weights[2 * t + i]) * y[c];
    }
    for (int64_t c = 0; c < config.hidden_size; ++c) EXPECT_NEAR(dropped.out(t, c), expected[c], 1e-5);
  }
  EXPECT_GT(gone, 5);
  EXPECT_LT(gone, 40);
  for (const auto& [expert, tokens] : dropped.seen.reads) read += static_cast<int64_t>(tokens.size());
  EXPECT_EQ(read, 80 - gone);
}

TEST(RoutingPolicy, ProtectsTokensOfAWholeSequenceButNotInDecoding) {
  const ModelConfig config = TinyConfig();
  const LayerParams params = RandomLayer(config, 1, 5);
  const Matrix hidden = RandomMatrix(40, config.hidden_size, "hidden");
  const auto both = [](const Recorder& seen) {  // tokens that keep both experts
    int64_t count = 0;
    for (size_t t = 0; t < seen.weights.size() / 2; ++t) count += seen.weights[2 * t + 1] != 0;
    return count;
  };
  const auto drop_all = [](float protect) { return Policy({.drop = ExpertDrop{.ratio = 1, .protect = protect}}); };
  EXPECT_EQ(both(RunLayer(config, params, drop_all(0), hidden).seen), 0);
  EXPECT_EQ(both(RunLayer(config, params, drop_all(0.1f), hidden).seen), 4);
  EXPECT_EQ(RunLayer(config, params, drop_all(1), hidden).out, RunLayer(config, params, nullptr, hidden).out);

  LayerParams protects = params;
  protects.routing = drop_all(1);
  const auto layer = BuildLayer(config, protects).value();
  LayerCache cache{Matrix(40, config.num_kv_heads * config.head_dim),
                   Matrix(40, config.num_kv_heads * config.head_dim)};
  for (int64_t t = 0; t < 3; ++t) {
    Matrix row(ConstMatrixView(hidden.const_view()).Rows(t, 1));
    Recorder seen;
    layer->ForwardCached(row.view(), cache, &seen);
    EXPECT_EQ(both(seen), 0);
  }
}

TEST(RoutingPolicy, PrunedExpertsGiveTheLayerThatNeverHadThem) {
  const ModelConfig config = TinyConfig();
  const LayerParams params = RandomLayer(config, 1, 5);
  const Matrix hidden = RandomMatrix(40, config.hidden_size, "hidden");
  const std::vector<int32_t> kept = {0, 2, 3, 7};
  ModelConfig small = config;
  small.num_experts = 4;
  LayerParams few = params;
  std::erase_if(few.linears, [](const auto& linear) { return linear.first.expert >= 0; });
  Matrix router(4, config.hidden_size);
  for (int i = 0; i < 4; ++i) {
    std::copy_n(params.linears.at({1, Role::kRouter}).weight.row(kept[i]), config.hidden_size, router.row(i));
    for (const Role role : {Role::kGate, Role::kUp, Role::kDown})
      few.linears[{1, role, i}] = params.linears.at({1, role, kept[i]});
  }
  few.linears[{1, Role::kRouter}].weight = router;
  const Ran pruned = RunLayer(config, params, Policy({.kept = kept}), hidden);
  const Ran expected = RunLayer(small, few, nullptr, hidden);
  for (int64_t i = 0; i < hidden.size(); ++i) EXPECT_NEAR(pruned.out.data()[i], expected.out.data()[i], 1e-6);
  for (size_t i = 0; i < pruned.seen.experts.size(); ++i) {
    EXPECT_EQ(pruned.seen.experts[i], kept[expected.seen.experts[i]]);
  }
}

TEST(RoutingPolicy, SaysWhatIsWrong) {
  ModelConfig config = TinyConfig();
  LayerParams params = RandomLayer(config, 1, 5);
  const auto build = [&](RoutingPolicy policy) {
    params.routing = Policy(std::move(policy));
    return BuildLayer(config, params).status();
  };
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(build({.kept = {3}}), invalid("layer 1: routing policy keeps 1 experts; expected at least 2"));
  EXPECT_THAT(build({.kept = {3, 2}}), invalid("keeps expert 2 in place 1"));
  EXPECT_THAT(build({.kept = {3, 8}}), invalid("keeps expert 8 in place 1"));
  EXPECT_THAT(build({.drop = ExpertDrop{.ratio = 1.5f}}), invalid("drops below 1.5"));
  config.dense_layers = {1};
  config.dense_width = 8;
  LayerParams dense = RandomLayer(config, 1, 5);
  dense.routing = Policy({});
  EXPECT_THAT(BuildLayer(config, dense), invalid("layer 1 has a routing policy and no experts"));
}

}  // namespace
}  // namespace eaq
