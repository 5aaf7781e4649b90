// Affinity-guided GPTQ through its registry, on whole layers.
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/synthetic.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/gptq.h"
#include "eaq/recipe/affinity.h"
#include "eaq/recipe/layer_inputs.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::unique_ptr<SolveSlot>> Solver(const std::string& text) {
  SolveStage proto;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &proto)) << text;
  return MakeStage<SolveSlot>(proto, "solve");
}

// A layer and WINDOWS windows at its entrance.
struct Bench {
  explicit Bench(const ModelConfig& c, int windows = 20, int tokens = 16)
      : config(c), params(RandomLayer(c, 1, 3)), pool(2) {
    Rng rng(5, "agq_test");
    for (int w = 0; w < windows; ++w) {
      Matrix m(tokens, config.hidden_size);
      for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(rng.Normal() * (1 + i % 3));
      hidden.push_back(std::move(m));
    }
    scheme.weights = {.bits = 3};
    for (const auto& [id, linear] : params.linears)
      if (scheme.Covers(id)) plan[id] = scheme.weights;
    layer = BuildLayer(config, params).value();
    profile = ProfileLayer(*layer, hidden, {}, pool).value();
    context.config = &config;
    context.scheme = &scheme;
    context.profile = &profile;
    context.hidden = hidden;
    context.pool = &pool;
  }
  // As quantize_layer.cc does it.
  SolvedLinears Solve(const std::string& text) {
    const auto solver = Solver(text).value();
    if (solver->solves_whole_layers()) return solver->SolveLayer(context, params, plan).value();
    return SolveEach(plan, pool,
                     [&](const LinearId& id, const GridSpec& grid) {
                       return solver->Solve(id, params.linears.at(id).weight.view(), profile.Of(id), grid, CpuOps());
                     })
        .value();
  }

  ModelConfig config;
  LayerParams params;
  std::vector<Matrix> hidden;
  LayerScheme scheme;
  std::map<LinearId, GridSpec> plan;
  std::unique_ptr<DecoderLayer> layer;
  LayerProfile profile;
  ThreadPool pool;
  LayerContext context;
};

void ExpectEqual(const SolvedLinears& a, const SolvedLinears& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [id, linear] : a) {
    EXPECT_EQ(linear.weight.codes, b.at(id).weight.codes) << id.ToString();
    EXPECT_EQ(Dequantize(linear.weight), Dequantize(b.at(id).weight)) << id.ToString();
    EXPECT_EQ(linear.note, b.at(id).note);
  }
}

// Linears of experts that differ.
int64_t Differing(const SolvedLinears& a, const SolvedLinears& b) {
  int64_t count = 0;
  for (const auto& [id, linear] : a) {
    if (id.expert >= 0) count += !(Dequantize(linear.weight) == Dequantize(b.at(id).weight));
  }
  return count;
}

TEST(Agq, PowerZeroIsGptqBitForBit) {
  for (const bool shared : {false, true}) {
    ModelConfig config = TinyConfig();
    if (shared) config.shared_width = 40;
    Bench b(config);
    ExpectEqual(b.Solve("gptq { affinity { power: 0 } }"), b.Solve("gptq {}"));
    EXPECT_FALSE(Solver("gptq { affinity { power: 0 } }").value()->solves_whole_layers());
  }
}

// One expert a token, renormalised: every affinity is 1.
TEST(Agq, EqualAffinitiesAreGptqBitForBit) {
  ModelConfig config = TinyConfig();
  config.experts_per_token = 1;
  config.norm_topk_prob = true;
  Bench b(config);
  const SolvedLinears plain = b.Solve("gptq {}");
  ExpectEqual(b.Solve("gptq { affinity { power: 1 } }"), plain);
  ExpectEqual(b.Solve("gptq { affinity { power: 2 } }"), plain);
}

// The factor on all affinities is a power of four, so that its root is exact.
TEST(Agq, AScaleOfAllAffinitiesChangesNothing) {
  ModelConfig config = TinyConfig(), larger = config;
  larger.routed_scaling = 16;
  for (const std::string power : {"1", "2"}) {
    const std::string text = "gptq { affinity { power: " + power + " } clip {} }";
    ExpectEqual(Bench(larger).Solve(text), Bench(config).Solve(text));
  }
}

TEST(Agq, IsGptqOnMomentsThatTheAffinitiesWeight) {
  for (const int family : {0, 1, 2}) {
    ModelConfig config = TinyConfig();
    if (family > 0) config.shared_width = 40;
    config.shared_expert_gated = family == 1;
    Bench b(config);
    const std::vector<LinearId> owners = InputOwners(b.plan);
    const auto rows = CollectInputs(*b.layer, b.hidden, owners, CpuOps(), b.pool).value();
    SolvedLinears before = b.Solve("gptq {}");
    for (const int power : {1, 2}) {
      const auto affinities = CollectAffinities(*b.layer, b.hidden, owners, power, CpuOps(), b.pool).value();
      const SolvedLinears solved = b.Solve("gptq { affinity { power: " + std::to_string(power) + " } }");
      for (const auto& [id, grid] : b.plan) {
        const LinearId owner = LayerProfile::InputOwner(id);
        HessianAccumulator sum(rows.at(owner).cols());
        EAQ_ASSERT_OK(sum.Add(rows.at(owner).view(), affinities.at(owner)));
        EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult expected,
                                 GptqSolve(b.params.linears.at(id).weight.view(), sum.Finish(), grid, GptqOptions{}));
        EXPECT_EQ(Dequantize(solved.at(id).weight), Dequantize(expected.weight)) << id.ToString();
        const bool shared = id.role == Role::kSharedGate || id.role == Role::kSharedUp || id.role == Role::kSharedDown;
        if (id.expert < 0 && !(shared && family == 1)) {
          EXPECT_EQ(Dequantize(solved.at(id).weight), Dequantize(before.at(id).weight)) << id.ToString();
        }
      }
      EXPECT_GT(Differing(solved, before), 12);
      before = solved;  // and the powers differ from each other
    }
  }
}

// sum over tokens of c^p ||(W - Q) x||^2, naively, over all experts.
double WeightedError(Bench& b, const SolvedLinears& solved, int power) {
  const std::vector<LinearId> owners = InputOwners(b.plan);
  const auto rows = CollectInputs(*b.layer, b.hidden, owners, CpuOps(), b.pool).value();
  const auto affinities = CollectAffinities(*b.layer, b.hidden, owners, power, CpuOps(), b.pool).value();
  double error = 0;
  for (const auto& [id, grid] : b.plan) {
    if (id.expert < 0) continue;
    const Matrix &x = rows.at(LayerProfile::InputOwner(id)), &w = b.params.linears.at(id).weight;
    const Matrix q = Dequantize(solved.at(id).weight);
    for (int64_t t = 0; t < x.rows(); ++t)
      for (int64_t o = 0; o < w.rows(); ++o) {
        double d = 0;
        for (int64_t c = 0; c < w.cols(); ++c) d += (static_cast<double>(w(o, c)) - q(o, c)) * x(t, c);
        error += affinities.at(LayerProfile::InputOwner(id))[t] * d * d;
      }
  }
  return error;
}

TEST(Agq, LosesLessWhereItCounts) {
  ModelConfig config = TinyConfig();
  config.experts_per_token = 4;  // affinities that differ much
  Bench b(config, 40);
  Matrix& router = b.params.linears.at({1, Role::kRouter}).weight;
  for (int64_t i = 0; i < router.size(); ++i) router.data()[i] *= 4;
  b.layer = BuildLayer(config, b.params).value();
  b.profile = ProfileLayer(*b.layer, b.hidden, {}, b.pool).value();
  const SolvedLinears plain = b.Solve("gptq {}");
  for (const int power : {1, 2}) {
    const SolvedLinears guided = b.Solve("gptq { affinity { power: " + std::to_string(power) + " } }");
    EXPECT_LT(WeightedError(b, guided, power), 0.98 * WeightedError(b, plain, power));
  }
}

TEST(Agq, AnExpertWithoutTokensIsRoundedToNearestAndSaysSo) {
  Bench b(TinyConfig(), 1, 2);  // two tokens for eight experts
  const SolvedLinears solved = b.Solve("gptq { affinity {} }");
  int idle = 0;
  for (int e = 0; e < 8; ++e) {
    const LinearId id{1, Role::kDown, e};
    if (b.profile.Of(id).tokens > 0) continue;
    ++idle;
    const Matrix nearest = Dequantize(*QuantizeNearest(b.params.linears.at(id).weight.view(), b.plan.at(id)));
    EXPECT_EQ(Dequantize(solved.at(id).weight), nearest);
    EXPECT_THAT(solved.at(id).note, HasSubstr("no calibration token"));
  }
  EXPECT_GE(idle, 4);
}

// Step by step by hand: what the steps before have rounded stands in the layer that the next is calibrated on.
TEST(SequentialGptq, EachStepSeesTheRoundedOnesBeforeIt) {
  ModelConfig config = TinyConfig();
  config.shared_width = 40;
  Bench b(config);
  const std::vector<std::vector<Role>> steps = {{Role::kQ, Role::kK, Role::kV},
                                                {Role::kO},
                                                {Role::kGate, Role::kUp, Role::kSharedGate, Role::kSharedUp},
                                                {Role::kDown, Role::kSharedDown}};
  for (const int power : {0, 1}) {
    const SolvedLinears solved =
        b.Solve("gptq { order: SEQUENTIAL affinity { power: " + std::to_string(power) + " } }");
    LayerParams now = b.params;
    size_t seen = 0;
    for (const std::vector<Role>& step : steps) {
      const auto layer = BuildLayer(config, now).value();
      for (const auto& [id, grid] : b.plan) {
        if (std::find(step.begin(), step.end(), id.role) == step.end()) continue;
        ++seen;
        const LinearId owner = LayerProfile::InputOwner(id);
        const Matrix x = CollectInputs(*layer, b.hidden, {owner}, CpuOps(), b.pool).value().at(owner);
        HessianAccumulator sum(x.cols());
        EAQ_ASSERT_OK(
            sum.Add(x.view(), CollectAffinities(*layer, b.hidden, {owner}, power, CpuOps(), b.pool).value().at(owner)));
        EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult expected,
                                 GptqSolve(b.params.linears.at(id).weight.view(), sum.Finish(), grid, GptqOptions{}));
        EXPECT_EQ(Dequantize(solved.at(id).weight), Dequantize(expected.weight)) << id.ToString();
        now.linears.at(id).weight = Dequantize(expected.weight);
      }
    }
    EXPECT_EQ(seen, b.plan.size());
    EXPECT_GT(Differing(solved, b.Solve("gptq { affinity { power: " + std::to_string(power) + " } }")), 12);
  }
}

TEST(Agq, RefusesWhatItCannotDo) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(Solver("gptq { affinity { power: 3 } }"), StatusIs(kInvalid, HasSubstr("affinity.power is 3")));
  EXPECT_THAT(Solver("fitted_gptq { gptq { affinity {} } }"), StatusIs(kInvalid, HasSubstr("counts all tokens alike")));
  EXPECT_THAT(Solver("fitted_gptq { gptq { order: SEQUENTIAL } }"), StatusIs(kInvalid, HasSubstr("SEQUENTIAL")));
}

}  // namespace
}  // namespace eaq
