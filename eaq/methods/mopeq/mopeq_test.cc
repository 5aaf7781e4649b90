// MoPEQ by its parts and through the registry.
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/methods/mopeq/scores.h"
#include "eaq/model/synthetic.h"
#include "eaq/recipe/allocation.h"
#include "eaq/recipe/stage.h"

namespace eaq::mopeq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Matrix RandomMatrix(int64_t rows, int64_t cols, double scale, uint64_t seed) {
  Rng rng(seed, "mopeq_test");
  Matrix m(rows, cols);
  for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(scale * rng.Normal());
  return m;
}

// The released code's estimator in float64: v ~ N(0, I), H v = (v - w (w.v) / f^2) / f of L = ||W||_F, mean of v.H v.
// Numeric derivatives of L itself give H v here, so nothing of the closed form enters.
double SampledTrace(const Matrix& w, int samples) {
  Rng rng(9, "mopeq_test/sampled");
  const int64_t n = w.size();
  const auto gradient = [&](const std::vector<double>& at) {  // of ||.||_F, the only calculus in it: w / ||w||
    double squares = 0;
    for (const double x : at) squares += x * x;
    std::vector<double> g(at);
    for (double& x : g) x /= std::sqrt(squares);
    return g;
  };
  std::vector<double> base(w.data(), w.data() + n), v(n);
  double sum = 0;
  for (int s = 0; s < samples; ++s) {
    for (double& x : v) x = rng.Normal();
    const double h = 1e-6;
    std::vector<double> up(base), down(base);
    for (int64_t i = 0; i < n; ++i) up[i] += h * v[i], down[i] -= h * v[i];
    const auto gu = gradient(up), gd = gradient(down);
    for (int64_t i = 0; i < n; ++i) sum += v[i] * (gu[i] - gd[i]) / (2 * h);
  }
  return sum / samples;
}

TEST(MoPeqScores, TheClosedFormIsWhatSamplingEstimates) {
  for (const double scale : {0.02, 1.0}) {
    const Matrix w = RandomMatrix(40, 60, scale, 1);
    const double trace = *HessianTrace(w.const_view());
    // v.v of 2400 normal numbers varies by sqrt(2 / 2400) = 2.9 %, of the mean of 200 by 0.2 %.
    EXPECT_NEAR(SampledTrace(w, 200) / trace, 1, 0.01);
  }
}

// Published figures of the estimator with unit vectors, 1 / ||W||_F (specs/mopeq.md 2.3): 896 x 1280, std 0.02: 0.0467.
TEST(MoPeqScores, HasThePublishedSize) {
  const Matrix w = RandomMatrix(896, 1280, 0.02, 2);
  EXPECT_NEAR(*HessianTrace(w.const_view()) / static_cast<double>(w.size()), 0.0467, 1e-4);
}

TEST(MoPeqScores, ZerosHaveNoTrace) {
  EXPECT_THAT(HessianTrace(Matrix(3, 3).const_view()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("squared weights is 0")));
}

TEST(MoPeqScores, HybridAndMinMax) {
  EXPECT_THAT(MinMax({2, 4, 3}), ElementsAre(0, 1, 0.5));
  EXPECT_THAT(MinMax({2, 2}), ElementsAre(0, 0));
  EXPECT_THAT(Hybrid({1, 2, 3}, {5, 4, 9}), ElementsAre(0, 0, 1));
}

TEST(MoPeqScores, WidthsFollowTheClusters) {
  EXPECT_THAT(*WidthsOfClusters({10, 1, 11, 100, 2}, {2, 3, 4}), ElementsAre(3, 2, 3, 4, 2));
  EXPECT_THAT(*WidthsOfClusters({10, 10, 1}, {2, 3, 4}), ElementsAre(4, 4, 3));  // two values: the larger widths
  EXPECT_THAT(*WidthsOfClusters({5, 1, 3}, {4}), ElementsAre(4, 4, 4));          // one width: uniform
}

// The published sizes (specs/mopeq.md 8): 16 bits for what is not quantized, 4 for attention, dense and shared experts,
// the experts' widths, no scales; GiB. From the table of section 7.
TEST(MoPeqSizes, ThePublishedFormulaGivesThePublishedSizes) {
  struct Model {
    double total, routed, other_quantized;  // parameters
  };
  const auto gib = [](const Model& m, double expert_bits) {
    const double sixteen = m.total - m.routed - m.other_quantized;
    return (16 * sixteen + 4 * m.other_quantized + expert_bits * m.routed) / 8 / std::ldexp(1.0, 30);
  };
  // tiny: 12 layers of 4 x 1280^2 attention; dense 3 x 1280 x 6848; 11 x 2 shared of 3 x 1280 x 896.
  const Model tiny = {3.37e9, 11.0 * 64 * 3 * 1280 * 896,
                      12.0 * 4 * 1280 * 1280 + 3.0 * 1280 * 6848 + 11.0 * 2 * 3 * 1280 * 896};
  EXPECT_NEAR(gib(tiny, 4), 2.64, 0.01);
  EXPECT_NEAR(gib(tiny, 2), 2.08, 0.01);
  EXPECT_NEAR(gib(tiny, 2.97), 2.35, 0.01);  // the hybrid, model-wise row
}

MoPeq Options(const std::string& text) {
  MoPeq options;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &options)) << text;
  return options;
}

// A model's plan, as the pipeline makes it.
struct Planned {
  explicit Planned(const std::string& options, double budget = 0) : config(TinyConfig()) {
    config.num_layers = 3;
    config.hidden_size = 64;
    config.expert_width = 48;
    Scheme scheme;
    scheme.mutable_weights()->set_bits(4);
    if (budget > 0) scheme.mutable_budget()->set_stored_bits_per_weight(budget);
    problem = *AllocationProblem::Create(config, scheme);
    AllocateStage slot;
    *slot.mutable_mopeq() = Options(options);
    auto made = MakeStage<AllocateSlot>(slot, "allocate");
    status = made.status();
    if (!made.ok()) return;
    const LayerScheme layer_scheme = *LayerScheme::FromProto(scheme);
    ThreadPool pool(1);
    Rng rng(4, "mopeq_test/windows");
    std::vector<Matrix> hidden(3, Matrix(30, config.hidden_size));
    for (Matrix& h : hidden) {
      for (int64_t i = 0; i < h.size(); ++i) h.data()[i] = static_cast<float>(rng.Normal());
    }
    for (int l = 0; l < config.num_layers; ++l) {
      LayerParams params = RandomLayer(config, l, 7);
      for (auto& [id, linear] : params.linears) {  // experts of different norms
        if (id.expert < 0) continue;
        for (int64_t i = 0; i < linear.weight.size(); ++i) {
          linear.weight.data()[i] *= 1 + 0.25f * static_cast<float>((3 * id.expert + l) % 8);
        }
      }
      const auto layer = *BuildLayer(config, params);
      const LayerProfile profile = *ProfileLayer(*layer, hidden, {}, pool);
      LayerContext context;
      context.config = &config;
      context.scheme = &layer_scheme;
      context.profile = &profile;
      context.hidden = hidden;
      context.pool = &pool;
      surveys.push_back(*(*made)->Survey(context, params));
    }
    auto found = (*made)->Allocate(problem, surveys);
    status = found.status();
    if (found.ok()) plan = *found;
  }
  std::map<int, int> Widths(int layer) const {  // bits -> experts, of the layer; -1: all layers
    std::map<int, int> count;
    for (const auto& [id, grid] : plan) {
      if (id.role == Role::kGate && id.expert >= 0 && (layer < 0 || id.layer == layer)) ++count[grid.bits];
    }
    return count;
  }
  int Bits(int layer, int expert) const { return plan.at({layer, Role::kGate, expert}).bits; }

  ModelConfig config;
  AllocationProblem problem;
  std::vector<std::vector<double>> surveys;
  BitPlan plan;
  absl::Status status;
};

TEST(MoPeq, SmallNormsGetManyBitsAndTheRestTheSchemes) {
  const Planned p("");
  ASSERT_THAT(p.status, IsOk());
  EXPECT_EQ(p.Widths(-1).size(), 3u);
  for (int l = 0; l < 3; ++l) {
    int smallest = 0, largest = 0;  // of the norms
    for (int e = 0; e < 8; ++e) {
      if ((3 * e + l) % 8 == 0) smallest = e;
      if ((3 * e + l) % 8 == 7) largest = e;
    }
    EXPECT_EQ(p.Bits(l, smallest), 4);
    EXPECT_EQ(p.Bits(l, largest), 2);
    EXPECT_EQ(p.plan.at({l, Role::kQ}).bits, 4);
  }
  const Planned norm("score: WEIGHT_NORM"), reversed("reversed: true");
  EXPECT_EQ(norm.Bits(0, 0), 2);  // the smallest norm of layer 0
  EXPECT_EQ(reversed.Bits(0, 0), 2);
}

TEST(MoPeq, LayersAloneOrTheWholeModel) {
  const Planned p("scope: LAYER");
  ASSERT_THAT(p.status, IsOk());
  for (int l = 0; l < 3; ++l) EXPECT_EQ(p.Widths(l).size(), 3u) << l;
}

TEST(MoPeq, RandomKeepsTheSizesOfTheClusters) {
  for (const std::string scope : {"MODEL", "LAYER"}) {
    const Planned trace("scope: " + scope);
    int same = 0;
    for (int draw = 0; draw < 5; ++draw) {
      const Planned random("score: RANDOM scope: " + scope + " draw: " + std::to_string(draw));
      ASSERT_THAT(random.status, IsOk());
      EXPECT_EQ(random.Widths(-1), trace.Widths(-1));
      if (scope == "LAYER") {
        EXPECT_EQ(random.Widths(1), trace.Widths(1));
      }
      same += random.plan == trace.plan;
    }
    EXPECT_LT(same, 2);
  }
}

TEST(MoPeq, EveryScoreMeetsABudget) {
  for (const std::string score : {"HESSIAN_TRACE", "FREQUENCY", "HYBRID", "RANDOM", "WEIGHT_NORM", "OUTPUT_ERROR"}) {
    for (const std::string scope : {"MODEL", "LAYER"}) {
      const Planned p("score: " + score + " scope: " + scope, 3.4);
      ASSERT_THAT(p.status, IsOk()) << score;
      const double stored = p.problem.StoredBitsPerWeight(p.plan);
      EXPECT_LE(stored, 3.4 + kBudgetSlack) << score;
      // One linear is 1/72 of the scope; scores of 0 ask for nothing.
      if (score != "HYBRID") {
        EXPECT_GE(stored, 3.4 - 1.0 / 72) << score << scope;
      }
    }
  }
}

TEST(MoPeq, FrequencyFollowsTheTokens) {
  const Planned p("score: FREQUENCY bits: 2 bits: 8");
  ASSERT_THAT(p.status, IsOk());
  double least_wide = 1e9, most_narrow = 0;
  for (int l = 0; l < 3; ++l) {
    for (int e = 0; e < 8; ++e) {
      const double tokens = p.surveys[l][e * 3 + 1];
      if (p.Bits(l, e) == 8) least_wide = std::min(least_wide, tokens);
      if (p.Bits(l, e) == 2) most_narrow = std::max(most_narrow, tokens);
    }
  }
  EXPECT_GT(least_wide, most_narrow);
}

TEST(MoPeq, SaysWhatIsWrong) {
  EXPECT_THAT(Planned("bits: 9").status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("mopeq.bits is 9")));
}

}  // namespace
}  // namespace eaq::mopeq
