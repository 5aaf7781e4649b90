// Perplexity of models/ref-s over 4 windows of real text in all formats, on this program's device and on the CPU:
// within a thousandth. Where rows are not quantized, beside it the fast form, whose rows are rounded to bfloat16: what
// that costs, on the CPU and on the device, is printed and not bounded here. By hand (tag manual: minutes emulated):
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

// Losses of all tokens but the first of a window, and the experts of every layer, window and token.
struct Measured {
  std::vector<double> losses;
  std::vector<Choices> choices = std::vector<Choices>(4);

  double Perplexity() const {
    double sum = 0;
    for (const double loss : losses) sum += loss;
    return std::exp(sum / static_cast<double>(losses.size()));
  }
  int64_t OtherChoices(const Measured& than) const {
    int64_t other = 0;
    for (int w = 0; w < 4; ++w) {
      for (size_t i = 0; i < choices[w].all_.size(); ++i) other += choices[w].all_[i] != than.choices[w].all_[i];
    }
    return other;
  }
};

class PerplexityTest : public testing::TestWithParam<DeviceFormat> {
 protected:
  using Layers = std::vector<std::unique_ptr<DecoderLayer>>;

  void SetUp() override {
    EAQ_ASSERT_OK_AND_ASSIGN(source_, OpenModel("models/ref-s"));
    EAQ_ASSERT_OK_AND_ASSIGN(OuterParams outer, source_->LoadOuter());
    ends_ = std::make_unique<ModelEnds>(config(), std::move(outer));
    EAQ_ASSERT_OK_AND_ASSIGN(windows_, FourWindows());
    if (windows_.size() < 4) GTEST_SKIP() << "fewer than 4 default corpora are installed";
  }
  const ModelConfig& config() const { return source_->config(); }
  absl::StatusOr<Layers> LoadLayers(bool rounded) const {
    Layers layers;
    for (int l = 0; l < config().num_layers; ++l) {
      EAQ_ASSIGN_OR_RETURN(const LayerParams params, source_->LoadLayer(l));
      EAQ_ASSIGN_OR_RETURN(layers.emplace_back(), LayerInFormat(config(), params, GetParam(), rounded));
    }
    return layers;
  }
  Measured OnCpu(const Layers& layers) const {
    Measured measured;
    Matrix hidden(kWindow, config().hidden_size), logits(kWindow - 1, config().vocab_size);
    for (int w = 0; w < 4; ++w) {
      ends_->Embed(windows_[w], hidden.view());
      for (const auto& layer : layers) layer->Forward(hidden.view(), &measured.choices[w]);
      ends_->Logits(hidden.view().Rows(0, kWindow - 1), logits.view());
      for (int64_t t = 0; t + 1 < kWindow; ++t) {
        measured.losses.push_back(kernels::LogSumExp(logits.row(t), config().vocab_size) -
                                  logits(t, windows_[w][t + 1]));
      }
    }
    return measured;
  }
  absl::StatusOr<Measured> OnDevice(const Layers& layers, int terms) const {
    Measured measured;
    EAQ_ASSIGN_OR_RETURN(const auto runner, DeviceRunner::Create(kernels::LinkedDevice(), config()));
    EAQ_ASSIGN_OR_RETURN(const auto head, DeviceHead::Create(runner->backend(), *ends_));
    Matrix hidden(4 * kWindow, config().hidden_size);
    std::vector<LayerObserver*> observers;
    for (int w = 0; w < 4; ++w) {
      EAQ_RETURN_IF_ERROR(head->Embed(windows_[w], hidden.view().Rows(w * kWindow, kWindow)));
      observers.push_back(&measured.choices[w]);
    }
    EAQ_RETURN_IF_ERROR(runner->ForwardAll(
        static_cast<int>(config().num_layers), [&](int l) { return MakeLayerImage(*layers[l], NoCodes, {terms}); },
        hidden.view(), std::vector<int64_t>(4, kWindow), observers));
    for (int w = 0; w < 4; ++w) {
      EAQ_ASSIGN_OR_RETURN(const std::vector<double> log_probabilities,
                           head->LogProbabilities(hidden.view().Rows(w * kWindow, kWindow - 1),
                                                  absl::MakeConstSpan(windows_[w]).subspan(1)));
      for (const double p : log_probabilities) measured.losses.push_back(-p);
    }
    return measured;
  }

  std::shared_ptr<const ModelSource> source_;
  std::unique_ptr<ModelEnds> ends_;
  std::vector<std::vector<int32_t>> windows_;
};

TEST_P(PerplexityTest, IsTheCpus) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Layers layers, LoadLayers(false));
  const Measured cpu = OnCpu(layers);
  EAQ_ASSERT_OK_AND_ASSIGN(const Measured device, OnDevice(layers, 2));
  const auto print = [&](const char* what, const Measured& measured) {
    printf("%-14s %-28s %.5f: %+.1e, %lld choices\n", GetParam().name.c_str(), what, measured.Perplexity(),
           measured.Perplexity() / cpu.Perplexity() - 1, static_cast<long long>(measured.OtherChoices(cpu)));
  };
  print("CPU", cpu);
  print("device", device);
  EXPECT_NEAR(device.Perplexity() / cpu.Perplexity(), 1, 1e-3);
  EXPECT_LE(device.OtherChoices(cpu), 8);
  if (GetParam().activations.quantized()) return;
  EAQ_ASSERT_OK_AND_ASSIGN(const Layers rounded, LoadLayers(true));
  print("CPU, rows rounded", OnCpu(rounded));
  EAQ_ASSERT_OK_AND_ASSIGN(const Measured fast, OnDevice(layers, 1));
  print("device, one term (fast)", fast);
}

// Every layer from the same hidden states, as in device_model_test, on the 4096 rows of all layers. Cut into sequences
// of 16, so that a tie that attention carries on reaches few of them.
TEST_P(PerplexityTest, EveryLayerIsTheCpusButForTies) {
  DeviceRunner::Options options;
  options.observe_inputs = true;
  EAQ_ASSERT_OK_AND_ASSIGN(const auto runner, DeviceRunner::Create(kernels::LinkedDevice(), config(), options));
  Matrix hidden(4 * kWindow, config().hidden_size);
  for (int w = 0; w < 4; ++w) ends_->Embed(windows_[w], hidden.view().Rows(w * kWindow, kWindow));
  const std::vector<int64_t> lengths(4 * kWindow / 16, 16);
  LayerAgreement all;
  for (int l = 0; l < config().num_layers; ++l) {
    EAQ_ASSERT_OK_AND_ASSIGN(const LayerParams params, source_->LoadLayer(l));
    EAQ_ASSERT_OK_AND_ASSIGN(const auto plain, LayerInFormat(config(), params, GetParam(), false));
    EAQ_ASSERT_OK_AND_ASSIGN(const LayerImage image, MakeLayerImage(*plain, NoCodes));
    EAQ_ASSERT_OK_AND_ASSIGN(const LayerAgreement one,
                             CompareLayer(*plain, image, hidden.const_view(), lengths, *runner));
    for (const std::string& what : one.unexplained) ADD_FAILURE() << "layer " << l << ": " << what;
    EXPECT_LE(one.worst, kLayerNoise) << "layer " << l;
    all.rows += one.rows;
    all.unaffected += one.unaffected;
    all.ties += one.ties;
    all.choice_ties += one.choice_ties;
    all.worst = std::max(all.worst, one.worst);
    for (int64_t row = 0; row < hidden.rows(); row += 16) plain->Forward(hidden.view().Rows(row, 16));
  }
  printf("%-14s %lld of %lld rows free of ties, these within %.1e; %lld numbers and %lld choices at ties\n",
         GetParam().name.c_str(), static_cast<long long>(all.unaffected), static_cast<long long>(all.rows), all.worst,
         static_cast<long long>(all.ties), static_cast<long long>(all.choice_ties));
}

INSTANTIATE_TEST_SUITE_P(Formats, PerplexityTest, testing::ValuesIn(DeviceFormats()),
                         [](const auto& info) { return "Format" + std::to_string(info.index); });

}  // namespace
}  // namespace eaq
