// Perplexity of models/ref-s over 4 windows of real text in all formats: on this program's device, and on the CPU with
// rows rounded as the device rounds them: within a thousandth over the tokens that chose the same experts, the others
// (near-ties) counted. Where rows are bfloat16, beside it the CPU's without
// that rounding: what it costs is printed and not bounded here. By hand (tag manual: minutes emulated):
//   ./bazelw test --test_output=all //eaq/device:perplexity_test
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "eaq/base/status_macros.h"
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

// From the middle of the evaluation split of the first 4 default corpora that are installed.
absl::StatusOr<std::vector<std::vector<int32_t>>> FourWindows() {
  EAQ_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load("models/ref-s/tokenizer.json"));
  ThreadPool pool(1);
  std::vector<std::vector<int32_t>> windows;
  for (const CorpusInfo& info : DefaultCorpora()) {
    const auto corpus = LoadCorpus(info.name, "");
    if (!corpus.ok() || windows.size() == 4) continue;
    EAQ_ASSIGN_OR_RETURN(const std::vector<Window> cut,
                         CutWindows(*corpus, *tokenizer, Split::kEvaluation, kWindow, &pool));
    windows.push_back(cut[cut.size() / 2].ids);
  }
  return windows;
}

class PerplexityTest : public testing::TestWithParam<DeviceFormat> {};

TEST_P(PerplexityTest, IsTheCpus) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto source, OpenModel("models/ref-s"));
  const ModelConfig& config = source->config();
  EAQ_ASSERT_OK_AND_ASSIGN(OuterParams outer, source->LoadOuter());
  const ModelEnds ends(config, std::move(outer));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto windows, FourWindows());
  if (windows.size() < 4) GTEST_SKIP() << "fewer than 4 default corpora are installed";
  const std::vector<int64_t> lengths(4, kWindow);

  std::vector<std::unique_ptr<DecoderLayer>> layers, rounded_layers;
  for (int l = 0; l < config.num_layers; ++l) {
    EAQ_ASSERT_OK_AND_ASSIGN(const LayerParams params, source->LoadLayer(l));
    EAQ_ASSERT_OK_AND_ASSIGN(auto layer, LayerInFormat(config, params, GetParam(), false));
    layers.push_back(std::move(layer));
    EAQ_ASSERT_OK_AND_ASSIGN(layer, LayerInFormat(config, params, GetParam(), true));
    rounded_layers.push_back(std::move(layer));
  }
  Matrix cpu(4 * kWindow, config.hidden_size), rounded = cpu, device = cpu;
  std::vector<Choices> cpu_choices(4), rounded_choices(4), device_choices(4);
  std::vector<LayerObserver*> observers;
  for (int w = 0; w < 4; ++w) {
    const MatrixView rows = cpu.view().Rows(w * kWindow, kWindow);
    ends.Embed(windows[w], rows);
    for (const auto& layer : layers) layer->Forward(rows, &cpu_choices[w]);
    const MatrixView rounded_rows = rounded.view().Rows(w * kWindow, kWindow);
    ends.Embed(windows[w], rounded_rows);
    for (const auto& layer : rounded_layers) layer->Forward(rounded_rows, &rounded_choices[w]);
    observers.push_back(&device_choices[w]);
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const auto runner, DeviceRunner::Create(kernels::LinkedDevice(), config));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto head, DeviceHead::Create(runner->backend(), ends));
  for (int w = 0; w < 4; ++w) ASSERT_THAT(head->Embed(windows[w], device.view().Rows(w * kWindow, kWindow)), IsOk());
  ASSERT_THAT(runner->ForwardAll(
                  static_cast<int>(config.num_layers), [&](int l) { return MakeLayerImage(*layers[l], NoCodes); },
                  device.view(), lengths, observers),
              IsOk());

  double cpu_nll = 0, rounded_nll = 0, device_nll = 0, same_rounded_nll = 0, same_device_nll = 0;
  int64_t same = 0;
  int64_t changed = 0, changed_by_rounding = 0, choices = 0;
  Matrix logits(kWindow - 1, config.vocab_size);
  for (int w = 0; w < 4; ++w) {
    const absl::Span<const int32_t> targets = absl::MakeConstSpan(windows[w]).subspan(1);
    const auto losses_on_cpu = [&](Matrix& hidden) {
      ends.Logits(hidden.view().Rows(w * kWindow, kWindow - 1), logits.view());
      std::vector<double> losses;
      for (int64_t t = 0; t + 1 < kWindow; ++t) {
        losses.push_back(kernels::LogSumExp(logits.row(t), config.vocab_size) - logits(t, targets[t]));
      }
      return losses;
    };
    const std::vector<double> of_cpu = losses_on_cpu(cpu), of_rounded = losses_on_cpu(rounded);
    EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<double> log_probabilities,
                             head->LogProbabilities(device.view().Rows(w * kWindow, kWindow - 1), targets));
    const int64_t k = config.experts_per_token;
    for (int64_t t = 0; t + 1 < kWindow; ++t) {
      cpu_nll += of_cpu[t];
      rounded_nll += of_rounded[t];
      device_nll -= log_probabilities[t];
      bool other_experts = false;
      for (int64_t l = 0; l < config.num_layers; ++l) {
        const auto at = (l * kWindow + t) * k;
        other_experts =
            other_experts || !std::equal(device_choices[w].all_.begin() + at, device_choices[w].all_.begin() + at + k,
                                         rounded_choices[w].all_.begin() + at);
      }
      if (other_experts) continue;
      ++same;
      same_rounded_nll += of_rounded[t];
      same_device_nll -= log_probabilities[t];
    }
    choices += cpu_choices[w].all_.size();
    for (size_t i = 0; i < cpu_choices[w].all_.size(); ++i) {
      changed += device_choices[w].all_[i] != rounded_choices[w].all_[i];
      changed_by_rounding += rounded_choices[w].all_[i] != cpu_choices[w].all_[i];
    }
  }
  const auto perplexity = [](double nll) { return std::exp(nll / (4 * (kWindow - 1))); };
  const double on_cpu = perplexity(cpu_nll), on_rounded = perplexity(rounded_nll), on_device = perplexity(device_nll);
  const double ratio = std::exp((same_device_nll - same_rounded_nll) / static_cast<double>(same));
  printf(
      "%-14s %.5f on the CPU, %.5f with rows rounded (%+.1e, %lld of %lld choices), %.5f on the device (%+.1e from "
      "that, %lld choices; %+.1e over the %lld tokens with the same experts)\n",
      GetParam().name.c_str(), on_cpu, on_rounded, on_rounded / on_cpu - 1, static_cast<long long>(changed_by_rounding),
      static_cast<long long>(choices), on_device, on_device / on_rounded - 1, static_cast<long long>(changed),
      ratio - 1, static_cast<long long>(same));
  EXPECT_NEAR(ratio, 1, 1e-3);
  EXPECT_LE(changed, 8);
}

// Every layer from the same hidden states, as in device_model_test, on the 4096 rows of all layers. Cut into sequences
// of 16, so that a tie that attention carries on reaches few of them.
TEST_P(PerplexityTest, EveryLayerIsTheCpusButForTies) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto source, OpenModel("models/ref-s"));
  const ModelConfig& config = source->config();
  EAQ_ASSERT_OK_AND_ASSIGN(OuterParams outer, source->LoadOuter());
  const ModelEnds ends(config, std::move(outer));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto windows, FourWindows());
  if (windows.size() < 4) GTEST_SKIP() << "fewer than 4 default corpora are installed";
  DeviceRunner::Options options;
  options.observe_inputs = true;
  EAQ_ASSERT_OK_AND_ASSIGN(const auto runner, DeviceRunner::Create(kernels::LinkedDevice(), config, options));
  Matrix hidden(4 * kWindow, config.hidden_size);
  for (int w = 0; w < 4; ++w) ends.Embed(windows[w], hidden.view().Rows(w * kWindow, kWindow));
  const std::vector<int64_t> lengths(4 * kWindow / 16, 16);
  LayerAgreement all;
  for (int l = 0; l < config.num_layers; ++l) {
    EAQ_ASSERT_OK_AND_ASSIGN(const LayerParams params, source->LoadLayer(l));
    EAQ_ASSERT_OK_AND_ASSIGN(const auto plain, LayerInFormat(config, params, GetParam(), false));
    EAQ_ASSERT_OK_AND_ASSIGN(const auto rounded, LayerInFormat(config, params, GetParam(), true));
    EAQ_ASSERT_OK_AND_ASSIGN(const LayerImage image, MakeLayerImage(*plain, NoCodes));
    EAQ_ASSERT_OK_AND_ASSIGN(const LayerAgreement one,
                             CompareLayer(*rounded, image, hidden.const_view(), lengths, *runner));
    for (const std::string& what : one.unexplained) ADD_FAILURE() << "layer " << l << ": " << what;
    EXPECT_LE(one.worst, kLayerNoise) << "layer " << l;
    all.rows += one.rows;
    all.unaffected += one.unaffected;
    all.ties += one.ties;
    all.choice_ties += one.choice_ties;
    all.worst = std::max(all.worst, one.worst);
    for (int64_t row = 0; row < hidden.rows(); row += 16) rounded->Forward(hidden.view().Rows(row, 16));
  }
  printf("%-14s %lld of %lld rows free of ties, these within %.1e; %lld numbers and %lld choices at ties\n",
         GetParam().name.c_str(), static_cast<long long>(all.unaffected), static_cast<long long>(all.rows), all.worst,
         static_cast<long long>(all.ties), static_cast<long long>(all.choice_ties));
}

INSTANTIATE_TEST_SUITE_P(Formats, PerplexityTest, testing::ValuesIn(DeviceFormats()),
                         [](const auto& info) { return "Format" + std::to_string(info.index); });

}  // namespace
}  // namespace eaq
