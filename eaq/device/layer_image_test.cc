// Layers of other shapes and grids than models/ref-s on the device against the CPU, and what is refused.

#include "eaq/device/layer_image.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/device/device_runner.h"
#include "eaq/device/testing.h"
#include "eaq/model/synthetic.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/packing.h"
#include "eaq/quant/quantized_attention.h"
#include "eaq/quant/quantized_linear.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using testing::HasSubstr;

// 2 heads of 32 on one of keys, 8 experts of width 40 of which 3 are chosen.
ModelConfig SmallConfig() {
  ModelConfig config = TinyConfig();
  config.hidden_size = 96;
  config.head_dim = 32;
  config.num_heads = 2;
  config.num_kv_heads = 1;
  config.expert_width = 40;
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

// LAYER on the device against ROUNDED, which rounds rows as the device does, on random hidden states.
void ExpectAgrees(const DecoderLayer& layer, const DecoderLayer& rounded, const CodesOf& codes = nullptr) {
  EAQ_ASSERT_OK_AND_ASSIGN(const LayerImage image, MakeLayerImage(
                                                       layer, codes ? codes : [](const LinearId&) {
                                                         return static_cast<const QuantizedMatrix*>(nullptr);
                                                       }));
  DeviceRunner::Options options;
  options.observe_inputs = true;
  EAQ_ASSERT_OK_AND_ASSIGN(const auto runner, DeviceRunner::Create(kernels::LinkedDevice(), layer.config(), options));
  Rng rng(3, "layer_image_test");
  Matrix hidden(14, layer.config().hidden_size);
  for (int64_t i = 0; i < hidden.size(); ++i) hidden.data()[i] = static_cast<float>(rng.Normal());
  EAQ_ASSERT_OK_AND_ASSIGN(const LayerAgreement agreement,
                           CompareLayer(rounded, image, hidden.const_view(), {9, 5}, *runner));
  for (const std::string& what : agreement.unexplained) ADD_FAILURE() << what;
  EXPECT_LE(agreement.worst, kLayerNoise);
  EXPECT_GE(agreement.unaffected, 7) << agreement.ties << " ties, " << agreement.choice_ties << " of choices";
}

void ExpectAgrees(const ModelConfig& config, const DeviceFormat& format, int layer = 0) {
  const LayerParams params = RandomLayer(config, layer, 11);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto plain, LayerInFormat(config, params, format, false));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto rounded, LayerInFormat(config, params, format, true));
  ExpectAgrees(*plain, *rounded);
}

TEST(LayerImageTest, NormsOfHeadsAndWindows) {
  ModelConfig config = SmallConfig();
  config.qk_norm = QkNorm::kPerHead;
  config.sliding_window = 4;
  config.norm_topk_prob = true;
  ExpectAgrees(config, Format(Grid(8), Grid(8)));
}

TEST(LayerImageTest, SharedExpertsAndSigmoids) {
  ModelConfig config = SmallConfig();
  config.qk_norm = QkNorm::kNone;
  config.shared_width = 56;
  ExpectAgrees(config, Format(Grid(4), GridSpec()));
  config.shared_expert_gated = false;
  config.router_score = RouterScore::kSigmoid;
  config.routed_scaling = 2.5;
  ExpectAgrees(config, Format(Grid(4), Grid(8, GridKind::kSymmetricRestricted)));
}

TEST(LayerImageTest, DenseLayers) {
  ModelConfig config = SmallConfig();
  config.dense_layers = {0};
  config.dense_width = 136;
  ExpectAgrees(config, Format(Grid(4, GridKind::kSymmetricFullRange), Grid(4, GridKind::kSymmetricFullRange)));
  // Random weights are no bfloat16 numbers: float32 products, of rows as they are.
  EAQ_ASSERT_OK_AND_ASSIGN(const auto plain,
                           LayerInFormat(config, RandomLayer(config, 0, 11), Format(GridSpec(), GridSpec()), false));
  ExpectAgrees(*plain, *plain);
}

TEST(LayerImageTest, WidthsWithoutAKernelRunInTheNext) {
  const ModelConfig config = SmallConfig();
  ExpectAgrees(config, Format(Grid(3, GridKind::kSymmetricRestricted), Grid(4)));
  ExpectAgrees(config, Format(Grid(6), Grid(8)));
  ExpectAgrees(config, Format(Grid(5), GridSpec()));
  ExpectAgrees(config, Format(Grid(2), Grid(3)));
}

TEST(LayerImageTest, ExpertsOfSeveralWidths) {
  ExpectAgrees(SmallConfig(), Format(Grid(8), Grid(8), {4, 8, 3}));
  ExpectAgrees(SmallConfig(), Format(Grid(4, GridKind::kSymmetricRestricted), GridSpec(), {2, 3, 4}));
}

// Fake-quantized linears with codes beside them, a static grid, a division at run time, operands of attention, and gate
// and up that differ (no SwiGLU in the product).
TEST(LayerImageTest, WhatThePipelineMakes) {
  const ModelConfig config = SmallConfig();
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
    EAQ_ASSERT_OK_AND_ASSIGN(codes[id], QuantizeNearest(linear.weight.view(), Grid(id.role == Role::kUp ? 8 : 4)));
    EAQ_ASSERT_OK_AND_ASSIGN(ActivationQuantizer activation, ActivationQuantizer::Dynamic(Grid(8), 0.9));
    if (id.role == Role::kO) {
      EAQ_ASSERT_OK_AND_ASSIGN(activation, ActivationQuantizer::Static(Grid(8), {-1.5f, 2.0f}));
    }
    linears[id] = std::make_shared<FakeQuantLinear>(Dequantize(codes[id]), linear.bias, activation,
                                                    id.role == Role::kGate || id.role == Role::kUp ? online : nullptr);
  }
  GridSpec operands = Grid(8);
  operands.granularity = Granularity::kGroup;
  operands.group_size = config.head_dim;
  EAQ_ASSERT_OK_AND_ASSIGN(QuantizedAttention attention, QuantizedAttention::Create(operands, 32, 1.0, 0.8));
  EAQ_ASSERT_OK_AND_ASSIGN(
      const auto layer,
      DecoderLayer::Create(config, params, linears, std::make_shared<const QuantizedAttention>(std::move(attention))));
  const auto find = [&](const LinearId& id) -> const QuantizedMatrix* {
    const auto at = codes.find(id);
    return at == codes.end() ? nullptr : &at->second;
  };
  ExpectAgrees(*layer, *layer, find);

  codes[{0, Role::kO}].codes[7] ^= 1;
  EXPECT_THAT(MakeLayerImage(*layer, find).status().ToString(),
              HasSubstr("L0.o does not run on a device: its weights"));
}

// A batch is cut where max_rows says; a sequence's numbers do not depend on it.
TEST(DeviceRunnerTest, BatchesDoNotMatter) {
  const ModelConfig config = SmallConfig();
  EAQ_ASSERT_OK_AND_ASSIGN(const auto layer,
                           LayerInFormat(config, RandomLayer(config, 0, 13), Format(Grid(4), Grid(8)), false));
  EAQ_ASSERT_OK_AND_ASSIGN(const LayerImage image, MakeLayerImage(*layer, [](const LinearId&) {
                             return static_cast<const QuantizedMatrix*>(nullptr);
                           }));
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
  return MakeLayerImage(**layer, [](const LinearId&) { return static_cast<const QuantizedMatrix*>(nullptr); }).status();
}

TEST(LayerImageTest, WhatCannotRunIsRefusedWithTheReason) {
  const ModelConfig config = SmallConfig();
  const auto nothing = [](LayerParams&) {};
  const auto refuses = [](const absl::Status& status, const char* why) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  };
  GridSpec per_group = Grid(8);
  per_group.granularity = Granularity::kGroup;
  per_group.group_size = 32;
  GridSpec odd_groups = per_group;
  odd_groups.bits = 4;
  odd_groups.group_size = 24;
  refuses(ImageOf(config, nothing, Grid(8), GridSpec()), "L0.q does not run on a device: weights of 8 bits");
  refuses(ImageOf(config, nothing, Grid(8), per_group), "activations on a grid per 32 channels");
  refuses(ImageOf(config, nothing, odd_groups, GridSpec()), "grids of 24 columns");
  refuses(ImageOf(config, nothing, per_group, Grid(8)), "grids of 32 columns beside integer activations");
  refuses(ImageOf(config, nothing, GridSpec(), GridSpec()), "experts that are neither quantized nor bfloat16");
  const auto rotate = [](LayerParams& params) {
    auto online = std::make_shared<OnlineTransform>();
    online->steps.push_back(OnlineStep::Hadamard(8));
    params.linears.at({0, Role::kDown, 3}).online = online;
  };
  refuses(ImageOf(config, rotate, Grid(4), Grid(8)), "L0.e3.down does not run on a device: its input goes through");
  const auto divide = [&](LayerParams& params) {
    auto online = std::make_shared<OnlineTransform>();
    online->steps.push_back(OnlineStep::Divide(std::vector<float>(config.hidden_size, 2.0f)));
    params.linears.at({0, Role::kGate, 2}).online = online;
  };
  refuses(ImageOf(config, divide, Grid(4), Grid(8)), "L0.e0.gate in one launch with L0.e2.gate");
  const auto hadamard = [](LayerParams& params) { params.qk_hadamard = 32; };
  refuses(ImageOf(config, hadamard, Grid(4), Grid(8)), "layer 0 does not run on a device: queries and keys");
  ModelConfig biased = config;
  biased.attention_bias = true;
  refuses(ImageOf(biased, nothing, Grid(4), Grid(8)), "it has a bias");
  ModelConfig heads = config;
  heads.head_dim = 16;
  refuses(ImageOf(heads, nothing, Grid(4), Grid(8)), "heads of 16 channels");
}

}  // namespace
}  // namespace eaq
