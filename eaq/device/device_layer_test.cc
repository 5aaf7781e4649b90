// Layers over calibration windows on a device, against the CPU's: hidden states, what observers are told, and what the
// recipe makes of it.
#include "eaq/device/device_layer.h"

#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/device/device_ops.h"
#include "eaq/device/testing.h"
#include "eaq/model/synthetic.h"
#include "eaq/recipe/affinity.h"
#include "eaq/recipe/layer_inputs.h"
#include "eaq/recipe/profile.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

// All that a window's observer is told.
struct Told : LayerObserver {
  void OnLinearInput(const LinearId& id, ConstMatrixView x, absl::Span<const int32_t> tokens) override {
    EXPECT_TRUE(inputs.emplace(id, Matrix(x)).second) << id.ToString() << " twice";
    rows_of[id].assign(tokens.begin(), tokens.end());
  }
  void OnRouter(int, ConstMatrixView scores, absl::Span<const int32_t> chosen, absl::Span<const float> w) override {
    logits = Matrix(scores);
    experts.assign(chosen.begin(), chosen.end());
    weights.assign(w.begin(), w.end());
  }
  std::map<LinearId, Matrix> inputs;
  std::map<LinearId, std::vector<int32_t>> rows_of;
  Matrix logits;
  std::vector<int32_t> experts;
  std::vector<float> weights;
};

std::vector<Matrix> RandomWindows(const ModelConfig& config) {
  Rng rng(3, "device_layer_test");
  std::vector<Matrix> windows;
  for (const int64_t tokens : {9, 1, 5, 12}) {
    Matrix& window = windows.emplace_back(tokens, config.hidden_size);
    for (int64_t i = 0; i < window.size(); ++i) window.data()[i] = static_cast<float>(rng.Normal());
  }
  return windows;
}

void ExpectNear(const Matrix& got, const Matrix& want, const std::string& what) {
  ASSERT_EQ(got.rows(), want.rows()) << what;
  ASSERT_EQ(got.cols(), want.cols()) << what;
  EXPECT_LE(RelativeDistance(got.data(), want.data(), want.size()), kLayerNoise) << what;
}

void ExpectTold(const Told& got, const Told& want) {
  ExpectNear(got.logits, want.logits, "logits");
  EXPECT_EQ(got.experts, want.experts);
  EXPECT_LE(RelativeDistance(got.weights.data(), want.weights.data(), want.weights.size()), kLayerNoise);
  for (const auto& [id, x] : want.inputs) {
    if (LayerProfile::InputOwner(id) != id) continue;
    ASSERT_EQ(got.inputs.count(id), 1) << id.ToString();
    ExpectNear(got.inputs.at(id), x, id.ToString());
    EXPECT_EQ(got.rows_of.at(id), want.rows_of.at(id)) << id.ToString();
  }
  for (const auto& [id, x] : got.inputs) EXPECT_EQ(want.inputs.count(id), 1) << id.ToString();
}

class DeviceLayerTest : public testing::Test {
 protected:
  void SetUp() override {
    EAQ_ASSERT_OK_AND_ASSIGN(backend_, CheckedBackend());
    ops_ = DeviceOps(*backend_);
    EAQ_ASSERT_OK_AND_ASSIGN(layer_, BuildLayer(config_, RandomLayer(config_, 0, 11)));
  }

  const ModelConfig config_ = SmallConfig();
  const std::vector<Matrix> windows_ = RandomWindows(config_);
  std::unique_ptr<kernels::Backend> backend_;
  std::unique_ptr<QuantizeOps> ops_;
  std::unique_ptr<DecoderLayer> layer_;
  ThreadPool pool_{2};
};

// However windows are cut into batches, watched or not.
TEST_F(DeviceLayerTest, HiddenStatesAndWhatObserversAreToldAreTheCpus) {
  GridSpec four, eight;
  four.bits = 4;
  eight.bits = 8;
  EAQ_ASSERT_OK_AND_ASSIGN(const auto quantized,
                           LayerInFormat(config_, RandomLayer(config_, 0, 12), {"W4A8", four, eight, {}}, false));
  for (const DecoderLayer* layer : {layer_.get(), quantized.get()}) {
    std::vector<Told> want(windows_.size());
    std::vector<Matrix> states = windows_, first;
    for (size_t w = 0; w < states.size(); ++w) layer->Forward(states[w].view(), &want[w]);
    for (const int64_t max_rows : {2048, 15, 1}) {
      std::vector<Told> told(windows_.size());
      std::vector<LayerObserver*> observers;
      for (Told& t : told) observers.push_back(&t);
      std::vector<Matrix> got = windows_;
      EAQ_ASSERT_OK(DeviceForward(*backend_, *layer, NoCodes, absl::MakeSpan(got), observers, max_rows));
      for (size_t w = 0; w < got.size(); ++w) {
        SCOPED_TRACE(w);
        ExpectNear(got[w], states[w], "hidden states");
        ExpectTold(told[w], want[w]);
      }
      if (first.empty()) first = got;
      EXPECT_TRUE(first == got) << max_rows;
      std::vector<Matrix> unwatched = windows_;
      EAQ_ASSERT_OK(DeviceForward(*backend_, *layer, NoCodes, absl::MakeSpan(unwatched), {}, max_rows));
      EXPECT_TRUE(unwatched == first) << max_rows;
    }
  }
}

TEST_F(DeviceLayerTest, ProfilesInputsAndAffinitiesAreTheCpus) {
  EAQ_ASSERT_OK_AND_ASSIGN(const LayerProfile want, ProfileLayer(*layer_, windows_, {.affinity_power = 1}, pool_));
  EAQ_ASSERT_OK_AND_ASSIGN(const LayerProfile got,
                           ProfileLayer(*layer_, windows_, {.affinity_power = 1, .ops = ops_.get()}, pool_));
  std::vector<LinearId> owners;
  ASSERT_EQ(got.inputs.size(), want.inputs.size());
  for (const auto& [id, x] : want.inputs) {
    const InputStatistics& y = got.inputs.at(id);
    owners.push_back(id);
    EXPECT_EQ(y.tokens, x.tokens) << id.ToString();
    if (x.tokens == 0) continue;
    EXPECT_LE(RelativeDistance(y.abs_max.data(), x.abs_max.data(), x.abs_max.size()), kLayerNoise) << id.ToString();
    EXPECT_NEAR(y.range.min, x.range.min, kLayerNoise * std::abs(x.range.min)) << id.ToString();
    EXPECT_NEAR(y.range.max, x.range.max, kLayerNoise * std::abs(x.range.max)) << id.ToString();
    double distance = 0, size = 0;
    for (size_t i = 0; i < x.second_moments.values.size(); ++i) {
      distance += std::pow(y.second_moments.values[i] - x.second_moments.values[i], 2);
      size += std::pow(x.second_moments.values[i], 2);
    }
    EXPECT_LE(std::sqrt(distance), 3 * kLayerNoise * std::sqrt(size)) << id.ToString();
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const auto rows, CollectInputs(*layer_, windows_, owners, CpuOps(), pool_));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto there, CollectInputs(*layer_, windows_, owners, *ops_, pool_));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto weights, CollectAffinities(*layer_, windows_, owners, 2, CpuOps(), pool_));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto of_device, CollectAffinities(*layer_, windows_, owners, 2, *ops_, pool_));
  for (const auto& [id, x] : rows) {
    ExpectNear(there.at(id), x, id.ToString());
    const std::vector<float>&a = weights.at(id), &b = of_device.at(id);
    ASSERT_EQ(a.size(), b.size()) << id.ToString();
    if (a.empty()) continue;
    EXPECT_LE(RelativeDistance(b.data(), a.data(), a.size()), 2 * kLayerNoise) << id.ToString();
  }
}

TEST_F(DeviceLayerTest, WhatDoesNotRunThereIsAnErrorAndChangesNothing) {
  ModelConfig clipped = config_;
  clipped.clip_qkv = 3.0;
  EAQ_ASSERT_OK_AND_ASSIGN(const auto layer, BuildLayer(clipped, RandomLayer(clipped, 0, 11)));
  std::vector<Matrix> windows = windows_;
  const absl::Status status = ops_->ForwardLayer(*layer, NoCodes, absl::MakeSpan(windows), {}, pool_);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), HasSubstr("clipped at 3"));
  EXPECT_TRUE(windows == windows_);
  EXPECT_EQ(ProfileLayer(*layer, windows_, {.ops = ops_.get()}, pool_).status(), status);
  EAQ_EXPECT_OK(ops_->ForwardLayer(*layer_, NoCodes, {}, {}, pool_));  // no windows
}

}  // namespace
}  // namespace eaq
