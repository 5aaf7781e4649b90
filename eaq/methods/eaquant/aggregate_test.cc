#include "eaq/methods/eaquant/aggregate.h"

#include <algorithm>
#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"

namespace eaq::eaquant {
namespace {

using ::testing::HasSubstr;
using Operator = EaquantSmoothing;

constexpr Operator::Aggregation kAll[] = {Operator::MAX,    Operator::SUM1,   Operator::SUM2_0, Operator::SUM2_1,
                                          Operator::SUM2_2, Operator::SUM2_3, Operator::SUM3,   Operator::ALL};

// Three experts by hand; the third saw no token.
std::vector<ExpertEvidence> ThreeExperts() {
  std::vector<ExpertEvidence> experts(3);
  experts[0] = {.scales = {1, 4}, .tokens = 30, .column_unevenness = 4, .mean_probability = 0.2};
  experts[1] = {.scales = {3, 2}, .tokens = 10, .column_unevenness = 9, .mean_probability = 0.6};
  experts[2] = {.scales = {}, .tokens = 0, .column_unevenness = 100, .mean_probability = 0.2};
  return experts;
}

TEST(EaquantAggregate, EveryOperatorByHand) {
  const auto experts = ThreeExperts();
  const auto expect = [&](Operator::Aggregation aggregation, double second_weight) {
    EAQ_ASSERT_OK_AND_ASSIGN(const auto weights, AggregationWeights(aggregation, experts));
    EXPECT_NEAR(weights[1], second_weight, 1e-12) << Operator::Aggregation_Name(aggregation);
    EXPECT_NEAR(weights[0], 1 - second_weight, 1e-12);
    EXPECT_EQ(weights[2], 0);
    EAQ_ASSERT_OK_AND_ASSIGN(const auto s, Aggregate(aggregation, experts));
    EXPECT_NEAR(s[0], 1 + 2 * second_weight, 1e-6);
    EXPECT_NEAR(s[1], 4 - 2 * second_weight, 1e-6);
  };
  expect(Operator::SUM1, 0.25);
  expect(Operator::SUM2_0, std::exp(3.0) / (std::exp(2.0) + std::exp(3.0)));
  expect(Operator::SUM2_1, 1 / (1 + std::exp(-5.0)));
  expect(Operator::SUM2_2, 0.6);
  expect(Operator::SUM2_3, 9.0 / 13);
  expect(Operator::SUM3, 0.75);
  EXPECT_EQ(*Aggregate(Operator::MAX, experts), (std::vector<float>{3, 4}));
}

TEST(EaquantAggregate, NaiveTwinOnRandomExperts) {
  Rng rng(2, "aggregate");
  std::vector<ExpertEvidence> experts(6);
  for (auto& expert : experts) {
    for (int j = 0; j < 5; ++j) expert.scales.push_back(static_cast<float>(rng.Uniform()));
    expert.tokens = 1 + rng.Below(50);
    expert.column_unevenness = 1 + 10 * rng.Uniform();
    expert.mean_probability = rng.Uniform();
  }
  experts[4].tokens = 0;
  const auto twin = [&](auto weight) {
    std::vector<double> s(5, 0.0);
    double sum = 0;
    for (const auto& expert : experts) sum += expert.tokens > 0 ? weight(expert) : 0;
    for (const auto& expert : experts) {
      for (int j = 0; j < 5 && expert.tokens > 0; ++j) s[j] += weight(expert) / sum * expert.scales[j];
    }
    return s;
  };
  std::vector<double> all(5, 0.0);
  const auto compare = [&](Operator::Aggregation aggregation, const std::vector<double>& expected, bool in_all) {
    EAQ_ASSERT_OK_AND_ASSIGN(const auto s, Aggregate(aggregation, experts));
    for (int j = 0; j < 5; ++j) {
      EXPECT_NEAR(s[j], expected[j], 1e-6) << Operator::Aggregation_Name(aggregation);
      if (in_all) all[j] = std::max(all[j], expected[j]);
    }
  };
  std::vector<double> largest(5, 0.0);
  for (const auto& expert : experts)
    for (int j = 0; j < 5 && expert.tokens > 0; ++j) largest[j] = std::max<double>(largest[j], expert.scales[j]);
  compare(Operator::MAX, largest, true);
  compare(Operator::SUM1, twin([](const auto& e) { return static_cast<double>(e.tokens); }), true);
  compare(Operator::SUM2_0, twin([](const auto& e) { return std::exp(std::sqrt(e.column_unevenness)); }), true);
  compare(Operator::SUM2_1, twin([](const auto& e) { return std::exp(e.column_unevenness); }), false);
  compare(Operator::SUM2_2, twin([](const auto& e) { return std::sqrt(e.column_unevenness); }), false);
  compare(Operator::SUM2_3, twin([](const auto& e) { return e.column_unevenness; }), false);
  compare(Operator::SUM3, twin([](const auto& e) { return e.mean_probability; }), true);
  compare(Operator::ALL, all, false);
}

TEST(EaquantAggregate, NoExpertHasTokens) {
  std::vector<ExpertEvidence> experts(2);
  for (const auto aggregation : kAll) {
    EXPECT_THAT(Aggregate(aggregation, experts).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("none of which saw a token")));
  }
  EXPECT_THAT(AggregationWeights(Operator::MAX, ThreeExperts()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("MAX has no weights")));
}

TEST(EaquantAggregate, HugeUnevennessStaysFinite) {
  auto experts = ThreeExperts();
  experts[1].column_unevenness = 5000;  // exp(5000) is not a number one can hold
  EAQ_ASSERT_OK_AND_ASSIGN(const auto s, Aggregate(Operator::SUM2_1, experts));
  EXPECT_EQ(s, (std::vector<float>{3, 2}));
  experts[0].column_unevenness = experts[1].column_unevenness = 0;
  EAQ_ASSERT_OK_AND_ASSIGN(const auto equal, Aggregate(Operator::SUM2_3, experts));
  EXPECT_EQ(equal, (std::vector<float>{2, 3}));
}

TEST(EaquantAggregate, ColumnUnevenness) {
  Matrix w(3, 2);
  w(0, 0) = 1;
  w(1, 0) = -1;
  w(2, 0) = 1;
  w(1, 1) = -7;
  EXPECT_DOUBLE_EQ(ColumnUnevenness(w), 3);  // the second column: 7 over a mean of 7/3
  EXPECT_EQ(ColumnUnevenness(Matrix(2, 2)), 0);
}

}  // namespace
}  // namespace eaq::eaquant
