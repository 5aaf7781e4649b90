// AWQ's two stages through their registries: the function stays, r = 0 is plain rounding, and both searches find what
// trying everything on whole layers finds.
#include <google/protobuf/text_format.h>

#include <cmath>
#include <map>
#include <numeric>
#include <string>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/methods/awq/search.h"
#include "eaq/model/model.h"
#include "eaq/model/synthetic.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/recipe/affinity.h"
#include "eaq/recipe/layer_inputs.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

template <typename Slot, typename Proto>
absl::StatusOr<std::unique_ptr<Slot>> Stage(const std::string& text, const char* slot) {
  Proto proto;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &proto)) << text;
  return MakeStage<Slot>(proto, slot);
}
auto Transform(const std::string& text) { return Stage<TransformSlot, TransformStage>(text, "transform"); }
auto Solver(const std::string& text) { return Stage<SolveSlot, SolveStage>(text, "solve"); }

// A layer, its windows and what a stage sees of them. Channels differ in size, so that there is something to scale.
struct Bench {
  explicit Bench(const ModelConfig& c, GridSpec grid = {.bits = 3}) : config(c), params(RandomLayer(c, 1, 3)), pool(2) {
    Rng rng(5, "awq_test");
    for (float& g : params.input_norm) g *= static_cast<float>(std::exp(rng.Normal()));
    for (float& g : params.post_norm) g *= static_cast<float>(std::exp(rng.Normal()));
    for (auto& [id, linear] : params.linears) {
      if (id.role != Role::kV && id.role != Role::kUp && id.role != Role::kSharedUp) continue;
      for (int64_t r = 0; r < linear.weight.rows(); ++r) {
        const float scale = static_cast<float>(std::exp(rng.Normal()));
        for (int64_t j = 0; j < linear.weight.cols(); ++j) linear.weight(r, j) *= scale;
      }
    }
    for (int w = 0; w < 3; ++w) {
      Matrix m(20, config.hidden_size);
      for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(rng.Normal() * (1 + i % 3));
      windows.push_back(std::move(m));
    }
    scheme.weights = grid;
    context.config = &config;
    context.scheme = &scheme;
    context.profile = &profile;
    context.hidden = windows;
    context.pool = &pool;
  }
  LayerParams Applied(const std::string& text) {
    LayerParams edited = params;
    EXPECT_THAT(Transform(text).value()->Apply(context, edited), IsOk());
    return edited;
  }
  std::map<LinearId, Matrix> Inputs(const LayerParams& layer, const std::vector<LinearId>& ids) {
    return CollectInputs(*BuildLayer(config, layer).value(), windows, ids, CpuOps(), pool).value();
  }

  ModelConfig config;
  LayerParams params;
  std::vector<Matrix> windows;
  LayerScheme scheme;
  LayerProfile profile;
  ThreadPool pool;
  LayerContext context;
};

ModelConfig Dense() {
  ModelConfig config = TinyConfig();
  config.dense_layers = {1};
  config.dense_width = 40;
  return config;
}
ModelConfig Shared() {
  ModelConfig config = TinyConfig();
  config.shared_width = 16;
  config.attention_bias = true;
  return config;
}
ModelConfig Grouped() {
  ModelConfig config = TinyConfig();
  config.num_kv_heads = 2;
  config.qk_norm = QkNorm::kPerHead;
  return config;
}
ModelConfig Clipped() {
  ModelConfig config = TinyConfig();
  config.clip_qkv = 0.5;
  return config;
}

struct Seen : public LayerObserver {
  std::vector<int32_t> experts;
  std::vector<float> logits;
  void OnRouter(int, ConstMatrixView rows, absl::Span<const int32_t> chosen, absl::Span<const float>) override {
    experts.insert(experts.end(), chosen.begin(), chosen.end());
    logits.insert(logits.end(), rows.data, rows.data + rows.rows * rows.cols);
  }
};

TEST(AwqTransform, TheFunctionStays) {
  for (const ModelConfig& config : {TinyConfig(), Dense(), Shared(), Grouped(), Clipped()}) {
    for (const char* text : {"awq {}", "awq { scales: DUO steps: 7 }", "awq { value_output: false up_down: false }"}) {
      Bench bench(config);
      const LayerParams edited = bench.Applied(text);
      EXPECT_NE(edited.input_norm, bench.params.input_norm);
      EXPECT_NE(edited.post_norm, bench.params.post_norm);
      Matrix before = bench.windows[0], after = bench.windows[0];
      Seen old_router, new_router;
      (*BuildLayer(config, bench.params))->Forward(before.view(), &old_router);
      (*BuildLayer(config, edited))->Forward(after.view(), &new_router);
      float largest = 0, difference = 0;
      for (int64_t i = 0; i < before.size(); ++i) {
        largest = std::max(largest, std::fabs(before.data()[i]));
        difference = std::max(difference, std::fabs(before.data()[i] - after.data()[i]));
      }
      EXPECT_LT(difference, 1e-4 * largest) << text;
      EXPECT_EQ(old_router.experts, new_router.experts);
      ASSERT_EQ(old_router.logits.size(), new_router.logits.size());
      for (size_t i = 0; i < old_router.logits.size(); ++i) {
        ASSERT_NEAR(old_router.logits[i], new_router.logits[i], 1e-4);
      }
    }
  }
}

TEST(AwqTransform, FoldsOnlyWhereItMay) {
  const auto changed = [](const ModelConfig& config, const char* text, const LinearId& id) {
    Bench bench(config);
    return bench.Applied(text).linears.at(id).weight != bench.params.linears.at(id).weight;
  };
  const LinearId o{1, Role::kO}, down{1, Role::kDown, 2}, shared{1, Role::kSharedDown},
      gate{1, Role::kSharedExpertGate};
  EXPECT_TRUE(changed(TinyConfig(), "awq {}", o));
  EXPECT_FALSE(changed(Grouped(), "awq {}", o));  // v and o have other shapes
  EXPECT_FALSE(changed(Clipped(), "awq {}", o));
  EXPECT_FALSE(changed(TinyConfig(), "awq { value_output: false }", o));
  EXPECT_TRUE(changed(TinyConfig(), "awq {}", down));
  EXPECT_FALSE(changed(TinyConfig(), "awq { up_down: false }", down));
  EXPECT_TRUE(changed(Shared(), "awq {}", shared));
  EXPECT_TRUE(changed(Shared(), "awq {}", gate));
  // Without weights to round there is nothing to search; without attention its norm stays.
  Bench full(TinyConfig(), GridSpec{});
  EXPECT_EQ(full.Applied("awq {}").post_norm, full.params.post_norm);
  Bench experts(TinyConfig());
  experts.scheme.attention = false;
  const LayerParams edited = experts.Applied("awq {}");
  EXPECT_EQ(edited.input_norm, experts.params.input_norm);
  EXPECT_NE(edited.post_norm, experts.params.post_norm);
}

// One step is r = 0: no scales at all, hence plain rounding.
TEST(AwqTransform, RatioZeroIsPlainRounding) {
  Bench bench(Shared());
  const LayerParams edited = bench.Applied("awq { steps: 1 }");
  EXPECT_EQ(edited.input_norm, bench.params.input_norm);
  for (const auto& [id, linear] : bench.params.linears) EXPECT_EQ(edited.linears.at(id).weight, linear.weight);
  const std::vector<float> ones(32, 1.0f);
  EXPECT_EQ(AwqScales(std::vector<double>{0.0, 3.0, 0.1}, {}, 0), (std::vector<float>{1, 1, 1}));
  const Matrix& w = bench.params.linears.at({1, Role::kQ}).weight;
  EXPECT_EQ(RoundScaled(w, ones, bench.scheme.weights).value(),
            Dequantize(QuantizeNearest(w.const_view(), bench.scheme.weights).value()));
}

// The norms' searches by whole layers of the original model, with everything else in full precision.
TEST(AwqTransform, FindsWhatTryingAllRatiosFinds) {
  for (const ModelConfig& config : {TinyConfig(), Dense(), Shared(), Grouped()}) {
    for (const int64_t group : {0, 8}) {
      Bench bench(config, GridSpec{.bits = 3,
                                   .granularity = group > 0 ? Granularity::kGroup : Granularity::kChannel,
                                   .group_size = group});
      const LayerParams edited = bench.Applied("awq {}");
      for (const bool attention : {true, false}) {
        LayerParams base = bench.params;
        if (attention) {  // nothing after the attention
          for (auto& [id, linear] : base.linears) {
            if (id.role == Role::kDown || id.role == Role::kSharedDown)
              linear.weight = Matrix(linear.weight.rows(), linear.weight.cols());
          }
        }
        const LinearId owner{1, attention ? Role::kQ : config.IsMoe(1) ? Role::kRouter : Role::kGate};
        const Matrix x = bench.Inputs(bench.params, {owner}).at(owner);
        std::vector<float> best;
        double least = 1e30;
        for (int i = 0; i < 20; ++i) {
          std::vector<float> s(x.cols());
          double smallest = 1e30, largest = 0;
          for (int64_t c = 0; c < x.cols(); ++c) {
            double mean = 0;
            for (int64_t r = 0; r < x.rows(); ++r) mean += std::fabs(x(r, c));
            const double value = std::max(std::pow(mean / x.rows(), i / 20.0), 1e-4);
            s[c] = static_cast<float>(value);
            smallest = std::min(smallest, value), largest = std::max(largest, value);
          }
          for (float& v : s) v /= static_cast<float>(std::sqrt(smallest * largest));
          LayerParams trial = base;
          for (auto& [id, linear] : trial.linears) {
            const bool ours = attention ? id.role <= Role::kV
                                        : id.role == Role::kGate || id.role == Role::kUp ||
                                              id.role == Role::kSharedGate || id.role == Role::kSharedUp;
            if (!ours) continue;
            for (int64_t r = 0; r < linear.weight.rows(); ++r)
              for (int64_t c = 0; c < linear.weight.cols(); ++c) linear.weight(r, c) *= s[c];
            linear.weight = Dequantize(QuantizeNearest(linear.weight.const_view(), bench.scheme.weights).value());
            for (int64_t r = 0; r < linear.weight.rows(); ++r)
              for (int64_t c = 0; c < linear.weight.cols(); ++c) linear.weight(r, c) /= s[c];
          }
          double error = 0;
          for (const Matrix& window : bench.windows) {
            Matrix expected = window, found = window;
            (*BuildLayer(config, base))->Forward(expected.view());
            (*BuildLayer(config, trial))->Forward(found.view());
            for (int64_t j = 0; j < expected.size(); ++j)
              error += std::pow(double{expected.data()[j]} - found.data()[j], 2);
          }
          if (error < least) least = error, best = s;
        }
        const auto& before = attention ? bench.params.input_norm : bench.params.post_norm;
        const auto& after = attention ? edited.input_norm : edited.post_norm;
        for (size_t c = 0; c < best.size(); ++c)
          ASSERT_NEAR(before[c] / after[c], best[c], 1e-4 * best[c]) << attention;
      }
    }
  }
}

// Linear pairs: the scales are those of least output error on the rows that the reader itself saw.
TEST(AwqTransform, ExpertsAreJudgedByTheirOwnTokens) {
  ModelConfig config = Shared();
  config.num_experts = 4;
  Bench bench(config);
  const LayerParams edited = bench.Applied("awq {}");
  std::vector<std::pair<LinearId, LinearId>> pairs = {{{1, Role::kSharedUp}, {1, Role::kSharedDown}},
                                                      {{1, Role::kV}, {1, Role::kO}}};
  for (int e = 0; e < 4; ++e) pairs.push_back({{1, Role::kUp, e}, {1, Role::kDown, e}});
  for (const auto& [writer, reader] : pairs) {
    const Matrix x = bench.Inputs(bench.params, {reader}).at(reader);
    const Matrix& w = bench.params.linears.at(reader).weight;
    ASSERT_GT(x.rows(), 0);
    ASSERT_EQ(x.rows() == 60, reader.expert < 0);
    std::vector<float> best;
    double least = 1e30;
    for (int i = 0; i < 20; ++i) {
      const std::vector<float> s = AwqScales(MeanMagnitudes(x), {}, i / 20.0);
      const Matrix rounded = RoundScaled(w, s, bench.scheme.weights).value();
      double error = 0;
      for (int64_t t = 0; t < x.rows(); ++t) {
        for (int64_t r = 0; r < w.rows(); ++r) {
          double y = 0;
          for (int64_t c = 0; c < w.cols(); ++c) y += double{x(t, c)} * (double{w(r, c)} - rounded(r, c));
          error += y * y;
        }
      }
      if (error < least) least = error, best = s;
    }
    for (int64_t r = 0; r < w.rows(); ++r)
      for (int64_t c = 0; c < w.cols(); ++c)
        ASSERT_NEAR(edited.linears.at(reader).weight(r, c), w(r, c) * best[c], 1e-5) << reader.ToString();
  }
}

// Sends every token to experts 0 and 1.
void OnlyTwoExperts(Bench& bench) {
  Matrix& router = bench.params.linears.at({1, Role::kRouter}).weight;
  router = Matrix(router.rows(), router.cols());  // equal scores: the lowest indices win
}

TEST(AwqTransform, ExpertsWithoutTokensStay) {
  Bench bench(TinyConfig());
  OnlyTwoExperts(bench);
  const LayerParams edited = bench.Applied("awq { scales: DUO }");
  const auto same = [&](int e) {
    const LinearId down{1, Role::kDown, e};
    return edited.linears.at(down).weight == bench.params.linears.at(down).weight;
  };
  EXPECT_FALSE(same(1));
  EXPECT_TRUE(same(2));
}

TEST(AwqTransform, DuoScalesAreAutoAwqs) {
  Matrix a(1, 4), b(1, 4);
  for (int c = 0; c < 4; ++c) a(0, c) = static_cast<float>(c + 1), b(0, c) = -2;
  const GridSpec halves{.bits = 4, .granularity = Granularity::kGroup, .group_size = 2};
  const Matrix* const both[] = {&a, &b};
  const std::vector<double> w = MeanRelativeWeights(both, halves);  // rows {.5, 1 | .75, 1} and {1, 1 | 1, 1}
  EXPECT_EQ(w, (std::vector<double>{0.75, 1, 0.875, 1}));
  const std::vector<double> x = {1, 2, 3, 4};
  const std::vector<float> s = AwqScales(x, w, 0.5);
  std::vector<double> raw(4);
  for (int c = 0; c < 4; ++c) raw[c] = std::sqrt(x[c]) / (std::sqrt(w[c]) + 1e-4);
  for (int c = 0; c < 4; ++c) EXPECT_NEAR(s[c], raw[c] / std::sqrt(raw[0] * raw[3]), 1e-6);
}

TEST(AwqTransform, RefusesAfterOnlineTransforms) {
  Bench bench(TinyConfig());
  const LinearId down{1, Role::kDown, 0};
  bench.params.linears.at(down).online =
      std::make_shared<const OnlineTransform>(OnlineTransform{{OnlineStep::Hadamard(8)}});
  LayerParams edited = bench.params;
  EXPECT_THAT(Transform("awq {}").value()->Apply(bench.context, edited),
              StatusIs(kInvalid, HasSubstr("awq after a transform that leaves L1.e0.down run-time work (Hadamard 8)")));
  EXPECT_THAT(Transform("awq { up_down: false }").value()->Apply(bench.context, edited), IsOk());
  EXPECT_THAT(Transform("awq { steps: 0 }"), StatusIs(kInvalid, HasSubstr("steps is 0")));
}

// Every row and group by itself, every clamp, every token: the definition.
Matrix BruteForceClip(const Matrix& w, const Matrix& x, const GridSpec& grid, const std::vector<float>& weights = {}) {
  Matrix result = w;
  const int64_t size = grid.granularity == Granularity::kGroup ? grid.group_size : w.cols();
  for (int64_t r = 0; r < w.rows(); ++r) {
    for (int64_t begin = 0; begin < w.cols(); begin += size) {
      const int64_t n = std::min(size, w.cols() - begin);
      float largest = 0;
      for (int64_t c = 0; c < n; ++c) largest = std::max(largest, std::fabs(w(r, begin + c)));
      double least = 1e30;
      for (int i = 0; i < 10; ++i) {
        Matrix clamped(1, n);
        const float limit = static_cast<float>(largest * (1 - i / 20.0));
        for (int64_t c = 0; c < n; ++c) clamped(0, c) = std::clamp(w(r, begin + c), -limit, limit);
        const Matrix q = Dequantize(QuantizeNearest(clamped.const_view(), {.bits = grid.bits}).value());
        double error = 0;
        for (int64_t t = 0; t < x.rows(); ++t) {
          double y = 0;
          for (int64_t c = 0; c < n; ++c) y += double{x(t, begin + c)} * (double{q(0, c)} - w(r, begin + c));
          error += (weights.empty() ? 1.0 : weights[t]) * y * y;
        }
        if (!(error < least)) continue;
        least = error;
        std::copy_n(clamped.row(0), n, result.row(r) + begin);
      }
    }
  }
  return result;
}

TEST(AwqClipSolver, FindsWhatTryingAllClampsFinds) {
  for (const int64_t group : {0, 16, 20}) {  // 20: the last group of 32 columns is shorter
    const GridSpec grid{
        .bits = 3, .granularity = group > 0 ? Granularity::kGroup : Granularity::kChannel, .group_size = group};
    Bench bench(Shared(), grid);
    EAQ_ASSERT_OK_AND_ASSIGN(const auto solver, Solver("awq_clip {}"));
    std::map<LinearId, GridSpec> plan;
    for (const auto& [id, linear] : bench.params.linears)
      if (bench.scheme.Covers(id)) plan[id] = grid;
    EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinears solved, solver->SolveLayer(bench.context, bench.params, plan));
    ASSERT_EQ(solved.size(), plan.size());
    int clipped = 0;
    for (const auto& [id, spec] : plan) {
      const Matrix& w = bench.params.linears.at(id).weight;
      Matrix best = w;
      if (id.role != Role::kQ && id.role != Role::kK)
        best = BruteForceClip(w, bench.Inputs(bench.params, {id}).at(id), grid);
      EXPECT_EQ(solved.at(id).weight, QuantizeNearest(best.const_view(), grid).value()) << id.ToString();
      clipped += !(best == w);
    }
    EXPECT_GT(clipped, 10);
  }
}

// MoEQuant+: every token's square counts by its affinity, in both searches; without spread in them nothing changes.
TEST(AwqAffinity, WeightsBothSearches) {
  Bench bench(Shared(), GridSpec{.bits = 3});
  Matrix& router = bench.params.linears.at({1, Role::kRouter}).weight;
  for (int64_t i = 0; i < router.size(); ++i) router.data()[i] *= 4;  // affinities that differ much
  const LayerParams plain = bench.Applied("awq {}"), none = bench.Applied("awq { affinity { power: 0 } }");
  std::map<LinearId, GridSpec> plan;
  std::vector<LinearId> owners;
  for (const auto& [id, linear] : bench.params.linears) {
    EXPECT_EQ(none.linears.at(id).weight, plain.linears.at(id).weight) << id.ToString();
    if (!bench.scheme.Covers(id)) continue;
    plan[id] = bench.scheme.weights;
    owners.push_back(LayerProfile::InputOwner(id));
  }
  const auto clip = [&](const std::string& options) {
    return Solver("awq_clip { " + options + " }").value()->SolveLayer(bench.context, bench.params, plan).value();
  };
  const SolvedLinears unweighted = clip(""), zero = clip("affinity { power: 0 }");
  const auto layer = BuildLayer(bench.config, bench.params).value();
  for (const int power : {1, 2}) {
    const std::string affinity = "affinity { power: " + std::to_string(power) + " }";
    const auto weights = CollectAffinities(*layer, bench.windows, owners, power, CpuOps(), bench.pool).value();
    const LayerParams scaled = bench.Applied("awq { " + affinity + " }");
    const SolvedLinears clipped = clip(affinity);
    EXPECT_EQ(scaled.post_norm, plain.post_norm);  // the whole block's output is judged: affinities are in it
    int scales_moved = 0, clamps_moved = 0;
    for (const auto& [id, grid] : plan) {
      const LinearId owner = LayerProfile::InputOwner(id);
      const Matrix x = bench.Inputs(bench.params, {owner}).at(owner);
      const Matrix& w = bench.params.linears.at(id).weight;
      const std::vector<float>& c = weights.at(owner);
      EXPECT_EQ(c.empty(), id.expert < 0 && id.role < Role::kSharedGate) << id.ToString();
      EXPECT_EQ(zero.at(id).weight, unweighted.at(id).weight);
      clamps_moved += !(clipped.at(id).weight == unweighted.at(id).weight);
      if (id.role != Role::kQ && id.role != Role::kK) {
        EXPECT_EQ(clipped.at(id).weight, QuantizeNearest(BruteForceClip(w, x, grid, c).const_view(), grid).value())
            << id.ToString();
      }
      if (id.role != Role::kDown && id.role != Role::kSharedDown) continue;
      scales_moved += !(scaled.linears.at(id).weight == plain.linears.at(id).weight);
      std::vector<float> best;
      double least = 1e30;
      for (int i = 0; i < 20; ++i) {
        const std::vector<float> s = AwqScales(MeanMagnitudes(x), {}, i / 20.0);
        const Matrix rounded = RoundScaled(w, s, grid).value();
        double error = 0;
        for (int64_t t = 0; t < x.rows(); ++t) {
          for (int64_t r = 0; r < w.rows(); ++r) {
            double y = 0;
            for (int64_t j = 0; j < w.cols(); ++j) y += double{x(t, j)} * (double{w(r, j)} - rounded(r, j));
            error += double{c[t]} * y * y;
          }
        }
        if (error < least) least = error, best = s;
      }
      for (int64_t r = 0; r < w.rows(); ++r)
        for (int64_t j = 0; j < w.cols(); ++j)
          ASSERT_NEAR(scaled.linears.at(id).weight(r, j), w(r, j) * best[j], 1e-5) << id.ToString();
    }
    EXPECT_GT(scales_moved, 1);
    EXPECT_GT(clamps_moved, 5);
  }
  EXPECT_THAT(Transform("awq { affinity { power: 3 } }"), StatusIs(kInvalid, HasSubstr("affinity.power is 3")));
  EXPECT_THAT(Solver("awq_clip { affinity { power: -1 } }"), StatusIs(kInvalid, HasSubstr("affinity.power is -1")));
}

TEST(AwqClipSolver, TheStrideIsNeverZero) {
  Matrix x(7, 1);
  std::iota(x.data(), x.data() + 7, 0.0f);
  EXPECT_EQ(Subsample(x, 512), x);  // fewer rows than asked for: the released code divides by a stride of 0
  EXPECT_EQ(Subsample(x, 3).values(), absl::MakeConstSpan(std::vector<float>{0, 2, 4, 6}));
  EXPECT_EQ(Subsample(Matrix(1, 1), 512).rows(), 1);
  EXPECT_EQ(Subsample(x.values(), 3), (std::vector<float>{0, 2, 4, 6}));
  EXPECT_TRUE(Subsample(absl::Span<const float>(), 3).empty());
}

TEST(AwqClipSolver, ExpertsWithoutTokensAreRoundedToNearest) {
  Bench bench(TinyConfig());
  OnlyTwoExperts(bench);
  const LinearId used{1, Role::kDown, 0}, idle{1, Role::kDown, 5};
  EAQ_ASSERT_OK_AND_ASSIGN(const auto solver, Solver("awq_clip {}"));
  EAQ_ASSERT_OK_AND_ASSIGN(
      const SolvedLinears solved,
      solver->SolveLayer(bench.context, bench.params, {{used, bench.scheme.weights}, {idle, bench.scheme.weights}}));
  EXPECT_THAT(solved.at(idle).note, HasSubstr("no calibration token"));
  EXPECT_EQ(solved.at(used).note, "");
  EXPECT_EQ(solved.at(idle).weight,
            QuantizeNearest(bench.params.linears.at(idle).weight.const_view(), bench.scheme.weights).value());
}

TEST(AwqClipSolver, RefusesWhatMakesNoSense) {
  EXPECT_THAT(Solver("awq_clip { max_shrink: 1 }"), StatusIs(kInvalid, HasSubstr("max_shrink 1")));
  EXPECT_THAT(Solver("awq_clip { tokens: 0 }"), StatusIs(kInvalid, HasSubstr("tokens 0")));
  Bench bench(TinyConfig());
  const LinearId o{1, Role::kO};
  EXPECT_THAT(
      Solver("awq_clip {}")
          .value()
          ->SolveLayer(bench.context, bench.params, {{o, GridSpec{.bits = 4, .granularity = Granularity::kTensor}}}),
      StatusIs(kInvalid, HasSubstr("L1.o: awq_clip: the weights have one grid per tensor")));
}

}  // namespace
}  // namespace eaq
