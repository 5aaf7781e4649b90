// MoQa's significance against loops in double over single tokens, and its division of bits against its definition.
#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/methods/moqa/layer_statistics.h"
#include "eaq/methods/moqa/significance.h"
#include "eaq/model/synthetic.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/fuzzy_clusters.h"
#include "eaq/quant/quantized_matrix.h"
#include "eaq/quant/row_cache.h"
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

// By the formula of significance.h, token by token: [set][expert][part][channel], over the layer's sum.
using Channels = std::vector<std::vector<std::vector<std::vector<double>>>>;
Channels NaiveChannels(const Layer& layer, const std::vector<int>& set, int sets, MoQa::Measure measure,
                       double gate_power) {
  const int experts = static_cast<int>(layer.rows.size());
  Channels result(sets);
  for (int d = 0; d < sets; ++d) {
    double squares[3] = {}, count[3] = {};
    result[d].resize(experts);
    for (int e = 0; e < experts; ++e) {
      const Matrix* w[3];
      Matrix lost[3];
      for (int m = 0; m < 3; ++m) {
        const Role role = m == 0 ? Role::kGate : m == 1 ? Role::kUp : Role::kDown;
        w[m] = &layer.params.linears.at({1, role, e}).weight;
        lost[m] = LostAtTwoBits(*w[m]);
        result[d][e].emplace_back(w[m]->rows(), 0.0);
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
              result[d][e][m][c] += std::pow(r.weight[i], gate_power) * f;
            }
          }
        }
      }
    }
    double total = 0;
    for (auto& expert : result[d]) {
      for (int m = 0; m < 3; ++m) {
        const double rms = std::sqrt(squares[m] / count[m]);
        for (double& s : expert[m]) {
          s /= measure == MoQa::COUNT ? 1 : measure == MoQa::SQUARE ? rms * rms : rms;
          total += s;
        }
      }
    }
    for (auto& expert : result[d]) {
      for (auto& part : expert) {
        for (double& s : part) s /= total;
      }
    }
  }
  return result;
}

// [set][expert]
std::vector<std::vector<double>> Naive(const Layer& layer, const std::vector<int>& set, int sets, MoQa::Measure measure,
                                       double gate_power) {
  std::vector<std::vector<double>> result;
  for (const auto& of_set : NaiveChannels(layer, set, sets, measure, gate_power)) {
    result.emplace_back();
    for (const auto& expert : of_set) {
      result.back().push_back(0);
      for (const auto& part : expert) {
        for (const double s : part) result.back().back() += s;
      }
    }
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

TEST(MoQa, SignificanceOfChannelsIsItsFormula) {
  const Layer layer(5);
  const std::vector<int> set = {0, 1, 0, 1, 1};
  ThreadPool pool(2);
  for (const MoQa::Measure measure : {MoQa::OUTPUT, MoQa::SQUARE, MoQa::ROUNDING_ERROR, MoQa::COUNT}) {
    const Channels expected = NaiveChannels(layer, set, 2, measure, 0.5);
    const auto found = moqa::SignificanceOfChannels(layer.params, layer.rows, set, 2, {measure, 0.5, GridSpec{}}, pool);
    ASSERT_THAT(found.status(), IsOk());
    EXPECT_EQ(found->experts, *moqa::Significance(layer.params, layer.rows, set, 2, {measure, 0.5, GridSpec{}}, pool));
    for (int d = 0; d < 2; ++d) {
      for (size_t e = 0; e < layer.rows.size(); ++e) {
        for (int m = 0; m < 3; ++m) {
          ASSERT_EQ(found->channels[d][e][m].size(), expected[d][e][m].size());
          for (size_t c = 0; c < expected[d][e][m].size(); ++c) {
            EXPECT_NEAR(found->channels[d][e][m][c], expected[d][e][m][c], 1e-6) << MoQa::Measure_Name(measure);
          }
        }
      }
    }
  }
}

// Everything that the layer's survey says, by loops over tokens, rows and pairs.
TEST(MoQa, LayerStatisticsAreTheirDefinitions) {
  const Layer layer(5);
  const std::vector<int> set = {0, 1, 2, 1, 0};
  const int sets = 3, experts = static_cast<int>(layer.rows.size());
  const std::vector<int> widths = {2, 4, 8};
  ThreadPool one(1), three(3);
  const moqa::SignificanceOptions options{MoQa::OUTPUT, 1, GridSpec{}};
  for (const bool by_damage : {false, true}) {
    const auto found =
        moqa::MeasureLayer(layer.config, layer.params, layer.rows, set, sets, options, {7, by_damage, widths}, three);
    ASSERT_THAT(found.status(), IsOk());
    EXPECT_EQ(found->Numbers(), moqa::MeasureLayer(layer.config, layer.params, layer.rows, set, sets, options,
                                                   {7, by_damage, widths}, one)
                                    ->Numbers());
    const auto back = moqa::LayerStatistics::Parse(found->Numbers(), experts);
    ASSERT_THAT(back.status(), IsOk());
    EXPECT_EQ(back->rows, found->rows);
    EXPECT_EQ(back->concentration, found->concentration);
    EXPECT_EQ(back->Numbers(), found->Numbers());

    const Channels s = NaiveChannels(layer, set, sets, MoQa::OUTPUT, 1);
    double moved[3] = {}, top[3] = {}, top_rows = 0, all_rows = 0;
    const int first[3] = {0, 0, 1}, second[3] = {1, 2, 2};
    for (int e = 0; e < experts; ++e) {
      for (int m = 0; m < 3; ++m) {
        const Role role = m == 0 ? Role::kGate : m == 1 ? Role::kUp : Role::kDown;
        const Matrix& w = layer.params.linears.at({1, role, e}).weight;
        std::vector<double> dynamics;
        for (int64_t c = 0; c < w.rows(); ++c) {
          const double a = s[0][e][m][c], b = s[1][e][m][c], d = s[2][e][m][c];
          dynamics.push_back(std::max({a, b, d}) - std::min({a, b, d}));
        }
        // A row is among the N largest if fewer than N are larger.
        const auto largest = [](const std::vector<double>& score, int64_t n) {
          std::vector<int32_t> rows;
          for (size_t c = 0; c < score.size(); ++c) {
            const auto larger = std::count_if(score.begin(), score.end(), [&](double x) { return x > score[c]; });
            if (larger < n) rows.push_back(static_cast<int32_t>(c));
          }
          return rows;
        };
        const int64_t cached = (7 * w.rows() + 99) / 100;
        for (size_t l = 0; l < (by_damage ? widths.size() : 1); ++l) {
          std::vector<double> score = dynamics;
          if (by_damage) {
            const Matrix kept = Dequantize(*QuantizeNearest(w.const_view(), GridSpec{.bits = widths[l]}));
            for (int64_t c = 0; c < w.rows(); ++c) {
              double square = 0;
              for (int64_t i = 0; i < w.cols(); ++i) square += std::pow(w(c, i) - kept(c, i), 2.0);
              score[c] *= std::sqrt(square);
            }
          }
          EXPECT_EQ(found->rows[(e * 3 + m) * (by_damage ? 3 : 1) + l], largest(score, cached)) << e << m << l;
        }
        const std::vector<int32_t> premise = largest(dynamics, (w.rows() + 99) / 100);
        top_rows += static_cast<double>(premise.size());
        all_rows += static_cast<double>(w.rows());
        for (int pair = 0; pair < 3; ++pair) {
          const auto difference = [&](int64_t c) {
            return std::abs(s[first[pair]][e][m][c] - s[second[pair]][e][m][c]);
          };
          for (int64_t c = 0; c < w.rows(); ++c) moved[pair] += difference(c);
          for (const int32_t c : premise) top[pair] += difference(c);
        }
      }
    }
    for (int pair = 0; pair < 3; ++pair) EXPECT_NEAR(found->concentration[pair], top[pair] / moved[pair], 1e-4);
    EXPECT_DOUBLE_EQ(found->top_share, top_rows / all_rows);

    // Choices: by token of every window.
    std::vector<double> single(experts, 0.0), both(experts * experts, 0.0), tokens(sets * experts, 0.0);
    double sure[3] = {}, all[3] = {};
    for (size_t window = 0; window < set.size(); ++window) {
      for (int64_t t = 0; t < layer.hidden[window].rows(); ++t) {
        std::vector<int> chosen;
        float gate = 0;
        for (int e = 0; e < experts; ++e) {
          const ExpertRows& r = layer.rows[e];
          for (int64_t i = r.begin[window]; i < r.begin[window + 1]; ++i) {
            if (r.token[i] != t) continue;
            chosen.push_back(e);
            gate = std::max(gate, r.weight[i]);
          }
        }
        all[set[window]] += 1;
        sure[set[window]] += gate > 0.5f;
        for (const int a : chosen) {
          single[a] += 1;
          tokens[set[window] * experts + a] += 1;
          for (const int b : chosen) both[a * experts + b] += 1;
        }
      }
    }
    for (int d = 0; d < sets; ++d) {
      EXPECT_DOUBLE_EQ(found->sure[d], sure[d] / all[d]);
      for (int e = 0; e < experts; ++e) EXPECT_EQ(found->tokens[d][e], tokens[d * experts + e]);
    }
    for (int a = 0; a < experts; ++a) {
      const Matrix& x = layer.params.linears.at({1, Role::kDown, a}).weight;
      for (int b = 0; b < experts; ++b) {
        const Matrix& y = layer.params.linears.at({1, Role::kDown, b}).weight;
        EXPECT_NEAR(found->co_activation[a * experts + b],
                    both[a * experts + b] == 0 ? 0 : both[a * experts + b] / std::sqrt(single[a] * single[b]), 1e-12);
        double dot = 0, xx = 0, yy = 0;
        for (int64_t i = 0; i < x.size(); ++i) {
          dot += double(x.data()[i]) * y.data()[i], xx += std::pow(x.data()[i], 2.0), yy += std::pow(y.data()[i], 2.0);
        }
        EXPECT_NEAR(found->similarity[a * experts + b], dot / std::sqrt(xx * yy), 1e-9);
      }
    }
  }
  EXPECT_THAT(moqa::LayerStatistics::Parse({2, 1}, experts).status(),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("a survey of 2 numbers")));
  EXPECT_EQ(moqa::CachedRowCount(1, 100), 1);
  EXPECT_EQ(moqa::CachedRowCount(1, 101), 2);
  EXPECT_EQ(moqa::CachedRowCount(0.5, 1000), 5);
  EXPECT_EQ(moqa::CachedRowCount(0, 1000), 0);
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

// Surveys of two layers with made-up significance on SETS data sets; row 5 of every matrix is the one to cache, or, by
// damage, row l for the l-th width.
std::vector<std::vector<double>> MadeUpStatistics(int experts, int sets, uint64_t seed, size_t lists) {
  std::vector<std::vector<double>> surveys;
  for (int l = 0; l < 2; ++l) {
    moqa::LayerStatistics s;
    s.baseline.assign(experts, 0.0);
    for (int d = 0; d < sets; ++d) {
      s.significance.push_back(MadeUp(experts, seed + d)[l]);
      for (int e = 0; e < experts; ++e) s.baseline[e] += s.significance[d][e] / sets;
    }
    s.tokens.assign(sets, std::vector<double>(experts, 3.0));
    s.sure.assign(sets, 0.5);
    s.co_activation.assign(experts * experts, 0.1);
    s.similarity.assign(experts * experts, 0.2);
    s.concentration.assign(sets * (sets - 1) / 2, 0.3);
    s.top_share = 0.02;
    for (int i = 0; i < experts * 3; ++i) {
      for (size_t list = 0; list < lists; ++list) s.rows.push_back({static_cast<int32_t>(lists == 1 ? 5 : list)});
    }
    surveys.push_back(s.Numbers());
  }
  return surveys;
}

// The significance of SET on its own, as the baseline's survey would have it.
std::vector<std::vector<double>> Alone(const std::vector<std::vector<double>>& surveys, int experts, int set) {
  std::vector<std::vector<double>> alone;
  for (const auto& numbers : surveys) {
    const auto s = *moqa::LayerStatistics::Parse(numbers, experts);
    alone.push_back(set < 0 ? s.baseline : s.significance[set]);
  }
  return alone;
}

// The rows of an expert whose width on a data set differs move to it; the baseline is what it is without switching.
TEST(MoQa, CachedRowsFollowTheAllocationOnEveryDataSet) {
  const int experts = 16;
  const ModelConfig config = TwoLayers(experts);
  for (const double budget : {0.0, 5.0}) {
    Scheme scheme = FourBits();
    if (budget > 0) scheme.mutable_budget()->set_stored_bits_per_weight(budget);
    AllocationProblem problem = *AllocationProblem::Create(config, scheme);
    const bool damage = budget == 0;
    const auto known = MadeUpStatistics(experts, 2, 11, damage ? 4 : 1), further = MadeUpStatistics(experts, 1, 21, 1);
    for (const std::string mode : {"PAPER", "UP_ONLY", "FP16_ROWS"}) {
      const auto stage =
          *Make(absl::StrCat("switching { cache_percent: 4 mode: ", mode, damage ? " criterion: DAMAGE }" : " }"));
      const auto plain = *Make("");
      const auto plan = stage->Allocate(problem, known);
      ASSERT_THAT(plan.status(), IsOk());
      const auto found = stage->PlanSwitching(problem, {{"prose", "code"}, known}, {{"verse"}, further}, *plan);
      ASSERT_THAT(found.status(), IsOk());
      EXPECT_EQ(found->sets, (std::vector<std::string>{"prose", "code", "verse"}));
      EXPECT_EQ(found->known, 2);
      EXPECT_EQ(found->always_float16, mode == "FP16_ROWS");
      EXPECT_EQ(found->rows.size(), 2u * experts * 3);
      if (budget > 0) {  // the caches are paid for
        AllocationProblem paid = problem;
        for (const auto& [id, shape] : problem.linears) {
          if (id.expert < 0) continue;
          const int64_t rows = moqa::CachedRowCount(4, shape.first);
          paid.beside[id] = 8 * RowCacheBytes(problem.grid, rows, shape.first, shape.second, mode != "FP16_ROWS");
        }
        EXPECT_LE(paid.StoredBitsPerWeight(*plan), budget + kBudgetSlack);
        EXPECT_GT(paid.StoredBitsPerWeight(*plan), budget - 0.2);
        EXPECT_GT(paid.StoredBitsPerWeight(*plan), problem.StoredBitsPerWeight(*plan) + 0.2);
        continue;
      }
      EXPECT_EQ(*plan, *plain->Allocate(problem, Alone(known, experts, -1)));
      int moved = 0;
      for (int set = 0; set < 3; ++set) {
        const BitPlan alone =
            *plain->Allocate(problem, set < 2 ? Alone(known, experts, set) : Alone(further, experts, 0));
        for (const auto& [id, bits] : found->bits_of_set) {
          const int base = plan->at(id).bits, wanted = alone.at(id).bits;
          const int expected = mode == "FP16_ROWS"                                      ? kFloat16
                               : wanted == base || (mode == "UP_ONLY" && wanted < base) ? kAsRounded
                                                                                        : wanted;
          EXPECT_EQ(bits[set], expected) << mode << " " << id.ToString();
          EXPECT_EQ(found->rows.at(id), std::vector<int32_t>{base / 2 - 1});  // of the list of its width
          moved += bits[set] != kAsRounded;
        }
      }
      EXPECT_GT(moved, 0);
    }
  }
}

TEST(MoQa, AnalysesAreRecordedByLayerAndDataSet) {
  const int experts = 8;
  const ModelConfig config = TwoLayers(experts);
  const AllocationProblem problem = *AllocationProblem::Create(config, FourBits());
  const auto known = MadeUpStatistics(experts, 3, 31, 1);
  const auto stage = *Make("switching {}");
  const auto plan = *stage->Allocate(problem, known);
  const auto found = stage->PlanSwitching(problem, {{"a", "b", "c"}, known}, {}, plan);
  ASSERT_THAT(found.status(), IsOk());
  std::map<std::string, int> tables, metrics;
  for (const TrialResult::ExpertTable& table : found->analyses.expert_table()) {
    ++tables[table.name()];
    const auto s = *moqa::LayerStatistics::Parse(known[table.layer()], experts);
    if (table.name() == "significance" && table.domain() == "b") {
      EXPECT_EQ(std::vector<double>(table.value().begin(), table.value().end()), s.significance[1]);
    }
    if (table.name() != "dynamics") continue;
    for (int e = 0; e < experts; ++e) {
      double mean = 0, square = 0;
      for (int d = 0; d < 3; ++d) mean += s.significance[d][e] / 3, square += std::pow(s.significance[d][e], 2.0) / 3;
      EXPECT_NEAR(table.value(e), std::sqrt(square - mean * mean), 1e-9);
    }
  }
  for (const Metric& m : found->analyses.metric()) ++metrics[m.name() + (m.has_domain() ? " " + m.domain() : "")];
  EXPECT_EQ(
      tables,
      (std::map<std::string, int>{
          {"significance", 6}, {"tokens", 6}, {"dynamics", 2}, {"co_activation", 2}, {"similarity", 2}, {"width", 8}}));
  EXPECT_EQ(metrics["channel_concentration a | c"], 2);
  EXPECT_EQ(metrics["tokens_variation b"], 2);
  EXPECT_EQ(metrics["switched_rows c"], 1);
  EXPECT_EQ(metrics["cached_rows"], 1);
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
  EXPECT_THAT(Make("switching { cache_percent: 101 }").status(), invalid("cache_percent is 101"));
  Scheme scheme = FourBits();
  scheme.mutable_budget()->set_stored_bits_per_weight(1.5);
  const ModelConfig config = TwoLayers(8);
  const auto problem = *AllocationProblem::Create(config, scheme);
  EXPECT_THAT((*Make(""))->Allocate(problem, MadeUp(8, 1)).status(), invalid("the least is"));
}

}  // namespace
}  // namespace eaq
