#include "eaq/base/thread_pool.h"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace eaq {
namespace {

class ThreadPoolTest : public ::testing::TestWithParam<int> {};

TEST_P(ThreadPoolTest, EveryIndexRunsOnce) {
  ThreadPool pool(GetParam());
  for (const int64_t n : {0, 1, 2, 3, 7, 64, 10000}) {
    std::vector<std::atomic<int>> hits(n);
    pool.ParallelFor(n, [&](int64_t i) { ++hits[i]; });
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(hits[i], 1) << "index " << i << " of " << n;
  }
}

// The results are plain values, each written by one iteration: visible to the caller when ParallelFor returns.
TEST_P(ThreadPoolTest, WritesAreVisibleAfterwards) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> squares(1000, -1);
  for (int round = 0; round < 20; ++round) {
    pool.ParallelFor(squares.size(), [&](int64_t i) { squares[i] = i * i + round; });
    for (int64_t i = 0; i < 1000; ++i) ASSERT_EQ(squares[i], i * i + round);
  }
}

// Many short loops one after the other: a worker that is late for one loop must not run the next one's body.
TEST_P(ThreadPoolTest, ManyShortLoops) {
  ThreadPool pool(GetParam());
  int64_t expected = 0;
  std::atomic<int64_t> sum{0};
  for (int64_t round = 0; round < 5000; ++round) {
    const int64_t n = round % 5;
    pool.ParallelFor(n, [&, round](int64_t i) { sum += round * 10 + i; });
    for (int64_t i = 0; i < n; ++i) expected += round * 10 + i;
    ASSERT_EQ(sum, expected) << "round " << round;
  }
}

TEST_P(ThreadPoolTest, NegativeCountIsAnEmptyLoop) {
  ThreadPool pool(GetParam());
  pool.ParallelFor(-3, [](int64_t) { FAIL() << "ran"; });
}

TEST_P(ThreadPoolTest, UnusedPoolStops) { ThreadPool pool(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, ::testing::Values(1, 2, 3, 8));

TEST(ThreadPoolSizeTest, LessThanOneThreadIsOne) {
  EXPECT_EQ(ThreadPool(0).threads(), 1);
  EXPECT_EQ(ThreadPool(-4).threads(), 1);
  EXPECT_EQ(ThreadPool(3).threads(), 3);
}

TEST(ThreadPoolSizeTest, OneThreadRunsInlineAndInOrder) {
  ThreadPool pool(1);
  std::vector<int64_t> order;
  const std::thread::id here = std::this_thread::get_id();
  pool.ParallelFor(5, [&](int64_t i) {
    EXPECT_EQ(std::this_thread::get_id(), here);
    order.push_back(i);
  });
  EXPECT_EQ(order, (std::vector<int64_t>{0, 1, 2, 3, 4}));
}

// Two iterations that wait for each other finish only when two threads really run at once.
TEST(ThreadPoolSizeTest, TwoThreadsWorkAtOnce) {
  ThreadPool pool(2);
  std::atomic<int> arrived{0};
  pool.ParallelFor(2, [&](int64_t) {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
  });
  EXPECT_EQ(arrived, 2);
}

// Pools are independent: a loop of one inside a loop of another is fine.
TEST(ThreadPoolSizeTest, PoolsOfTwoOwnersNest) {
  ThreadPool outer(2);
  std::vector<std::atomic<int>> hits(20);
  outer.ParallelFor(4, [&](int64_t i) {
    ThreadPool inner(2);
    inner.ParallelFor(5, [&](int64_t j) { ++hits[i * 5 + j]; });
  });
  for (const auto& hit : hits) EXPECT_EQ(hit, 1);
}

TEST(AvailableProcessorsTest, AtLeastOne) { EXPECT_GE(AvailableProcessors(), 1); }

}  // namespace
}  // namespace eaq
