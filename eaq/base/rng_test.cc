#include "eaq/base/rng.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <numeric>
#include <vector>

#include "gtest/gtest.h"

namespace eaq {
namespace {

using Words4 = std::array<uint32_t, 4>;

// The three vectors of Random123's kat_vectors for philox4x32-10.
TEST(PhiloxTest, KnownAnswersOfRandom123) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}), (Words4{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t f = 0xffffffff;
  EXPECT_EQ(Philox4x32({f, f, f, f}, {f, f}), (Words4{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words4{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RngTest, SameSeedAndStreamGiveTheSameNumbers) {
  Rng a(7, "calibration/windows"), b(7, "calibration/windows");
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(a.Next64(), b.Next64());
}

TEST(RngTest, SeedsAndStreamsDiffer) {
  Rng base(7, "a"), other_seed(8, "a"), other_stream(7, "b");
  int equal = 0;
  for (int i = 0; i < 100; ++i) {
    const uint64_t x = base.Next64();
    equal += x == other_seed.Next64();
    equal += x == other_stream.Next64();
  }
  EXPECT_EQ(equal, 0);
}

// Frozen, and computed a second time by a few lines of Python (SHA-256 of the fields, Philox of counters 0 and 1): a
// change here changes every seeded result that was ever published.
TEST(RngTest, FirstNumbersOfAStreamAreFrozen) {
  Rng rng(1, "frozen");
  const std::vector<uint64_t> got = {rng.Next64(), rng.Next64(), rng.Next64()};
  EXPECT_EQ(got, (std::vector<uint64_t>{14713269063414751439ull, 15359115804698327228ull, 6300285465379603214ull}));
}

TEST(RngTest, UniformIsInRangeWithTheRightMoments) {
  Rng rng(3, "uniform");
  double sum = 0, squares = 0;
  const int n = 200000;
  for (int i = 0; i < n; ++i) {
    const double u = rng.Uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    squares += u * u;
  }
  // Standard errors: sqrt(1/12/n) = 6.5e-4 and sqrt(4/45/n) = 6.7e-4; five of them.
  EXPECT_NEAR(sum / n, 0.5, 3.3e-3);
  EXPECT_NEAR(squares / n, 1.0 / 3, 3.4e-3);
}

TEST(RngTest, BelowOneIsZeroAndBelowIsInRange) {
  Rng rng(4, "below");
  for (int i = 0; i < 100; ++i) EXPECT_EQ(rng.Below(1), 0u);
  for (int bits = 1; bits < 64; ++bits) {
    const uint64_t n = (uint64_t{1} << bits) + 1;
    for (int i = 0; i < 20; ++i) ASSERT_LT(rng.Below(n), n);
  }
}

// With n = 2^63 + 2^62 a plain modulo would return the lower third twice as often as the rest of the range.
TEST(RngTest, BelowHasNoModuloBias) {
  Rng rng(5, "bias");
  const uint64_t n = (uint64_t{1} << 63) + (uint64_t{1} << 62);
  int lower_third = 0;
  const int draws = 30000;
  for (int i = 0; i < draws; ++i) lower_third += rng.Below(n) < n / 3;
  // Expected 10000, sigma sqrt(30000 * 1/3 * 2/3) = 82; a biased generator gives 15000.
  EXPECT_NEAR(lower_third, draws / 3, 5 * 82);
}

TEST(RngTest, ShuffleIsAPermutationAndEveryOrderIsEquallyLikely) {
  Rng rng(6, "shuffle");
  std::vector<int> many(1000);
  std::iota(many.begin(), many.end(), 0);
  std::vector<int> shuffled = many;
  rng.Shuffle(shuffled);
  EXPECT_NE(shuffled, many);
  std::sort(shuffled.begin(), shuffled.end());
  EXPECT_EQ(shuffled, many);

  std::map<std::vector<int>, int> counts;
  const int rounds = 24000;
  for (int i = 0; i < rounds; ++i) {
    std::vector<int> v = {0, 1, 2, 3};
    rng.Shuffle(v);
    ++counts[v];
  }
  ASSERT_EQ(counts.size(), 24u);
  double chi2 = 0;
  for (const auto& [order, count] : counts) chi2 += std::pow(count - rounds / 24.0, 2) / (rounds / 24.0);
  EXPECT_LT(chi2, 58.6);  // chi-square with 23 degrees of freedom: P(> 58.6) < 6e-5
}

TEST(RngTest, ShuffleOfNothingAndOfOne) {
  Rng rng(6, "shuffle");
  std::vector<int> none, one = {9};
  rng.Shuffle(none);
  rng.Shuffle(one);
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(one, std::vector<int>{9});
}

TEST(RngTest, NormalHasTheRightMomentsAndTails) {
  Rng rng(8, "normal");
  const int n = 200000;
  double m1 = 0, m2 = 0, m4 = 0;
  int beyond_two = 0;
  for (int i = 0; i < n; ++i) {
    const double z = rng.Normal();
    ASSERT_TRUE(std::isfinite(z));
    m1 += z;
    m2 += z * z;
    m4 += z * z * z * z;
    beyond_two += std::fabs(z) > 2;
  }
  EXPECT_NEAR(m1 / n, 0, 5 * std::sqrt(1.0 / n));
  EXPECT_NEAR(m2 / n, 1, 5 * std::sqrt(2.0 / n));
  EXPECT_NEAR(m4 / n, 3, 5 * std::sqrt(96.0 / n));
  EXPECT_NEAR(beyond_two / double{n}, 0.0455, 5 * std::sqrt(0.0455 * 0.9545 / n));
}

}  // namespace
}  // namespace eaq
