#include "eaq/recipe/allocation.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/packing.h"
#include "eaq/recipe/allocation_testing.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Scheme MakeScheme(int bits, double budget, Budget::Scope scope = Budget::EXPERTS) {
  Scheme scheme;
  scheme.set_name("test");
  scheme.mutable_weights()->set_bits(bits);
  scheme.mutable_weights()->set_granularity(Grid::GROUP);
  scheme.mutable_weights()->set_group_size(32);
  if (budget > 0) {
    scheme.mutable_budget()->set_stored_bits_per_weight(budget);
    scheme.mutable_budget()->set_scope(scope);
  }
  return scheme;
}

std::vector<std::vector<double>> RandomDamage(size_t units, const std::vector<int>& widths, uint64_t seed) {
  Rng rng(seed, "allocation_test");
  std::vector<std::vector<double>> damage(units);
  for (auto& d : damage) {
    const double score = std::exp(static_cast<double>(rng.Below(1000)) / 250);
    for (const int bits : widths) d.push_back(score * std::ldexp(1.0, -2 * bits));
  }
  return damage;
}

// The bytes of matrices that are really rounded and packed as PLAN says.
double PackedBitsPerWeight(const AllocationProblem& problem, const BitPlan& plan) {
  double bits = 0, weights = 0;
  Rng rng(1, "allocation_test/weights");
  for (const auto& [id, shape] : problem.linears) {
    if (!problem.InScope(id)) continue;
    Matrix w(shape.first, shape.second);
    for (int64_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(rng.Below(1000)) / 500 - 1;
    const auto packed = Pack(*QuantizeNearest(w.const_view(), plan.at(id)));
    EXPECT_THAT(packed.status(), IsOk());
    bits += 8.0 * static_cast<double>(packed->size().total_bytes());
    weights += static_cast<double>(w.size());
  }
  return bits / weights;
}

TEST(Allocation, PlansLieWithinAHundredthOfTheBudgetAndTheirAccountIsTheBytes) {
  const ModelConfig config = SixteenExperts();  // one linear is 1/192 of their weights
  const std::vector<int> widths = {2, 3, 4, 6, 8};
  for (const Budget::Scope scope : {Budget::EXPERTS, Budget::ALL}) {
    for (const double budget : {3.0, 3.25, 3.5, 4.1, 5.0}) {
      const auto problem = AllocationProblem::Create(config, MakeScheme(4, budget, scope));
      ASSERT_THAT(problem.status(), IsOk());
      const auto units = RoutedExperts(*problem);
      ASSERT_EQ(units.size(), 64u);
      const auto plan = PlanUnderBudget(*problem, units, widths, RandomDamage(units.size(), widths, 3));
      ASSERT_THAT(plan.status(), IsOk());
      EXPECT_EQ(plan->size(), problem->linears.size());
      const double stored = problem->StoredBitsPerWeight(*plan);
      EXPECT_LE(stored, budget + kBudgetSlack);
      EXPECT_GE(stored, budget - 0.01);
      EXPECT_NEAR(stored, PackedBitsPerWeight(*problem, *plan), 1e-9);
      for (const auto& [id, grid] : *plan) {
        EXPECT_EQ(grid.group_size, 32);
        if (id.expert < 0) {
          EXPECT_EQ(grid.bits, 4) << id.ToString();
        }
      }
    }
  }
}

// Units of any size, conditions kept although single linears are widened with what is left.
TEST(Allocation, ConditionsHoldForWholeUnits) {
  const ModelConfig config = SixteenExperts();
  const std::vector<int> widths = {2, 3, 4};
  const auto problem = AllocationProblem::Create(config, MakeScheme(4, 3.2));
  ASSERT_THAT(problem.status(), IsOk());
  const auto units = RoutedExperts(*problem);
  auto damage = RandomDamage(units.size(), widths, 3);
  for (size_t i = 0; i < 16; ++i) damage[i] = {1e-3, 5e-4, 1e-5};  // a layer that asks for little
  const auto conditions = TwoWidestInEveryLayer(units, 3);
  ASSERT_EQ(conditions.size(), 8u);
  for (const bool keep : {false, true}) {
    const auto plan = keep ? PlanUnderBudget(*problem, units, widths, damage, conditions)
                           : PlanUnderBudget(*problem, units, widths, damage);
    ASSERT_THAT(plan.status(), IsOk());
    EXPECT_LE(problem->StoredBitsPerWeight(*plan), 3.2 + kBudgetSlack);
    EXPECT_GE(problem->StoredBitsPerWeight(*plan), 3.2 - 0.01);
    int at[4][9] = {};  // [layer][bits] whole experts
    for (const AllocationUnit& unit : units) {
      const int bits = plan->at(unit.linears[0]).bits;
      bool whole = true;
      for (const LinearId& id : unit.linears) whole = whole && plan->at(id).bits == bits;
      if (whole) ++at[unit.layer][bits];
    }
    for (int l = 0; l < 4 && keep; ++l) {
      EXPECT_GE(at[l][3], 1) << l;
      EXPECT_GE(at[l][4], 1) << l;
    }
    if (!keep) {
      EXPECT_EQ(at[0][4], 0);
    }
  }
  EXPECT_THAT(PlanUnderBudget(*problem, units, widths, damage, {CountOf("all wide", 0, 64, 2, 64)}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("keeps all wide (at least 64)")));
}

TEST(Allocation, SomeUnitsStayWhole) {
  const ModelConfig config = SixteenExperts();
  const std::vector<int> widths = {2, 4};
  for (const bool divisible : {true, false}) {
    int broken = 0;
    for (const double budget : {3.2, 3.21, 3.22, 3.23}) {
      const auto problem = AllocationProblem::Create(config, MakeScheme(4, budget));
      ASSERT_THAT(problem.status(), IsOk());
      auto units = RoutedExperts(*problem);
      for (AllocationUnit& unit : units) unit.divisible = divisible;
      const auto plan = PlanUnderBudget(*problem, units, widths, RandomDamage(units.size(), widths, 3));
      ASSERT_THAT(plan.status(), IsOk());
      for (const AllocationUnit& unit : units) {
        for (const LinearId& id : unit.linears) broken += plan->at(id).bits != plan->at(unit.linears[0]).bits;
      }
    }
    EXPECT_EQ(broken > 0, divisible);
  }
}

// Linear by linear in the order that was given, one width after the other.
TEST(Allocation, ByRank) {
  const ModelConfig config = SixteenExperts();
  const std::vector<int> widths = {2, 3, 4};
  for (const double budget : {2.9, 3.3, 4.1, 4.5}) {
    const auto problem = AllocationProblem::Create(config, MakeScheme(4, budget));
    ASSERT_THAT(problem.status(), IsOk());
    auto ranked = EachLinear(RoutedExperts(*problem));
    ASSERT_EQ(ranked.size(), 192u);
    std::reverse(ranked.begin(), ranked.end());
    const auto plan = PlanByRank(*problem, ranked, widths);
    ASSERT_THAT(plan.status(), IsOk());
    EXPECT_LE(problem->StoredBitsPerWeight(*plan), budget + kBudgetSlack);
    EXPECT_GE(problem->StoredBitsPerWeight(*plan), budget - 0.01);
    int rises = 0;  // where the budget ends, a cheaper linear may fit after one that did not
    for (size_t i = 1; i < ranked.size(); ++i) {
      rises += plan->at(ranked[i - 1].linears[0]).bits < plan->at(ranked[i].linears[0]).bits;
    }
    EXPECT_LE(rises, 1);
    const int first = plan->at(ranked.front().linears[0]).bits, last = plan->at(ranked.back().linears[0]).bits;
    EXPECT_LE(first - last, 1);
    EXPECT_EQ(plan->at({0, Role::kQ}).bits, 4);
  }
  const auto tight = AllocationProblem::Create(config, MakeScheme(4, 2.1));
  EXPECT_THAT(PlanByRank(*tight, RoutedExperts(*tight), widths).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the budget is 2.1 stored bits")));
}

TEST(Allocation, OnlyOneWidthAllowedIsUniform) {
  const ModelConfig config = SixteenExperts();
  const auto problem = AllocationProblem::Create(config, MakeScheme(4, 4.75));
  ASSERT_THAT(problem.status(), IsOk());
  const auto units = RoutedExperts(*problem);
  const auto plan = PlanUnderBudget(*problem, units, {4}, RandomDamage(units.size(), {4}, 1));
  ASSERT_THAT(plan.status(), IsOk());
  EXPECT_EQ(*plan, PlanOf(*problem, {}, {}));
}

// More budget never does more damage, and the units that gain most are wide.
TEST(Allocation, SpendsWhereItHelps) {
  const ModelConfig config = SixteenExperts();
  const std::vector<int> widths = {2, 3, 4};
  const auto problem = AllocationProblem::Create(config, MakeScheme(4, 3.5));
  ASSERT_THAT(problem.status(), IsOk());
  const auto units = RoutedExperts(*problem);
  std::vector<std::vector<double>> damage(units.size(), {1.0, 0.3, 0.1});
  for (size_t i = 0; i < 10; ++i) damage[i * 6] = {1000.0, 300.0, 100.0};
  const auto plan = PlanUnderBudget(*problem, units, widths, damage);
  ASSERT_THAT(plan.status(), IsOk());
  for (size_t i = 0; i < 10; ++i) {
    for (const LinearId& id : units[i * 6].linears) EXPECT_EQ(plan->at(id).bits, 4);
  }
}

TEST(Allocation, UnitsRunsAndLayers) {
  ModelConfig config = SixteenExperts();
  config.dense_layers = {0};
  config.dense_width = 80;
  const auto problem = AllocationProblem::Create(config, MakeScheme(4, 0));
  ASSERT_THAT(problem.status(), IsOk());
  const auto units = RoutedExperts(*problem);
  ASSERT_EQ(units.size(), 48u);
  EXPECT_EQ(units[0].layer, 1);
  EXPECT_EQ(units[17].expert, 1);
  EXPECT_THAT(units[0].linears,
              ElementsAre(LinearId{1, Role::kGate, 0}, LinearId{1, Role::kUp, 0}, LinearId{1, Role::kDown, 0}));
  EXPECT_THAT(LayerRuns(units), ElementsAre(std::pair<size_t, size_t>(0, 16), std::pair<size_t, size_t>(16, 32),
                                            std::pair<size_t, size_t>(32, 48)));
  EXPECT_EQ(problem->OfLayer(0).linears.size(), 7u);   // q k v o, gate up down
  EXPECT_EQ(problem->OfLayer(1).linears.size(), 52u);  // 16 experts
  std::vector<int> bits(units.size(), 2);
  const BitPlan plan = PlanOf(*problem, units, bits);
  EXPECT_EQ(plan.at({2, Role::kDown, 5}).bits, 2);
  EXPECT_EQ(plan.at({2, Role::kQ}).bits, 4);
  EXPECT_EQ(plan.at({0, Role::kDown}).bits, 4);
}

TEST(Allocation, SaysWhatIsWrong) {
  const ModelConfig config = SixteenExperts();
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(AllocationProblem::Create(config, MakeScheme(4, 17)).status(), invalid("stored_bits_per_weight is 17"));
  EXPECT_THAT(AllocationProblem::Create(config, MakeScheme(16, 3)).status(), invalid("its weights keep 16 bits"));
  ModelConfig dense = config;
  dense.dense_layers = {0, 1, 2, 3};
  dense.dense_width = 80;
  EXPECT_THAT(AllocationProblem::Create(dense, MakeScheme(4, 3)).status(), invalid("has the model routed experts?"));

  const auto problem = AllocationProblem::Create(config, MakeScheme(4, 2.1));
  ASSERT_THAT(problem.status(), IsOk());
  const auto units = RoutedExperts(*problem);
  EXPECT_THAT(
      PlanUnderBudget(*problem, units, {2, 3}, RandomDamage(units.size(), {2, 3}, 1)).status(),
      invalid("the budget is 2.1 stored bits per weight; with widths 2, 3 and their scales the least is 2.625"));
  EXPECT_THAT(PlanUnderBudget(*problem, units, {2, 3}, RandomDamage(units.size(), {2}, 1)).status(),
              invalid("damage for 1 widths; expected 2"));

  google::protobuf::RepeatedField<int32_t> field;
  EXPECT_THAT(*WidthsFromProto("x.bits", field, {2, 4}), ElementsAre(2, 4));
  field.Add(8);
  field.Add(3);
  EXPECT_THAT(*WidthsFromProto("x.bits", field, {2, 4}), ElementsAre(3, 8));
  field.Add(3);
  EXPECT_THAT(WidthsFromProto("x.bits", field, {}).status(), invalid("x.bits is 3, 3, 8"));
}

}  // namespace
}  // namespace eaq
