#include "eaq/eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

WindowValues Windows(std::vector<double> value, std::vector<std::string> document) {
  return {std::move(value), std::move(document)};
}

// G documents with 1 .. max_windows windows each; a document effect and a window effect, both standard normal.
WindowValues Clustered(Rng& rng, int documents, int max_windows, double mean) {
  WindowValues w;
  for (int g = 0; g < documents; ++g) {
    const double effect = rng.Normal();
    const int n = 1 + static_cast<int>(rng.Below(static_cast<uint64_t>(max_windows)));
    for (int i = 0; i < n; ++i) {
      w.value.push_back(mean + effect + rng.Normal());
      w.document.push_back(absl::StrCat("d", g));
    }
  }
  return w;
}

WindowValues Zeros(const WindowValues& like) { return {std::vector<double>(like.value.size(), 0.0), like.document}; }

TEST(ComparePaired, SingletonClustersGiveTheTextbookStandardError) {
  // Every document one window: CR1 is s / sqrt(N). For 1 2 3 4: mean 2.5, s^2 = 5/3, se = sqrt(5/12).
  Resampler resampler(1);
  const WindowValues a = Windows({1, 2, 3, 4}, {"a", "b", "c", "d"});
  EAQ_ASSERT_OK_AND_ASSIGN(const PairedResult r, ComparePaired(a, Zeros(a), {}, resampler));
  EXPECT_DOUBLE_EQ(r.mean, 2.5);
  EXPECT_NEAR(r.standard_error, std::sqrt(5.0 / 12.0), 1e-15);
  EXPECT_EQ(r.documents, 4);
  EXPECT_EQ(r.windows, 4);
}

TEST(ComparePaired, TwoClustersByHand) {
  // d = {1, 3 | 5}: m = 3, D = {4, 5}, n = {2, 1}; residuals 4-6 = -2, 5-3 = 2; se = sqrt(2/1 * 8) / 3 = 4/3.
  Resampler resampler(1);
  const WindowValues a = Windows({1, 3, 5}, {"x", "x", "y"});
  EAQ_ASSERT_OK_AND_ASSIGN(const PairedResult r, ComparePaired(a, Zeros(a), {}, resampler));
  EXPECT_DOUBLE_EQ(r.mean, 3.0);
  EXPECT_NEAR(r.standard_error, 4.0 / 3.0, 1e-15);
  // The bootstrap means are 2 (xx), 5 (yy), 3 (xy): the outer 2.5 % lie at the extremes.
  EXPECT_DOUBLE_EQ(r.low, 2.0);
  EXPECT_DOUBLE_EQ(r.high, 5.0);
  // D = {4, 5}: |T*| is 9 for ++ and --, 1 for the others.
  EXPECT_TRUE(r.exact);
  EXPECT_DOUBLE_EQ(r.p_value, 0.5);
}

TEST(ComparePaired, ExactSignFlipsOnTinyCases) {
  Resampler resampler(1);
  // All positive, G = 5: only the identity and its mirror reach T: 2 / 32.
  const WindowValues a = Windows({1, 2, 3, 4, 5}, {"a", "b", "c", "d", "e"});
  EAQ_ASSERT_OK_AND_ASSIGN(const PairedResult r, ComparePaired(a, Zeros(a), {}, resampler));
  EXPECT_DOUBLE_EQ(r.p_value, 2.0 / 32.0);
  // D = {1, 1, -1}: |T| = 1; flips give 3 (2 of 8) or 1 (6 of 8): all reach it.
  const WindowValues b = Windows({1, 1, -1}, {"a", "b", "c"});
  EAQ_ASSERT_OK_AND_ASSIGN(const PairedResult s, ComparePaired(b, Zeros(b), {}, resampler));
  EXPECT_DOUBLE_EQ(s.p_value, 1.0);
  // Ties through rounding count as ties: 0.1 + 0.2 against 0.3.
  const WindowValues c = Windows({0.1, 0.2, -0.3, 0.6}, {"a", "b", "c", "d"});
  EAQ_ASSERT_OK_AND_ASSIGN(const PairedResult t, ComparePaired(c, Zeros(c), {}, resampler));
  // |T| = 0.6; subsets of {1, 2, 3, 6} / 10 with |sum of signs| >= 6: +-(12, 10, 8, 6, 6) -> 10 of 16.
  EXPECT_DOUBLE_EQ(t.p_value, 10.0 / 16.0);
}

TEST(ComparePaired, MatchesANaiveTwin) {
  Rng rng(3, "test/twin");
  const WindowValues a = Clustered(rng, 23, 5, 0.3);
  Resampler resampler(11);
  const PairedOptions options{.draws = 2000};
  EAQ_ASSERT_OK_AND_ASSIGN(const PairedResult r, ComparePaired(a, Zeros(a), options, resampler));

  std::vector<std::vector<double>> documents;
  std::map<std::string, size_t> index;
  double sum = 0;
  for (size_t i = 0; i < a.value.size(); ++i) {
    if (!index.count(a.document[i])) {
      index[a.document[i]] = documents.size();
      documents.emplace_back();
    }
    documents[index[a.document[i]]].push_back(a.value[i]);
    sum += a.value[i];
  }
  const double n = static_cast<double>(a.value.size()), mean = sum / n;
  double meat = 0;
  for (const auto& d : documents) {
    double u = 0;
    for (const double v : d) u += v - mean;
    meat += u * u;
  }
  EXPECT_NEAR(r.mean, mean, 1e-14);
  EXPECT_NEAR(r.standard_error, std::sqrt(23.0 / 22.0 * meat) / n, 1e-14);

  Rng draws(11, "statistics/bootstrap/23");
  std::vector<double> means;
  for (int b = 0; b < 2000; ++b) {
    double s = 0, count = 0;
    for (int g = 0; g < 23; ++g) {
      for (const double v : documents[draws.Below(23)]) {
        s += v;
        count += 1;
      }
    }
    means.push_back(s / count);
  }
  std::sort(means.begin(), means.end());
  // 0.025 * 1999 = 49.975 and 0.975 * 1999 = 1949.025
  EXPECT_NEAR(r.low, means[49] + 0.975 * (means[50] - means[49]), 1e-12);
  EXPECT_NEAR(r.high, means[1949] + 0.025 * (means[1950] - means[1949]), 1e-12);
}

TEST(ComparePaired, IsDeterministicAndDependsOnTheSeed) {
  Rng rng(5, "test/determinism");
  const WindowValues a = Clustered(rng, 40, 3, 0.1);
  Resampler one(1), again(1), other(2);
  EAQ_ASSERT_OK_AND_ASSIGN(const PairedResult x, ComparePaired(a, Zeros(a), {}, one));
  EAQ_ASSERT_OK_AND_ASSIGN(const PairedResult y, ComparePaired(a, Zeros(a), {}, again));
  EAQ_ASSERT_OK_AND_ASSIGN(const PairedResult z, ComparePaired(a, Zeros(a), {}, other));
  EAQ_ASSERT_OK_AND_ASSIGN(const PairedResult back, ComparePaired(Zeros(a), a, {}, one));
  EXPECT_EQ(x.low, y.low);
  EXPECT_EQ(x.p_value, y.p_value);
  EXPECT_NE(x.low, z.low);
  EXPECT_EQ(back.mean, -x.mean);
  EXPECT_NEAR(back.low, -x.high, 1e-12);
  EXPECT_EQ(back.p_value, x.p_value);
}

// Type-I error of the test and coverage of the interval, 1000 data sets with a true difference of zero. Binomial
// tolerance: 5 % of 1000 has a standard deviation of 0.7 points; we allow three of them. The percentile bootstrap of
// 40 clusters of unequal size covers a little less than it says (about 94 %), which is why 97 of 100 would fail too.
TEST(ComparePaired, KeepsItsErrorRates) {
  constexpr int kTrials = 1000;
  const PairedOptions options{.draws = 500};
  Resampler resampler(17);
  Rng rng(9, "test/coverage");
  int rejected = 0, covered = 0, covered_naive = 0;
  for (int t = 0; t < kTrials; ++t) {
    const WindowValues a = Clustered(rng, 40, 6, 0.0);
    EAQ_ASSERT_OK_AND_ASSIGN(const PairedResult r, ComparePaired(a, Zeros(a), options, resampler));
    rejected += r.p_value < 0.05;
    covered += r.low <= 0 && 0 <= r.high;
    // What ignoring the documents would give: far too narrow, or this test would prove nothing.
    double squares = 0;
    for (const double v : a.value) squares += (v - r.mean) * (v - r.mean);
    const double n = static_cast<double>(a.value.size());
    covered_naive += std::abs(r.mean) <= 1.96 * std::sqrt(squares / (n - 1) / n);
  }
  EXPECT_GE(rejected, 29);
  EXPECT_LE(rejected, 71);
  EXPECT_GE(covered, 910);
  EXPECT_LE(covered, 970);
  EXPECT_LT(covered_naive, 880);
}

TEST(ComparePaired, FindsARealDifference) {
  Rng rng(2, "test/power");
  const WindowValues a = Clustered(rng, 60, 3, -1.0);
  Resampler resampler(1);
  EAQ_ASSERT_OK_AND_ASSIGN(const PairedResult r, ComparePaired(a, Zeros(a), {}, resampler));
  EXPECT_EQ(r.verdict, Verdict::kBetter);
  EXPECT_FALSE(r.exact);
  EXPECT_DOUBLE_EQ(r.p_value, 1.0 / 10001.0);  // never zero
}

TEST(ComparePaired, RefusesWhatItCannotCompare) {
  Resampler resampler(1);
  const WindowValues a = Windows({1, 2}, {"x", "y"});
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(ComparePaired(Windows({1, nan}, {"x", "y"}), a, {}, resampler).ok());
  EXPECT_FALSE(ComparePaired(a, Windows({inf, 1}, {"x", "y"}), {}, resampler).ok());
  EXPECT_FALSE(ComparePaired(a, Windows({1}, {"x"}), {}, resampler).ok());
  EXPECT_FALSE(ComparePaired(a, Windows({1, 2}, {"x", "z"}), {}, resampler).ok());
  EXPECT_FALSE(ComparePaired(a, Windows({1, 2}, {"x"}), {}, resampler).ok());
  EXPECT_FALSE(ComparePaired({}, {}, {}, resampler).ok());
  EXPECT_FALSE(ComparePaired(a, a, {.margin = nan}, resampler).ok());
  EXPECT_FALSE(ComparePaired(a, a, {.alpha = nan}, resampler).ok());
}

TEST(ComparePaired, OneDocumentDecidesNothing) {
  Resampler resampler(1);
  const WindowValues a = Windows({1, 1}, {"x", "x"});
  EAQ_ASSERT_OK_AND_ASSIGN(const PairedResult r, ComparePaired(a, a, {}, resampler));
  EXPECT_EQ(r.verdict, Verdict::kUndecided);
  EXPECT_TRUE(std::isinf(r.standard_error));
}

TEST(Decide, Words) {
  const PairedOptions options{.margin = 0.005};
  const auto decide = [&](double low, double high, double p) {
    return Decide({.documents = 9, .mean = (low + high) / 2, .low = low, .high = high, .p_holm = p}, options);
  };
  EXPECT_EQ(decide(-0.004, 0.003, 0.9), Verdict::kEquivalent);
  EXPECT_EQ(decide(0.001, 0.003, 1e-4), Verdict::kEquivalent);  // surely there, and too small to matter
  EXPECT_EQ(decide(-0.03, -0.01, 0.01), Verdict::kBetter);
  EXPECT_EQ(decide(-0.03, -0.01, 0.06), Verdict::kUndecided);  // Holm says no
  EXPECT_EQ(decide(0.01, 0.03, 0.01), Verdict::kWorse);
  EXPECT_EQ(decide(-0.01, 0.03, 0.01), Verdict::kUndecided);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(decide(nan, nan, nan), Verdict::kUndecided);
}

// Wright, "Adjusted P-values for simultaneous inference", Biometrics 48 (1992), and R's p.adjust(method = "holm"):
// p = 0.01 0.02 0.03 0.04 0.05 -> 0.05 0.08 0.09 0.09 0.09.
TEST(Holm, PublishedNumbers) {
  EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<double> a, HolmAdjust({0.01, 0.02, 0.03, 0.04, 0.05}));
  const std::vector<double> expected = {0.05, 0.08, 0.09, 0.09, 0.09};
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], expected[i], 1e-15);
  // The worked example of Wikipedia's "Holm-Bonferroni method": 0.01 0.04 0.03 0.005 at alpha 0.05 rejects the first
  // and the fourth.
  EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<double> b, HolmAdjust({0.01, 0.04, 0.03, 0.005}));
  const std::vector<double> wikipedia = {0.03, 0.06, 0.06, 0.02};
  for (size_t i = 0; i < b.size(); ++i) EXPECT_NEAR(b[i], wikipedia[i], 1e-15);
  EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<double> c, HolmAdjust({0.9, 0.8}));
  EXPECT_EQ(c, (std::vector<double>{1, 1}));
  EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<double> none, HolmAdjust({}));
  EXPECT_TRUE(none.empty());
  EXPECT_FALSE(HolmAdjust({0.5, std::numeric_limits<double>::quiet_NaN()}).ok());
  EXPECT_FALSE(HolmAdjust({1.5}).ok());
}

// Fagerland et al. (2013), table 1 (airway hyper-responsiveness, 1 against 7): exact 0.0703, mid-p 0.0391.
TEST(McNemar, PublishedAndClosedForms) {
  EAQ_ASSERT_OK_AND_ASSIGN(McNemarResult r, McNemar(1, 7));
  EXPECT_NEAR(r.p_exact, 18.0 / 256, 1e-14);
  EXPECT_NEAR(r.p_mid, 10.0 / 256, 1e-14);
  EAQ_ASSERT_OK_AND_ASSIGN(r, McNemar(7, 1));
  EXPECT_NEAR(r.p_mid, 10.0 / 256, 1e-14);
  EAQ_ASSERT_OK_AND_ASSIGN(r, McNemar(0, 5));  // 2 / 2^5, 1 / 2^5
  EXPECT_NEAR(r.p_exact, 1.0 / 16, 1e-15);
  EXPECT_NEAR(r.p_mid, 1.0 / 32, 1e-15);
  EAQ_ASSERT_OK_AND_ASSIGN(r, McNemar(2, 2));  // 1 - C(4, 2) / 2^5
  EXPECT_EQ(r.p_exact, 1);
  EXPECT_NEAR(r.p_mid, 1 - 6.0 / 32, 1e-14);
  EAQ_ASSERT_OK_AND_ASSIGN(r, McNemar(0, 0));
  EXPECT_EQ(r.p_exact, 1);
  EXPECT_EQ(r.p_mid, 1);
  EXPECT_FALSE(McNemar(-1, 2).ok());
}

// The naive twin: Pascal's triangle in probabilities.
TEST(McNemar, IsTheBinomialTail) {
  std::vector<double> f = {1};
  for (int n = 1; n <= 900; ++n) {
    std::vector<double> next(n + 1, 0.0);
    for (int i = 0; i < n; ++i) {
      next[i] += f[i] / 2;
      next[i + 1] += f[i] / 2;
    }
    f = next;
    if (n % 89 != 0 && n > 12) continue;
    double tail = 0;
    for (int k = 0; 2 * k <= n; ++k) {
      tail += f[k];
      EAQ_ASSERT_OK_AND_ASSIGN(const McNemarResult r, McNemar(n - k, k));
      // lgamma(n) is good to a few eps; e^x turns that absolute error into a relative one.
      const double error = 1e-15 + 8 * 2.3e-16 * n * std::log(n + 1.0);
      EXPECT_NEAR(r.p_exact, std::min(1.0, 2 * tail), error * (tail + 1e-300)) << n << " " << k;
      EXPECT_NEAR(r.p_mid, 2 * k == n ? 1 - f[k] / 2 : std::min(1.0, 2 * tail - f[k]), 2 * error * (tail + 1e-300));
    }
  }
}

TEST(McNemar, CountsItems) {
  const WindowValues a = Windows({1, 1, 0, 0, 1}, {"p", "p", "q", "q", "q"});
  EAQ_ASSERT_OK_AND_ASSIGN(const McNemarResult r, McNemar(a, Windows({0, 1, 1, 0, 0}, a.document)));
  EXPECT_EQ(r.only_first, 2);
  EXPECT_EQ(r.only_second, 1);
  EXPECT_NEAR(r.p_mid, 2 * 4.0 / 8 - 3.0 / 8, 1e-14);
  EXPECT_FALSE(McNemar(a, Windows({0, 1, 0.5, 0, 0}, a.document)).ok());
  EXPECT_FALSE(McNemar(a, Windows({0, 1, 1, 0}, {"p", "p", "q", "q"})).ok());
  EXPECT_FALSE(McNemar(a, Windows({0, 1, 1, 0, 0}, {"p", "p", "q", "q", "r"})).ok());
}

// Paired answers, one item a paradigm: item i adds d_i = -1, 0 or 1. With a single d = 1 among G the bootstrap mean is
// Binomial(G, 1/G) / G, and the sign-flip p is 1.
TEST(ComparePaired, BootstrapOfOneDiscordantItemIsBinomial) {
  const int g = 40;
  WindowValues a = Zeros(Windows(std::vector<double>(g), std::vector<std::string>(g)));
  for (int i = 0; i < g; ++i) a.document[i] = absl::StrCat("p", i);
  const WindowValues b = a;
  a.value[7] = 1;
  Resampler resampler(3);
  EAQ_ASSERT_OK_AND_ASSIGN(const PairedResult r, ComparePaired(a, b, {}, resampler));
  EXPECT_DOUBLE_EQ(r.mean, 1.0 / g);
  EXPECT_EQ(r.p_value, 1);
  EXPECT_EQ(r.low, 0);
  // P(X >= 3) = 0.0795, P(X >= 4) = 0.0184 for Binomial(40, 1/40): the 97.5 % point is 3.
  EXPECT_DOUBLE_EQ(r.high, 3.0 / g);
}

TEST(CombineSeeds, AveragesPerWindowAndKeepsTheSpread) {
  const std::vector<WindowValues> seeds = {Windows({1, 2}, {"x", "y"}), Windows({3, 6}, {"x", "y"}),
                                           Windows({2, 1}, {"x", "y"})};
  EAQ_ASSERT_OK_AND_ASSIGN(const SeedCombination c, CombineSeeds(seeds));
  EXPECT_EQ(c.mean.value, (std::vector<double>{2, 3}));
  EXPECT_EQ(c.seed_mean, (std::vector<double>{1.5, 4.5, 1.5}));
  EXPECT_NEAR(c.spread, std::sqrt(3.0), 1e-15);
  EAQ_ASSERT_OK_AND_ASSIGN(const SeedCombination one, CombineSeeds({seeds[0]}));
  EXPECT_EQ(one.spread, 0);
  EXPECT_FALSE(CombineSeeds({}).ok());
  EXPECT_FALSE(CombineSeeds({seeds[0], Windows({1, 2}, {"x", "z"})}).ok());
}

TEST(AppendWindows, KeepsDomainsApart) {
  WindowValues all;
  AppendWindows("code", Windows({1}, {"1"}), all);
  AppendWindows("news", Windows({2}, {"1"}), all);
  EXPECT_EQ(all.document, (std::vector<std::string>{"code/1", "news/1"}));
}

}  // namespace
}  // namespace eaq
