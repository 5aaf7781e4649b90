// Bugs that GPU kernels have, each in a small kernel whose template parameter puts it in: every one must be caught, by
// a report of the emulator, by a wrong result under one of the schedules, by a counter, or by a sanitizer; and nothing
// may be said of the correct twin. What each needs is in the tests' names and in kernels/emulation/README.md.
#include "kernels/emulation/bug_zoo.h"

#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/ptx.h"
#include "kernels/emulation/counters.h"
#include "kernels/emulation/cuda_emulation.h"
#include "kernels/emulation/options.h"
#include "kernels/emulation/sanitizer.h"

namespace eaq::kernels::emulation {
namespace {

constexpr int kThreads = 64;
constexpr unsigned kAll = 0xffffffffu;

class BugZooDeathTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// ---- a barrier is missing between writing shared memory and reading what others wrote

template <bool kBug>
__global__ void Reverse(const int* x, int* out) {
  EAQ_SHARED(int, values, kThreads);
  values[threadIdx.x] = x[threadIdx.x];
  if (!kBug) __syncthreads();
  out[threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

template <bool kBug>
bool ReverseIsRight() {
  std::vector<int> x(kThreads), out(kThreads);
  std::iota(x.begin(), x.end(), 5);
  EAQ_LAUNCH(Reverse<kBug>, 1, kThreads, 0, nullptr, x.data(), out.data());
  return out == std::vector<int>(x.rbegin(), x.rend());
}

TEST_F(BugZooDeathTest, MissingBarrier) {
  EXPECT_NO_ALARM(ReverseIsRight<false>);
  EXPECT_RACE(ReverseIsRight<true>);
}

// ---- the barrier is missing before the next round overwrites what others still read

template <bool kBug>
__global__ void RotateManyTimes(int* x, int rounds) {
  EAQ_SHARED(int, values, kThreads);
  int mine = x[threadIdx.x];
  for (int i = 0; i < rounds; ++i) {
    values[threadIdx.x] = mine;
    __syncthreads();
    mine = values[(threadIdx.x + 1) % kThreads];
    if (!kBug) __syncthreads();
  }
  x[threadIdx.x] = mine;
}

template <bool kBug>
bool RotationIsRight() {
  std::vector<int> x(kThreads);
  std::iota(x.begin(), x.end(), 0);
  EAQ_LAUNCH(RotateManyTimes<kBug>, 1, kThreads, 0, nullptr, x.data(), 5);
  for (int i = 0; i < kThreads; ++i)
    if (x[i] != (i + 5) % kThreads) return false;
  return true;
}

TEST_F(BugZooDeathTest, MissingBarrierBeforeTheNextRound) {
  EXPECT_NO_ALARM(RotationIsRight<false>);
  EXPECT_RACE(RotationIsRight<true>);
}

// ---- lanes of a warp exchange through shared memory without __syncwarp

template <bool kBug>
__global__ void SwapInWarp(const int* x, int* out) {
  EAQ_SHARED(int, values, 32);
  values[threadIdx.x] = x[threadIdx.x];
  if (!kBug) __syncwarp();
  out[threadIdx.x] = values[threadIdx.x ^ 1];
}

template <bool kBug>
bool SwapIsRight() {
  std::vector<int> x(32), out(32);
  std::iota(x.begin(), x.end(), 0);
  EAQ_LAUNCH(SwapInWarp<kBug>, 1, 32, 0, nullptr, x.data(), out.data());
  for (int i = 0; i < 32; ++i)
    if (out[i] != (i ^ 1)) return false;
  return true;
}

TEST_F(BugZooDeathTest, MissingWarpBarrier) {
  EXPECT_NO_ALARM(SwapIsRight<false>);
  EXPECT_RACE(SwapIsRight<true>);
}

// ---- shared memory: one element too far

template <bool kBug>
__global__ void Overrun(int* out) {
  EAQ_SHARED(int, values, kThreads);
  values[threadIdx.x + (kBug ? 1 : 0)] = static_cast<int>(threadIdx.x);
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x];
}
template <bool kBug>
__global__ void DynamicOverrun(int* out) {
  EAQ_DYNAMIC_SHARED(int, values);
  values[threadIdx.x + (kBug ? 1 : 0)] = static_cast<int>(threadIdx.x);
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x];
}

TEST_F(BugZooDeathTest, OverrunOfSharedMemory) {
  std::vector<int> out(kThreads);
  EAQ_LAUNCH(Overrun<false>, 1, kThreads, 0, nullptr, out.data());
  EAQ_LAUNCH(DynamicOverrun<false>, 1, kThreads, kThreads * sizeof(int), nullptr, out.data());
  const char* report = kUnderAsan ? "heap-buffer-overflow" : "wrote byte 1 past the end of its";
  EXPECT_DEATH(EAQ_LAUNCH(Overrun<true>, 1, kThreads, 0, nullptr, out.data()), report);
  EXPECT_DEATH(EAQ_LAUNCH(DynamicOverrun<true>, 1, kThreads, kThreads * sizeof(int), nullptr, out.data()), report);
}

// ---- lanes of one warp at different collectives

enum class Divergence { kNone, kOperation, kLine, kMask, kNotInMask, kHalfTheWarp };

template <Divergence kBug>
__global__ void Diverge(int* out) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int value = lane;
  if (kBug == Divergence::kOperation) {
    value = lane < 16 ? __shfl_xor_sync(kAll, value, 1) : static_cast<int>(__ballot_sync(kAll, 1));
  } else if (kBug == Divergence::kLine) {
    if (lane < 16) {
      value = __shfl_xor_sync(kAll, value, 1);
    } else {
      value = __shfl_xor_sync(kAll, value, 1);
    }
  } else if (kBug == Divergence::kMask) {
    value = __shfl_xor_sync(lane < 16 ? kAll : 0xffffff00u, value, 1);
  } else if (kBug == Divergence::kNotInMask) {
    value = __shfl_xor_sync(0xffffu, value, 1);
  } else if (kBug == Divergence::kHalfTheWarp) {
    if (lane < 16) value = __shfl_xor_sync(kAll, value, 1);
    __syncthreads();
  } else {  // each half among itself is right
    value = lane < 16 ? __shfl_xor_sync(0xffffu, value, 1) : __shfl_xor_sync(0xffff0000u, value, 1);
  }
  out[threadIdx.x] = value;
}

TEST_F(BugZooDeathTest, DivergentCollective) {
  std::vector<int> out(32);
  EXPECT_NO_ALARM(([&] {
    EAQ_LAUNCH(Diverge<Divergence::kNone>, 1, 32, 0, nullptr, out.data());
    return out[0] == 1 && out[31] == 30;
  }));
  EXPECT_DEATH(EAQ_LAUNCH(Diverge<Divergence::kOperation>, 1, 32, 0, nullptr, out.data()),
               "lanes of one mask are at different operations");
  EXPECT_DEATH(EAQ_LAUNCH(Diverge<Divergence::kLine>, 1, 32, 0, nullptr, out.data()), "by different lines");
  EXPECT_DEATH(EAQ_LAUNCH(Diverge<Divergence::kMask>, 1, 32, 0, nullptr, out.data()), "different masks");
  EXPECT_DEATH(EAQ_LAUNCH(Diverge<Divergence::kNotInMask>, 1, 32, 0, nullptr, out.data()), "not in its own mask");
  EXPECT_DEATH(
      EAQ_LAUNCH(Diverge<Divergence::kHalfTheWarp>, 1, 32, 0, nullptr, out.data()),
      "16 threads wait at __shfl_xor_sync, mask ffffffff, kernels/emulation/bug_zoo_test.cc:[0-9]+: threads 0-15");
}

// A shuffle from a lane that takes no part: on a GPU it may even work.
template <bool kBug>
__global__ void SumOfHalf(const float* x, float* out) {
  if (threadIdx.x >= 16) return;
  float sum = x[threadIdx.x];
  for (int lanes = kBug ? 16 : 8; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xffffu, sum, lanes);
  out[threadIdx.x] = sum;
}

TEST_F(BugZooDeathTest, ShuffleFromAnInactiveLane) {
  const std::vector<float> x(32, 1.0f);
  std::vector<float> out(16);
  EAQ_LAUNCH(SumOfHalf<false>, 1, 32, 0, nullptr, x.data(), out.data());
  EXPECT_EQ(out[3], 16);
  EAQ_LAUNCH(SumOfHalf<true>, 1, 32, 0, nullptr, x.data(), out.data());
  EXPECT_TRUE(std::isnan(out[3]));
}

// ---- barriers that not enough threads reach

template <bool kBug>
__global__ void UnfilledBarrier(int* out) {
  if (threadIdx.x < 64) cuda::ptx::Barrier<1>(kBug ? 128 : 64);
  out[threadIdx.x] = 1;
}
template <bool kBug>
__global__ void BarrierInABranch(int* out) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else if (kBug) {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}

TEST_F(BugZooDeathTest, UnfilledBarrier) {
  std::vector<int> out(128);
  EXPECT_NO_ALARM(([&] {
    EAQ_LAUNCH(UnfilledBarrier<false>, 1, 128, 0, nullptr, out.data());
    return true;
  }));
  EXPECT_DEATH(EAQ_LAUNCH(UnfilledBarrier<true>, 1, 128, 0, nullptr, out.data()),
               "deadlock.*\n.*\n.*64 threads wait at barrier 1, which expects 128 threads, "
               "kernels/emulation/bug_zoo_test.cc:[0-9]+: threads 0-63\n  64 of 128 have returned");
  EXPECT_DEATH(EAQ_LAUNCH(BarrierInABranch<true>, 1, 64, 0, nullptr, out.data()), "at different __syncthreads");
}

// ---- a pipeline of asynchronous copies

enum class Copies { kRight, kNotWaited, kOneGroupShort, kRefilledEarly };

// Sums 8 tiles of 16 bytes a thread, each thread those of a neighbour in another warp; two stages.
template <Copies kBug>
__global__ void Pipeline(const int4* x, int* out) {
  EAQ_DYNAMIC_SHARED(int4, stages);
  constexpr int kTiles = 8;
  const int me = static_cast<int>(threadIdx.x), neighbour = (me + 33) % kThreads;
  cuda::ptx::CopyAsync16(&stages[me], &x[me]);
  cuda::ptx::CommitCopies();
  int sum = 0;
  for (int t = 0; t < kTiles; ++t) {
    if (t + 1 < kTiles) cuda::ptx::CopyAsync16(&stages[(t + 1) % 2 * kThreads + me], &x[(t + 1) * kThreads + me]);
    cuda::ptx::CommitCopies();
    if (kBug == Copies::kOneGroupShort) {
      cuda::ptx::WaitCopies<2>();
    } else if (kBug != Copies::kNotWaited) {
      cuda::ptx::WaitCopies<1>();
    }
    __syncthreads();
    const int4 tile = stages[t % 2 * kThreads + neighbour];
    sum += tile.x + tile.y + tile.z + tile.w;
    if (kBug != Copies::kRefilledEarly) __syncthreads();
  }
  if (kBug != Copies::kNotWaited) cuda::ptx::WaitCopies<0>();
  out[me] = sum;
}

template <Copies kBug>
bool PipelineIsRight() {
  std::vector<int4> x(8 * kThreads);
  for (int i = 0; i < 8 * kThreads; ++i) x[i] = {i, 2 * i, 3, 1000 * i};
  std::vector<int> out(kThreads), want(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    for (int t = 0; t < 8; ++t) {
      const int4 v = x[t * kThreads + (i + 33) % kThreads];
      want[i] += v.x + v.y + v.z + v.w;
    }
  }
  EAQ_LAUNCH(Pipeline<kBug>, 1, kThreads, 2 * kThreads * sizeof(int4), nullptr, x.data(), out.data());
  return out == want;
}

TEST_F(BugZooDeathTest, UnwaitedCopy) {
  EXPECT_NO_ALARM(PipelineIsRight<Copies::kRight>);
  EXPECT_DEATH(PipelineIsRight<Copies::kNotWaited>(),
               "returned with 8 asynchronous copies that it never waited for, the first from "
               "kernels/emulation/bug_zoo_test.cc");
  if (UnderTsan()) return;  // what lands late is a race there, too; the schedules are the subject here
  const std::vector<std::string> wrong = WrongUnder(PipelineIsRight<Copies::kOneGroupShort>);
  EXPECT_EQ(wrong.size(), 12u);  // all with late landing, none with early
  for (const std::string& schedule : wrong) EXPECT_NE(schedule.find("late"), std::string::npos) << schedule;
}

TEST_F(BugZooDeathTest, StageRefilledTooEarly) { EXPECT_RACE(PipelineIsRight<Copies::kRefilledEarly>); }

template <bool kBug>
__global__ void CopyToOddAddress(const char* x) {
  EAQ_SHARED(char, bytes, 64);
  cuda::ptx::CopyAsync16(bytes + (kBug ? 8 : 16), x);
  cuda::ptx::CommitCopies();
  cuda::ptx::WaitCopies<0>();
}
__global__ void CopyPastTheEnd(const char* x) {
  EAQ_SHARED(char, bytes, 24);
  cuda::ptx::CopyAsync16(bytes + 16, x);
}

TEST_F(BugZooDeathTest, CopyToAWrongAddress) {
  alignas(16) const char x[16] = {};
  EAQ_LAUNCH(CopyToOddAddress<false>, 1, 1, 0, nullptr, x);
  EXPECT_DEATH(EAQ_LAUNCH(CopyToOddAddress<true>, 1, 1, 0, nullptr, x), "no multiple of 16");
  EXPECT_DEATH(EAQ_LAUNCH(CopyPastTheEnd, 1, 1, 0, nullptr, x), "outside shared memory");
}

// ---- bank conflicts: right results, slow

template <bool kBug>
__global__ void Transpose(const float* x, float* out) {
  constexpr int kStride = kBug ? 32 : 33;
  EAQ_SHARED(float, tile, 32 * 33);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = 0; i < 32; ++i) cuda::ptx::StoreShared(&tile[i * kStride + lane], x[i * 32 + lane]);
  __syncwarp();
  for (int i = 0; i < 32; ++i) out[i * 32 + lane] = cuda::ptx::LoadShared(&tile[lane * kStride + i]);
}

// Rows of 64 bytes, 16 of them; the 16-byte units of a row stand in another order in every second row, or do not.
template <bool kBug>
__global__ void LoadMatrices(uint32_t* out) {
  EAQ_SHARED(uint4, rows, 64);
  const int lane = static_cast<int>(threadIdx.x);
  rows[lane] = rows[lane + 32] = {1, 2, 3, 4};
  __syncwarp();
  const int row = lane % 16, unit = lane / 16;
  uint32_t r[4];
  cuda::ptx::LoadMatrix4(r, &rows[row * 4 + (kBug ? unit : unit ^ (row / 2 % 4))]);
  out[lane] = r[0] + r[1] + r[2] + r[3];
}

TEST(BugZooTest, BankConflictsAreCounted) {
  std::vector<float> x(1024), out(1024);
  std::iota(x.begin(), x.end(), 0.0f);
  for (const Options& options : AllSchedules()) {
    const ScopedOptions scoped(options);
    ResetCounters();
    EAQ_LAUNCH(Transpose<false>, 1, 32, 0, nullptr, x.data(), out.data());
    EXPECT_EQ(out[33], x[33]);
    EXPECT_EQ(out[1], x[32]);
    EXPECT_EQ(ReadCounters().shared_accesses, 64u);
    EXPECT_EQ(ReadCounters().BankConflicts(), 0u);
    EAQ_LAUNCH(Transpose<true>, 1, 32, 0, nullptr, x.data(), out.data());
    EXPECT_EQ(ReadCounters().BankConflicts(), 32u * 31u) << ToString(options);  // every load: all in one bank

    std::vector<uint32_t> sums(32);
    ResetCounters();
    EAQ_LAUNCH(LoadMatrices<false>, 1, 32, 0, nullptr, sums.data());
    EXPECT_EQ(ReadCounters().ldmatrix_wavefronts, 4u);
    EXPECT_EQ(ReadCounters().BankConflicts(), 0u);
    EAQ_LAUNCH(LoadMatrices<true>, 1, 32, 0, nullptr, sums.data());
    EXPECT_EQ(ReadCounters().ldmatrix_wavefronts, 4u + 16u);
    EXPECT_EQ(ReadCounters().BankConflicts(), 12u);
  }
}

// ---- misaligned vector accesses

template <bool kBug>
__global__ void VectorLoad(const float* x, float* out) {
  const float4 v = *reinterpret_cast<const float4*>(x + (kBug ? 2 : 4));
  *out = v.x;
}
template <bool kBug>
__global__ void VectorStore(float* x) {
  *reinterpret_cast<float2*>(x + (kBug ? 1 : 2)) = float2{1, 2};
}
template <bool kBug>
__global__ void VectorFromShared(float* out) {
  EAQ_SHARED(float, values, 8);
  for (int i = 0; i < 8; ++i) values[i] = static_cast<float>(i);
  *out = cuda::ptx::LoadShared(reinterpret_cast<const float4*>(values + (kBug ? 2 : 4))).x;
}

TEST_F(BugZooDeathTest, MisalignedVectorAccess) {
  alignas(16) float x[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  float out = 0;
  EAQ_LAUNCH(VectorLoad<false>, 1, 1, 0, nullptr, x, &out);
  EXPECT_EQ(out, 4);
  EAQ_LAUNCH(VectorStore<false>, 1, 1, 0, nullptr, x);
  EAQ_LAUNCH(VectorFromShared<false>, 1, 1, 0, nullptr, &out);
  EXPECT_EQ(out, 4);
  EXPECT_DEATH(EAQ_LAUNCH(VectorLoad<true>, 1, 1, 0, nullptr, x, &out), "misaligned");
  EXPECT_DEATH(EAQ_LAUNCH(VectorStore<true>, 1, 1, 0, nullptr, x), "misaligned");
  EXPECT_DEATH(EAQ_LAUNCH(VectorFromShared<true>, 1, 1, 0, nullptr, &out), "no multiple of 16|misaligned");
}

// ---- one block reads what others wrote, and nothing orders it

enum class Fence { kRight, kNone, kAfterTheCount, kReaderHasNone };

// Every block writes its part; the last one to count itself sums them.
template <Fence kBug>
__global__ void SumByLastBlock(int* parts, unsigned* count, int* sum) {
  if (kBug == Fence::kAfterTheCount) {
    const bool last_too_early = atomicAdd(count, 1u) == gridDim.x - 1;
    parts[blockIdx.x] = static_cast<int>(blockIdx.x) + 1;
    __threadfence();
    if (!last_too_early) return;
  } else {
    parts[blockIdx.x] = static_cast<int>(blockIdx.x) + 1;
    if (kBug != Fence::kNone) __threadfence();
    if (atomicAdd(count, 1u) != gridDim.x - 1) return;
    if (kBug != Fence::kReaderHasNone) __threadfence();
  }
  int total = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) total += parts[b];
  *sum = total;
}

template <Fence kBug>
bool LastBlockIsRight() {
  constexpr int kBlocks = 4;
  int parts[kBlocks] = {}, sum = 0;
  unsigned count = 0;
  Options options = CurrentOptions();
  options.resident_blocks = kBlocks;
  const ScopedOptions scoped(options);
  EAQ_LAUNCH(SumByLastBlock<kBug>, kBlocks, 1, 0, nullptr, parts, &count, &sum);
  return sum == 10;
}

TEST_F(BugZooDeathTest, MissingFenceBetweenBlocks) {
  EXPECT_NO_ALARM(LastBlockIsRight<Fence::kRight>);
  if (!UnderTsan()) GTEST_SKIP() << "only ThreadSanitizer sees a missing fence: run with --config=tsan";
  EXPECT_DEATH(LastBlockIsRight<Fence::kNone>(), "data race");
  EXPECT_DEATH(LastBlockIsRight<Fence::kAfterTheCount>(), "data race");
  EXPECT_DEATH(LastBlockIsRight<Fence::kReaderHasNone>(), "data race");
}

template <bool kBug>
__global__ void PassOn(int* value, int* flag, int* out) {
  if (blockIdx.x == 0) {
    *value = 42;
    if (kBug) {
      atomicExch(flag, 1);
    } else {
      cuda::ptx::StoreRelease(flag, 1);
    }
  } else {
    while ((kBug ? atomicAdd(flag, 0) : cuda::ptx::LoadAcquire(flag)) == 0) __nanosleep(20);
    *out = *value;
  }
}

TEST_F(BugZooDeathTest, FlagWithoutReleaseAndAcquire) {
  int value = 0, flag = 0, out = 0;
  EXPECT_NO_ALARM(([&] {
    value = flag = out = 0;
    EAQ_LAUNCH(PassOn<false>, 2, 1, 0, nullptr, &value, &flag, &out);
    return out == 42;
  }));
  if (!UnderTsan()) GTEST_SKIP() << "only ThreadSanitizer sees a missing fence: run with --config=tsan";
  flag = 0;
  EXPECT_DEATH(EAQ_LAUNCH(PassOn<true>, 2, 1, 0, nullptr, &value, &flag, &out), "data race");
}

// ---- waits in vain, full stacks

__global__ void WaitForNobody(int* flag) {
  while (cuda::ptx::LoadAcquire(flag) == 0) __nanosleep(20);
}

// Volatile, so that no compiler makes a loop of it.
__global__ void Recurse(volatile int* depth) {
  volatile char frame[512];
  frame[0] = static_cast<char>(*depth);
  *depth = *depth + 1;
  if (*depth < 1000000) Recurse(depth);
  *depth = *depth + frame[0];
}

TEST_F(BugZooDeathTest, SpinsInVain) {
  int flag = 0;
  EXPECT_DEATH(EAQ_LAUNCH(WaitForNobody, 2, 1, 0, nullptr, &flag), "spin in vain");
}

TEST_F(BugZooDeathTest, FullStack) {
  volatile int depth = 0;
  EXPECT_DEATH(EAQ_LAUNCH(Recurse, 1, 1, 0, nullptr, &depth),
               kUnderAsan ? "stack-overflow" : "stack of a CUDA thread is full|ThreadSanitizer");
}

}  // namespace
}  // namespace eaq::kernels::emulation
