// QuantMoE-Bench's rules as published and under budgets.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/methods/quantmoe_bench/linear_score.h"
#include "eaq/recipe/allocation_testing.h"

namespace eaq::quantmoe_bench {
namespace {

using ::testing::HasSubstr;

TEST(LinearScore, IsTheLargestRatioOfMaximumToMean) {
  Matrix w(3, 2);
  const float values[] = {1, -4, -2, 1, 3, 1};  // columns 1 -2 3 and -4 1 1
  std::copy(values, values + 6, w.data());
  EXPECT_DOUBLE_EQ(*LinearScore(w.const_view()), 2.0);  // 3 / 2 and 4 / 2
  w(0, 1) = -10;
  EXPECT_DOUBLE_EQ(*LinearScore(w.const_view()), 2.5);
  Matrix zeros(3, 2);
  EXPECT_EQ(*LinearScore(zeros.const_view()), 0);
  zeros(1, 0) = 5;  // one weight of three: the number of rows
  EXPECT_EQ(*LinearScore(zeros.const_view()), 3);
  zeros(1, 0) = INFINITY;
  EXPECT_THAT(LinearScore(zeros.const_view()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("weight [1, 0] is inf")));
}

std::set<int> WideExperts(const AllocatorRun& run, int layer) {
  std::set<int> wide;
  for (int e = 0; e < run.config.num_experts; ++e) {
    const int bits = run.Bits({layer, Role::kGate, e});
    EXPECT_EQ(run.Bits({layer, Role::kUp, e}), bits);
    EXPECT_EQ(run.Bits({layer, Role::kDown, e}), bits);
    if (bits == 4) wide.insert(e);
    if (bits != 4) {
      EXPECT_EQ(bits, 2);
    }
  }
  return wide;
}

TEST(QuantMoeBench, FrequentExpertsOfEveryLayer) {
  const AllocatorRun run(SixteenExperts(), "quantmoe_bench { experts_per_layer: 5 }");
  ASSERT_THAT(run.status, IsOk());
  for (int l = 0; l < 4; ++l) {
    double tokens = 0;
    for (const double t : run.surveys[l]) tokens += t;
    EXPECT_EQ(tokens, 3 * 40 * 2);
    const std::set<int> wide = WideExperts(run, l);
    EXPECT_EQ(wide.size(), 5u);
    double least_wide = 1e9, most_narrow = 0;
    for (int e = 0; e < 16; ++e) {
      double& bound = wide.count(e) > 0 ? least_wide : most_narrow;
      bound = wide.count(e) > 0 ? std::min(bound, run.surveys[l][e]) : std::max(bound, run.surveys[l][e]);
    }
    EXPECT_GE(least_wide, most_narrow);
    EXPECT_EQ(run.Bits({l, Role::kQ}), 4);
  }
}

TEST(QuantMoeBench, RandomExpertsAndWholeLayers) {
  const std::string rule = "quantmoe_bench { rule: RANDOM experts_per_layer: 5 ";
  const AllocatorRun zero(SixteenExperts(), rule + "}"), one(SixteenExperts(), rule + "draw: 1 }"),
      ends(SixteenExperts(), rule + "first_layers: 1 last_layers: 1 }"),
      layers(SixteenExperts(), "quantmoe_bench { rule: LAYER first_layers: 2 last_layers: 1 }");
  ASSERT_THAT(zero.status, IsOk());
  EXPECT_NE(zero.plan, one.plan);
  for (int l = 0; l < 4; ++l) {
    EXPECT_EQ(WideExperts(zero, l).size(), 5u);
    EXPECT_EQ(WideExperts(one, l).size(), 5u);
    EXPECT_EQ(WideExperts(ends, l).size(), l == 0 || l == 3 ? 16u : 5u);
    EXPECT_EQ(WideExperts(layers, l).size(), l == 2 ? 0u : 16u);
  }
}

TEST(QuantMoeBench, LinearsThatStandOut) {
  const AllocatorRun run(SixteenExperts(), "quantmoe_bench { rule: LINEAR_SCORE share: 0.3 }");
  ASSERT_THAT(run.status, IsOk());
  int wide = 0;
  double least_wide = 1e9, most_narrow = 0;
  for (int l = 0; l < 4; ++l) {
    const LayerParams params = run.Layer(l);
    for (int e = 0; e < 16; ++e) {
      for (const Role role : {Role::kGate, Role::kUp, Role::kDown}) {
        const double score = *LinearScore(params.linears.at({l, role, e}).weight.const_view());
        if (run.Bits({l, role, e}) == 4) {
          ++wide;
          least_wide = std::min(least_wide, score);
        } else {
          most_narrow = std::max(most_narrow, score);
        }
      }
    }
  }
  EXPECT_EQ(wide, 57);  // floor(0.3 * 192)
  EXPECT_GE(least_wide, most_narrow);
}

TEST(QuantMoeBench, SharedExpertsAttentionAndDownsFirst) {
  ModelConfig config = SixteenExperts();
  config.shared_width = 32;
  config.shared_expert_gated = false;
  config.dense_layers = {0};
  config.dense_width = 80;
  const AllocatorRun run(config, "quantmoe_bench { rule: KIND bits: 3 bits: 5 }");
  ASSERT_THAT(run.status, IsOk());
  for (const auto& [id, grid] : run.plan) {
    const bool dense = id.layer == 0 && id.expert < 0 && id.role >= Role::kGate && id.role <= Role::kDown;
    const bool narrow = id.expert >= 0 && (id.role == Role::kGate || id.role == Role::kUp);
    EXPECT_EQ(grid.bits, dense ? 4 : narrow ? 3 : 5) << id.ToString();
  }
  // Under a budget of all linears: what comes first is wide first.
  const AllocatorRun tight(config, "quantmoe_bench { rule: KIND }", 2.75, Budget::ALL);
  ASSERT_THAT(tight.status, IsOk());
  EXPECT_EQ(tight.Bits({1, Role::kSharedUp}), 4);
  EXPECT_EQ(tight.Bits({0, Role::kK}), 4);
  EXPECT_EQ(tight.Bits({3, Role::kV}), 4);
  EXPECT_EQ(tight.Bits({3, Role::kUp, 15}), 2);
  EXPECT_NEAR(tight.StoredBits(), 2.75, 0.01);
}

TEST(QuantMoeBench, EveryRuleMeetsABudget) {
  for (const std::string rule : {"FREQUENCY", "LINEAR_SCORE", "LAYER", "KIND", "RANDOM"}) {
    for (const double budget : {2.6, 3.0, 3.5}) {
      const AllocatorRun run(SixteenExperts(), absl::StrCat("quantmoe_bench { rule: ", rule, " }"), budget);
      ASSERT_THAT(run.status, IsOk()) << rule;
      EXPECT_NEAR(run.StoredBits(), budget, 0.01) << rule;
    }
  }
  // In the order of the rule: of whole layers, at most one is neither wide nor narrow.
  const AllocatorRun run(SixteenExperts(), "quantmoe_bench { rule: LAYER }", 3.2);
  std::vector<size_t> wide;
  for (int l = 0; l < 4; ++l) {
    size_t count = 0;
    for (int e = 0; e < 16; ++e) count += run.Bits({l, Role::kDown, e}) == 4;
    wide.push_back(count);
  }
  EXPECT_TRUE(std::is_sorted(wide.rbegin(), wide.rend()));
  EXPECT_EQ(wide[0], 16u);
  EXPECT_EQ(wide[3], 0u);
}

TEST(QuantMoeBench, SaysWhatIsWrong) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  const auto status = [](const std::string& options, double budget = 0) {
    return AllocatorRun(TinyConfig(), "quantmoe_bench {" + options + "}", budget).status;
  };
  EXPECT_THAT(status("bits: 2 bits: 3 bits: 4"), invalid("bits is 2, 3, 4; expected two"));
  EXPECT_THAT(status("share: 1.5"), invalid("share is 1.5"));
  EXPECT_THAT(status("experts_per_layer: -1"), invalid("expected 0 or more"));
  EXPECT_THAT(status("rule: LAYER"), invalid("expected one of them above 0"));
  EXPECT_THAT(status("", 2.1), invalid("the budget is 2.1"));
}

}  // namespace
}  // namespace eaq::quantmoe_bench
