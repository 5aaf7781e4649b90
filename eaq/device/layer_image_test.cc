// Layers of other shapes and grids than models/ref-s on the device against the CPU, and what is refused.

#include "eaq/device/layer_image.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/device/device_runner.h"
#include "eaq/device/testing.h"
#include "eaq/model/routing_policy.h"
#include "eaq/model/synthetic.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/packing.h"
#include "eaq/quant/quantized_attention.h"
#include "eaq/quant/quantized_linear.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using testing::HasSubstr;

// SmallConfig with hidden states of 96 and 3 experts a token.
ModelConfig ThreeExperts() {
  ModelConfig config = SmallConfig();
  config.hidden_size = 96;
  config.experts_per_token = 3;
  return config;
}

GridSpec Grid(int bits, GridKind kind = GridKind::kAsymmetric) {
  GridSpec grid;
  grid.bits = bits;
  grid.kind = kind;
  return grid;
}

// Everything but the router at these grids.
DeviceFormat Format(GridSpec weights, GridSpec activations, std::vector<int> mixed = {}) {
  return {"", weights, activations, std::move(mixed)};
}

// LAYER on the device, rows as so many terms, against WANTED, on random hidden states.
void ExpectAgrees(const DecoderLayer& layer, const DecoderLayer& wanted, int row_terms,
                  const CodesOf& codes = NoCodes) {
  SCOPED_TRACE(absl::StrCat(row_terms, " terms"));
  EAQ_ASSERT_OK_AND_ASSIGN(const LayerImage image, MakeLayerImage(layer, codes, {row_terms}));
  DeviceRunner::Options options;
  options.observe_inputs = true;
  EAQ_ASSERT_OK_AND_ASSIGN(const auto runner, DeviceRunner::Create(kernels::LinkedDevice(), layer.config(), options));
  Rng rng(3, "layer_image_test");
  Matrix hidden(14, layer.config().hidden_size);
  for (int64_t i = 0; i < hidden.size(); ++i) hidden.data()[i] = static_cast<float>(rng.Normal());
  EAQ_ASSERT_OK_AND_ASSIGN(const LayerAgreement agreement,
                           CompareLayer(wanted, image, hidden.const_view(), {9, 5}, *runner));
  for (const std::string& what : agreement.unexplained) ADD_FAILURE() << what;
  EXPECT_LE(agreement.worst, kLayerNoise);
  EXPECT_GE(agreement.unaffected, 7) << agreement.ties << " ties, " << agreement.choice_ties << " of choices";
}

// Two terms are the layer's own numbers; with one the rows of products without integer activations are rounded.
void ExpectAgrees(const ModelConfig& config, const LayerParams& params, const DeviceFormat& format) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto plain, LayerInFormat(config, params, format, false));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto rounded, LayerInFormat(config, params, format, true));
  ExpectAgrees(*plain, *plain, 2);
  if (!format.activations.quantized()) ExpectAgrees(*plain, *rounded, 1);
}
void ExpectAgrees(const ModelConfig& config, const DeviceFormat& format) {
  ExpectAgrees(config, RandomLayer(config, 0, 11), format);
}
void ExpectTwoTermsAgree(const ModelConfig& config, const DeviceFormat& format) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto layer, LayerInFormat(config, RandomLayer(config, 0, 11), format, false));
  ExpectAgrees(*layer, *layer, 2);
}

TEST(LayerImageTest, NormsOfHeadsAndWindows) {
  ModelConfig config = ThreeExperts();
  config.qk_norm = QkNorm::kPerHead;
  config.sliding_window = 4;
  config.norm_topk_prob = true;
  ExpectAgrees(config, Format(Grid(8), Grid(8)));
}

TEST(LayerImageTest, SharedExpertsAndSigmoids) {
  ModelConfig config = ThreeExperts();
  config.qk_norm = QkNorm::kNone;
  config.shared_width = 56;
  ExpectAgrees(config, Format(Grid(4), GridSpec()));
  config.shared_expert_gated = false;
  config.router_score = RouterScore::kSigmoid;
  config.routed_scaling = 2.5;
  ExpectAgrees(config, Format(Grid(4), Grid(8, GridKind::kSymmetricRestricted)));
}

TEST(LayerImageTest, DenseLayers) {
  ModelConfig config = ThreeExperts();
  config.dense_layers = {0};
  config.dense_width = 136;
  ExpectAgrees(config, Format(Grid(4, GridKind::kSymmetricFullRange), Grid(4, GridKind::kSymmetricFullRange)));
  // Random weights are no bfloat16 numbers: float32 products of rows as they are, experts' in three terms.
  EAQ_ASSERT_OK_AND_ASSIGN(const auto plain,
                           LayerInFormat(config, RandomLayer(config, 0, 11), Format(GridSpec(), GridSpec()), false));
  ExpectAgrees(*plain, *plain, 2);
}

TEST(LayerImageTest, WidthsWithoutAKernelRunInTheNext) {
  const ModelConfig config = ThreeExperts();
  ExpectAgrees(config, Format(Grid(3, GridKind::kSymmetricRestricted), Grid(4)));
  ExpectAgrees(config, Format(Grid(6), Grid(8)));
  ExpectAgrees(config, Format(Grid(5), GridSpec()));
  ExpectAgrees(config, Format(Grid(2), Grid(3)));
}

TEST(LayerImageTest, ExpertsOfSeveralWidths) {
  ExpectAgrees(ThreeExperts(), Format(Grid(8), Grid(8), {4, 8, 3}));
  ExpectAgrees(ThreeExperts(), Format(Grid(4, GridKind::kSymmetricRestricted), GridSpec(), {2, 3, 4}));
  ExpectAgrees(ThreeExperts(), Format(Grid(4), GridSpec(), {2, 6, 5}));
  for (const int64_t group : {32, 64}) {
    GridSpec grid = Grid(6);
    grid.granularity = Granularity::kGroup;
    grid.group_size = group;
    ExpectAgrees(ThreeExperts(), Format(grid, GridSpec()));
    ExpectAgrees(ThreeExperts(), Format(grid, GridSpec(), {2, 6, 4, 5, 3}));
    ExpectAgrees(ThreeExperts(), Format(grid, Grid(8), {4, 8}));
    grid.bits = 4;
    ExpectAgrees(ThreeExperts(), Format(grid, Grid(8)));
    ExpectAgrees(ThreeExperts(), Format(grid, Grid(4)));
  }
}

// Fake-quantized linears with codes beside them, a static grid, a division at run time, operands of attention, and gate
// and up that differ (no SwiGLU in the product).
TEST(LayerImageTest, WhatThePipelineMakes) {
  const ModelConfig config = ThreeExperts();
  const LayerParams params = RandomLayer(config, 0, 12);
  Rng rng(4, "layer_image_test/divisors");
  std::vector<float> divisors(config.hidden_size);
  for (float& d : divisors) d = static_cast<float>(0.5 + rng.Uniform());
  auto online = std::make_shared<OnlineTransform>();
  online->steps.push_back(OnlineStep::Divide(divisors));
  std::map<LinearId, QuantizedMatrix> codes;
  DecoderLayer::Linears linears;
  for (const auto& [id, linear] : params.linears) {
    if (id.role == Role::kRouter) {
      linears[id] = std::make_shared<FakeQuantLinear>(linear.weight, linear.bias, ActivationQuantizer());
      continue;
    }
    GridSpec grid = Grid(id.role == Role::kUp ? 8 : 4);
    if (id.role == Role::kK) {  // between q and v, whose rows have other sums
      grid.granularity = Granularity::kGroup;
      grid.group_size = 32;
    }
    EAQ_ASSERT_OK_AND_ASSIGN(codes[id], QuantizeNearest(linear.weight.view(), grid));
    EAQ_ASSERT_OK_AND_ASSIGN(ActivationQuantizer activation, ActivationQuantizer::Dynamic(Grid(8), 0.9));
    if (id.role == Role::kO) {
      EAQ_ASSERT_OK_AND_ASSIGN(activation, ActivationQuantizer::Static(Grid(8), {-1.5f, 2.0f}));
    }
    linears[id] = std::make_shared<FakeQuantLinear>(Dequantize(codes[id]), linear.bias, activation,
                                                    id.role == Role::kGate || id.role == Role::kUp ? online : nullptr);
  }
  EAQ_ASSERT_OK_AND_ASSIGN(QuantizedAttention attention, QuantizedAttention::Create(Grid(8), 32, 1.0, 0.8));
  EAQ_ASSERT_OK_AND_ASSIGN(
      const auto layer,
      DecoderLayer::Create(config, params, linears, std::make_shared<const QuantizedAttention>(std::move(attention))));
  const auto find = [&](const LinearId& id) -> const QuantizedMatrix* {
    const auto at = codes.find(id);
    return at == codes.end() ? nullptr : &at->second;
  };
  ExpectAgrees(*layer, *layer, 2, find);

  // Codes that do not give the linear's weights, as where cached rows stand over them: the weights count.
  codes[{0, Role::kO}].codes[7] ^= 1;
  codes[{0, Role::kDown, 1}].codes[9] ^= 1;
  ExpectAgrees(*layer, *layer, 2, find);
  codes[{0, Role::kO}].rows -= 1;
  EXPECT_THAT(MakeLayerImage(*layer, find).status().ToString(), HasSubstr("L0.o: codes of ["));
}

OnlineTransform Turns(const std::vector<OnlineStep>& steps) { return {steps}; }

// An orthogonal matrix: the Householder reflection of a random vector.
Matrix RandomRotation(int64_t n, Rng& rng) {
  std::vector<double> v(n);
  double norm = 0;
  for (double& x : v) {
    x = rng.Normal();
    norm += x * x;
  }
  Matrix rotation(n, n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) rotation(i, j) = static_cast<float>((i == j) - 2 * v[i] * v[j] / norm);
  return rotation;
}

std::vector<int32_t> RandomOrder(int64_t n, Rng& rng) {
  std::vector<int32_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = n - 1; i > 0; --i) std::swap(order[i], order[rng.Below(i + 1)]);
  return order;
}

// Every kind of step before every linear: DuQuant's on hidden states, an own one for each expert, QuaRot's before o (of
// blocks and across heads) and down (of an order that is no power of two), a division alone.
TEST(LayerImageTest, TransformsAtRunTime) {
  ModelConfig config = ThreeExperts();
  config.expert_width = 40;
  Rng rng(7, "layer_image_test/transforms");
  const auto divide = [&](int64_t n) {
    std::vector<float> divisors(n);
    for (float& d : divisors) d = static_cast<float>(0.5 + rng.Uniform());
    return OnlineStep::Divide(std::move(divisors));
  };
  const auto duquant = [&](int64_t n, int64_t block) {
    return std::make_shared<const OnlineTransform>(
        Turns({divide(n), OnlineStep::Rotate(RandomRotation(block, rng)), OnlineStep::Permute(RandomOrder(n, rng)),
               OnlineStep::Rotate(RandomRotation(block, rng))}));
  };
  LayerParams params = RandomLayer(config, 0, 11);
  params.qk_hadamard = 32;
  const auto hidden = duquant(config.hidden_size, 32), between = duquant(config.expert_width, 8);
  const auto heads =
      std::make_shared<const OnlineTransform>(Turns({OnlineStep::Hadamard(32), OnlineStep::Hadamard(2, 32)}));
  const auto down = std::make_shared<const OnlineTransform>(Turns({OnlineStep::Hadamard(20), divide(40)}));
  for (auto& [id, linear] : params.linears) {
    if (id.role == Role::kO) {
      linear.online = heads;
    } else if (id.role == Role::kDown) {
      linear.online = id.expert % 2 == 0
                          ? down
                          : std::make_shared<const OnlineTransform>(Turns({OnlineStep::Hadamard(20), divide(40)}));
    } else if (id.role == Role::kUp) {
      linear.online = duquant(config.hidden_size, 32);  // each its own
    } else {
      linear.online = hidden;
    }
  }
  ExpectAgrees(config, params, Format(Grid(4), Grid(8)));
  ExpectAgrees(config, params, Format(Grid(3), GridSpec()));
  for (auto& [id, linear] : params.linears) {
    if (id.role == Role::kDown) linear.online = between;
    if (id.role == Role::kGate || id.role == Role::kUp) linear.online = hidden;
  }
  ExpectAgrees(config, params, Format(Grid(4), Grid(4)));  // gate and up together
}

// Grids and widths that no kernel has beside these rows.
TEST(LayerImageTest, NumbersWithoutAKernelOfTheirOwn) {
  const ModelConfig config = ThreeExperts();
  const auto grouped = [](int bits, int64_t group, GridKind kind = GridKind::kAsymmetric) {
    GridSpec grid = Grid(bits, kind);
    grid.granularity = Granularity::kGroup;
    grid.group_size = group;
    return grid;
  };
  ExpectAgrees(config, Format(Grid(8), GridSpec()));  // two planes
  ExpectAgrees(config, Format(grouped(8, 32, GridKind::kSymmetricFullRange), GridSpec()));
  ExpectAgrees(config, Format(grouped(6, 64), GridSpec()));
  ExpectAgrees(config, Format(Grid(4), GridSpec(), {2, 8, 6, 4}));
  ExpectAgrees(config, Format(grouped(4, 32), GridSpec(), {2, 3, 4}));
  ExpectTwoTermsAgree(config, Format(grouped(3, 24), GridSpec()));  // no groups of 24: as numbers
  ExpectTwoTermsAgree(config, Format(Grid(8), grouped(8, 32)));     // rows on grids per group
  ExpectTwoTermsAgree(config, Format(grouped(4, 32), grouped(4, 28, GridKind::kSymmetricRestricted)));
  GridSpec binary = Grid(1, GridKind::kBinary);
  ExpectTwoTermsAgree(config, Format(binary, GridSpec(), {2, 1, 4}));
  ExpectTwoTermsAgree(config, Format(GridSpec(), Grid(8)));  // weights as they are
}

TEST(LayerImageTest, BiasesAndPrunedExperts) {
  ModelConfig config = ThreeExperts();
  config.attention_bias = true;
  LayerParams params = RandomLayer(config, 0, 15);
  RoutingPolicy policy;
  policy.kept = {0, 2, 3, 6, 7};
  params.routing = std::make_shared<const RoutingPolicy>(policy);
  ExpectAgrees(config, params, Format(Grid(4), Grid(8)));
  config.norm_topk_prob = true;
  ExpectAgrees(config, params, Format(Grid(4), GridSpec()));
}

// How many choices LAYER drops on random hidden states of one sequence.
int64_t Dropped(const DecoderLayer& layer) {
  struct Counter : LayerObserver {
    void OnRouter(int, ConstMatrixView, absl::Span<const int32_t>, absl::Span<const float> weights) override {
      dropped += std::count(weights.begin(), weights.end(), 0.0f);
    }
    int64_t dropped = 0;
  } counter;
  Rng rng(3, "layer_image_test");
  Matrix hidden(14, layer.config().hidden_size);
  for (int64_t i = 0; i < hidden.size(); ++i) hidden.data()[i] = static_cast<float>(rng.Normal());
  layer.Forward(hidden.view(), &counter);
  return counter.dropped;
}

// Experts that tokens leave out, with and without protected tokens; experts that are gone beside it, transforms of each
// expert's own, and attention by codes, which hands on rounded keys.
TEST(LayerImageTest, ExpertsDroppedAtRunTime) {
  ModelConfig config = ThreeExperts();
  for (const bool normalised : {false, true}) {
    config.norm_topk_prob = normalised;
    LayerParams params = RandomLayer(config, 0, 11);
    int64_t before = 0;
    for (const float protect : {0.4f, 0.0f}) {
      RoutingPolicy policy;
      policy.drop = ExpertDrop{0.8f, protect};
      if (normalised) policy.kept = {0, 2, 3, 6, 7};
      params.routing = std::make_shared<const RoutingPolicy>(policy);
      ExpectAgrees(config, params, Format(Grid(4), Grid(8)));
      ExpectAgrees(config, params, Format(Grid(4), GridSpec()));
      EAQ_ASSERT_OK_AND_ASSIGN(const auto layer, LayerInFormat(config, params, Format(Grid(4), Grid(8)), false));
      EXPECT_GT(Dropped(*layer), before);  // fewer where tokens are protected
      EXPECT_LT(Dropped(*layer), 14 * 2);
      before = Dropped(*layer);
    }
  }
  LayerParams params = RandomLayer(config, 0, 11);
  params.routing = std::make_shared<const RoutingPolicy>(RoutingPolicy{.kept = {}, .drop = ExpertDrop{0.8f, 0.4f}});
  Rng rng(7, "layer_image_test/dropped");
  for (auto& [id, linear] : params.linears) {
    if (id.role != Role::kGate && id.role != Role::kUp && id.role != Role::kDown) continue;
    const int64_t cols = linear.weight.cols();
    linear.online = std::make_shared<const OnlineTransform>(
        Turns({OnlineStep::Rotate(RandomRotation(8, rng)), OnlineStep::Permute(RandomOrder(cols, rng))}));
  }
  ExpectAgrees(config, params, Format(Grid(4), Grid(8)));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto plain, LayerInFormat(config, params, Format(Grid(4), GridSpec()), false));
  EAQ_ASSERT_OK_AND_ASSIGN(QuantizedAttention attention, QuantizedAttention::Create(Grid(4), 32, 1.0, 1.0));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto layer,
                           DecoderLayer::Create(config, params, plain->linears(),
                                                std::make_shared<const QuantizedAttention>(std::move(attention))));
  ExpectAgrees(*layer, *layer, 2);
}

// Candidates after a context, one context after the other, against the CPU's cached sequences; in one batch, and cut
// between contexts.
TEST(DeviceRunnerTest, BranchesContinueTheirFront) {
  ModelConfig config = ThreeExperts();
  config.sliding_window = 7;
  for (const bool codes : {false, true}) {
    LayerParams params = RandomLayer(config, 0, 13);
    params.routing = std::make_shared<const RoutingPolicy>(RoutingPolicy{.kept = {}, .drop = ExpertDrop{0.8f, 0.4f}});
    EAQ_ASSERT_OK_AND_ASSIGN(auto layer, LayerInFormat(config, params, Format(Grid(4), GridSpec()), false));
    if (codes) {
      EAQ_ASSERT_OK_AND_ASSIGN(QuantizedAttention attention, QuantizedAttention::Create(Grid(8), 32, 1.0, 1.0));
      EAQ_ASSERT_OK_AND_ASSIGN(layer,
                               DecoderLayer::Create(config, params, layer->linears(),
                                                    std::make_shared<const QuantizedAttention>(std::move(attention))));
    }
    EAQ_ASSERT_OK_AND_ASSIGN(const LayerImage image, MakeLayerImage(*layer, NoCodes));
    const std::vector<int64_t> lengths = {6, 3, 1, 4, 2, 5};
    const std::vector<uint8_t> branches = {0, 1, 1, 0, 0, 1};  // 6 + 3, 6 + 1; 4; 2 + 5
    Rng rng(5, "layer_image_test/branches");
    Matrix hidden(21, config.hidden_size);
    for (int64_t i = 0; i < hidden.size(); ++i) hidden.data()[i] = static_cast<float>(rng.Normal());
    Matrix want = hidden;
    const int64_t kv_width = config.num_kv_heads * config.head_dim;
    LayerCache cache{Matrix(16, kv_width), Matrix(16, kv_width), 0};
    int64_t row = 0, front = 0;
    for (size_t s = 0; s < lengths.size(); row += lengths[s++]) {
      cache.length = branches[s] != 0 ? front : 0;
      layer->ForwardCached(want.view().Rows(row, lengths[s]), cache);
      if (branches[s] == 0) front = lengths[s];
    }
    std::vector<Matrix> results;
    for (const int64_t rows : {64, 22}) {  // 6 + 9 + 7 keys of the first
      DeviceRunner::Options options;
      options.max_rows = rows;
      EAQ_ASSERT_OK_AND_ASSIGN(const auto runner, DeviceRunner::Create(kernels::LinkedDevice(), config, options));
      ASSERT_THAT(runner->Load(image), IsOk());
      ASSERT_THAT(runner->NextLayer(), IsOk());
      results.push_back(hidden);
      ASSERT_THAT(runner->Forward(results.back().view(), lengths, {}, branches), IsOk());
      // A key or value of 8 bits that lies at a tie moves the rows that see it by thousandths.
      int64_t beyond = 0;
      for (int64_t r = 0; r < hidden.rows(); ++r) {
        const double distance = RelativeDistance(results.back().row(r), want.row(r), hidden.cols());
        EXPECT_LE(distance, 4e-3) << "row " << r;
        beyond += distance > kLayerNoise;
      }
      EXPECT_LE(beyond, codes ? 6 : 0);
      EXPECT_THAT(runner->Forward(results.back().view(), lengths, {}, {1, 0, 0, 0, 0, 0}).ToString(),
                  HasSubstr("a branch first"));
    }
    EXPECT_TRUE(results[0] == results[1]);
    DeviceRunner::Options small;
    small.max_rows = 21;
    EAQ_ASSERT_OK_AND_ASSIGN(const auto runner, DeviceRunner::Create(kernels::LinkedDevice(), config, small));
    ASSERT_THAT(runner->Load(image), IsOk());
    ASSERT_THAT(runner->NextLayer(), IsOk());
    EXPECT_THAT(runner->Forward(hidden.view(), lengths, {}, branches).ToString(), HasSubstr("with 22 keys"));
  }
}

// A batch is cut where max_rows says; a sequence's numbers do not depend on it.
TEST(DeviceRunnerTest, BatchesDoNotMatter) {
  const ModelConfig config = ThreeExperts();
  EAQ_ASSERT_OK_AND_ASSIGN(const auto layer,
                           LayerInFormat(config, RandomLayer(config, 0, 13), Format(Grid(4), Grid(8)), false));
  EAQ_ASSERT_OK_AND_ASSIGN(const LayerImage image, MakeLayerImage(*layer, NoCodes));
  Rng rng(5, "layer_image_test/batches");
  Matrix hidden(12, config.hidden_size);
  for (int64_t i = 0; i < hidden.size(); ++i) hidden.data()[i] = static_cast<float>(rng.Normal());
  std::vector<Matrix> results;
  for (const int64_t rows : {64, 7}) {
    DeviceRunner::Options options;
    options.max_rows = rows;
    EAQ_ASSERT_OK_AND_ASSIGN(const auto runner, DeviceRunner::Create(kernels::LinkedDevice(), config, options));
    EXPECT_FALSE(runner->Forward(hidden.view(), {12}).ok());  // no layer yet
    ASSERT_THAT(runner->Load(image), IsOk());
    ASSERT_THAT(runner->NextLayer(), IsOk());
    ASSERT_THAT(runner->Load(image), IsOk());
    EXPECT_THAT(runner->Load(image).ToString(), HasSubstr("two others are on the device"));
    results.push_back(hidden);
    ASSERT_THAT(runner->Forward(results.back().view(), {5, 2, 5}), IsOk());
    EXPECT_FALSE(runner->Forward(results.back().view(), {5, 5}).ok());
  }
  EXPECT_TRUE(results[0] == results[1]);
  EXPECT_FALSE(results[0] == hidden);
}

absl::Status ImageOf(const ModelConfig& config, const std::function<void(LayerParams&)>& edit, const GridSpec& weights,
                     const GridSpec& activations) {
  LayerParams params = RandomLayer(config, 0, 14);
  edit(params);
  const auto layer = LayerInFormat(config, params, Format(weights, activations), false);
  if (!layer.ok()) return layer.status();
  return MakeLayerImage(**layer, NoCodes).status();
}

TEST(LayerImageTest, WhatCannotRunIsRefusedWithTheReason) {
  const ModelConfig config = ThreeExperts();
  const auto nothing = [](LayerParams&) {};
  const auto refuses = [](const absl::Status& status, const char* why) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  };
  const auto rotate = [](LayerParams& params) {
    params.linears.at({0, Role::kDown, 3}).online =
        std::make_shared<const OnlineTransform>(Turns({OnlineStep::Hadamard(8)}));
  };
  refuses(ImageOf(config, rotate, Grid(4), Grid(8)), "L0.e0.down in one launch with L0.e3.down");
  ModelConfig clipped = config;
  clipped.clip_qkv = 3.0;
  refuses(ImageOf(clipped, nothing, Grid(4), Grid(8)), "clipped at 3");
  ModelConfig heads = config;
  heads.head_dim = 16;
  refuses(ImageOf(heads, nothing, Grid(4), Grid(8)), "heads of 16 channels");
}

}  // namespace
}  // namespace eaq
