// MxMoE's sensitivities by their definition, its program against trying every assignment, budgets.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/layer.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/recipe/allocation_testing.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

constexpr Role kParts[] = {Role::kGate, Role::kUp, Role::kDown};
constexpr int kWidths[] = {2, 3, 4};

// One linear rounded in the layer itself, the layer run anew.
TEST(MxMoe, SensitivityIsTheNormOfTheOutputsChange) {
  const AllocatorRun run(TinyConfig(), "mxmoe { average_bits: 4 }");
  ASSERT_THAT(run.status, IsOk());
  int seen = 0;
  for (int l = 0; l < 2; ++l) {
    const LayerParams params = run.Layer(l);
    const auto layer = *BuildLayer(run.config, params);
    ASSERT_EQ(run.surveys[l].size(), 8u * 9);
    for (const int e : {1, 6}) {
      for (int p = 0; p < 3; ++p) {
        for (int b = 0; b < 3; ++b) {
          LayerParams edited = params;
          GridSpec grid = run.scheme.weights;
          grid.bits = kWidths[b];
          Matrix& w = edited.linears.at({l, kParts[p], e}).weight;
          w = Dequantize(*QuantizeNearest(w.const_view(), grid));
          const auto rounded = *BuildLayer(run.config, edited);
          double square = 0;
          for (const Matrix& h : run.hidden[l]) {
            Matrix a = h, q = h;
            layer->Forward(a.view());
            rounded->Forward(q.view());
            for (int64_t i = 0; i < a.size(); ++i)
              square += std::pow(static_cast<double>(a.data()[i]) - q.data()[i], 2);
          }
          EXPECT_NEAR(run.surveys[l][9 * e + 3 * p + b], std::sqrt(square), 1e-3 * std::sqrt(square)) << l << e << p;
          seen += square > 0;
        }
      }
    }
  }
  EXPECT_GT(seen, 20);
}

// Published: per layer the least sum of sensitivities within average_bits of stored bits; gate and up alike.
TEST(MxMoe, FindsTheBestOfAllAssignments) {
  Rng rng(6, "mxmoe_test");
  ModelConfig config = TinyConfig();
  config.num_experts = 2;
  for (int round = 0; round < 20; ++round) {
    const double average = 3.3 + static_cast<double>(rng.Below(120)) / 100;
    for (const std::string unit : {"LINEAR_BLOCK", "LINEAR", "EXPERT"}) {
      const AllocatorRun run(config, absl::StrCat("mxmoe { average_bits: ", average, " unit: ", unit, " }"));
      ASSERT_THAT(run.status, IsOk()) << average;
      std::vector<std::vector<double>> surveys(2);
      for (auto& survey : surveys) {
        for (int i = 0; i < 6; ++i) {
          const double size = std::exp(static_cast<double>(rng.Below(400)) / 100);
          for (const double factor : {4.0, 2.0, 1.0}) survey.push_back(size * factor);
        }
      }
      const auto plan = run.stage->Allocate(run.problem, surveys);
      ASSERT_THAT(plan.status(), IsOk());
      for (int l = 0; l < 2; ++l) {
        double weights = 0, least = 1e300;
        for (int i = 0; i < 6; ++i) {
          const auto& [out, in] = run.problem.linears.at({l, kParts[i % 3], i / 3});
          weights += static_cast<double>(out * in);
        }
        const auto cost_and_damage = [&](const std::vector<int>& c) {
          std::pair<double, double> sum;
          for (int i = 0; i < 6; ++i) {
            sum.first += static_cast<double>(run.problem.StoredBits({l, kParts[i % 3], i / 3}, kWidths[c[i]]));
            sum.second += surveys[l][3 * i + c[i]];
          }
          return sum;
        };
        std::vector<int> choice(6, 0);
        while (true) {
          bool allowed = true;
          for (int e = 0; e < 2; ++e) {
            const int gate = choice[3 * e], up = choice[3 * e + 1], down = choice[3 * e + 2];
            if (unit != "LINEAR") allowed = allowed && gate == up;
            if (unit == "EXPERT") allowed = allowed && gate == down;
          }
          const auto [cost, damage] = cost_and_damage(choice);
          if (allowed && cost <= average * weights) least = std::min(least, damage);
          int i = 0;
          while (i < 6 && ++choice[i] == 3) choice[i++] = 0;
          if (i == 6) break;
        }
        std::vector<int> found;
        for (int i = 0; i < 6; ++i) found.push_back(plan->at({l, kParts[i % 3], i / 3}).bits - 2);
        const auto [cost, damage] = cost_and_damage(found);
        EXPECT_LE(cost, average * weights) << unit;
        EXPECT_NEAR(damage, least, 1e-12 * least) << unit;
        for (int e = 0; e < 2 && unit != "LINEAR"; ++e) EXPECT_EQ(found[3 * e], found[3 * e + 1]);
      }
    }
  }
}

TEST(MxMoe, MeetsBudgetsAndKeepsGateAndUpTogether) {
  for (const std::string unit : {"LINEAR_BLOCK", "LINEAR", "EXPERT"}) {
    for (const std::string scope : {"LAYER", "MODEL"}) {
      for (const double budget : {2.6, 3.0, 3.5}) {
        const AllocatorRun run(SixteenExperts(), absl::StrCat("mxmoe { unit: ", unit, " scope: ", scope, " }"), budget);
        ASSERT_THAT(run.status, IsOk()) << unit << scope << budget;
        EXPECT_LE(run.StoredBits(), budget + kBudgetSlack) << unit << scope;
        EXPECT_GE(run.StoredBits(), budget - 0.01) << unit << scope;
        int apart = 0, down_differs = 0;
        for (int l = 0; l < 4; ++l) {
          EXPECT_EQ(run.Bits({l, Role::kO}), 4);
          for (int e = 0; e < 16; ++e) {
            apart += run.Bits({l, Role::kGate, e}) != run.Bits({l, Role::kUp, e});
            down_differs += run.Bits({l, Role::kGate, e}) != run.Bits({l, Role::kDown, e});
          }
        }
        if (unit == "LINEAR_BLOCK") {
          EXPECT_EQ(apart, 0);
        }
        if (unit != "EXPERT") {
          EXPECT_GT(down_differs, 0) << unit << scope << budget;
        }
        if (unit == "EXPERT") {
          EXPECT_LE(down_differs, 4);  // what was left, one expert a layer
        }
      }
    }
  }
}

// Where the downs are as wide as can be, what is left of a budget would widen a gate alone.
TEST(MxMoe, WhatIsLeftDoesNotPartGateAndUp) {
  for (const std::string unit : {"LINEAR_BLOCK", "LINEAR"}) {
    int apart = 0;
    for (const double budget : {3.3, 3.305, 3.31, 3.315}) {
      const AllocatorRun run(SixteenExperts(), absl::StrCat("mxmoe { scope: MODEL unit: ", unit, " }"), budget);
      ASSERT_THAT(run.status, IsOk());
      auto surveys = run.surveys;
      for (auto& survey : surveys) {
        for (size_t i = 0; i < survey.size(); ++i) {
          if (i % 9 >= 6) survey[i] = 1e6 * std::ldexp(1.0, -static_cast<int>(i % 3));
        }
      }
      const auto plan = run.stage->Allocate(run.problem, surveys);
      ASSERT_THAT(plan.status(), IsOk());
      EXPECT_NEAR(run.problem.StoredBitsPerWeight(*plan), budget, 0.01);
      for (int l = 0; l < 4; ++l) {
        for (int e = 0; e < 16; ++e) {
          EXPECT_EQ(plan->at({l, Role::kDown, e}).bits, 4);
          apart += plan->at({l, Role::kGate, e}).bits != plan->at({l, Role::kUp, e}).bits;
        }
      }
    }
    EXPECT_EQ(apart > 0, unit == "LINEAR");
  }
}

TEST(MxMoe, TheSameForAnyThreads) {
  const AllocatorRun one(TinyConfig(), "mxmoe { average_bits: 4 }", 0, Budget::EXPERTS, 1),
      three(TinyConfig(), "mxmoe { average_bits: 4 }", 0, Budget::EXPERTS, 3);
  ASSERT_THAT(one.status, IsOk());
  EXPECT_EQ(one.surveys, three.surveys);
  EXPECT_EQ(one.plan, three.plan);
}

TEST(MxMoe, SaysWhatIsWrong) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(AllocatorRun(TinyConfig(), "mxmoe { bits: 9 }").status, invalid("mxmoe.bits is 9"));
  EXPECT_THAT(AllocatorRun(TinyConfig(), "mxmoe { average_bits: 0 }").status, invalid("average_bits is 0"));
  EXPECT_THAT(AllocatorRun(TinyConfig(), "mxmoe { average_bits: 2 }").status,
              invalid("layer 0: mxmoe.average_bits 2: the budget is"));
}

}  // namespace
}  // namespace eaq
