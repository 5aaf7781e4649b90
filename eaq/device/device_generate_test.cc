// Text that a model on the device continues, against the CPU's cached sequence: every step's logits, and the tokens.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/device/resident_model.h"
#include "eaq/device/testing.h"
#include "eaq/model/generate.h"
#include "eaq/model/routing_policy.h"
#include "eaq/model/synthetic.h"
#include "eaq/quant/quantized_attention.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using testing::HasSubstr;

// Layers of 4-bit weights whose tokens drop experts, with operands of attention in KV_BITS.
class Fixture {
 public:
  explicit Fixture(int kv_bits) : ends_(config_, RandomOuter(config_, 1)) {
    GridSpec weights, operands;
    weights.bits = 4;
    operands.bits = kv_bits;
    for (int l = 0; l < config_.num_layers; ++l) {
      LayerParams params = RandomLayer(config_, l, 2);
      params.routing = std::make_shared<const RoutingPolicy>(RoutingPolicy{.kept = {}, .drop = ExpertDrop{0.8f, 0.3f}});
      auto layer = *LayerInFormat(config_, params, {"", weights, GridSpec(), {}}, false);
      if (kv_bits < 16) {
        auto attention =
            std::make_shared<const QuantizedAttention>(*QuantizedAttention::Create(operands, config_.head_dim, 1, 1));
        layer = *DecoderLayer::Create(config_, params, layer->linears(), std::move(attention));
      }
      const int64_t width = config_.num_kv_heads * config_.head_dim;
      caches_.push_back({Matrix(64, width), Matrix(64, width), 0});
      layers_.push_back(std::move(layer));
    }
  }
  const ModelConfig& config() const { return config_; }
  absl::StatusOr<std::unique_ptr<ResidentModel>> OnDevice(int64_t capacity) const {
    return ResidentModel::Create(
        kernels::LinkedDevice(), ends_, [&](int l) { return MakeLayerImage(*layers_[l], NoCodes); }, capacity);
  }
  // The CPU's next step.
  absl::Status Extend(absl::Span<const int32_t> ids, absl::Span<float> logits) {
    Matrix hidden(static_cast<int64_t>(ids.size()), config_.hidden_size);
    ends_.Embed(ids, hidden.view());
    for (size_t l = 0; l < layers_.size(); ++l) layers_[l]->ForwardCached(hidden.view(), caches_[l]);
    ends_.Logits(hidden.const_view().Rows(hidden.rows() - 1, 1),
                 MatrixView(logits.data(), 1, static_cast<int64_t>(logits.size())));
    return absl::OkStatus();
  }
  void Clear() {
    for (LayerCache& cache : caches_) cache.length = 0;
  }

 private:
  static ModelConfig Windowed() {
    ModelConfig config = SmallConfig();
    config.sliding_window = 9;
    return config;
  }

  const ModelConfig config_ = Windowed();
  const ModelEnds ends_;
  std::vector<std::unique_ptr<DecoderLayer>> layers_;
  std::vector<LayerCache> caches_;
};

TEST(DeviceModelTest, StepsAndTokensAreTheCpus) {
  for (const int kv_bits : {16, 8}) {
    SCOPED_TRACE(kv_bits);
    Fixture f(kv_bits);
    EAQ_ASSERT_OK_AND_ASSIGN(const auto model, f.OnDevice(40));
    const int64_t vocabulary = f.config().vocab_size;
    const std::vector<std::vector<int32_t>> parts = {{5, 90, 17, 3, 44, 71, 8, 8, 23, 60, 2}, {7}, {31, 12, 64}, {95}};
    std::vector<float> got(vocabulary), want(vocabulary);
    for (const auto& ids : parts) {
      ASSERT_THAT(f.Extend(ids, absl::MakeSpan(want)), IsOk());
      ASSERT_THAT(model->Extend(ids, absl::MakeSpan(got)), IsOk());
      EXPECT_LE(RelativeDistance(got.data(), want.data(), vocabulary),
                static_cast<double>(f.config().num_layers) * kLayerNoise);
    }
    model->Clear();
    f.Clear();
    SamplingOptions options;
    options.max_new_tokens = 20;
    const auto on_token = [](int32_t) { return true; };
    EAQ_ASSERT_OK_AND_ASSIGN(
        const std::vector<int32_t> on_device,
        Generate(
            vocabulary,
            [&](absl::Span<const int32_t> ids, absl::Span<float> logits) { return model->Extend(ids, logits); },
            parts[0], options, on_token));
    EAQ_ASSERT_OK_AND_ASSIGN(
        const std::vector<int32_t> on_cpu,
        Generate(
            vocabulary, [&](absl::Span<const int32_t> ids, absl::Span<float> logits) { return f.Extend(ids, logits); },
            parts[0], options, on_token));
    EXPECT_EQ(on_device, on_cpu);
    EXPECT_EQ(on_device.size(), 20u);
  }
}

TEST(DeviceModelTest, WhatDoesNotFitIsRefused) {
  Fixture f(16);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto model, f.OnDevice(3));
  std::vector<float> logits(f.config().vocab_size), again = logits;
  ASSERT_THAT(model->Extend({1, 2}, absl::MakeSpan(logits)), IsOk());
  EXPECT_THAT(model->Extend({1, 2}, absl::MakeSpan(logits)).ToString(), HasSubstr("2 tokens after 2"));
  EXPECT_THAT(model->Extend({-1}, absl::MakeSpan(logits)).ToString(), HasSubstr("token -1"));
  EXPECT_THAT(model->Extend({}, absl::MakeSpan(logits)).ToString(), HasSubstr("0 tokens"));
  EXPECT_THAT(model->Extend({1}, absl::MakeSpan(logits).subspan(1)).ToString(), HasSubstr("logits for"));
  EXPECT_THAT(f.OnDevice(0).status().ToString(), HasSubstr("room for 0 tokens"));
  model->Clear();
  ASSERT_THAT(model->Extend({1, 2}, absl::MakeSpan(again)), IsOk());
  EXPECT_EQ(again, logits);
}

}  // namespace
}  // namespace eaq
