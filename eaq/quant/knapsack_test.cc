#include "eaq/quant/knapsack.h"

#include <algorithm>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<KnapsackItem> RandomItems(int count, int choices, int64_t unit, Rng& rng) {
  std::vector<KnapsackItem> items(count);
  for (KnapsackItem& item : items) {
    for (int c = 0; c < choices; ++c) {
      item.cost.push_back(unit * static_cast<int64_t>(rng.Below(9)));
      item.damage.push_back(static_cast<double>(rng.Below(1000)) / 16);  // exact sums, so that ties are ties
    }
  }
  return items;
}

int64_t LeastCost(const std::vector<KnapsackItem>& items) {
  int64_t sum = 0;
  for (const KnapsackItem& item : items) sum += *std::min_element(item.cost.begin(), item.cost.end());
  return sum;
}

// Every combination tried: least damage, then least cost.
std::pair<double, int64_t> BruteForce(const std::vector<KnapsackItem>& items, int64_t capacity) {
  std::pair<double, int64_t> best = {1e300, 0};
  std::vector<size_t> choice(items.size(), 0);
  while (true) {
    std::pair<double, int64_t> sum = {0, 0};
    for (size_t i = 0; i < items.size(); ++i) {
      sum.first += items[i].damage[choice[i]];
      sum.second += items[i].cost[choice[i]];
    }
    if (sum.second <= capacity) best = std::min(best, sum);
    size_t i = 0;
    while (i < items.size() && ++choice[i] == items[i].cost.size()) choice[i++] = 0;
    if (i == items.size()) return best;
  }
}

TEST(Knapsack, FindsWhatTryingAllCombinationsFinds) {
  Rng rng(3, "knapsack_test");
  for (int round = 0; round < 400; ++round) {
    const auto items = RandomItems(1 + round % 6, 1 + round % 4, round % 2 == 0 ? 1 : 1000, rng);
    const int64_t capacity = LeastCost(items) + static_cast<int64_t>(rng.Below(20)) * (round % 2 == 0 ? 1 : 700);
    const auto [damage, cost] = BruteForce(items, capacity);
    const auto exact = SolveKnapsackExactly(items, capacity);
    ASSERT_THAT(exact, IsOk());
    EXPECT_EQ(exact->damage, damage);
    EXPECT_EQ(exact->cost, cost);
    EXPECT_EQ(exact->bound, damage);
    const auto lagrange = SolveKnapsackByLagrange(items, capacity);
    ASSERT_THAT(lagrange, IsOk());
    EXPECT_LE(lagrange->cost, capacity);
    EXPECT_GE(lagrange->damage, damage);
    EXPECT_LE(lagrange->bound, damage + 1e-9);
    const auto either = SolveKnapsack(items, capacity);
    ASSERT_THAT(either, IsOk());
    EXPECT_EQ(either->choice, exact->choice);
  }
}

// 64 experts of 16 layers, four widths: large, and Lagrange must come within a thousandth of the optimum.
TEST(Knapsack, TheTwoWaysAgreeOnAModel) {
  Rng rng(5, "knapsack_test/model");
  std::vector<KnapsackItem> items(1024);
  for (KnapsackItem& item : items) {
    const double score = std::exp(static_cast<double>(rng.Below(1000)) / 200);
    for (const int bits : {2, 3, 4, 6}) {
      item.cost.push_back(int64_t{6291456} * bits);
      item.damage.push_back(score * std::ldexp(1.0, -2 * bits));
    }
  }
  const int64_t capacity = int64_t{6291456} * 3 * 1024;
  const auto exact = SolveKnapsackExactly(items, capacity);
  const auto lagrange = SolveKnapsackByLagrange(items, capacity);
  ASSERT_THAT(exact, IsOk());
  ASSERT_THAT(lagrange, IsOk());
  EXPECT_LE(exact->cost, capacity);
  EXPECT_LE(lagrange->cost, capacity);
  EXPECT_LE(lagrange->damage, exact->damage * 1.001);
  EXPECT_GE(exact->damage, lagrange->bound);
  EXPECT_GE(lagrange->bound, exact->damage * 0.999);
}

TEST(Knapsack, RoomForAllTakesTheLeastDamageAndTiesTheCheaper) {
  const std::vector<KnapsackItem> items = {{{4, 2, 3}, {1, 5, 1}}, {{1, 2}, {0, 0}}};
  const auto s = SolveKnapsack(items, 1000000);
  ASSERT_THAT(s, IsOk());
  EXPECT_THAT(s->choice, ElementsAre(2, 0));
  EXPECT_EQ(s->cost, 4);
}

TEST(Knapsack, NothingToChoose) {
  const auto s = SolveKnapsack({}, 0);
  ASSERT_THAT(s, IsOk());
  EXPECT_TRUE(s->choice.empty());
}

TEST(Knapsack, SaysWhatIsWrong) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(SolveKnapsack(std::vector<KnapsackItem>{{{5, 7}, {1, 0}}, {{3}, {0}}}, 7).status(),
              invalid("the budget is 7, below the 8"));
  EXPECT_THAT(SolveKnapsack(std::vector<KnapsackItem>{{{}, {}}}, 7).status(), invalid("item 0 has 0 costs"));
  EXPECT_THAT(SolveKnapsack(std::vector<KnapsackItem>{{{1, 2}, {1}}}, 7).status(), invalid("2 costs and 1 damages"));
  EXPECT_THAT(SolveKnapsack(std::vector<KnapsackItem>{{{-1}, {1}}}, 7).status(), invalid("cost -1"));
  EXPECT_THAT(SolveKnapsack(std::vector<KnapsackItem>{{{1}, {NAN}}}, 7).status(), invalid("expected a cost"));
}

}  // namespace
}  // namespace eaq
