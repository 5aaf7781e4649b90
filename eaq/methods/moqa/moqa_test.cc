// MoQa's significance against loops in double over single tokens, and its division of bits against its definition.
#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/methods/moqa/significance.h"
#include "eaq/model/synthetic.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/fuzzy_clusters.h"
#include "eaq/quant/quantized_matrix.h"
#include "eaq/recipe/allocation_testing.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::unique_ptr<AllocateSlot>> Make(const std::string& options) {
  return MakeAllocator("moqa", options);
}

std::vector<double> Times(const Matrix& w, const std::vector<double>& x) {
  std::vector<double> y(w.rows(), 0.0);
  for (int64_t r = 0; r < w.rows(); ++r) {
    for (int64_t c = 0; c < w.cols(); ++c) y[r] += static_cast<double>(w(r, c)) * x[c];
  }
  return y;
}

Matrix LostAtTwoBits(const Matrix& w) {
  const Matrix kept = Dequantize(*QuantizeNearest(w.const_view(), GridSpec{.bits = 2}));
  Matrix lost = w;
  for (int64_t i = 0; i < w.size(); ++i) lost.data()[i] -= kept.data()[i];
  return lost;
}

// What the layer of PARAMS does with made-up inputs, expert by expert.
struct Layer {
  explicit Layer(uint64_t seed) : config(TwoLayers(6)), params(RandomLayer(config, 1, seed)) {
    Rng rng(seed, "moqa_test/windows");
    for (int w = 0; w < 5; ++w) {
      Matrix& h = hidden.emplace_back(12, config.hidden_size);
      for (int64_t i = 0; i < h.size(); ++i) h.data()[i] = static_cast<float>(rng.Normal());
    }
    ThreadPool pool(1);
    rows = CollectExpertRows(config, 1, **BuildLayer(config, params), hidden, pool);
  }

  const ModelConfig config;
  const LayerParams params;
  std::vector<Matrix> hidden;
  std::vector<ExpertRows> rows;
};

// By the formula of significance.h, token by token.
std::vector<std::vector<double>> Naive(const Layer& layer, const std::vector<int>& set, int sets, MoQa::Measure measure,
                                       double gate_power) {
  const int experts = static_cast<int>(layer.rows.size());
  std::vector<std::vector<double>> result(sets, std::vector<double>(experts, 0.0));
  for (int d = 0; d < sets; ++d) {
    double squares[3] = {}, count[3] = {};
    std::vector<std::vector<double>> sum(3, std::vector<double>(experts, 0.0));
    for (int e = 0; e < experts; ++e) {
      const Matrix* w[3];
      Matrix lost[3];
      for (int m = 0; m < 3; ++m) {
        const Role role = m == 0 ? Role::kGate : m == 1 ? Role::kUp : Role::kDown;
        w[m] = &layer.params.linears.at({1, role, e}).weight;
        lost[m] = LostAtTwoBits(*w[m]);
      }
      const ExpertRows& r = layer.rows[e];
      for (size_t window = 0; window < set.size(); ++window) {
        if (set[window] != d) continue;
        for (int64_t i = r.begin[window]; i < r.begin[window + 1]; ++i) {
          std::vector<double> x(r.x.row(i), r.x.row(i) + r.x.cols()), between;
          const std::vector<double> g = Times(*w[0], x), u = Times(*w[1], x);
          for (size_t c = 0; c < g.size(); ++c) between.push_back(g[c] / (1 + std::exp(-g[c])) * u[c]);
          const std::vector<double> y[3] = {g, u, Times(*w[2], between)};
          for (int m = 0; m < 3; ++m) {
            const std::vector<double> error = Times(lost[m], m == 2 ? between : x);
            for (size_t c = 0; c < y[m].size(); ++c) {
              squares[m] += y[m][c] * y[m][c];
              count[m] += 1;
              const double f = measure == MoQa::OUTPUT   ? std::abs(y[m][c])
                               : measure == MoQa::SQUARE ? y[m][c] * y[m][c]
                               : measure == MoQa::COUNT  ? 1
                                                         : std::abs(error[c]);
              sum[m][e] += std::pow(r.weight[i], gate_power) * f;
            }
          }
        }
      }
    }
    double total = 0;
    for (int e = 0; e < experts; ++e) {
      for (int m = 0; m < 3; ++m) {
        const double rms = std::sqrt(squares[m] / count[m]);
        result[d][e] += sum[m][e] / (measure == MoQa::COUNT ? 1 : measure == MoQa::SQUARE ? rms * rms : rms);
      }
      total += result[d][e];
    }
    for (double& s : result[d]) s /= total;
  }
  return result;
}

TEST(MoQa, SignificanceIsItsFormula) {
  const Layer layer(5);
  const std::vector<int> set = {0, 1, 0, 1, 1};
  for (const MoQa::Measure measure : {MoQa::OUTPUT, MoQa::SQUARE, MoQa::ROUNDING_ERROR, MoQa::COUNT}) {
    for (const double power : {0.0, 1.0}) {
      const auto expected = Naive(layer, set, 2, measure, power);
      for (const int threads : {1, 3}) {
        ThreadPool pool(threads);
        const auto found = moqa::Significance(layer.params, layer.rows, set, 2, {measure, power, GridSpec{}}, pool);
        ASSERT_THAT(found.status(), IsOk());
        ASSERT_EQ(found->size(), 2u);
        for (int d = 0; d < 2; ++d) {
          for (size_t e = 0; e < layer.rows.size(); ++e) {
            EXPECT_NEAR((*found)[d][e], expected[d][e], 1e-5) << MoQa::Measure_Name(measure) << " " << d << " " << e;
          }
        }
      }
    }
  }
}

TEST(MoQa, EveryDataSetCountsAlikeHoweverManyWindowsItHas) {
  const Layer layer(5);
  const Scheme scheme = FourBits();
  const LayerScheme layer_scheme = *LayerScheme::FromProto(scheme);
  ThreadPool pool(1);
  const LayerProfile no_profile;
  LayerContext context;
  context.config = &layer.config;
  context.scheme = &layer_scheme;
  context.profile = &no_profile;
  context.hidden = layer.hidden;
  context.pool = &pool;
  const std::vector<std::string> domains = {"prose", "code", "code", "code", "code"};
  context.domains = domains;
  const auto survey = (*Make(""))->Survey(context, layer.params);
  ASSERT_THAT(survey.status(), IsOk());
  const auto by_set = Naive(layer, {0, 1, 1, 1, 1}, 2, MoQa::OUTPUT, 1);
  for (size_t e = 0; e < by_set[0].size(); ++e) {
    EXPECT_NEAR((*survey)[e], (by_set[0][e] + by_set[1][e]) / 2, 1e-5);
  }
}

std::vector<std::vector<double>> MadeUp(int experts, uint64_t seed) {
  Rng rng(seed, "moqa_test/surveys");
  std::vector<std::vector<double>> surveys(2);
  for (auto& layer : surveys) {
    double sum = 0;
    for (int e = 0; e < experts; ++e) {
      layer.push_back(std::exp(1.2 * rng.Normal()));
      sum += layer.back();
    }
    for (double& x : layer) x /= sum;
  }
  return surveys;
}

TEST(MoQa, WithoutABudgetWidthsAreThoseOfTheClusters) {
  const ModelConfig config = TwoLayers(24);
  const auto problem = *AllocationProblem::Create(config, FourBits());
  const auto surveys = MadeUp(24, 1);
  constexpr int kWidths[] = {2, 4, 6, 8};
  for (const bool model_wide : {false, true}) {
    const auto plan = (*Make(model_wide ? "scope: MODEL" : "overlap: 0.1"))->Allocate(problem, surveys);
    ASSERT_THAT(plan.status(), IsOk());
    std::vector<double> both = surveys[0];
    both.insert(both.end(), surveys[1].begin(), surveys[1].end());
    for (int l = 0; l < 2; ++l) {
      const auto clusters =
          LowerOfOverlapping(*FuzzyMeans(model_wide ? both : surveys[l], 4, {}), model_wide ? 0.2 : 0.1);
      for (int e = 0; e < 24; ++e) {
        for (const Role role : {Role::kGate, Role::kUp, Role::kDown}) {
          EXPECT_EQ(plan->at({l, role, e}).bits, kWidths[clusters[model_wide ? 24 * l + e : e]]) << l << " " << e;
        }
      }
    }
    EXPECT_EQ(plan->at({0, Role::kQ}).bits, 4);
  }
  const auto equal = (*Make(""))->Allocate(problem, {std::vector<double>(24, 1.0 / 24), surveys[1]});
  ASSERT_THAT(equal.status(), IsOk());
  for (int e = 0; e < 24; ++e) EXPECT_EQ(equal->at({0, Role::kUp, e}).bits, 4);
}

TEST(MoQa, TwoGroupsGiveTheMoreSignificantTheWiderWidth) {
  const ModelConfig config = TwoLayers(8);
  const auto problem = *AllocationProblem::Create(config, FourBits());
  const auto surveys = MadeUp(8, 2);
  const auto plan = (*Make("two_groups: true average_bits: 2.75"))->Allocate(problem, surveys);
  ASSERT_THAT(plan.status(), IsOk());
  for (int l = 0; l < 2; ++l) {
    std::vector<double> sorted = surveys[l];
    std::sort(sorted.rbegin(), sorted.rend());
    for (int e = 0; e < 8; ++e) {
      EXPECT_EQ(plan->at({l, Role::kUp, e}).bits, surveys[l][e] >= sorted[2] ? 4 : 2);  // 3 of 8 at 4: 2.75
    }
  }
}

TEST(MoQa, MeetsABudgetOfStoredBits) {
  ModelConfig config = TwoLayers(16);
  config.hidden_size = 64;
  config.expert_width = 48;
  for (const std::string options : {"", "scope: MODEL", "two_groups: true"}) {
    for (const double budget : {2.8, 3.2, 4.0}) {
      Scheme scheme = FourBits();
      scheme.mutable_budget()->set_stored_bits_per_weight(budget);
      const auto problem = *AllocationProblem::Create(config, scheme);
      const auto surveys = MadeUp(16, 3);
      const auto plan = (*Make(options))->Allocate(problem, surveys);
      ASSERT_THAT(plan.status(), IsOk()) << options << budget;
      const double stored = problem.StoredBitsPerWeight(*plan);
      EXPECT_LE(stored, budget + kBudgetSlack);
      EXPECT_GE(stored, budget - 2.0 / 96) << options;  // one linear's step of two bits
      // The most significant expert has no fewer bits than the least.
      for (int l = 0; l < 2; ++l) {
        const auto [least, most] = std::minmax_element(surveys[l].begin(), surveys[l].end());
        EXPECT_GT(plan->at({l, Role::kDown, static_cast<int>(most - surveys[l].begin())}).bits,
                  plan->at({l, Role::kDown, static_cast<int>(least - surveys[l].begin())}).bits);
      }
    }
  }
}

TEST(MoQa, SaysWhatIsWrong) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(Make("bits: 9").status(), invalid("moqa.bits is 9"));
  EXPECT_THAT(Make("two_groups: true bits: [2, 3, 4]").status(), invalid("with 3 widths"));
  EXPECT_THAT(Make("two_groups: true average_bits: 5").status(), invalid("expected 2 .. 4"));
  EXPECT_THAT(Make("fuzzifier: 1").status(), invalid("fuzzifier is 1"));
  EXPECT_THAT(Make("overlap: -1").status(), invalid("overlap is -1"));
  EXPECT_THAT(Make("gate_power: -1").status(), invalid("gate_power is -1"));
  Scheme scheme = FourBits();
  scheme.mutable_budget()->set_stored_bits_per_weight(1.5);
  const ModelConfig config = TwoLayers(8);
  const auto problem = *AllocationProblem::Create(config, scheme);
  EXPECT_THAT((*Make(""))->Allocate(problem, MadeUp(8, 1)).status(), invalid("the least is"));
}

}  // namespace
}  // namespace eaq
