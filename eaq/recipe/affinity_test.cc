// Affinities and the moments they weight, against the router's decision worked out again in float64 from the rows that
// an expert reads: whatever order rows come in, each must have the factor of its own token.
#include "eaq/recipe/affinity.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/synthetic.h"
#include "eaq/recipe/layer_inputs.h"
#include "eaq/recipe/profile.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

std::vector<Matrix> Windows(const ModelConfig& config) {
  std::vector<Matrix> windows;
  Rng rng(5, "affinity_test");
  for (int w = 0; w < 19; ++w) {  // more than are profiled at once
    Matrix m(11 + w % 3, config.hidden_size);
    for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(rng.Normal());
    windows.push_back(std::move(m));
  }
  return windows;
}

double Dot(const Matrix& w, int64_t row, const float* x) {
  double sum = 0;
  for (int64_t c = 0; c < w.cols(); ++c) sum += static_cast<double>(w(row, c)) * x[c];
  return sum;
}

// The factor on what routed EXPERT (below 0: the shared one) puts out for the row X of the block's input.
double NaiveAffinity(const ModelConfig& config, const LayerParams& params, int expert, const float* x) {
  if (expert < 0) {
    return 1 / (1 + std::exp(-Dot(params.linears.at({params.layer, Role::kSharedExpertGate}).weight, 0, x)));
  }
  const Matrix& router = params.linears.at({params.layer, Role::kRouter}).weight;
  std::vector<double> score(router.rows());
  double sum = 0;
  for (int64_t e = 0; e < router.rows(); ++e) {
    score[e] = config.router_score == RouterScore::kSigmoid ? 1 / (1 + std::exp(-Dot(router, e, x)))
                                                            : std::exp(Dot(router, e, x));
    sum += score[e];
  }
  if (config.router_score == RouterScore::kSoftmax) {
    for (double& s : score) s /= sum;
  }
  std::vector<double> sorted = score;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  EXPECT_GE(score[expert], sorted[config.experts_per_token - 1]) << "the row is not one of the expert's";
  const double chosen = std::accumulate(sorted.begin(), sorted.begin() + config.experts_per_token, 0.0);
  return score[expert] * config.routed_scaling / (config.norm_topk_prob ? chosen : 1);
}

std::vector<ModelConfig> Families() {
  std::vector<ModelConfig> all(4, TinyConfig());  // the first: OLMoE
  all[1].norm_topk_prob = true;                   // Mixtral
  all[2].shared_width = 40;                       // Qwen2-MoE
  all[3].shared_width = 40;                       // DeepSeek, with the third version's scores and scaling
  all[3].shared_expert_gated = false;
  all[3].router_score = RouterScore::kSigmoid;
  all[3].norm_topk_prob = true;
  all[3].routed_scaling = 2.5;
  return all;
}

TEST(Affinity, EveryRowHasTheFactorOfItsOwnToken) {
  for (const ModelConfig& config : Families()) {
    const LayerParams params = RandomLayer(config, 0, 3);
    const auto layer = BuildLayer(config, params).value();
    const std::vector<Matrix> windows = Windows(config);
    ThreadPool pool(2);
    std::vector<LinearId> gates;
    for (const auto& [id, linear] : params.linears) {
      if (id.role == Role::kGate || id.role == Role::kSharedGate) gates.push_back(id);
    }
    const auto rows = CollectInputs(*layer, windows, gates, CpuOps(), pool).value();
    for (const int power : {1, 2}) {
      const auto found = CollectAffinities(*layer, windows, gates, power, CpuOps(), pool).value();
      int64_t checked = 0;
      for (const LinearId& gate : gates) {
        const std::vector<float>& c = found.at(gate);
        if (gate.expert < 0 && !config.shared_expert_gated) {
          EXPECT_TRUE(c.empty());
          EXPECT_FALSE(HasAffinity(config, gate));
          continue;
        }
        EXPECT_TRUE(HasAffinity(config, gate));
        const Matrix& x = rows.at(gate);
        ASSERT_EQ(c.size(), x.rows()) << gate.ToString();
        for (int64_t t = 0; t < x.rows(); ++t, ++checked) {
          const double expected = std::pow(NaiveAffinity(config, params, gate.expert, x.row(t)), power);
          ASSERT_NEAR(c[t], expected, 1e-5 * expected) << gate.ToString() << " row " << t;
        }
      }
      EXPECT_GT(checked, 200);
    }
    EXPECT_TRUE(CollectAffinities(*layer, windows, gates, 0, CpuOps(), pool).value().at(gates[0]).empty());
  }
}

TEST(Affinity, WeightsTheMomentsOfWhatExpertsReadAndNothingElse) {
  for (const ModelConfig& config : Families()) {
    const LayerParams params = RandomLayer(config, 0, 3);
    const auto layer = BuildLayer(config, params).value();
    const std::vector<Matrix> windows = Windows(config);
    ThreadPool one(1), three(3);
    EAQ_ASSERT_OK_AND_ASSIGN(const LayerProfile plain, ProfileLayer(*layer, windows, {}, three));
    for (const int power : {1, 2}) {
      EAQ_ASSERT_OK_AND_ASSIGN(const LayerProfile weighted,
                               ProfileLayer(*layer, windows, {.affinity_power = power}, three));
      EAQ_ASSERT_OK_AND_ASSIGN(const LayerProfile again, ProfileLayer(*layer, windows, {.affinity_power = power}, one));
      std::vector<LinearId> ids;
      for (const auto& [id, x] : weighted.inputs) ids.push_back(id);
      const auto rows = CollectInputs(*layer, windows, ids, CpuOps(), three).value();
      for (const auto& [id, x] : weighted.inputs) {
        EXPECT_EQ(x.second_moments.values, again.Of(id).second_moments.values) << id.ToString();
        EXPECT_EQ(x.tokens, plain.Of(id).tokens);
        EXPECT_EQ(x.abs_max, plain.Of(id).abs_max);
        if (!HasAffinity(config, id)) {
          EXPECT_EQ(x.second_moments.values, plain.Of(id).second_moments.values) << id.ToString();
          continue;
        }
        // down reads other rows than gate, of the same tokens in the same order.
        const LinearId gate{id.layer, id.expert < 0 ? Role::kSharedGate : Role::kGate, id.expert};
        const Matrix &block = rows.at(gate), &input = rows.at(id);
        const int64_t n = input.cols();
        std::vector<double> naive(n * n, 0.0);
        double trace = 1e-12;
        for (int64_t t = 0; t < input.rows(); ++t) {
          const double c = std::pow(NaiveAffinity(config, params, id.expert, block.row(t)), power);
          for (int64_t i = 0; i < n; ++i) {
            trace += c * input(t, i) * input(t, i);
            for (int64_t j = 0; j < n; ++j) naive[i * n + j] += c * input(t, i) * input(t, j);
          }
        }
        for (int64_t i = 0; i < n * n; ++i)
          ASSERT_NEAR(x.second_moments.values[i], naive[i], 1e-5 * trace) << id.ToString();
      }
    }
  }
}

TEST(Profile, OfSomeInputsHasTheSameBitsAsOfAll) {
  const ModelConfig config = TinyConfig();
  const auto layer = BuildLayer(config, RandomLayer(config, 0, 3)).value();
  const std::vector<Matrix> windows = Windows(config);
  ThreadPool pool(2);
  const std::set<LinearId> only = {{0, Role::kO}, {0, Role::kDown, 3}};
  EAQ_ASSERT_OK_AND_ASSIGN(const LayerProfile all, ProfileLayer(*layer, windows, {}, pool));
  EAQ_ASSERT_OK_AND_ASSIGN(const LayerProfile some, ProfileLayer(*layer, windows, {.only = &only}, pool));
  ASSERT_EQ(some.inputs.size(), 2);
  for (const LinearId& id : only) {
    EXPECT_EQ(some.Of(id).second_moments.values, all.Of(id).second_moments.values) << id.ToString();
  }
}

TEST(Affinity, RefusesOtherPowers) {
  Affinity affinity;
  EXPECT_THAT(AffinityPower(affinity), IsOkAndHolds(1));
  for (const int power : {-1, 3}) {
    affinity.set_power(power);
    EXPECT_THAT(AffinityPower(affinity), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected 0, 1 or 2")));
  }
}

}  // namespace
}  // namespace eaq
