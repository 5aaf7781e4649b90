// The integer program against trying every combination and against the knapsack's dynamic programming.
#include "eaq/quant/choice_program.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"

namespace eaq {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Costs rise and damages fall by different steps for every item.
std::vector<KnapsackItem> RandomItems(int count, int choices, int64_t unit, Rng& rng) {
  std::vector<KnapsackItem> items(count);
  for (KnapsackItem& item : items) {
    int64_t cost = unit * static_cast<int64_t>(rng.Below(5));
    double damage = std::exp(static_cast<double>(rng.Below(1000)) / 100);
    for (int c = 0; c < choices; ++c) {
      item.cost.push_back(cost);
      item.damage.push_back(damage);
      cost += unit * static_cast<int64_t>(1 + rng.Below(4));
      damage *= static_cast<double>(1 + rng.Below(900)) / 1000;
    }
  }
  return items;
}

// Some counts, a cost of the first half, and sums of arbitrary factors.
std::vector<ChoiceCondition> RandomConditions(const std::vector<KnapsackItem>& items, int choices, Rng& rng) {
  const int64_t n = items.size();
  std::vector<ChoiceCondition> conditions;
  if (rng.Below(2) == 0) conditions.push_back(CountOf("widest", 0, n, choices - 1, 1));
  if (rng.Below(2) == 0) conditions.push_back(CountOf("few", 0, n, choices / 2, 0, 1));
  if (rng.Below(2) == 0) {
    int64_t most = 0;
    for (int64_t i = 0; i < n / 2; ++i) most += items[i].cost[rng.Below(choices)];
    conditions.push_back(CostOf("half", items, 0, n / 2, most));
  }
  if (rng.Below(2) == 0) {
    ChoiceCondition sum{"sum", {}, -0.5, 2.25};
    for (int k = 0; k < 2 * n; ++k) {  // the same choice may be named twice: the factors add up
      sum.terms.push_back({static_cast<int64_t>(rng.Below(n)), static_cast<int>(rng.Below(choices)),
                           static_cast<double>(rng.Below(9)) / 4 - 1});
    }
    conditions.push_back(sum);
  }
  return conditions;
}

std::optional<double> BruteForce(const std::vector<KnapsackItem>& items, int64_t capacity,
                                 const std::vector<ChoiceCondition>& conditions) {
  std::optional<double> least;
  std::vector<int> choice(items.size(), 0);
  while (true) {
    double damage = 0;
    int64_t cost = 0;
    for (size_t i = 0; i < items.size(); ++i) damage += items[i].damage[choice[i]], cost += items[i].cost[choice[i]];
    bool keeps = cost <= capacity;
    for (const ChoiceCondition& c : conditions) {
      double sum = 0;
      for (const auto& term : c.terms) sum += choice[term.item] == term.choice ? term.factor : 0;
      keeps = keeps && sum >= c.least - 1e-9 && sum <= c.most + 1e-9;
    }
    if (keeps && (!least || damage < *least)) least = damage;
    size_t i = 0;
    while (i < items.size() && ++choice[i] == static_cast<int>(items[i].cost.size())) choice[i++] = 0;
    if (i == items.size()) return least;
  }
}

double BaseDamage(const std::vector<KnapsackItem>& items) {
  double base = 0;
  for (const KnapsackItem& item : items) base += *std::min_element(item.damage.begin(), item.damage.end());
  return base;
}

TEST(ChoiceProgram, FindsWhatTryingAllCombinationsFinds) {
  Rng rng(3, "choice_program_test");
  int solved = 0, impossible = 0, bound = 0;
  for (int round = 0; round < 300; ++round) {
    const int choices = 2 + round % 3;
    const auto items = RandomItems(2 + round % 6, choices, round % 2 == 0 ? 1 : 6291456, rng);
    int64_t capacity = 0;
    for (const KnapsackItem& item : items) capacity += item.cost[rng.Below(choices)];
    const auto conditions = RandomConditions(items, choices, rng);
    const auto expected = BruteForce(items, capacity, conditions);
    for (const auto& solution :
         {SolveChoiceProgram(items, capacity, conditions), SolveChoiceProgramByGlpk(items, capacity, conditions)}) {
      if (!expected) {
        EXPECT_THAT(solution.status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no choice of")));
        ++impossible;
        continue;
      }
      ASSERT_THAT(solution.status(), IsOk()) << round;
      const double above = *expected - BaseDamage(items);
      EXPECT_NEAR(solution->damage, *expected, 1e-6 * above + 1e-12 * *expected) << round;
      EXPECT_LE(solution->cost, capacity);
      ++solved;
      bound += SolveKnapsack(items, capacity)->damage < solution->damage;
    }
  }
  EXPECT_GT(solved, 300);
  EXPECT_GT(impossible, 20);
  EXPECT_GT(bound, 50);  // conditions that were in the way
}

// 16 layers of 64 experts, four widths.
constexpr int kLayers = 16, kExperts = 64;
std::vector<KnapsackItem> Model() {
  Rng rng(5, "choice_program_test/model");
  std::vector<KnapsackItem> items(kLayers * kExperts);
  for (KnapsackItem& item : items) {
    const double score = std::exp(static_cast<double>(rng.Below(1000)) / 200);
    for (const int bits : {2, 3, 4, 6}) {
      item.cost.push_back(int64_t{6291456} * bits + 49152);
      item.damage.push_back(score * std::ldexp(1 + static_cast<double>(rng.Below(1000)) / 3000, -2 * bits));
    }
  }
  return items;
}
constexpr int64_t kCapacity = (int64_t{6291456} * 3 + 49152) * kLayers * kExperts;

TEST(ChoiceProgram, AgreesWithTheKnapsackOnAModel) {
  const auto items = Model();
  const auto exact = SolveKnapsackExactly(items, kCapacity);
  const auto glpk = SolveChoiceProgramByGlpk(items, kCapacity, {});
  ASSERT_THAT(exact.status(), IsOk());
  ASSERT_THAT(glpk.status(), IsOk());
  EXPECT_GE(glpk->damage, exact->damage * (1 - 1e-12));
  EXPECT_LE(glpk->damage, exact->damage * (1 + 1e-6));
  const auto either = SolveChoiceProgram(items, kCapacity, {});
  ASSERT_THAT(either.status(), IsOk());
  EXPECT_EQ(either->choice, exact->choice);  // no condition: the dynamic programming answers
}

// With a budget for every layer the layers are knapsacks of their own.
TEST(ChoiceProgram, BudgetsOfLayersOnAModel) {
  const auto items = Model();
  std::vector<ChoiceCondition> budgets;
  double expected = 0;
  for (int l = 0; l < kLayers; ++l) {
    const int64_t begin = int64_t{l} * kExperts, most = kCapacity / kLayers + (l % 5 - 2) * int64_t{6291456};
    budgets.push_back(CostOf(absl::StrCat("layer ", l), items, begin, begin + kExperts, most));
    const std::vector<KnapsackItem> layer(items.begin() + begin, items.begin() + begin + kExperts);
    expected += SolveKnapsackExactly(layer, most)->damage;
  }
  const auto s = SolveChoiceProgram(items, 2 * kCapacity, budgets);
  ASSERT_THAT(s.status(), IsOk());
  EXPECT_NEAR(s->damage, expected, 1e-6 * expected);
}

// The conditions of MC and GEMQ: in every layer an expert at the widest and one at the second widest width.
TEST(ChoiceProgram, WidestInEveryLayerOnAModel) {
  auto items = Model();
  for (int i = 0; i < kExperts; ++i) {  // a layer whose experts ask for nothing
    for (double& d : items[i].damage) d *= 1e-4;
  }
  std::vector<ChoiceCondition> conditions;
  for (int l = 0; l < kLayers; ++l) {
    for (const int choice : {2, 3}) {
      conditions.push_back(CountOf(absl::StrCat("layer ", l), l * kExperts, (l + 1) * kExperts, choice, 1));
    }
  }
  const auto free = SolveKnapsackExactly(items, kCapacity);
  const auto s = SolveChoiceProgram(items, kCapacity, conditions);
  ASSERT_THAT(s.status(), IsOk());
  EXPECT_GT(s->damage, free->damage);
  EXPECT_LT(s->damage, free->damage * 1.01);
  EXPECT_EQ(std::count(free->choice.begin(), free->choice.begin() + kExperts, 3), 0);
  EXPECT_EQ(std::count(s->choice.begin(), s->choice.begin() + kExperts, 3), 1);
  EXPECT_EQ(std::count(s->choice.begin(), s->choice.begin() + kExperts, 2), 1);
  // The same on another thread, with GLPK's memory of its own.
  std::vector<int> again;
  std::thread([&] { again = SolveChoiceProgram(items, kCapacity, conditions)->choice; }).join();
  EXPECT_EQ(again, s->choice);
}

TEST(ChoiceProgram, DamagesOfAnySize) {
  for (const double size : {1e-200, 1e-9, 1.0, 1e9, 1e200}) {
    std::vector<KnapsackItem> items = {{{2, 3, 4}, {9, 3, 1}}, {{2, 3, 4}, {8, 2.5, 1}}, {{2, 3, 4}, {7, 2, 1}}};
    for (KnapsackItem& item : items) {
      for (double& d : item.damage) d *= size;
    }
    const auto s = SolveChoiceProgramByGlpk(items, 9, {CountOf("widest", 0, 3, 2, 1)});
    ASSERT_THAT(s.status(), IsOk()) << size;
    EXPECT_THAT(s->choice, ElementsAre(2, 1, 0)) << size;  // 1 + 2.5 + 7; 3 3 3 would be 7.5
  }
}

TEST(ChoiceProgram, NothingToChoose) {
  const auto s = SolveChoiceProgramByGlpk({}, 0, {});
  ASSERT_THAT(s.status(), IsOk());
  EXPECT_TRUE(s->choice.empty());
}

// Market split (Cornuejols & Dawande, 1998): equations that branch and cut enumerates.
TEST(ChoiceProgram, SaysThatTheTimeIsOver) {
  Rng rng(7, "choice_program_test/market");
  std::vector<KnapsackItem> items(50, KnapsackItem{{0, 0}, {1, 0}});
  std::vector<ChoiceCondition> markets;
  for (int m = 0; m < 6; ++m) {
    ChoiceCondition market{"market", {}, 0, 0};
    int sum = 0;
    for (int64_t i = 0; i < 50; ++i) {
      market.terms.push_back({i, 1, static_cast<double>(rng.Below(100))});
      sum += static_cast<int>(market.terms.back().factor);
    }
    market.least = market.most = sum / 2;
    markets.push_back(market);
  }
  ChoiceProgramOptions options;
  options.time_limit_seconds = 0.2;
  EXPECT_THAT(SolveChoiceProgram(items, 0, markets, options).status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       AllOf(HasSubstr("50 items and 6 conditions"), HasSubstr("after 0.2 s"))));
}

TEST(ChoiceProgram, SaysWhatIsWrong) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  const std::vector<KnapsackItem> items = {{{2, 3}, {1, 0}}, {{2, 3}, {1, 0}}};
  const auto solve = [&](const ChoiceCondition& condition) {
    return SolveChoiceProgram(items, 5, {condition}).status();
  };
  EXPECT_THAT(SolveChoiceProgram(items, 3, {}).status(), invalid("the budget is 3, below the 4"));
  EXPECT_THAT(solve(CountOf("both wide", 0, 2, 1, 2)), invalid("costs at most 5 and keeps both wide (at least 2)"));
  EXPECT_THAT(solve({"x", {{2, 0, 1}}, 0, 1}), invalid("choice 0 of item 2; expected a finite factor, and one of 2"));
  EXPECT_THAT(solve({"x", {{0, 2, 1}}, 0, 1}), invalid("and of the item's 2 choices"));
  EXPECT_THAT(solve({"x", {{0, 0, NAN}}, 0, 1}), invalid("the factor nan"));
  EXPECT_THAT(solve({"x", {{0, 0, 1}}, 2, 1}), invalid("expected least <= most"));
  EXPECT_THAT(solve(CostOf("first", items, 0, 1, 1)), invalid("keeps first (at most -1)"));
  ChoiceProgramOptions never;
  never.time_limit_seconds = 0;
  EXPECT_THAT(SolveChoiceProgramByGlpk(items, 5, {}, never).status(), invalid("the time limit is 0 s"));
}

}  // namespace
}  // namespace eaq
