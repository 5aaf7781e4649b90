#include "eaq/quant/knapsack.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

// Cells of the table of choices (one byte each) that exact solving may take.
constexpr int64_t kMaxCells = int64_t{1} << 28;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

absl::StatusOr<ReducedKnapsack> ReduceKnapsack(absl::Span<const KnapsackItem> items, int64_t capacity) {
  ReducedKnapsack r;
  int64_t divisor = 0, most = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    const KnapsackItem& item = items[i];
    if (item.cost.empty() || item.cost.size() != item.damage.size() || item.cost.size() > 255) {
      return absl::InvalidArgumentError(absl::StrCat("knapsack item ", i, " has ", item.cost.size(), " costs and ",
                                                     item.damage.size(), " damages; expected 1 .. 255 of each, alike"));
    }
    const int64_t least = *std::min_element(item.cost.begin(), item.cost.end());
    std::vector<int64_t>& extra = r.extra.emplace_back();
    for (size_t c = 0; c < item.cost.size(); ++c) {
      if (least < 0 || !std::isfinite(item.damage[c])) {
        return absl::InvalidArgumentError(absl::StrCat("knapsack item ", i, ", choice ", c, ": cost ", item.cost[c],
                                                       ", damage ", item.damage[c],
                                                       "; expected a cost of at least 0 and a finite damage"));
      }
      extra.push_back(item.cost[c] - least);
      divisor = std::gcd(divisor, extra.back());
    }
    r.paid += least;
    most += *std::max_element(extra.begin(), extra.end());
  }
  if (r.paid > capacity) {
    return absl::InvalidArgumentError(absl::StrCat("the budget is ", capacity, ", below the ", r.paid,
                                                   " that the cheapest choices cost together; raise it or allow less"));
  }
  r.unit = std::max<int64_t>(divisor, 1);
  r.room = std::min(capacity - r.paid, most) / r.unit;
  for (std::vector<int64_t>& extra : r.extra) {
    for (int64_t& e : extra) e /= r.unit;
  }
  return r;
}

namespace {

KnapsackSolution Sum(absl::Span<const KnapsackItem> items, std::vector<int> choice) {
  KnapsackSolution s;
  for (size_t i = 0; i < items.size(); ++i) {
    s.cost += items[i].cost[choice[i]];
    s.damage += items[i].damage[choice[i]];
  }
  s.choice = std::move(choice);
  return s;
}

// least[l]: the least damage of the items so far with at most l units spent.
KnapsackSolution Exact(absl::Span<const KnapsackItem> items, const ReducedKnapsack& r) {
  const int64_t levels = r.room + 1;
  std::vector<double> least(levels, 0.0), next(levels);
  std::vector<std::vector<uint8_t>> taken(items.size(), std::vector<uint8_t>(levels));
  for (size_t i = 0; i < items.size(); ++i) {
    for (int64_t l = 0; l < levels; ++l) {
      double best = kInfinity;
      int best_choice = 0;
      for (size_t c = 0; c < r.extra[i].size(); ++c) {
        if (r.extra[i][c] > l) continue;
        const double damage = least[l - r.extra[i][c]] + items[i].damage[c];
        const bool cheaper = damage == best && r.extra[i][c] < r.extra[i][best_choice];
        if (damage < best || cheaper) best = damage, best_choice = static_cast<int>(c);
      }
      next[l] = best;
      taken[i][l] = static_cast<uint8_t>(best_choice);
    }
    std::swap(least, next);
  }
  // The cheapest level that reaches the least damage.
  int64_t level = std::min_element(least.begin(), least.end()) - least.begin();
  std::vector<int> choice(items.size());
  for (size_t i = items.size(); i-- > 0;) {
    choice[i] = taken[i][level];
    level -= r.extra[i][choice[i]];
  }
  KnapsackSolution s = Sum(items, std::move(choice));
  s.bound = s.damage;
  return s;
}

// For a price of a unit, every item's choice of the least damage + price * extra; of equals the cheaper.
std::vector<int> AtPrice(absl::Span<const KnapsackItem> items, const ReducedKnapsack& r, double price, int64_t* spent,
                         double* value) {
  std::vector<int> choice(items.size());
  *spent = 0;
  *value = -price * static_cast<double>(r.room);
  for (size_t i = 0; i < items.size(); ++i) {
    double best = kInfinity;
    for (size_t c = 0; c < r.extra[i].size(); ++c) {
      const double v = items[i].damage[c] + price * static_cast<double>(r.extra[i][c]);
      if (v < best || (v == best && r.extra[i][c] < r.extra[i][choice[i]])) best = v, choice[i] = static_cast<int>(c);
    }
    *spent += r.extra[i][choice[i]];
    *value += best;
  }
  return choice;
}

// Spends what is left where a unit saves most damage, until nothing fits.
void Repair(absl::Span<const KnapsackItem> items, const ReducedKnapsack& r, int64_t left, std::vector<int>& choice) {
  while (true) {
    double best_rate = 0;
    size_t best_item = 0;
    int best_choice = -1;
    for (size_t i = 0; i < items.size(); ++i) {
      for (size_t c = 0; c < r.extra[i].size(); ++c) {
        const int64_t more = r.extra[i][c] - r.extra[i][choice[i]];
        const double gain = items[i].damage[choice[i]] - items[i].damage[c];
        if (gain <= 0 || more > left) continue;
        const double rate = more <= 0 ? kInfinity : gain / static_cast<double>(more);
        if (rate > best_rate) best_rate = rate, best_item = i, best_choice = static_cast<int>(c);
      }
    }
    if (best_choice < 0) return;
    left -= r.extra[best_item][best_choice] - r.extra[best_item][choice[best_item]];
    choice[best_item] = best_choice;
  }
}

KnapsackSolution Lagrange(absl::Span<const KnapsackItem> items, const ReducedKnapsack& r) {
  int64_t spent = 0;
  double value = 0;
  std::vector<int> choice = AtPrice(items, r, 0, &spent, &value);
  double bound = value;
  if (spent > r.room) {
    double low = 0, high = 1;  // too cheap; dear enough
    while (choice = AtPrice(items, r, high, &spent, &value), bound = std::max(bound, value), spent > r.room) high *= 2;
    for (int step = 0; step < 200; ++step) {
      const double price = (low + high) / 2;
      if (price == low || price == high) break;
      std::vector<int> tried = AtPrice(items, r, price, &spent, &value);
      bound = std::max(bound, value);
      if (spent > r.room) {
        low = price;
      } else {
        high = price;
        choice = std::move(tried);
      }
    }
  }
  spent = 0;
  for (size_t i = 0; i < items.size(); ++i) spent += r.extra[i][choice[i]];
  Repair(items, r, r.room - spent, choice);
  KnapsackSolution s = Sum(items, std::move(choice));
  s.bound = std::min(bound, s.damage);
  return s;
}

}  // namespace

absl::StatusOr<KnapsackSolution> SolveKnapsackExactly(absl::Span<const KnapsackItem> items, int64_t capacity) {
  EAQ_ASSIGN_OR_RETURN(const ReducedKnapsack r, ReduceKnapsack(items, capacity));
  return Exact(items, r);
}

absl::StatusOr<KnapsackSolution> SolveKnapsackByLagrange(absl::Span<const KnapsackItem> items, int64_t capacity) {
  EAQ_ASSIGN_OR_RETURN(const ReducedKnapsack r, ReduceKnapsack(items, capacity));
  return Lagrange(items, r);
}

absl::StatusOr<KnapsackSolution> SolveKnapsack(absl::Span<const KnapsackItem> items, int64_t capacity) {
  EAQ_ASSIGN_OR_RETURN(const ReducedKnapsack r, ReduceKnapsack(items, capacity));
  const bool exact = (r.room + 1) * static_cast<int64_t>(items.size()) <= kMaxCells;
  return exact ? Exact(items, r) : Lagrange(items, r);
}

}  // namespace eaq
