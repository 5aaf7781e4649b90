#include "eaq/eval/score.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kVocab = 11, kHidden = 8;

ModelConfig Config() {
  ModelConfig config;
  config.vocab_size = kVocab;
  config.hidden_size = kHidden;
  config.rms_norm_eps = 1e-5;
  return config;
}

Matrix Normal(int64_t rows, int64_t cols, uint64_t seed) {
  Matrix m(rows, cols);
  Rng rng(seed, "score_test");
  for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(rng.Normal());
  return m;
}

ModelEnds Ends(Matrix head) {
  return ModelEnds(Config(), OuterParams{.embedding = Matrix(kVocab, kHidden),
                                         .final_norm = std::vector<float>(kHidden, 1.0f),
                                         .head = std::move(head)});
}

// log softmax(head * RMSNorm(h)) by the definition, in double.
std::vector<double> NaiveLogProbs(const Matrix& head, const float* h) {
  double square = 0;
  for (int64_t c = 0; c < kHidden; ++c) square += double{h[c]} * h[c];
  const double scale = 1.0 / std::sqrt(square / kHidden + 1e-5);
  std::vector<double> logits(kVocab);
  double total = 0;
  for (int64_t v = 0; v < kVocab; ++v) {
    for (int64_t c = 0; c < kHidden; ++c) logits[v] += double{head(v, c)} * h[c] * scale;
    total += std::exp(logits[v]);
  }
  for (double& logit : logits) logit -= std::log(total);
  return logits;
}

std::vector<int32_t> Ids(int64_t n) {
  std::vector<int32_t> ids(n);
  for (int64_t i = 0; i < n; ++i) ids[i] = static_cast<int32_t>((i * 7 + 3) % kVocab);
  return ids;
}

TEST(Score, UniformModelHasPerplexityOfTheVocabulary) {
  const ModelEnds ends = Ends(Matrix(kVocab, kHidden));
  EAQ_ASSERT_OK_AND_ASSIGN(const WindowScore score, ScoreWindow(ends, Ids(100), Normal(100, kHidden, 1).const_view()));
  EXPECT_EQ(score.log_probs.size(), 99);
  EXPECT_NEAR(score.nll(), std::log(double{kVocab}), 1e-12);
}

TEST(Score, EqualsTheDefinitionAcrossChunks) {
  const Matrix head = Normal(kVocab, kHidden, 2), hidden = Normal(150, kHidden, 3);
  const std::vector<int32_t> ids = Ids(150);
  EAQ_ASSERT_OK_AND_ASSIGN(const WindowScore score, ScoreWindow(Ends(head), ids, hidden.const_view()));
  for (int64_t t = 0; t < 149; ++t) {
    EXPECT_NEAR(score.log_probs[t], NaiveLogProbs(head, hidden.row(t))[ids[t + 1]], 2e-5) << t;
  }
}

// Single targets: the log-probabilities of the window they are a part of, and whether all are their rows' first
// maximum.
TEST(Score, TargetsAreThoseOfTheWindow) {
  const Matrix head = Normal(kVocab, kHidden, 2), hidden = Normal(150, kHidden, 3);
  std::vector<int32_t> ids = Ids(150);
  EAQ_ASSERT_OK_AND_ASSIGN(const WindowScore window, ScoreWindow(Ends(head), ids, hidden.const_view()));
  const absl::Span<const int32_t> targets = absl::MakeConstSpan(ids).subspan(1);
  EAQ_ASSERT_OK_AND_ASSIGN(const TargetScore all,
                           ScoreTargets(Ends(head), targets, hidden.const_view().Rows(0, 149), 1));
  EXPECT_EQ(all.log_probs, window.log_probs);
  EXPECT_FALSE(all.greedy);
  for (int64_t t = 0; t < 149; ++t) {
    const std::vector<double> p = NaiveLogProbs(head, hidden.row(t));
    ids[t + 1] = static_cast<int32_t>(std::max_element(p.begin(), p.end()) - p.begin());
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const TargetScore best,
                           ScoreTargets(Ends(head), targets, hidden.const_view().Rows(0, 149), 1));
  EXPECT_TRUE(best.greedy);
  ids[149] = (ids[149] + 1) % kVocab;  // in the last chunk
  EAQ_ASSERT_OK_AND_ASSIGN(const TargetScore almost,
                           ScoreTargets(Ends(head), targets, hidden.const_view().Rows(0, 149), 1));
  EXPECT_FALSE(almost.greedy);
  // All logits level: the first is the largest.
  const ModelEnds level = Ends(Matrix(kVocab, kHidden));
  EXPECT_TRUE(ScoreTargets(level, {0}, hidden.const_view().Rows(0, 1), 1)->greedy);
  EXPECT_FALSE(ScoreTargets(level, {1}, hidden.const_view().Rows(0, 1), 1)->greedy);
  EXPECT_THAT(ScoreTargets(level, {1, 2}, hidden.const_view().Rows(0, 1), 1),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected [2, 8]")));
}

TEST(Score, ComparisonEqualsTheDefinition) {
  const Matrix head = Normal(kVocab, kHidden, 4), full = Normal(70, kHidden, 5), quantized = Normal(70, kHidden, 6);
  EAQ_ASSERT_OK_AND_ASSIGN(const WindowComparison c,
                           CompareWindow(Ends(head), Ids(70), full.const_view(), quantized.const_view()));
  double kl = 0, agree = 0;
  for (int64_t t = 0; t < 69; ++t) {
    const std::vector<double> p = NaiveLogProbs(head, full.row(t)), q = NaiveLogProbs(head, quantized.row(t));
    for (int64_t v = 0; v < kVocab; ++v) kl += std::exp(p[v]) * (p[v] - q[v]);
    agree += std::max_element(p.begin(), p.end()) - p.begin() == std::max_element(q.begin(), q.end()) - q.begin();
  }
  EXPECT_NEAR(c.kl, kl / 69, 1e-5 * kl);
  EXPECT_NEAR(c.greedy_agreement, agree / 69, 1e-12);
  EXPECT_EQ(c.top_k_agreement, 0);
  EXPECT_GT(c.kl, 0.01);
  EAQ_ASSERT_OK_AND_ASSIGN(const WindowScore alone, ScoreWindow(Ends(head), Ids(70), quantized.const_view()));
  EXPECT_EQ(alone.log_probs, c.quantized.log_probs);
}

TEST(Score, TopKAgreementEqualsTheDefinition) {
  const Matrix head = Normal(kVocab, kHidden, 4), full = Normal(70, kHidden, 5);
  Matrix quantized = Normal(70, kHidden, 6);
  for (int64_t i = 0; i < full.size(); ++i) quantized.data()[i] = full.data()[i] + 0.3f * quantized.data()[i];
  for (const int64_t k : {1, 5}) {
    EAQ_ASSERT_OK_AND_ASSIGN(const WindowComparison c, CompareWindow(Ends(head), Ids(70), full.const_view(),
                                                                     quantized.const_view(), {.top_k = k}));
    double common = 0;
    for (int64_t t = 0; t < 69; ++t) {
      const std::vector<double> p = NaiveLogProbs(head, full.row(t)), q = NaiveLogProbs(head, quantized.row(t));
      const auto better = [](const std::vector<double>& of, int64_t v) {  // how many are likelier
        return std::count_if(of.begin(), of.end(), [&](double other) { return other > of[v]; });
      };
      for (int64_t v = 0; v < kVocab; ++v) common += better(p, v) < k && better(q, v) < k;
    }
    EXPECT_NEAR(c.top_k_agreement, common / static_cast<double>(69 * k), 1e-12) << k;
    EXPECT_GT(c.top_k_agreement, 0.1);
    EXPECT_LT(c.top_k_agreement, 1);
    if (k == 1) {
      EXPECT_EQ(c.top_k_agreement, c.greedy_agreement);
    }
  }
  EXPECT_THAT(CompareWindow(Ends(head), Ids(70), full.const_view(), full.const_view(), {.top_k = kVocab + 1}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("top_k is")));
}

TEST(Score, AModelAgreesWithItself) {
  const Matrix head = Normal(kVocab, kHidden, 7), hidden = Normal(70, kHidden, 8);
  EAQ_ASSERT_OK_AND_ASSIGN(const WindowComparison c,
                           CompareWindow(Ends(head), Ids(70), hidden.const_view(), hidden.const_view()));
  EXPECT_EQ(c.kl, 0.0);
  EXPECT_EQ(c.greedy_agreement, 1.0);
}

TEST(Score, KlOfTwoCoins) {
  // p = (1/2, 1/2), q = (3/4, 1/4): 1/2 log(2/3) + 1/2 log 2.
  const std::vector<float> p = {0, 0}, q = {std::log(3.0f), 0};
  EXPECT_NEAR(KlFromLogits(p, q), 0.5 * std::log(2.0 / 3.0) + 0.5 * std::log(2.0), 1e-7);
}

TEST(Score, BadInputIsRefused) {
  const ModelEnds ends = Ends(Normal(kVocab, kHidden, 9));
  Matrix hidden = Normal(4, kHidden, 10);
  EXPECT_THAT(ScoreWindow(ends, Ids(1), hidden.const_view().Rows(0, 1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at least 2")));
  EXPECT_THAT(ScoreWindow(ends, Ids(5), hidden.const_view()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected [5, 8]")));
  EXPECT_THAT(ScoreWindow(ends, {1, 2, 11, 3}, hidden.const_view()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("vocabulary of 11")));
  hidden(2, 0) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(ScoreWindow(ends, Ids(4), hidden.const_view()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("position 3")));
  EXPECT_THAT(CompareWindow(ends, Ids(4), Normal(4, kHidden, 1).const_view(), hidden.const_view()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("finite")));
}

}  // namespace
}  // namespace eaq
