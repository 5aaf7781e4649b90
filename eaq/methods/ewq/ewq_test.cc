// EWQ's entropies against closed forms, its classes, plans as published and under budgets.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/methods/ewq/entropy.h"
#include "eaq/recipe/allocation_testing.h"

namespace eaq::ewq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Matrix Gaussian(int64_t rows, int64_t cols, double scale, uint64_t seed) {
  Rng rng(seed, "ewq_test");
  Matrix w(rows, cols);
  for (int64_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(scale * rng.Normal());
  return w;
}

TEST(Entropy, OfEqualWeights) {
  const Matrix w(5, 8);
  EXPECT_NEAR(*SoftmaxEntropy(w.const_view()), -std::log(1.0 / 40 + 0.01), 1e-14);
  EXPECT_EQ(*HistogramEntropy(w.const_view()), 0);
}

TEST(Entropy, SoftmaxOfFewWeights) {
  Matrix w(1, 2);
  w(0, 0) = 700;  // exp(700) alone overflows in float32 and nearly in float64
  w(0, 1) = 701;
  const double p = 1 / (1 + M_E);
  EXPECT_NEAR(*SoftmaxEntropy(w.const_view()), -p * std::log(p + 0.01) - (1 - p) * std::log(1.01 - p), 1e-14);
}

// To first order -log(0.01) - 100 (1 + var) / n, which tells variances apart (specs/related_methods.md 8).
TEST(Entropy, SoftmaxFallsWithTheVariance) {
  for (const double scale : {0.02, 0.2}) {
    const Matrix w = Gaussian(200, 300, scale, 3);
    double mean = 0, square = 0;
    for (const float x : w.values()) mean += x / 6e4, square += x * static_cast<double>(x) / 6e4;
    const double expected = -std::log(0.01) - 100 * (1 + square - mean * mean) / 6e4;
    EXPECT_NEAR(*SoftmaxEntropy(w.const_view()), expected, 100.0 / 6e4 * 0.01);
  }
  EXPECT_GT(*SoftmaxEntropy(Gaussian(200, 300, 0.02, 3).const_view()),
            *SoftmaxEntropy(Gaussian(200, 300, 0.2, 3).const_view()) + 1e-6);
}

TEST(Entropy, HistogramOfUniformWeights) {
  Matrix w(256, 4);
  for (int64_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(i / 4);  // 0 0 0 0 1 1 1 1 ... 255
  EXPECT_NEAR(*HistogramEntropy(w.const_view()), 8, 1e-12);
  Matrix two(1, 4);
  two(0, 3) = 1;
  EXPECT_NEAR(*HistogramEntropy(two.const_view()), 0.75 * std::log2(4 / 3.0) + 0.25 * 2, 1e-12);
  // Of a normal distribution: log2(sigma sqrt(2 pi e) / bin), what bins lose left aside.
  const Matrix normal = Gaussian(500, 500, 0.05, 4);
  const auto [low, high] = std::minmax_element(normal.values().begin(), normal.values().end());
  const double bin = (static_cast<double>(*high) - *low) / 256;
  EXPECT_NEAR(*HistogramEntropy(normal.const_view()), std::log2(0.05 * std::sqrt(2 * M_PI * M_E) / bin), 0.01);
}

TEST(Entropy, SaysWhatIsWrong) {
  Matrix w(2, 2);
  w(1, 1) = NAN;
  for (const auto& h : {SoftmaxEntropy(w.const_view()), HistogramEntropy(w.const_view())}) {
    EXPECT_THAT(h.status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not finite")));
  }
  EXPECT_THAT(SoftmaxEntropy(Matrix(0, 3).const_view()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no weights")));
}

TEST(Entropy, Classes) {
  // Mean 3, deviation sqrt(2).
  EXPECT_THAT(ClassesByDeviation({5, 1, 2, 4, 3}, 1), ElementsAre(2, 0, 1, 2, 1));
  EXPECT_THAT(ClassesByDeviation({5, 1, 2, 4, 3}, 0.5), ElementsAre(2, 0, 0, 2, 1));
  EXPECT_THAT(ClassesByDeviation({2, 2}, 1), ElementsAre(0, 0));
  // 75th percentile 4; 3 - 0.65 sqrt(2) = 2.08.
  EXPECT_THAT(ClassesByPercentile({5, 1, 2, 4, 3}), ElementsAre(2, 0, 0, 2, 1));
  EXPECT_THAT(ClassesByPercentile({1, 2}), ElementsAre(0, 2));  // 1.75; 1.5 - 0.325 = 1.175
}

TEST(Ewq, BlocksAsPublished) {
  for (const std::string entropy : {"SOFTMAX", "HISTOGRAM"}) {
    const AllocatorRun run(SixteenExperts(), absl::StrCat("ewq { entropy: ", entropy, " }"));
    ASSERT_THAT(run.status, IsOk());
    std::vector<double> blocks;
    std::vector<int> bits;
    for (int l = 0; l < 4; ++l) {
      double sum = 0, weights = 0;
      for (const auto& [id, linear] : run.Layer(l).linears) {
        if (id.role == Role::kRouter) continue;
        const ConstMatrixView w = linear.weight.const_view();
        sum +=
            static_cast<double>(w.rows * w.cols) * (entropy == "SOFTMAX" ? *SoftmaxEntropy(w) : *HistogramEntropy(w));
        weights += static_cast<double>(w.rows * w.cols);
        EXPECT_EQ(run.Bits(id), run.Bits({l, Role::kQ})) << id.ToString();  // one width a block
      }
      blocks.push_back(sum / weights);
      bits.push_back(run.Bits({l, Role::kQ}));
    }
    const auto classes = entropy == "SOFTMAX" ? ClassesByDeviation(blocks, 1) : ClassesByPercentile(blocks);
    for (int l = 0; l < 4; ++l) EXPECT_EQ(bits[l], (std::vector<int>{4, 8, 16})[classes[l]]) << entropy << l;
  }
}

TEST(Ewq, ExpertsAsPublished) {
  const AllocatorRun run(SixteenExperts(), "ewq { unit: EXPERT bits: [2, 5, 8] }");
  ASSERT_THAT(run.status, IsOk());
  std::map<int, int> count;
  for (int l = 0; l < 4; ++l) {
    EXPECT_EQ(run.Bits({l, Role::kQ}), 4);
    for (int e = 0; e < 16; ++e) {
      EXPECT_EQ(run.Bits({l, Role::kUp, e}), run.Bits({l, Role::kDown, e}));
      ++count[run.Bits({l, Role::kUp, e})];
      // The fixture's weights differ by their size; the larger, the less entropy.
      if ((3 * e + l) % 8 == 7) {
        EXPECT_EQ(run.Bits({l, Role::kUp, e}), 2);
      }
      if ((3 * e + l) % 8 == 0) {
        EXPECT_EQ(run.Bits({l, Role::kUp, e}), 8);
      }
    }
  }
  EXPECT_EQ(count.size(), 3u);
}

TEST(Ewq, MeetsBudgetsInTheOrderOfEntropy) {
  for (const std::string options : {"", "unit: EXPERT", "entropy: HISTOGRAM", "entropy: HISTOGRAM unit: EXPERT"}) {
    for (const double budget : {2.6, 3.0, 3.5}) {
      const AllocatorRun run(SixteenExperts(), "ewq {" + options + "}", budget);
      ASSERT_THAT(run.status, IsOk()) << options;
      EXPECT_NEAR(run.StoredBits(), budget, 0.01) << options;
      for (int l = 0; l < 4; ++l) EXPECT_EQ(run.Bits({l, Role::kK}), 4);  // out of the scope
    }
  }
  const AllocatorRun all(SixteenExperts(), "ewq {}", 3.0, Budget::ALL);
  ASSERT_THAT(all.status, IsOk());
  EXPECT_NEAR(all.StoredBits(), 3.0, 0.01);
  // No expert of less entropy is wider than one of more by a width or more, but for the one where the budget ended.
  const AllocatorRun run(SixteenExperts(), "ewq { unit: EXPERT }", 3.0);
  std::vector<std::pair<double, int>> experts;
  for (int l = 0; l < 4; ++l) {
    const LayerParams params = run.Layer(l);
    for (int e = 0; e < 16; ++e) {
      double entropy = 0;
      for (const Role role : {Role::kGate, Role::kUp, Role::kDown}) {
        entropy += *SoftmaxEntropy(params.linears.at({l, role, e}).weight.const_view());
      }
      experts.emplace_back(entropy, run.Bits({l, Role::kGate, e}));
    }
  }
  std::sort(experts.begin(), experts.end());
  for (size_t i = 1; i < experts.size(); ++i) EXPECT_LE(experts[i - 1].second, experts[i].second);
  EXPECT_LT(experts.front().second, experts.back().second);
}

TEST(Ewq, SaysWhatIsWrong) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(AllocatorRun(TinyConfig(), "ewq { bits: [2, 4] }").status, invalid("ewq.bits is 2, 4; expected three"));
  EXPECT_THAT(AllocatorRun(TinyConfig(), "ewq { bits: [2, 4, 9] }").status, invalid("or 16"));
  EXPECT_THAT(AllocatorRun(TinyConfig(), "ewq { deviations: -1 }").status, invalid("deviations is -1"));
  EXPECT_THAT(AllocatorRun(TinyConfig(), "ewq {}", 2.0).status, invalid("the budget is 2"));
}

}  // namespace
}  // namespace eaq::ewq
