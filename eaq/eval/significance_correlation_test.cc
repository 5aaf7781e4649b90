#include "eaq/eval/significance_correlation.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace eaq {
namespace {

void Add(const std::string& name, const std::string& domain, int layer, const std::vector<double>& values,
         TrialResult& to) {
  TrialResult::ExpertTable& table = *to.add_expert_table();
  table.set_name(name);
  table.set_domain(domain);
  table.set_layer(layer);
  for (const double v : values) table.add_value(v);
}

TEST(SignificanceCorrelation, IsSpearmansOfEveryPairAndLayer) {
  TrialResult result;
  Add("significance", "prose", 1, {0.1, 0.2, 0.3, 0.4}, result);
  Add("tokens", "prose", 1, {1, 2, 3, 4}, result);
  Add("significance", "code", 1, {0.4, 0.3, 0.2, 0.1}, result);
  Add("significance", "verse", 1, {0.1, 0.3, 0.2, 0.4}, result);
  Add("significance", "prose", 3, {0.1, 0.2, 0.3, 0.4}, result);
  Add("significance", "code", 3, {0.25, 0.25, 0.25, 0.25}, result);  // constant: no order
  AddSignificanceCorrelations(result);
  ASSERT_EQ(result.metric_size(), 3);
  const char* const pairs[] = {"prose | code", "prose | verse", "code | verse"};
  // 1 - 6 sum d^2 / (n (n^2 - 1)) with d^2 = 20, 2, 18 of n = 4.
  const double expected[] = {-1, 0.8, -0.8};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(result.metric(i).name(), "significance_rank_correlation");
    EXPECT_EQ(result.metric(i).domain(), pairs[i]);
    EXPECT_EQ(result.metric(i).layer(), 1);
    EXPECT_NEAR(result.metric(i).value(), expected[i], 1e-12) << i;
  }
}

}  // namespace
}  // namespace eaq
