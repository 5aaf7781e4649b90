// Perplexity of models/ref-s over 4 windows of real text, on the CPU and on this program's device, in all formats. By
// hand (tag manual: minutes emulated):   ./bazelw test --test_output=all //eaq/device:perplexity_test
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "eaq/base/status_matchers.h"
#include "eaq/base/thread_pool.h"
#include "eaq/checkpoint/model_source.h"
#include "eaq/device/device_head.h"
#include "eaq/device/device_runner.h"
#include "eaq/device/testing.h"
#include "eaq/text/windows.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

constexpr int64_t kWindow = 256;

class Choices : public LayerObserver {
 public:
  void OnRouter(int, ConstMatrixView, absl::Span<const int32_t> experts, absl::Span<const float>) override {
    all_.insert(all_.end(), experts.begin(), experts.end());
  }
  std::vector<int32_t> all_;
};

class PerplexityTest : public testing::TestWithParam<DeviceFormat> {};

TEST_P(PerplexityTest, IsTheCpusWithinAThousandth) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto source, OpenModel("models/ref-s"));
  const ModelConfig& config = source->config();
  EAQ_ASSERT_OK_AND_ASSIGN(const auto tokenizer, Tokenizer::Load("models/ref-s/tokenizer.json"));
  EAQ_ASSERT_OK_AND_ASSIGN(OuterParams outer, source->LoadOuter());
  const ModelEnds ends(config, std::move(outer));
  ThreadPool pool(1);
  std::vector<std::vector<int32_t>> windows;
  for (const CorpusInfo& info : DefaultCorpora()) {
    const auto corpus = LoadCorpus(info.name, "");
    if (!corpus.ok() || windows.size() == 4) continue;
    EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<Window> cut,
                             CutWindows(*corpus, *tokenizer, Split::kEvaluation, kWindow, &pool));
    windows.push_back(cut[cut.size() / 2].ids);
  }
  if (windows.size() < 4) GTEST_SKIP() << "fewer than 4 default corpora are installed";
  const std::vector<int64_t> lengths(4, kWindow);

  std::vector<std::unique_ptr<DecoderLayer>> layers;
  for (int l = 0; l < config.num_layers; ++l) {
    EAQ_ASSERT_OK_AND_ASSIGN(const LayerParams params, source->LoadLayer(l));
    EAQ_ASSERT_OK_AND_ASSIGN(auto layer, LayerInFormat(config, params, GetParam(), false));
    layers.push_back(std::move(layer));
  }
  Matrix cpu(4 * kWindow, config.hidden_size), device = cpu;
  std::vector<Choices> cpu_choices(4), device_choices(4);
  std::vector<LayerObserver*> observers;
  for (int w = 0; w < 4; ++w) {
    const MatrixView rows = cpu.view().Rows(w * kWindow, kWindow);
    ends.Embed(windows[w], rows);
    for (const auto& layer : layers) layer->Forward(rows, &cpu_choices[w]);
    observers.push_back(&device_choices[w]);
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const auto runner, DeviceRunner::Create(kernels::LinkedDevice(), config));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto head, DeviceHead::Create(runner->backend(), ends));
  for (int w = 0; w < 4; ++w) ASSERT_THAT(head->Embed(windows[w], device.view().Rows(w * kWindow, kWindow)), IsOk());
  ASSERT_THAT(runner->ForwardAll(
                  static_cast<int>(config.num_layers),
                  [&](int l) {
                    return MakeLayerImage(*layers[l],
                                          [](const LinearId&) -> const QuantizedMatrix* { return nullptr; });
                  },
                  device.view(), lengths, observers),
              IsOk());

  double cpu_nll = 0, device_nll = 0, worst = 0;
  int64_t count = 0, changed = 0, choices = 0;
  Matrix logits(kWindow - 1, config.vocab_size);
  for (int w = 0; w < 4; ++w) {
    ends.Logits(cpu.view().Rows(w * kWindow, kWindow - 1), logits.view());
    const absl::Span<const int32_t> targets = absl::MakeConstSpan(windows[w]).subspan(1);
    EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<double> log_probabilities,
                             head->LogProbabilities(device.view().Rows(w * kWindow, kWindow - 1), targets));
    double own_cpu = 0, own_device = 0;
    for (int64_t t = 0; t + 1 < kWindow; ++t) {
      own_cpu += kernels::LogSumExp(logits.row(t), config.vocab_size) - logits(t, targets[t]);
      own_device -= log_probabilities[t];
    }
    worst = std::max(worst, std::fabs(std::expm1((own_device - own_cpu) / (kWindow - 1))));
    cpu_nll += own_cpu;
    device_nll += own_device;
    count += kWindow - 1;
    choices += cpu_choices[w].all_.size();
    for (size_t i = 0; i < cpu_choices[w].all_.size(); ++i)
      changed += cpu_choices[w].all_[i] != device_choices[w].all_[i];
  }
  const double on_cpu = std::exp(cpu_nll / static_cast<double>(count));
  const double on_device = std::exp(device_nll / static_cast<double>(count));
  printf(
      "%-14s perplexity %.5f on the CPU, %.5f on the device: %+.1e relative (worst window %.1e); %lld of %lld choices "
      "differ\n",
      GetParam().name.c_str(), on_cpu, on_device, on_device / on_cpu - 1, worst, static_cast<long long>(changed),
      static_cast<long long>(choices));
  EXPECT_NEAR(on_device / on_cpu, 1, 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Formats, PerplexityTest, testing::ValuesIn(DeviceFormats()),
                         [](const auto& info) { return "Format" + std::to_string(info.index); });

}  // namespace
}  // namespace eaq
