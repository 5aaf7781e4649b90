// The zoo of bug_zoo_test.cc, of what only Hopper has: barriers that count bytes, bulk copies, proxies, products of a
// warpgroup, clusters. Each bug in a small kernel, caught; the correct twin raises no alarm.
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/ptx_hopper.h"
#include "kernels/emulation/bug_zoo.h"
#include "kernels/emulation/counters.h"
#include "kernels/emulation/cuda_emulation.h"
#include "kernels/emulation/options.h"

namespace eaq::kernels::emulation {
namespace {

namespace ptx = cuda::ptx;

class HopperZooDeathTest : public testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    before_ = CurrentOptions();
    CurrentOptions().architecture = 90;
  }
  void TearDown() override { CurrentOptions() = before_; }

 private:
  Options before_;
};

// WrongUnder takes the tightest device's limits; these need Hopper's.
template <typename Run>
auto OnHopper(Run run) {
  return [run] {
    Options options = CurrentOptions();
    options.architecture = 90;
    const ScopedOptions scoped(options);
    return run();
  };
}

void WaitFor(uint64_t* barrier, uint32_t parity) {
  while (!ptx::TryWait(barrier, parity)) {
  }
}

// ---- a ring of two stages: lane 0 of warp 0 fills by bulk copies, warp 1 sums up

enum class Ring {
  kRight,
  kNoFullWait,
  kWrongPhase,
  kNoEmptyWait,
  kFewerBytes,
  kMoreBytes,
  kArrivesTwice,
  kNotInitialized,
  kNoInitFence,
  kNoInitBarrier,
  kWrittenOver,
  kNotAwaited,
  kMisaligned,
  kOutside,
};

constexpr int kTiles = 7, kTileInts = 32, kTileBytes = 4 * kTileInts;

template <Ring kBug>
__global__ void SumTiles(const int* x, int* out) {
  EAQ_DYNAMIC_SHARED(int, stages);  // [2][32], then the barriers
  uint64_t* const full = reinterpret_cast<uint64_t*>(stages + 2 * kTileInts);
  uint64_t* const empty = full + 2;
  const int lane = static_cast<int>(threadIdx.x % 32);
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; ++i) {
      if (kBug != Ring::kNotInitialized) ptx::InitBarrier(&full[i], 1);
      ptx::InitBarrier(&empty[i], 32);
    }
    if (kBug != Ring::kNoInitFence) ptx::FenceBarrierInit();
  }
  if (kBug != Ring::kNoInitBarrier) __syncthreads();
  if (threadIdx.x < 32) {
    if (lane != 0) return;
    for (int t = 0; t < kTiles; ++t) {
      if (kBug != Ring::kNoEmptyWait) WaitFor(&empty[t % 2], t / 2 % 2 ^ 1);
      const int wrong = kBug == Ring::kFewerBytes ? -16 : kBug == Ring::kMoreBytes ? 16 : 0;
      ptx::ArriveExpect(&full[t % 2], kTileBytes + wrong);
      if (kBug == Ring::kArrivesTwice) ptx::Arrive(&full[t % 2]);
      const int shift = kBug == Ring::kMisaligned ? 2 : kBug == Ring::kOutside ? 1000 : 0;
      ptx::CopyBulk(stages + t % 2 * kTileInts + shift, x + t * kTileInts, kTileBytes, &full[t % 2]);
    }
  } else {
    int sum = 0;
    for (int t = 0; t < (kBug == Ring::kNotAwaited ? kTiles - 1 : kTiles); ++t) {
      if (kBug != Ring::kNoFullWait) WaitFor(&full[t % 2], t / 2 % 2 ^ (kBug == Ring::kWrongPhase ? 1 : 0));
      sum = 3 * sum + stages[t % 2 * kTileInts + (lane + 1) % 32];
      if (kBug == Ring::kWrittenOver && lane == 0) full[t % 2] = 0;
      ptx::Arrive(&empty[t % 2]);
    }
    out[lane] = sum;
  }
}

template <Ring kBug>
bool SumIsRight() {
  alignas(16) int x[kTiles * kTileInts];
  std::iota(std::begin(x), std::end(x), 11);
  std::vector<int> out(32), want(32);
  for (int lane = 0; lane < 32; ++lane)
    for (int t = 0; t < kTiles; ++t) want[lane] = 3 * want[lane] + x[t * kTileInts + (lane + 1) % 32];
  EAQ_LAUNCH(SumTiles<kBug>, 1, 64, 2 * kTileBytes + 4 * 8, nullptr, x, out.data());
  return out == want;
}

#define EXPECT_WRONG(run) EXPECT_FALSE(WrongUnder(OnHopper(run)).empty()) << "no schedule shows it"
#define EXPECT_RIGHT(run) EXPECT_NO_ALARM(OnHopper(run))

TEST_F(HopperZooDeathTest, BarriersThatCountBytes) {
  EXPECT_RIGHT(SumIsRight<Ring::kRight>);
  EXPECT_DEATH(SumIsRight<Ring::kFewerBytes>(), "0 of 1 arrivals and -16 bytes missing");
  EXPECT_DEATH(SumIsRight<Ring::kMoreBytes>(),
               "32 threads wait at mbarrier of parity 0: 0 of 1 arrivals and 16 bytes missing, .*"
               "kernels/emulation/hopper_zoo_test.cc:[0-9]+: threads 32-63");
  EXPECT_DEATH(SumIsRight<Ring::kArrivesTwice>(), "one arrival more than the 1 of a phase");
  EXPECT_DEATH(SumIsRight<Ring::kNotInitialized>(), "no mbarrier was initialized at that address");
  EXPECT_DEATH(SumIsRight<Ring::kNoInitFence>(), "no fence.mbarrier_init after");
  EXPECT_DEATH(WrongUnder(OnHopper(SumIsRight<Ring::kNoInitBarrier>)), "no mbarrier was initialized at that address");
  EXPECT_DEATH(SumIsRight<Ring::kWrittenOver>(), "the mbarrier was written over");
  // The producer is let go on, and announces a stage's bytes before those of its last turn have come.
  EXPECT_DEATH(WrongUnder(OnHopper(SumIsRight<Ring::kNoFullWait>)), "one arrival more than the 1 of a phase");
  EXPECT_DEATH(WrongUnder(OnHopper(SumIsRight<Ring::kWrongPhase>)), "one arrival more than the 1 of a phase");
}

TEST_F(HopperZooDeathTest, BulkCopies) {
  EXPECT_DEATH(WrongUnder(OnHopper(SumIsRight<Ring::kNoEmptyWait>)), "one arrival more than the 1 of a phase");
  EXPECT_DEATH(SumIsRight<Ring::kNotAwaited>(),
               "ended with bulk copies on their way to it, the first from .*kernels/emulation/hopper");
  EXPECT_DEATH(SumIsRight<Ring::kMisaligned>(), "multiples of 16");
  EXPECT_DEATH(SumIsRight<Ring::kOutside>(), "outside shared memory");
}

TEST_F(HopperZooDeathTest, OtherDevicesHaveNone) {
  CurrentOptions().architecture = 89;
  EXPECT_DEATH(SumIsRight<Ring::kRight>(), "on sm_89: only sm_90 has it");
}

// ---- products of a warpgroup: d[64, 64] = sum over `rounds` of a[64, 32] b[64, 32]^T

enum class Product {
  kRight,
  kNoProxyFence,
  kNoFence,
  kReadEarly,
  kOneBatchShort,
  kNeverAwaited,
  kAFilledEarly,
  kBFilledEarly,
  kNotSwizzled,
  kBetweenRows,
  kOutside,
  kOneWarpElsewhere,
};

constexpr int kRounds = 3, kColumns = 64, kDepth = 32;

__device__ void FillB(const int8_t* b, uint8_t* stage, bool swizzled) {
  for (int i = static_cast<int>(threadIdx.x); i < kColumns * 2; i += 128) {
    const int row = i / 2, chunk = i % 2;
    uint4 words;
    std::memcpy(&words, b + row * kDepth + chunk * 16, 16);
    ptx::StoreShared(reinterpret_cast<uint4*>(stage + row * 128 + (swizzled ? chunk ^ (row % 8) : chunk) * 16), words);
  }
}

template <Product kBug>
__global__ void Multiply(const int8_t* a, const int8_t* b, int* d) {
  EAQ_DYNAMIC_SHARED(uint8_t, unaligned);
  uint8_t* const shared = unaligned + (1024 - (reinterpret_cast<uintptr_t>(unaligned) & 1023));
  uint8_t* const stages[2] = {shared, shared + kColumns * 128};
  uint64_t* const barrier = reinterpret_cast<uint64_t*>(shared + 2 * kColumns * 128);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, row = thread / 32 * 16 + lane / 4;
  if (thread == 0) ptx::InitBarrier(barrier, 1);  // proxies are looked at from here on
  __syncthreads();
  uint32_t fragments[2][4];
  const auto load = [&](int round) {
    for (int r = 0; r < 4; ++r) {
      std::memcpy(&fragments[round % 2][r], a + (round * 64 + row + 8 * (r % 2)) * kDepth + lane % 4 * 4 + 16 * (r / 2),
                  4);
    }
  };
  const auto fill = [&](int round) {
    FillB(b + round * kColumns * kDepth, stages[round % 2], kBug != Product::kNotSwizzled);
    if (kBug != Product::kNoProxyFence) ptx::FenceProxyAsync();
  };
  int32_t sums[ptx::kWgmmaSums];
  int early = 0;
  fill(0);
  load(0);
  __syncthreads();
  for (int round = 0; round < kRounds; ++round) {
    const uint8_t* from = stages[round % 2];
    if (kBug == Product::kBetweenRows) from += 128;
    if (kBug == Product::kOutside) from += 16 << 10;
    if (kBug == Product::kOneWarpElsewhere && thread < 32) from = stages[(round + 1) % 2];
    if (kBug != Product::kNoFence) ptx::WgmmaFence();
    ptx::WgmmaS8N64(sums, fragments[round % 2], ptx::SwizzledRows(from), round > 0);
    ptx::WgmmaCommit();
    if (kBug == Product::kReadEarly) early = sums[0];
    if (kBug == Product::kAFilledEarly && round + 1 < kRounds) {
      std::memcpy(fragments[round % 2], a, 16);
      std::memcpy(fragments[(round + 1) % 2], a, 16);
    }
    if (kBug == Product::kBFilledEarly && round + 1 < kRounds) {
      __syncthreads();
      fill(round + 1);
      FillB(b, stages[round % 2], true);
      ptx::FenceProxyAsync();
    }
    if (kBug == Product::kNeverAwaited) return;
    if (kBug == Product::kOneBatchShort) {
      ptx::WgmmaWait<1>();
    } else {
      ptx::WgmmaWait<0>();
    }
    if (round + 1 == kRounds) break;
    __syncthreads();
    load(round + 1);
    if (kBug != Product::kBFilledEarly) fill(round + 1);
    __syncthreads();
  }
  for (int i = 0; i < kColumns / 2; ++i) {
    d[(row + i % 4 / 2 * 8) * kColumns + i / 4 * 8 + lane % 4 * 2 + i % 2] = sums[i];
  }
  if (kBug == Product::kReadEarly && lane % 4 == 0) d[row * kColumns] += early;
  if (kBug == Product::kOneBatchShort) ptx::WgmmaWait<0>();
}

template <Product kBug>
bool ProductIsRight() {
  std::mt19937 random(3);
  std::vector<int8_t> a(kRounds * 64 * kDepth), b(kRounds * kColumns * kDepth);
  for (int8_t& v : a) v = static_cast<int8_t>(random());
  for (int8_t& v : b) v = static_cast<int8_t>(random());
  std::vector<int> d(64 * kColumns), want(64 * kColumns);
  for (int round = 0; round < kRounds; ++round)
    for (int row = 0; row < 64; ++row)
      for (int column = 0; column < kColumns; ++column)
        for (int k = 0; k < kDepth; ++k)
          want[row * kColumns + column] +=
              a[(round * 64 + row) * kDepth + k] * b[(round * kColumns + column) * kDepth + k];
  EAQ_LAUNCH(Multiply<kBug>, 1, 128, 1024 + 2 * kColumns * 128 + 8, nullptr, a.data(), b.data(), d.data());
  return d == want;
}

TEST_F(HopperZooDeathTest, ProductsOfAWarpgroup) {
  EXPECT_DEATH(ProductIsRight<Product::kNoFence>(), "wgmma without wgmma.fence");
  EXPECT_DEATH(ProductIsRight<Product::kNeverAwaited>(), "returned with 1 wgmma products that it never waited for");
  EXPECT_DEATH(ProductIsRight<Product::kBetweenRows>(), "the swizzle goes by address");
  EXPECT_DEATH(ProductIsRight<Product::kOutside>(), "of B lies outside shared memory");
  EXPECT_DEATH(ProductIsRight<Product::kOneWarpElsewhere>(), "warps of warpgroup 0 issue different products");
  if (UnderTsan()) {  // what wgmma reads and writes is in nobody's name; the results are the subject, and slow there
    EXPECT_TRUE(ProductIsRight<Product::kRight>());
    return;
  }
  EXPECT_RIGHT(ProductIsRight<Product::kRight>);
  EXPECT_WRONG(ProductIsRight<Product::kReadEarly>);
  EXPECT_WRONG(ProductIsRight<Product::kOneBatchShort>);
  EXPECT_WRONG(ProductIsRight<Product::kAFilledEarly>);
  EXPECT_WRONG(ProductIsRight<Product::kBFilledEarly>);
  EXPECT_WRONG(ProductIsRight<Product::kNotSwizzled>);
}

TEST_F(HopperZooDeathTest, MissingProxyFence) {
  EXPECT_DEATH(ProductIsRight<Product::kNoProxyFence>(),
               "reads shared memory that thread [0-9]+ wrote at .*kernels/emulation/hopper_zoo_test.cc:[0-9]+ without "
               "fence.proxy.async");
}

// ---- every width, and further columns by the descriptor

template <int kWidth>
__global__ void MultiplyWide(const int8_t* a, const int8_t* b, int column, int* d) {
  EAQ_DYNAMIC_SHARED(uint8_t, unaligned);
  uint8_t* const shared = unaligned + (1024 - (reinterpret_cast<uintptr_t>(unaligned) & 1023));
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, row = thread / 32 * 16 + lane / 4;
  for (int i = thread; i < kWidth * 8; i += 128) {
    uint4 words;
    std::memcpy(&words, b + i * 16, 16);
    ptx::StoreShared(reinterpret_cast<uint4*>(shared + i / 8 * 128 + (i % 8 ^ i / 8 % 8) * 16), words);
  }
  ptx::FenceProxyAsync();
  __syncthreads();
  uint32_t fragment[4];
  for (int r = 0; r < 4; ++r) {
    std::memcpy(&fragment[r], a + (row + 8 * (r % 2)) * kDepth + lane % 4 * 4 + 16 * (r / 2), 4);
  }
  int32_t sums[ptx::kWgmmaSums];
  const uint64_t tokens = ptx::SwizzledRows(shared) + static_cast<uint64_t>(column / 16);
  ptx::WgmmaFence();
  if constexpr (kWidth == 64) ptx::WgmmaS8N64(sums, fragment, tokens, false);
  if constexpr (kWidth == 96) ptx::WgmmaS8N96(sums, fragment, tokens, false);
  if constexpr (kWidth == 112) ptx::WgmmaS8N112(sums, fragment, tokens, false);
  if constexpr (kWidth == 128) ptx::WgmmaS8N128(sums, fragment, tokens, false);
  if constexpr (kWidth == 144) ptx::WgmmaS8N144(sums, fragment, tokens, false);
  ptx::WgmmaCommit();
  ptx::WgmmaWait<0>();
  for (int i = 0; i < kWidth / 2; ++i) {
    d[(row + i % 4 / 2 * 8) * kWidth + i / 4 * 8 + lane % 4 * 2 + i % 2] = sums[i];
  }
}

template <int kWidth>
void CheckWidth() {
  std::mt19937 random(kWidth);
  std::vector<int8_t> a(64 * kDepth), b(kWidth * 128);
  for (int8_t& v : a) v = static_cast<int8_t>(random());
  for (int8_t& v : b) v = static_cast<int8_t>(random());
  for (int column = 0; column < 128; column += kDepth) {
    std::vector<int> d(64 * kWidth), want(64 * kWidth);
    for (int row = 0; row < 64; ++row)
      for (int n = 0; n < kWidth; ++n)
        for (int k = 0; k < kDepth; ++k) want[row * kWidth + n] += a[row * kDepth + k] * b[n * 128 + column + k];
    ResetCounters();
    EAQ_LAUNCH(MultiplyWide<kWidth>, 1, 128, 1024 + kWidth * 128, nullptr, a.data(), b.data(), column, d.data());
    EXPECT_EQ(d, want) << kWidth << " from column " << column;
    EXPECT_EQ(ReadCounters().wgmma, 1u);
    EXPECT_EQ(ReadCounters().wgmma_columns, static_cast<uint64_t>(kWidth));
  }
}

TEST_F(HopperZooDeathTest, EveryWidthIsAMatrixProduct) {
  CheckWidth<64>();
  CheckWidth<96>();
  CheckWidth<112>();
  CheckWidth<128>();
  CheckWidth<144>();
}

// ---- clusters: each block reads half of x for both, and lets the other go on

enum class Pair { kRight, kNoFirstSync, kNoLastSync, kOwnBarrierOnly, kHalfTheBlocks, kOneBlockAlone };

template <Pair kBug>
__global__ void ShareHalves(const int* x, int* out) {
  EAQ_DYNAMIC_SHARED(int, values);  // [64], then the barriers
  uint64_t* const full = reinterpret_cast<uint64_t*>(values + 64);
  uint64_t* const done = full + 1;
  const int thread = static_cast<int>(threadIdx.x), rank = static_cast<int>(blockIdx.x) % 2;
  if (thread == 0) {
    ptx::InitBarrier(full, 1);
    ptx::InitBarrier(done, 2 * 32);
    ptx::FenceBarrierInit();
  }
  if (kBug == Pair::kNoFirstSync || (kBug == Pair::kOneBlockAlone && rank == 1)) {
    __syncthreads();
  } else {
    ptx::ClusterSync();
  }
  if (thread == 0) {
    ptx::ArriveExpect(full, 256);
    const int blocks = kBug == Pair::kHalfTheBlocks ? 1 << rank : 3;
    ptx::CopyBulkToBlocks(values + rank * 32, x + rank * 32, 128, full, static_cast<uint16_t>(blocks));
  }
  WaitFor(full, 0);
  out[blockIdx.x * 32 + thread] = values[thread] - values[63 - thread];
  for (int to = 0; to < 2; ++to)
    if (kBug != Pair::kOwnBarrierOnly || to == rank) ptx::ArriveAt(done, to);
  if (kBug == Pair::kNoLastSync) return;
  WaitFor(done, 0);
  ptx::ClusterSync();
}

template <Pair kBug>
bool HalvesAreRight() {
  alignas(16) int x[64];
  for (int i = 0; i < 64; ++i) x[i] = i * i;
  std::vector<int> out(4 * 32), want;
  for (int block = 0; block < 4; ++block)
    for (int i = 0; i < 32; ++i) want.push_back(x[i] - x[63 - i]);
  EAQ_LAUNCH_CLUSTERS(ShareHalves<kBug>, 2, 4, 32, 64 * 4 + 2 * 8, nullptr, x, out.data());
  return out == want;
}

TEST_F(HopperZooDeathTest, Clusters) {
  EXPECT_RIGHT(HalvesAreRight<Pair::kRight>);
  EXPECT_RIGHT([] {
    Options options = CurrentOptions();
    options.resident_blocks = 4;
    const ScopedOptions scoped(options);
    return HalvesAreRight<Pair::kRight>();
  });
  ResetCounters();
  HalvesAreRight<Pair::kRight>();
  EXPECT_EQ(ReadCounters().bulk_bytes, 4u * 128);
  EXPECT_EQ(ReadCounters().bulk_landed_bytes, 4u * 256);
  EXPECT_DEATH(WrongUnder(OnHopper(HalvesAreRight<Pair::kNoFirstSync>)), "no mbarrier was initialized");
  EXPECT_DEATH(WrongUnder(OnHopper(HalvesAreRight<Pair::kNoLastSync>)), "of the cluster has ended");
  EXPECT_DEATH(HalvesAreRight<Pair::kHalfTheBlocks>(), "0 of 1 arrivals and 128 bytes missing");
  EXPECT_DEATH(HalvesAreRight<Pair::kOwnBarrierOnly>(), "32 of 64 arrivals and 0 bytes missing");
  EXPECT_DEATH(HalvesAreRight<Pair::kOneBlockAlone>(), "at barrier.cluster|no mbarrier was initialized");
}

}  // namespace
}  // namespace eaq::kernels::emulation
