// The statistics against their formulas, worked out naively, and against a count of every token's experts by itself.
#include "eaq/recipe/calibration_statistics.h"

#include <cmath>
#include <map>
#include <string>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/model.h"
#include "eaq/model/synthetic.h"
#include "eaq/text/bpe_train.h"

namespace eaq {
namespace {

ModelConfig Shape(int layers, int experts) {
  ModelConfig config = TinyConfig();
  config.num_layers = layers;
  config.num_experts = experts;
  return config;
}

TEST(ExpertImbalance, IsEquationFourInEitherReading) {
  Rng rng(3, "calibration_statistics_test");
  for (int round = 0; round < 20; ++round) {
    const int layers = 3, experts = 2 + static_cast<int>(rng.Below(9));
    ModelConfig config = Shape(layers, experts);
    if (round % 2 == 1) config.dense_layers = {0};
    const int64_t tokens = 40, k = 2;
    std::vector<int32_t> counts(layers * experts);
    for (int l = 0; l < layers; ++l)
      for (int64_t i = 0; i < tokens * k; ++i) ++counts[l * experts + rng.Below(experts)];
    double by_tokens = 0, by_assignments = 0;
    int mixtures = 0;
    for (int l = 0; l < layers; ++l) {
      if (!config.IsMoe(l)) continue;
      ++mixtures;
      double square_tokens = 0, square_assignments = 0;
      for (int e = 0; e < experts; ++e) {
        const double u = counts[l * experts + e] / static_cast<double>(tokens), v = u / k;
        square_tokens += std::pow(u - k / static_cast<double>(experts), 2);
        square_assignments += std::pow(v - 1.0 / experts, 2);
      }
      by_tokens += std::sqrt(square_tokens / (experts - 1));
      by_assignments += std::sqrt(square_assignments * experts / (experts - 1));
    }
    EXPECT_NEAR(ExpertImbalance(config, counts, tokens, ImbalanceForm::kTokens), by_tokens / mixtures, 1e-12);
    EXPECT_NEAR(ExpertImbalance(config, counts, tokens, ImbalanceForm::kAssignments), by_assignments / mixtures, 1e-12);
  }
}

TEST(ExpertImbalance, IsZeroWhereAllExpertsServeAlike) {
  const std::vector<int32_t> even(3 * 5, 7);
  for (const ImbalanceForm form : {ImbalanceForm::kTokens, ImbalanceForm::kAssignments}) {
    EXPECT_EQ(ExpertImbalance(Shape(3, 5), even, 20, form), 0);
    EXPECT_EQ(ExpertImbalance(Shape(3, 0), {}, 20, form), 0);
  }
}

TEST(CompressionRatio, TellsRepetitionFromText) {
  std::string repeated, letters;
  Rng rng(3, "letters");
  for (int i = 0; i < 300; ++i) repeated += "word ";
  for (int i = 0; i < 1500; ++i) letters += static_cast<char>('a' + rng.Below(26));
  EXPECT_LT(CompressionRatio(repeated), kRepetitiveRatio);
  EXPECT_GT(CompressionRatio(letters), 0.55);  // log2(26) / 8 = 0.59 at best, and Huffman codes come near
  EXPECT_EQ(CompressionRatio(""), 1);
}

TEST(MeasureCalibration, AgreesWithACountOfEveryWindow) {
  ThreadPool pool(2);
  const auto tokenizer = Tokenizer::Parse(*TrainByteLevelBpe({"ab ab"}, {.vocab_size = 260}, &pool)).value();
  ModelConfig config = TinyConfig();
  config.vocab_size = 260;
  const auto source = RandomModel(config, 1);
  const auto model = Model::Load(*source).value();
  class Counter : public LayerObserver {
   public:
    void OnRouter(int layer, ConstMatrixView, absl::Span<const int32_t> experts, absl::Span<const float>) override {
      for (const int32_t e : experts) ++use[{layer, e}];
    }
    std::map<std::pair<int, int>, int> use;
  };
  Rng rng(4, "windows");
  std::vector<CalibrationWindow> windows(5);
  Counter all;
  double window_imbalance = 0, ratio = 0;
  const auto sigma = [&](const Counter& counter, double tokens) {
    double sum = 0;
    for (int l = 0; l < config.num_layers; ++l) {
      double square = 0;
      for (int e = 0; e < config.num_experts; ++e) {
        const auto it = counter.use.find({l, e});
        const double u = (it == counter.use.end() ? 0 : it->second) / tokens;
        square += std::pow(u - 2.0 / config.num_experts, 2);
      }
      sum += std::sqrt(square / (config.num_experts - 1)) / config.num_layers;
    }
    return sum;
  };
  for (size_t w = 0; w < windows.size(); ++w) {
    std::vector<int32_t>& ids = windows[w].window.ids;
    for (int t = 0; t < 200; ++t) ids.push_back(w == 0 ? 97 : static_cast<int32_t>(rng.Below(256)));
    Counter own;
    Matrix hidden(200, config.hidden_size);
    model->ForwardHidden(ids, hidden.view(), &own);
    for (const auto& [place, count] : own.use) all.use[place] += count;
    window_imbalance += sigma(own, 200) / 5;
    ratio += CompressionRatio(tokenizer->Decode(ids)) / 5;
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const CalibrationStatistics s, MeasureCalibration(windows, *source, *tokenizer, pool));
  EXPECT_NEAR(s.imbalance, sigma(all, 1000), 1e-12);
  EXPECT_NEAR(s.window_imbalance, window_imbalance, 1e-12);
  EXPECT_GT(s.window_imbalance, s.imbalance);
  EXPECT_NEAR(s.zlib_ratio, ratio, 1e-12);
  EXPECT_NEAR(s.repetitive, 0.2, 1e-12);
}

}  // namespace
}  // namespace eaq
