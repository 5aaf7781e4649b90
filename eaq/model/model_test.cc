#include "eaq/model/model.h"

#include <cmath>

#include "eaq/base/status_matchers.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/generate.h"
#include "eaq/model/synthetic.h"

namespace eaq {
namespace {

std::vector<int32_t> Ids(int64_t n, int64_t vocab, uint64_t seed = 3) {
  Rng rng(seed, "ids");
  std::vector<int32_t> ids(n);
  for (int32_t& id : ids) id = static_cast<int32_t>(rng.Below(vocab));
  return ids;
}

std::unique_ptr<Model> Tiny(int64_t window = 0) {
  ModelConfig config = TinyConfig();
  config.sliding_window = window;
  return *Model::Load(*RandomModel(config, 1));
}

TEST(Model, CachedEqualsUncached) {
  for (const int64_t window : {0, 7}) {
    const auto model = Tiny(window);
    const auto ids = Ids(40, 96);
    Matrix hidden(40, 32), logits(40, 96);
    model->ForwardHidden(ids, hidden.view());
    model->ends().Logits(hidden.view(), logits.view());
    KvCache cache = model->NewCache(40);
    std::vector<float> last(96);
    const auto expect_equal = [&](int64_t row) {
      for (int i = 0; i < 96; ++i) ASSERT_NEAR(last[i], logits(row, i), 2e-5) << "row " << row;
    };
    model->Extend(absl::MakeConstSpan(ids).subspan(0, 13), cache, absl::MakeSpan(last));  // a prompt at once
    expect_equal(12);
    for (int64_t t = 13; t < 30; ++t) {  // then one by one
      model->Extend(absl::MakeConstSpan(ids).subspan(t, 1), cache, absl::MakeSpan(last));
      expect_equal(t);
    }
    model->Extend(absl::MakeConstSpan(ids).subspan(30, 10), cache, absl::MakeSpan(last));  // and several
    expect_equal(39);
    EXPECT_EQ(cache.length(), 40);
  }
}

// Several sequences of different lengths side by side, each against a whole forward of its own.
TEST(Model, ExtendEachEqualsUncached) {
  for (const int64_t window : {0, 7}) {
    const auto model = Tiny(window);
    const std::vector<int64_t> prompts = {1, 13, 6, 20, 6};
    std::vector<std::vector<int32_t>> ids;
    std::vector<Matrix> expected;
    std::vector<KvCache> caches;
    std::vector<KvCache*> pointers;
    std::vector<float> last(96);
    for (size_t i = 0; i < prompts.size(); ++i) {
      ids.push_back(Ids(prompts[i] + 10, 96, i));
      Matrix hidden(prompts[i] + 10, 32), logits(prompts[i] + 10, 96);
      model->ForwardHidden(ids[i], hidden.view());
      model->ends().Logits(hidden.view(), logits.view());
      expected.push_back(std::move(logits));
      caches.push_back(model->NewCache(prompts[i] + 10));
      model->Extend(absl::MakeConstSpan(ids[i]).subspan(0, prompts[i]), caches[i], absl::MakeSpan(last));
    }
    for (KvCache& cache : caches) pointers.push_back(&cache);
    for (int64_t step = 0; step < 10; ++step) {
      std::vector<int32_t> tokens;
      for (size_t i = 0; i < prompts.size(); ++i) tokens.push_back(ids[i][prompts[i] + step]);
      Matrix logits(5, 96);
      model->ExtendEach(tokens, pointers, logits.view());
      for (size_t i = 0; i < prompts.size(); ++i) {
        EXPECT_EQ(caches[i].length(), prompts[i] + step + 1);
        for (int v = 0; v < 96; ++v) ASSERT_NEAR(logits(i, v), expected[i](prompts[i] + step, v), 2e-5) << i;
      }
    }
  }
}

TEST(Model, SameBitsForAnyNumberOfThreads) {
  const auto model = Tiny();
  std::vector<std::vector<double>> one(6), many(6);
  const auto score = [&](std::vector<std::vector<double>>& out) {
    return [&](int64_t w) { out[w] = model->LogProbs(Ids(50 + 7 * w, 96, w)); };
  };
  ThreadPool(1).ParallelFor(6, score(one));
  ThreadPool(3).ParallelFor(6, score(many));
  EXPECT_EQ(one, many);
}

// Sums p(v | 19 tokens) over the vocabulary, each v a run of its own, and compares what comes before v with CAUSAL.
void ExpectNormalisedAndCausal(const Model& model, double tolerance, double causal) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    auto ids = Ids(20, 96, seed);
    const std::vector<double> before = model.LogProbs(ids);
    ASSERT_EQ(before.size(), 19);
    double sum = 0;
    for (int32_t v = 0; v < 96; ++v) {
      ids[19] = v;
      const std::vector<double> p = model.LogProbs(ids);
      sum += std::exp(p[18]);
      for (int t = 0; t < 18; ++t) ASSERT_NEAR(p[t], before[t], causal) << "a later token changed a prediction";
    }
    EXPECT_NEAR(sum, 1.0, tolerance) << "seed " << seed;
  }
  EXPECT_TRUE(model.LogProbs({}).empty());
}

// Without experts the float32 logits before v are the same bits in all 96 runs. What is left is float64: a normaliser
// that kernels/cpu:ops_test holds to 1e-12, 96 subtractions, exponentials and additions of (|logit| + 96) * 2^-53 each.
TEST(Model, LogProbsAreNormalisedAndCausal) {
  ModelConfig config = TinyConfig();
  config.num_experts = 0;
  config.dense_width = 48;
  ExpectNormalisedAndCausal(**Model::Load(*RandomModel(config, 1)), 1e-11, 0);
}

// With experts the last token changes how many rows an expert multiplies at once, and with it the order of its float32
// sums. Measured on these seeds: log-probabilities move by up to 1.3e-6 (a few 2^-24 of logits below 8), the sum, over
// which such movements average out, by 8.5e-8. Four and six times that.
TEST(Model, LogProbsAreNormalisedAndCausalWithExperts) { ExpectNormalisedAndCausal(*Tiny(), 5e-7, 5e-6); }

TEST(Model, RefusesIdsOutsideTheVocabulary) {
  const auto model = Tiny();
  EXPECT_FALSE(model->CheckIds({0, 96}).ok());
  EXPECT_FALSE(model->CheckIds({-1}).ok());
  EAQ_EXPECT_OK(model->CheckIds({0, 95}));
}

TEST(Generate, GreedyIsTheArgmaxOfTheFullForward) {
  const auto model = Tiny();
  std::vector<int32_t> text = Ids(5, 96);
  SamplingOptions options;
  options.max_new_tokens = 12;
  std::vector<int32_t> streamed;
  EAQ_ASSERT_OK_AND_ASSIGN(const auto tokens, Generate(*model, text, options, [&](int32_t t) {
                             streamed.push_back(t);
                             return true;
                           }));
  EXPECT_EQ(tokens, streamed);
  ASSERT_EQ(tokens.size(), 12);
  for (const int32_t token : tokens) {
    Matrix hidden(static_cast<int64_t>(text.size()), 32), logits(1, 96);
    model->ForwardHidden(text, hidden.view());
    model->ends().Logits(hidden.view().Rows(hidden.rows() - 1, 1), logits.view());
    EXPECT_EQ(token, std::max_element(logits.data(), logits.data() + 96) - logits.data());
    text.push_back(token);
  }
  options.stop_token = tokens[3];
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stopped, Generate(*model, Ids(5, 96), options, [](int32_t) { return true; }));
  EXPECT_LE(stopped.size(), 3);
}

TEST(SampleToken, FollowsTheDistributionAndItsCuts) {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.6f), std::log(0.3f)};
  SamplingOptions options;
  options.temperature = 1;
  const auto frequencies = [&] {
    Rng rng(7, "test");
    std::vector<double> f(3);
    for (int i = 0; i < 20000; ++i) f[SampleToken(logits, options, rng)] += 1.0 / 20000;
    return f;
  };
  std::vector<double> f = frequencies();  // standard error below 0.0035
  EXPECT_NEAR(f[0], 0.1, 0.015);
  EXPECT_NEAR(f[1], 0.6, 0.015);
  options.top_k = 2;
  f = frequencies();
  EXPECT_EQ(f[0], 0);
  EXPECT_NEAR(f[1], 2.0 / 3, 0.015);
  options.top_k = 0;
  options.top_p = 0.5;
  EXPECT_NEAR(frequencies()[1], 1.0, 1e-9);
  options.top_p = 1;
  options.temperature = 0.5;  // squares the odds: 0.01 : 0.36 : 0.09
  EXPECT_NEAR(frequencies()[1], 0.36 / 0.46, 0.015);
}

TEST(CheckSampling, NamesTheOption) {
  SamplingOptions options;
  options.top_p = 0;
  EXPECT_THAT(CheckSampling(options).message(), ::testing::HasSubstr("top_p"));
  options = {};
  options.temperature = std::nan("");
  EXPECT_FALSE(CheckSampling(options).ok());
}

}  // namespace
}  // namespace eaq
