// models/ref-s on the device of this program (emulated; a GPU under --config=gpu) against the CPU, in all formats.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/checkpoint/model_source.h"
#include "eaq/device/device_head.h"
#include "eaq/device/device_runner.h"
#include "eaq/device/testing.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

// What a window did: the choices of every layer.
class Choices : public LayerObserver {
 public:
  void OnRouter(int layer, ConstMatrixView logits, absl::Span<const int32_t> experts,
                absl::Span<const float>) override {
    experts_[layer].assign(experts.begin(), experts.end());
    logits_[layer] = Matrix(logits);
  }
  std::map<int, std::vector<int32_t>> experts_;
  std::map<int, Matrix> logits_;
};

constexpr int64_t kTokens = 29;

class DeviceModelTest : public testing::TestWithParam<DeviceFormat> {
 protected:
  void SetUp() override {
    EAQ_ASSERT_OK_AND_ASSIGN(source_, OpenModel("models/ref-s"));
    EAQ_ASSERT_OK_AND_ASSIGN(OuterParams outer, source_->LoadOuter());
    ends_ = std::make_unique<ModelEnds>(config(), std::move(outer));
    Rng rng(5, "device_model_test");
    for (int64_t i = 0; i < kTokens; ++i) ids_.push_back(static_cast<int32_t>(rng.Below(config().vocab_size)));
  }
  const ModelConfig& config() const { return source_->config(); }
  // Its layers; ROUNDED: with rows rounded as the device does.
  std::vector<std::unique_ptr<DecoderLayer>> Layers(const DeviceFormat& format, bool rounded) {
    std::vector<std::unique_ptr<DecoderLayer>> layers;
    for (int l = 0; l < config().num_layers; ++l) {
      auto params = source_->LoadLayer(l);
      EXPECT_THAT(params.status(), IsOk());
      auto layer = LayerInFormat(config(), *params, format, rounded);
      EXPECT_THAT(layer.status(), IsOk());
      layers.push_back(*std::move(layer));
    }
    return layers;
  }

  std::shared_ptr<const ModelSource> source_;
  std::unique_ptr<ModelEnds> ends_;
  std::vector<int32_t> ids_;
  // Every layer from the same hidden states, rows that are not quantized as so many terms: one is the CPU's with rows
  // rounded to bfloat16.
  void ExpectLayersAgree(int terms);
  // All windows through a layer of the CPU's.
  void Forward(const DecoderLayer& layer, Matrix& hidden, absl::Span<Choices> choices = {}) {
    int64_t first = 0;
    for (size_t w = 0; w < lengths_.size(); first += lengths_[w++]) {
      layer.Forward(hidden.view().Rows(first, lengths_[w]), choices.empty() ? nullptr : &choices[w]);
    }
  }
  const std::vector<int64_t> lengths_ = {11, 6, 1, 6, 5};
};

void DeviceModelTest::ExpectLayersAgree(int terms) {
  SCOPED_TRACE(terms);
  const auto plain = Layers(GetParam(), false), wanted = Layers(GetParam(), terms == 1);
  DeviceRunner::Options options;
  options.observe_inputs = true;
  EAQ_ASSERT_OK_AND_ASSIGN(const auto runner, DeviceRunner::Create(kernels::LinkedDevice(), config(), options));
  Matrix hidden(kTokens, config().hidden_size);
  ends_->Embed(ids_, hidden.view());
  LayerAgreement all;
  for (int l = 0; l < config().num_layers; ++l) {
    EAQ_ASSERT_OK_AND_ASSIGN(const LayerImage image, MakeLayerImage(*plain[l], NoCodes, {terms}));
    EAQ_ASSERT_OK_AND_ASSIGN(const LayerAgreement one,
                             CompareLayer(*wanted[l], image, hidden.const_view(), lengths_, *runner));
    for (const std::string& what : one.unexplained) ADD_FAILURE() << "layer " << l << ": " << what;
    EXPECT_LE(one.worst, kLayerNoise) << "layer " << l;
    all.rows += one.rows;
    all.unaffected += one.unaffected;
    all.ties += one.ties;
    all.choice_ties += one.choice_ties;
    all.worst = std::max(all.worst, one.worst);
    Forward(*wanted[l], hidden);
  }
  printf("%-14s %d terms: %lld of %lld rows free of ties, these within %.1e; %lld numbers and %lld choices at ties\n",
         GetParam().name.c_str(), terms, static_cast<long long>(all.unaffected), static_cast<long long>(all.rows),
         all.worst, static_cast<long long>(all.ties), static_cast<long long>(all.choice_ties));
  EXPECT_GE(2 * all.unaffected, all.rows);
}

TEST_P(DeviceModelTest, EveryLayerIsTheCpusButForTies) {
  ExpectLayersAgree(2);
  if (!GetParam().activations.quantized()) ExpectLayersAgree(1);
}

TEST_P(DeviceModelTest, LogitsAndChoicesAreTheCpus) {
  const DeviceFormat& format = GetParam();
  const auto layers = Layers(format, false);
  Matrix hidden(kTokens, config().hidden_size), logits(kTokens, config().vocab_size);
  ends_->Embed(ids_, hidden.view());
  std::vector<Choices> cpu(lengths_.size()), device(lengths_.size());
  for (const auto& layer : layers) Forward(*layer, hidden, absl::MakeSpan(cpu));
  ends_->Logits(hidden.view(), logits.view());

  EAQ_ASSERT_OK_AND_ASSIGN(const auto runner, DeviceRunner::Create(kernels::LinkedDevice(), config()));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto head, DeviceHead::Create(runner->backend(), *ends_));
  Matrix got_hidden(kTokens, config().hidden_size), got(kTokens, config().vocab_size);
  ASSERT_THAT(head->Embed(ids_, got_hidden.view()), IsOk());
  std::vector<LayerObserver*> observers;
  for (Choices& choices : device) observers.push_back(&choices);
  ASSERT_THAT(runner->ForwardAll(
                  static_cast<int>(config().num_layers), [&](int l) { return MakeLayerImage(*layers[l], NoCodes); },
                  got_hidden.view(), lengths_, observers),
              IsOk());
  ASSERT_THAT(head->Logits(got_hidden.view(), got.view()), IsOk());

  // Integer codes are the CPU's, and most rows meet no tie; rows of two terms are off by some 2^-17.
  const bool integer = format.activations.quantized();
  const double tolerance = static_cast<double>(config().num_layers) * kLayerNoise;
  int changed = 0, beyond = 0, rows = 0;
  int64_t first = 0;
  for (size_t w = 0; w < lengths_.size(); first += lengths_[w++]) {
    const int64_t n = lengths_[w], k = config().experts_per_token;
    // The first token whose experts are others; what comes after it sees it.
    int64_t first_changed = n;
    for (int l = 0; l < config().num_layers; ++l) {
      for (int64_t t = 0; t < n; ++t) {
        const auto want = cpu[w].experts_[l].begin() + t * k, have = device[w].experts_[l].begin() + t * k;
        if (std::equal(want, want + k, have)) continue;
        ++changed;
        if (t >= first_changed) continue;
        first_changed = t;
        // A near-tie: where the CPU has them, the two experts' logits are no further apart than the rows' rounding.
        double gap = 0, size = 0;
        for (int64_t i = 0; i < k; ++i) {
          gap = std::max(gap,
                         std::fabs(static_cast<double>(cpu[w].logits_[l](t, want[i])) - cpu[w].logits_[l](t, have[i])));
        }
        for (int64_t e = 0; e < config().num_experts; ++e) {
          size = std::max(size, std::fabs(static_cast<double>(cpu[w].logits_[l](t, e))));
        }
        EXPECT_LE(gap, 2 * tolerance * size) << format.name << ": layer " << l << ", window " << w << ", token " << t;
      }
    }
    for (int64_t t = 0; t < first_changed; ++t) {
      ++rows;
      beyond += RelativeDistance(got.row(first + t), logits.row(first + t), config().vocab_size) > tolerance;
    }
  }
  printf("%-14s %d choices of %lld changed; %d of %d rows before the first beyond %.1e\n", format.name.c_str(), changed,
         static_cast<long long>(kTokens * config().num_layers), beyond, rows, tolerance);
  EXPECT_LE(changed, kTokens * config().num_layers / 20);
  EXPECT_LE(beyond, integer ? rows / 3 : 0);
  EXPECT_GE(rows, 5);
}

INSTANTIATE_TEST_SUITE_P(Formats, DeviceModelTest, testing::ValuesIn(DeviceFormats()),
                         [](const auto& info) { return "Format" + std::to_string(info.index); });

}  // namespace
}  // namespace eaq
