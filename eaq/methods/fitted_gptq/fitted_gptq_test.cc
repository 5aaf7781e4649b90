// The stage through its registry, on a layer with routed experts.
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/methods/fitted_gptq/paired_inputs.h"
#include "eaq/model/synthetic.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/gptq.h"
#include "eaq/recipe/layer_inputs.h"
#include "eaq/recipe/stage.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

template <typename Slot, typename Proto>
absl::StatusOr<std::unique_ptr<Slot>> Stage(const std::string& text, const char* slot) {
  Proto proto;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &proto)) << text;
  return MakeStage<Slot>(proto, slot);
}

std::vector<Matrix> Windows(const ModelConfig& config, const char* stream) {
  Rng rng(5, stream);
  std::vector<Matrix> windows;
  for (int w = 0; w < 20; ++w) {  // more than are taken at once
    Matrix m(16, config.hidden_size);
    for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(rng.Normal() * (1 + i % 3));
    windows.push_back(std::move(m));
  }
  return windows;
}

struct Bench {
  explicit Bench(int activation_bits) : params(RandomLayer(config, 1, 3)), pool(2) {
    hidden = Windows(config, "own");
    full = hidden;
    Rng rng(6, "difference");
    for (Matrix& m : full)
      for (int64_t i = 0; i < m.size(); ++i) m.data()[i] += static_cast<float>(0.3 * rng.Normal());
    scheme.weights = {.bits = 3};
    scheme.activations = {.bits = activation_bits};
    for (const auto& [id, linear] : params.linears)
      if (id.role != Role::kRouter) plan[id] = scheme.weights;
    router = Stage<RouterSlot, RouterStage>("keep {}", "router").value();
    activation = Stage<ActivationSlot, ActivationStage>("dynamic {}", "activation").value();
    context.config = &config;
    context.scheme = &scheme;
    context.profile = &profile;
    context.hidden = hidden;
    context.full_hidden = full;
    context.router = router.get();
    context.activation = activation.get();
    context.pool = &pool;
  }
  SolvedLinears Solve(const std::string& text) {
    return Stage<SolveSlot, SolveStage>(text, "solve").value()->SolveLayer(context, params, plan).value();
  }

  ModelConfig config = TinyConfig();
  LayerParams params;
  std::vector<Matrix> hidden, full;
  LayerScheme scheme;
  LayerProfile profile;
  std::map<LinearId, GridSpec> plan;
  std::unique_ptr<RouterSlot> router;
  std::unique_ptr<ActivationSlot> activation;
  ThreadPool pool;
  LayerContext context;
};

TEST(FittedGptq, IsGptqWhereActivationsStay) {
  Bench b(16);
  const SolvedLinears solved = b.Solve("fitted_gptq {}");
  const auto layer = BuildLayer(b.config, b.params).value();
  for (const auto& [id, grid] : b.plan) {
    const LinearId owner = LayerProfile::InputOwner(id);
    const Matrix x = CollectInputs(*layer, b.hidden, {owner}, CpuOps(), b.pool).value().at(owner);
    HessianAccumulator sum(x.cols());
    EAQ_ASSERT_OK(sum.Add(x.view()));
    EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult expected,
                             GptqSolve(b.params.linears.at(id).weight.view(), sum.Finish(), grid, GptqOptions{}));
    EXPECT_EQ(Dequantize(solved.at(id).weight), Dequantize(expected.weight)) << id.ToString();
  }
}

// Squared error of what the linears put out on rounded inputs, against what TARGET's rows give, over what zeros leave.
double OutputError(Bench& b, const SolvedLinears& solved, const std::vector<Matrix>& target) {
  const auto layer = BuildLayer(b.config, b.params).value();
  const std::vector<LinearId> owners = InputOwners(b.plan);
  double total = 0;
  for (const auto& [id, grid] : b.plan) {
    const Matrix w = b.params.linears.at(id).weight, v = Dequantize(solved.at(id).weight);
    double error = 0, norm = 0;
    for (size_t k = 0; k < b.hidden.size(); ++k) {
      auto pair = fitted_gptq::PairInputs(*layer, owners, b.hidden[k], &target[k]).at(LayerProfile::InputOwner(id));
      const auto activation = MakeActivation(id, b.profile, b.scheme, *b.router, *b.activation).value();
      activation.Apply(pair.own.view());
      for (int64_t t = 0; t < pair.own.rows(); ++t)
        for (int64_t o = 0; o < w.rows(); ++o) {
          double y = 0, z = 0;
          for (int64_t c = 0; c < w.cols(); ++c) {
            y += static_cast<double>(pair.full(t, c)) * w(o, c);
            z += static_cast<double>(pair.own(t, c)) * v(o, c);
          }
          error += (y - z) * (y - z);
          norm += y * y;
        }
    }
    total += norm > 0 ? error / norm : 0;
  }
  return total / static_cast<double>(b.plan.size());
}

TEST(FittedGptq, MakesUpForRoundedActivations) {
  Bench b(3);
  const double plain = OutputError(b, b.Solve("fitted_gptq { ridge: 10 }"), b.hidden);
  EXPECT_LT(OutputError(b, b.Solve("fitted_gptq {}"), b.hidden), plain);
}

TEST(FittedGptq, FitsToFullPrecisionWhereAsked) {
  Bench b(4);
  EXPECT_LT(OutputError(b, b.Solve("fitted_gptq { target: FULL_PRECISION }"), b.full),
            0.95 * OutputError(b, b.Solve("fitted_gptq {}"), b.full));
}

TEST(FittedGptq, TheSameForAnyNumberOfThreads) {
  Bench b(4);
  ThreadPool one(1);
  const SolvedLinears two = b.Solve("fitted_gptq { target: FULL_PRECISION }");
  b.context.pool = &one;
  const SolvedLinears single = b.Solve("fitted_gptq { target: FULL_PRECISION }");
  for (const auto& [id, s] : two) EXPECT_EQ(Dequantize(s.weight), Dequantize(single.at(id).weight));
}

TEST(FittedGptq, RefusesARidgeOfNothing) {
  for (const char* ridge : {"0", "-1", "11", "nan"}) {
    const auto stage = Stage<SolveSlot, SolveStage>(absl::StrCat("fitted_gptq { ridge: ", ridge, " }"), "solve");
    EXPECT_THAT(stage, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ridge"))) << ridge;
  }
}

// Which tokens an expert gets, and what it reads.
class Reader : public LayerObserver {
 public:
  explicit Reader(LinearId id) : id_(id) {}
  void OnLinearInput(const LinearId& id, ConstMatrixView x, absl::Span<const int32_t> tokens) override {
    if (!(id == id_)) return;
    rows = Matrix(x);
    at.assign(tokens.begin(), tokens.end());
  }
  Matrix rows;
  std::vector<int32_t> at;

 private:
  const LinearId id_;
};

TEST(PairInputs, RowsAreOfTheSameTokens) {
  const Bench b(4);
  const auto layer = BuildLayer(b.config, b.params).value();
  const std::vector<LinearId> owners = InputOwners(b.plan);
  for (const auto& [id, pair] : fitted_gptq::PairInputs(*layer, owners, b.hidden[0], &b.hidden[0])) {
    ASSERT_EQ(pair.own.rows(), pair.full.rows());
    for (int64_t i = 0; i < pair.own.size(); ++i) EXPECT_NEAR(pair.own.data()[i], pair.full.data()[i], 1e-5);
  }
  // Null stands for the same window again, without running it again: the same bits.
  const auto twice = fitted_gptq::PairInputs(*layer, owners, b.hidden[0], &b.hidden[0]);
  for (const auto& [id, pair] : fitted_gptq::PairInputs(*layer, owners, b.hidden[0], nullptr)) {
    EXPECT_EQ(pair.own, pair.full) << id.ToString();
    EXPECT_EQ(pair.full, twice.at(id).full) << id.ToString();
  }
  int64_t shared = 0;
  const auto pairs = fitted_gptq::PairInputs(*layer, owners, b.hidden[0], &b.full[0]);
  for (const auto& [id, pair] : pairs) {
    Reader own(id), full(id);
    Matrix state = b.hidden[0];
    layer->Forward(state.view(), &own);
    state = b.full[0];
    layer->Forward(state.view(), &full);
    EXPECT_EQ(pair.own, own.rows) << id.ToString();
    if (id.expert < 0) {
      EXPECT_EQ(pair.full, full.rows) << id.ToString();
      continue;
    }
    for (size_t i = 0; i < own.at.size(); ++i) {  // where both send the token here, what full precision reads
      const auto it = std::find(full.at.begin(), full.at.end(), own.at[i]);
      if (it == full.at.end()) continue;
      ++shared;
      for (int64_t c = 0; c < pair.full.cols(); ++c)
        EXPECT_NEAR(pair.full(i, c), full.rows(it - full.at.begin(), c), 1e-5) << id.ToString();
    }
  }
  EXPECT_GT(shared, 10);
}

}  // namespace
}  // namespace eaq
