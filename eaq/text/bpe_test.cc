#include "eaq/text/bpe.h"

#include <map>

#include "eaq/base/rng.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using Table = std::map<std::pair<int32_t, int32_t>, std::pair<int, int32_t>>;  // pair -> (rank, merged)

// The definition: the lowest rank, leftmost, one pair at a time.
std::vector<int32_t> Naive(std::vector<int32_t> s, const Table& table) {
  while (true) {
    size_t best = s.size();
    int rank = 1 << 30;
    for (size_t i = 0; i + 1 < s.size(); ++i) {
      const auto it = table.find({s[i], s[i + 1]});
      if (it != table.end() && it->second.first < rank) {
        rank = it->second.first;
        best = i;
      }
    }
    if (best == s.size()) return s;
    s[best] = table.at({s[best], s[best + 1]}).second;
    s.erase(s.begin() + best + 1);
  }
}

TEST(BpeMerges, AgreesWithItsDefinitionAtEveryLength) {
  Rng rng(5, "test/bpe");
  for (int trial = 0; trial < 400; ++trial) {
    Table table;
    BpeMerges merges;
    int32_t next = 3;
    for (int i = 0; i < 40; ++i) {
      const auto a = static_cast<int32_t>(rng.Below(next)), b = static_cast<int32_t>(rng.Below(next));
      // Now and then two ways to the same symbol.
      const int32_t merged = rng.Below(4) == 0 && next > 3 ? static_cast<int32_t>(3 + rng.Below(next - 3)) : next;
      if (!merges.Add(a, b, merged)) continue;
      table[{a, b}] = {static_cast<int>(merges.size()) - 1, merged};
      next = std::max(next, merged + 1);
    }
    for (size_t n : {0, 1, 2, 5, 31, 32, 33, 34, 120}) {
      std::vector<int32_t> symbols(n);
      for (int32_t& s : symbols) s = static_cast<int32_t>(rng.Below(4)) - (rng.Below(30) == 0);  // sometimes -1
      const std::vector<int32_t> expected = Naive(symbols, table);
      merges.Apply(&symbols);
      ASSERT_EQ(symbols, expected) << "trial " << trial << ", length " << n;
    }
  }
}

TEST(BpeMerges, RefusesAPairTwice) {
  BpeMerges merges;
  EXPECT_TRUE(merges.Add(1, 2, 3));
  EXPECT_FALSE(merges.Add(1, 2, 4));
  EXPECT_EQ(merges.size(), 1u);
}

}  // namespace
}  // namespace eaq
