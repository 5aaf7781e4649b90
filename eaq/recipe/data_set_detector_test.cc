// The detector against its definition, window by window in double.
#include "eaq/recipe/data_set_detector.h"

#include <algorithm>
#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/synthetic.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;
constexpr int kTokens = 64;

// Choices of TOKENS tokens, in each layer by the weights of data set SET: set 0 likes the first experts, set 1 the
// last, set 2 those in between.
ExpertCounts Window(const ModelConfig& config, int set, Rng& rng) {
  ExpertCounts counts(config.num_layers * config.num_experts, 0);
  const int64_t e = config.num_experts;
  for (int l = 0; l < config.num_layers; ++l) {
    for (int64_t i = 0; i < kTokens * config.experts_per_token; ++i) {
      int64_t chosen = rng.Below(e);
      const int64_t other = rng.Below(e);
      if (set == 0) chosen = std::min(chosen, other);
      if (set == 1) chosen = std::max(chosen, other);
      if (set == 2) chosen = e / 2 + chosen % 2;
      ++counts[l * e + chosen];
    }
  }
  return counts;
}

struct Data {
  explicit Data(uint64_t seed) {
    Rng rng(seed, "data_set_detector_test");
    for (int w = 0; w < 24; ++w) {
      set.push_back(w % 2);
      counts.push_back(Window(config, w % 2, rng));
    }
    for (const int s : {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2}) {
      stream_set.push_back(s);
      stream.push_back(Window(config, s, rng));
    }
  }
  ModelConfig config = TinyConfig();
  std::vector<ExpertCounts> counts, stream;
  std::vector<int> set, stream_set;
};

double Js(const std::vector<double>& a, const std::vector<double>& b) {
  double sum_a = 0, sum_b = 0, js = 0;
  for (size_t i = 0; i < a.size(); ++i) sum_a += a[i], sum_b += b[i];
  for (size_t i = 0; i < a.size(); ++i) {
    const double p = a[i] / sum_a, q = b[i] / sum_b;
    if (p > 0) js += 0.5 * p * std::log(2 * p / (p + q));
    if (q > 0) js += 0.5 * q * std::log(2 * q / (p + q));
  }
  return js;
}

TEST(DataSetDetector, JensenShannonIsSymmetricAndBounded) {
  EXPECT_NEAR(JensenShannon({1, 3}, {30, 10}), Js({1, 3}, {3, 1}), 1e-12);
  EXPECT_NEAR(JensenShannon({1, 3}, {3, 1}), JensenShannon({3, 1}, {1, 3}), 1e-15);
  EXPECT_NEAR(JensenShannon({2, 0}, {0, 5}), std::log(2.0), 1e-12);
  EXPECT_NEAR(JensenShannon({0.2, 0.8}, {1, 4}), 0, 1e-15);
  EXPECT_EQ(JensenShannon({0, 0}, {0, 0}), 0);
  EXPECT_EQ(JensenShannon({0, 0}, {1, 0}), std::log(2.0));
}

TEST(DataSetDetector, IsItsDefinition) {
  const Data data(3);
  const DetectorOptions options{0.7, 1.5, 3};
  EAQ_ASSERT_OK_AND_ASSIGN(DataSetDetector detector,
                           DataSetDetector::Create(data.config, data.counts, data.set, 2, options));
  const size_t layers = data.config.num_layers, experts = data.config.num_experts;
  const double kept = std::pow(0.7, kTokens / 256.0);
  using Layers = std::vector<std::vector<double>>;
  const Layers zero(layers, std::vector<double>(experts, 0.0));
  const auto add = [&](const ExpertCounts& window, double factor, Layers& to) {
    for (size_t l = 0; l < layers; ++l) {
      for (size_t e = 0; e < experts; ++e) to[l][e] = factor * to[l][e] + window[l * experts + e];
    }
  };
  const auto distance = [&](const Layers& a, const Layers& b) {
    double sum = 0;
    for (size_t l = 0; l < layers; ++l) sum += Js(a[l], b[l]);
    return sum / static_cast<double>(layers);
  };
  Layers reference[2] = {zero, zero};
  for (size_t w = 0; w < data.counts.size(); ++w) add(data.counts[w], 1, reference[data.set[w]]);
  std::vector<double> own;
  for (const int d : {0, 1}) {
    Layers running = zero;
    for (size_t w = 0; w < data.counts.size(); ++w) {
      if (data.set[w] != d) continue;
      add(data.counts[w], kept, running);
      own.push_back(distance(running, reference[d]));
    }
  }
  std::sort(own.begin(), own.end());
  EXPECT_NEAR(detector.threshold(), 1.5 * own[22], 1e-12);  // the 23rd of 24: the first with 95 % at or below

  Layers running = zero;
  int state = -1, last = -1, votes = 0;
  for (const ExpertCounts& window : data.stream) {
    add(window, kept, running);
    const double d[2] = {distance(running, reference[0]), distance(running, reference[1])};
    const int vote = std::min(d[0], d[1]) > detector.threshold() ? -1 : d[1] < d[0];
    votes = vote == last ? votes + 1 : 1;
    last = vote;
    if (votes >= 3) state = vote;
    EXPECT_EQ(detector.Observe(window), state);
    EXPECT_NEAR(detector.distances()[0], d[0], 1e-12);
    EXPECT_NEAR(detector.distances()[1], d[1], 1e-12);
  }
}

TEST(DataSetDetector, FollowsTheStreamAndKnowsWhatItDoesNotKnow) {
  const Data data(5);
  EAQ_ASSERT_OK_AND_ASSIGN(DataSetDetector detector,
                           DataSetDetector::Create(data.config, data.counts, data.set, 2, {0.3, 2, 2}));
  std::vector<int> states;
  for (const ExpertCounts& window : data.stream) states.push_back(detector.Observe(window));
  EXPECT_EQ(states[0], -1);  // one window is not enough
  EXPECT_EQ(states[1], 0);
  EXPECT_EQ(states[15], 1);
  EXPECT_EQ(states[23], -1);  // a set that is like neither
}

TEST(DataSetDetector, SaysWhatIsWrong) {
  const Data data(3);
  const auto create = [&](const DetectorOptions& options, int sets) {
    return DataSetDetector::Create(data.config, data.counts, data.set, sets, options).status();
  };
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(create({1, 2, 4}, 2), StatusIs(invalid, HasSubstr("decay 1")));
  EXPECT_THAT(create({0.5, 0, 4}, 2), StatusIs(invalid, HasSubstr("threshold 0")));
  EXPECT_THAT(create({0.5, 2, 0}, 2), StatusIs(invalid, HasSubstr("consecutive 0")));
  EXPECT_THAT(create({}, 3), StatusIs(invalid, HasSubstr("data set 2 has no window")));
}

}  // namespace
}  // namespace eaq
