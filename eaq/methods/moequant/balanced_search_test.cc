// The search against the same search written naively: every beam run again from its first token, in float64, without a
// cache and without counts that are carried along.
#include "eaq/methods/moequant/balanced_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "eaq/base/status_matchers.h"
#include "eaq/model/double_twin.h"
#include "eaq/model/synthetic.h"

namespace eaq::moequant {
namespace {

using ::testing::HasSubstr;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

ModelConfig Config(bool deepseek) {
  ModelConfig config = TinyConfig();
  config.num_layers = 3;
  if (deepseek) {
    config.dense_layers = {0};
    config.dense_width = 40;
    config.shared_width = 40;
    config.shared_expert_gated = false;
  }
  return config;
}

std::vector<char> Ban(const ModelConfig& config, const std::vector<int32_t>& ids) {
  std::vector<char> banned(config.vocab_size, 0);
  for (const int32_t id : ids) banned[id] = 1;
  return banned;
}

struct NaiveRun {
  std::vector<double> log_prob;  // of every token after IDS
  double sigma = 0;
};

NaiveRun RunNaively(const TwinModel& twin, const std::vector<int32_t>& ids, ImbalanceForm form) {
  const ModelConfig& config = twin.config;
  const TwinResult result = RunTwin(twin, ids);
  NaiveRun run;
  const double* logits = result.logits.data() + (ids.size() - 1) * config.vocab_size;
  double sum = 0;
  for (int64_t v = 0; v < config.vocab_size; ++v) sum += std::exp(logits[v]);
  for (int64_t v = 0; v < config.vocab_size; ++v) run.log_prob.push_back(logits[v] - std::log(sum));
  const int64_t experts = config.num_experts, k = config.experts_per_token, n = ids.size();
  const int64_t layers = config.num_layers - static_cast<int64_t>(config.dense_layers.size());
  EXPECT_EQ(result.experts.size(), layers * n * k);
  for (int64_t l = 0; l < layers; ++l) {
    std::vector<double> u(experts, 0.0);
    for (int64_t i = 0; i < n * k; ++i) {
      u[result.experts[l * n * k + i]] += 1.0 / (form == ImbalanceForm::kTokens ? n : n * k);
    }
    double mean = 0, square = 0;
    for (const double x : u) mean += x / experts;
    for (const double x : u) square += (x - mean) * (x - mean);
    const double factor = form == ImbalanceForm::kTokens ? 1.0 : experts;
    run.sigma += std::sqrt(factor * square / (experts - 1)) / layers;
  }
  return run;
}

// What WriteTexts must find after FIRST: WARM_UP tokens greedily, then beams, the best at the end.
std::vector<int32_t> SearchNaively(const TwinModel& twin, const SearchOptions& options, const std::vector<char>& banned,
                                   int32_t first, int64_t length) {
  struct Node {
    std::vector<int32_t> ids;
    double log_prob, score;
  };
  std::vector<Node> beams = {{{first}, 0, 0}};
  while (static_cast<int64_t>(beams[0].ids.size()) < length) {
    const bool warming = static_cast<int>(beams[0].ids.size()) < options.warm_up_min;
    std::vector<Node> all;
    for (const Node& beam : beams) {
      const NaiveRun run = RunNaively(twin, beam.ids, options.sigma);
      for (size_t v = 0; v < run.log_prob.size(); ++v) {
        if (banned[v] != 0) continue;
        Node node = beam;
        node.ids.push_back(static_cast<int32_t>(v));
        node.log_prob += run.log_prob[v];
        node.score = -node.log_prob / node.ids.size() + (warming ? 0 : run.sigma / options.tau);
        all.push_back(std::move(node));
      }
    }
    std::stable_sort(all.begin(), all.end(), [](const Node& a, const Node& b) { return a.score < b.score; });
    all.resize(std::min<size_t>(all.size(), warming ? 1 : options.beams));
    beams = std::move(all);
  }
  size_t best = 0;
  double least = kInfinity;
  for (size_t b = 0; b < beams.size(); ++b) {
    const double score =
        -beams[b].log_prob / length + RunNaively(twin, beams[b].ids, options.sigma).sigma / options.tau;
    if (score < least) least = score, best = b;
  }
  return beams[best].ids;
}

class SearchTest : public ::testing::TestWithParam<bool> {
 protected:
  SearchTest() : config_(Config(GetParam())), source_(RandomModel(config_, 1)), model_(*Model::Load(*source_)) {}
  std::vector<WrittenText> Write(const SearchOptions& options, const std::vector<char>& banned, int64_t count,
                                 int64_t length, int threads = 2) {
    ThreadPool pool(threads);
    return WriteTexts(*model_, options, banned, count, length, 7, pool).value();
  }

  const ModelConfig config_;
  const std::shared_ptr<const ModelSource> source_;
  const std::unique_ptr<Model> model_;
};

// tau = infinity: an ordinary beam search.
TEST_P(SearchTest, FindsWhatTheNaiveSearchFinds) {
  const TwinModel twin = TwinModel::Load(*source_);
  const std::vector<char> banned = Ban(config_, {0, 5, 95});
  int64_t texts = 0, balanced_differently = 0;
  for (const int beams : {1, 3, 4}) {
    std::map<double, std::vector<std::vector<int32_t>>> found;
    for (const double tau : {kInfinity, 1.2, 0.05}) {
      SearchOptions options;
      options.tau = tau;
      options.beams = beams;
      options.sigma = beams == 3 ? ImbalanceForm::kAssignments : ImbalanceForm::kTokens;
      options.warm_up_min = options.warm_up_max = beams == 4 ? 1 : 3;
      for (const WrittenText& text : Write(options, banned, 5, 12)) {
        EXPECT_EQ(text.ids, SearchNaively(twin, options, banned, text.ids[0], 12)) << "tau " << tau << ", " << beams;
        found[tau].push_back(text.ids);
        ++texts;
      }
    }
    for (size_t i = 0; i < 5; ++i) balanced_differently += found[kInfinity][i] != found[0.05][i];
    if (beams == 1) {
      EXPECT_EQ(balanced_differently, 0);  // one beam has no other to be preferred to
    }
  }
  EXPECT_EQ(texts, 45);
  EXPECT_GT(balanced_differently, 3);  // the term does something
}

// Counts and log-probabilities have followed their beams through every reordering.
TEST_P(SearchTest, CountsAndProbabilitiesAreThoseOfTheTextItself) {
  struct Counter : LayerObserver {
    void OnRouter(int layer, ConstMatrixView logits, absl::Span<const int32_t> experts,
                  absl::Span<const float>) override {
      for (const int32_t e : experts) ++counts[layer * logits.cols + e];
    }
    std::vector<int32_t> counts;
  };
  for (const double tau : {kInfinity, 0.05}) {
    SearchOptions options;
    options.tau = tau;
    for (const WrittenText& text : Write(options, Ban(config_, {}), 20, 40)) {
      Counter counter;
      counter.counts.assign(config_.num_layers * config_.num_experts, 0);
      Matrix hidden(40, config_.hidden_size);
      model_->ForwardHidden(text.ids, hidden.view(), &counter);
      EXPECT_EQ(text.counts, counter.counts);
      double log_prob = 0;
      for (const double p : model_->LogProbs(text.ids)) log_prob += p;
      EXPECT_NEAR(text.log_prob, log_prob, 1e-3);
      const double sigma = ExpertImbalance(config_, counter.counts, 40, ImbalanceForm::kTokens);
      EXPECT_NEAR(text.score, -log_prob / 40 + sigma / tau, 1e-4);
    }
  }
}

TEST_P(SearchTest, TheTermMakesUseMoreEven) {
  const auto mean_sigma = [&](double tau) {
    SearchOptions options;
    options.tau = tau;
    double sum = 0;
    for (const WrittenText& text : Write(options, Ban(config_, {}), 20, 40))
      sum += ExpertImbalance(config_, text.counts, 40, ImbalanceForm::kTokens) / 20;
    return sum;
  };
  EXPECT_LT(mean_sigma(0.02), 0.9 * mean_sigma(kInfinity));
}

TEST_P(SearchTest, FirstTokensDifferAndBannedOnesNeverAppear) {
  const std::vector<char> banned = Ban(config_, {0, 1, 2, 3, 40, 95});
  for (const bool sampled : {false, true}) {
    SearchOptions options;
    options.sampled_warm_up = sampled;
    std::set<int32_t> first;
    for (const WrittenText& text : Write(options, banned, 90, 10)) {  // all tokens there are
      ASSERT_EQ(text.ids.size(), 10);
      first.insert(text.ids[0]);
      for (const int32_t id : text.ids) EXPECT_EQ(banned[id], 0) << id;
    }
    EXPECT_EQ(first.size(), 90);
  }
}

TEST_P(SearchTest, SameBitsForAnyNumberOfThreads) {
  SearchOptions options;
  options.sampled_warm_up = true;
  const auto one = Write(options, Ban(config_, {}), 40, 24, 1);
  for (const int threads : {2, 3}) {
    const auto many = Write(options, Ban(config_, {}), 40, 24, threads);
    ASSERT_EQ(many.size(), one.size());
    for (size_t i = 0; i < one.size(); ++i) {
      EXPECT_EQ(many[i].ids, one[i].ids);
      EXPECT_EQ(many[i].log_prob, one[i].log_prob);
      EXPECT_EQ(many[i].score, one[i].score);
      EXPECT_EQ(many[i].counts, one[i].counts);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, SearchTest, ::testing::Values(false, true),
                         [](const auto& info) { return info.param ? "deepseek" : "olmoe"; });

// A vocabulary of which less is left than there are beams.
TEST(WriteTexts, GoesOnWithFewTokens) {
  const ModelConfig config = TinyConfig();
  const auto model = Model::Load(*RandomModel(config, 1)).value();
  std::vector<char> banned(config.vocab_size, 1);
  banned[4] = banned[9] = 0;
  ThreadPool pool(1);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto texts, WriteTexts(*model, {}, banned, 2, 9, 1, pool));
  for (const WrittenText& text : texts)
    for (const int32_t id : text.ids) EXPECT_TRUE(id == 4 || id == 9);
}

TEST(WriteTexts, NamesWhatIsWrong) {
  const ModelConfig config = TinyConfig();
  const auto model = Model::Load(*RandomModel(config, 1)).value();
  ThreadPool pool(1);
  const auto write = [&](const SearchOptions& options, int64_t tokens, int64_t count) {
    return WriteTexts(*model, options, std::vector<char>(tokens, 0), count, 5, 1, pool).status();
  };
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(write({.tau = 0}, 96, 1), StatusIs(kInvalid, HasSubstr("tau is 0")));
  EXPECT_THAT(write({.beams = 0}, 96, 1), StatusIs(kInvalid, HasSubstr("beams is 0")));
  EXPECT_THAT(write({.warm_up_min = 4, .warm_up_max = 3}, 96, 1), StatusIs(kInvalid, HasSubstr("warm_up_min is 4")));
  EXPECT_THAT(write({}, 95, 1), StatusIs(kInvalid, HasSubstr("and 96")));
  EXPECT_THAT(write({}, 96, 97), StatusIs(kInvalid, HasSubstr("96 tokens for 97 texts")));
}

}  // namespace
}  // namespace eaq::moequant
