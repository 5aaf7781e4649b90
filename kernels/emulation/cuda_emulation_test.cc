#include "kernels/emulation/cuda_emulation.h"

#include <cmath>
#include <cstdint>
#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/emulation/counters.h"
#include "kernels/emulation/launch_log.h"
#include "kernels/emulation/options.h"

namespace eaq::kernels {
namespace {

__global__ void Coordinate(int* out) {
  const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * 24 + thread] += 1 + block * 100 + thread;
}

TEST(CudaEmulationTest, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<int> out(2 * 3 * 2 * 24);
  EAQ_LAUNCH(Coordinate, emulation::Dim3(2, 3, 2), emulation::Dim3(4, 3, 2), 0, nullptr, out.data());
  for (int b = 0; b < 12; ++b)
    for (int t = 0; t < 24; ++t) ASSERT_EQ(out[b * 24 + t], 1 + b * 100 + t);
}

// Each thread reads what its neighbour wrote; without the barrier this is a race that TSan reports.
__global__ void Rotate(int* out) {
  EAQ_SHARED(int, values, 70);
  values[threadIdx.x] = static_cast<int>(threadIdx.x) + 1000 * static_cast<int>(blockIdx.x);
  __syncthreads();
  out[blockIdx.x * 70 + threadIdx.x] = values[(threadIdx.x + 1) % 70];
}

TEST(CudaEmulationTest, SharedMemoryIsSeenAfterABarrier) {
  std::vector<int> out(3 * 70);
  EAQ_LAUNCH(Rotate, 3, 70, 0, nullptr, out.data());
  for (int b = 0; b < 3; ++b)
    for (int t = 0; t < 70; ++t) ASSERT_EQ(out[b * 70 + t], (t + 1) % 70 + 1000 * b);
}

__global__ void ReadUnwritten(float* out) {
  EAQ_SHARED(float, values, 1);
  out[blockIdx.x] = values[0];
  __syncthreads();
  if (threadIdx.x == 0) values[0] = 1;
}

// A real GPU would hand out the last block's values here: the emulation makes the mistake visible.
TEST(CudaEmulationTest, SharedMemoryStartsAsNanInEveryBlock) {
  std::vector<float> out(4);
  EAQ_LAUNCH(ReadUnwritten, 4, 1, 0, nullptr, out.data());
  for (const float v : out) EXPECT_TRUE(std::isnan(v));
}

__global__ void WarpSum(const float* x, float* out, double* largest) {
  float sum = x[threadIdx.x];
  for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
  out[threadIdx.x] = sum;
  largest[threadIdx.x] = __shfl_sync(0xffffffffu, double{x[threadIdx.x]}, 31);
}

TEST(CudaEmulationTest, ShufflesStayInsideAWarp) {
  std::vector<float> x(64), out(64);
  std::vector<double> last(64);
  for (int i = 0; i < 64; ++i) x[i] = static_cast<float>(i);
  EAQ_LAUNCH(WarpSum, 1, 64, 0, nullptr, x.data(), out.data(), last.data());
  for (int i = 0; i < 64; ++i) {
    EXPECT_EQ(out[i], i < 32 ? 496.0f : 496.0f + 32 * 32);
    EXPECT_EQ(last[i], i < 32 ? 31 : 63);
  }
}

__global__ void LeaveEarly(int* out) {
  if (threadIdx.x % 2 == 1) return;
  __syncthreads();  // the threads that returned are not waited for
  out[threadIdx.x] = 1;
}

TEST(CudaEmulationTest, ThreadsMayReturnEarly) {
  std::vector<int> out(50);
  EAQ_LAUNCH(LeaveEarly, 1, 50, 0, nullptr, out.data());
  for (int i = 0; i < 50; ++i) EXPECT_EQ(out[i], i % 2 == 0);
}

// ---- what the lanes of a warp do together

template <typename Kernel>
std::vector<int64_t> OfWarp(Kernel kernel, int threads = 32) {
  std::vector<int64_t> out(threads, -1);
  EAQ_LAUNCH(kernel, 1, threads, 0, nullptr, out.data());
  return out;
}

__global__ void ShufflesOfGroups(int64_t* out) {
  const int lane = static_cast<int>(threadIdx.x);
  const int index = __shfl_sync(0xffffffffu, lane, 9, 8);
  const int up = __shfl_up_sync(0xffffffffu, lane, 3, 8);
  const int down = __shfl_down_sync(0xffffffffu, lane, 3, 8);
  const int other = __shfl_xor_sync(0xffffffffu, lane, 8, 8);
  out[lane] = index + 100 * up + 10000 * down + 1000000 * other;
}

TEST(CudaEmulationTest, ShufflesOfGroupsFollowCudasRules) {
  const std::vector<int64_t> out = OfWarp(ShufflesOfGroups);
  for (int lane = 0; lane < 32; ++lane) {
    const int first = lane / 8 * 8;
    const int up = lane - 3 < first ? lane : lane - 3, down = lane + 3 > first + 7 ? lane : lane + 3;
    const int other = (lane ^ 8) > first + 7 ? lane : lane ^ 8;
    ASSERT_EQ(out[lane], first + 1 + 100 * up + 10000 * down + 1000000 * other) << lane;
  }
}

__global__ void Votes(int64_t* out) {
  const int lane = static_cast<int>(threadIdx.x);
  const unsigned odd = __ballot_sync(0xffffffffu, lane % 2);
  int64_t votes = odd == 0xaaaaaaaau;
  votes += 2 * __any_sync(0xffffffffu, lane == 7) + 4 * __any_sync(0xffffffffu, lane == 70);
  votes += 8 * __all_sync(0xffffffffu, lane < 32) + 16 * __all_sync(0xffffffffu, lane != 7);
  if (lane < 5) votes += 32 * __all_sync(0x1fu, lane != 7);
  votes += int64_t{__match_any_sync(0xffffffffu, lane / 8)} << 8;
  out[lane] = votes;
}

TEST(CudaEmulationTest, VotesAndMatches) {
  const std::vector<int64_t> out = OfWarp(Votes);
  for (int lane = 0; lane < 32; ++lane) {
    ASSERT_EQ(out[lane] & 0xff, 1 + 2 + 8 + (lane < 5 ? 32 : 0)) << lane;
    ASSERT_EQ(out[lane] >> 8, int64_t{0xff} << (lane / 8 * 8)) << lane;
  }
}

__global__ void Reductions(int64_t* out) {
  const int lane = static_cast<int>(threadIdx.x);
  const unsigned mask = lane % 2 ? 0xaaaaaaaau : 0x55555555u;
  int64_t sum = __reduce_add_sync(mask, lane);
  sum += 1000 * __reduce_max_sync(mask, -lane) + 100000 * __reduce_min_sync(mask, lane);
  sum += int64_t{1000000} * __reduce_or_sync(mask, 1u << lane);
  out[lane] = sum;
}

TEST(CudaEmulationTest, ReductionsOfHalfAWarp) {
  const std::vector<int64_t> out = OfWarp(Reductions);
  EXPECT_EQ(out[0], 240 + int64_t{1000000} * 0x55555555);
  EXPECT_EQ(out[31], 256 - 1000 + 100000 + int64_t{1000000} * 0xaaaaaaaa);
}

__global__ void SumOfTheLiving(int64_t* out) {  // lanes 24 to 31 were never there, 0 to 3 leave
  if (threadIdx.x < 4) return;
  out[threadIdx.x] = __reduce_add_sync(0xffffffffu, 1);
}

TEST(CudaEmulationTest, LanesThatReturnedAreNotWaitedFor) {
  const std::vector<int64_t> out = OfWarp(SumOfTheLiving, 24);
  for (int lane = 0; lane < 24; ++lane) EXPECT_EQ(out[lane], lane < 4 ? -1 : 20);
}

// ---- barriers and atomics

__global__ void CountInBlock(int64_t* out) {
  const int t = static_cast<int>(threadIdx.x);
  int64_t counts = __syncthreads_count(t % 3 == 0);
  counts += 1000 * __syncthreads_or(t == 5) + 2000 * __syncthreads_or(t == 500);
  counts += 4000 * __syncthreads_and(t < 96) + 8000 * __syncthreads_and(t != 5);
  out[t] = counts;
}

TEST(CudaEmulationTest, BarriersThatCount) {
  for (const int64_t counts : OfWarp(CountInBlock, 96)) EXPECT_EQ(counts, 32 + 1000 + 4000);
}

__global__ void Atomics(int* sum, int* most, unsigned* round, float* product) {
  const int t = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(sum, t);
  atomicMax(most, t);
  atomicInc(round, 6);
  auto* bits = reinterpret_cast<int*>(product);
  int expected = 0;
  for (;;) {
    const int seen = atomicCAS(bits, expected, __float_as_int(__int_as_float(expected) + 1));
    if (seen == expected) break;
    expected = seen;
  }
}

TEST(CudaEmulationTest, AtomicsUnderEverySchedule) {
  for (const emulation::Options& options : emulation::AllSchedules()) {
    const emulation::ScopedOptions scoped(options);
    int sum = 0, most = 0;
    unsigned round = 0;
    float product = 0;
    EAQ_LAUNCH(Atomics, 1, 100, 0, nullptr, &sum, &most, &round, &product);
    EXPECT_EQ(sum, 4950);
    EXPECT_EQ(most, 99);
    EXPECT_EQ(round, 100u % 7);
    EXPECT_EQ(product, 100);
  }
}

// Blocks that wait for each other's word: the first for the last.
__global__ void Chain(int* words) {
  const int b = static_cast<int>(blockIdx.x);
  if (b + 1 < static_cast<int>(gridDim.x)) {
    while (atomicAdd(&words[b + 1], 0) == 0) __nanosleep(20);
  }
  __threadfence();
  atomicExch(&words[b], 1 + b);
}

TEST(CudaEmulationTest, BlocksMayWaitForLaterBlocks) {
  for (const emulation::Options& options : emulation::AllSchedules()) {
    const emulation::ScopedOptions scoped(options);
    std::vector<int> words(9);
    EAQ_LAUNCH(Chain, 9, 1, 0, nullptr, words.data());
    for (int b = 0; b < 9; ++b) EXPECT_EQ(words[b], b + 1);
  }
}

// ---- options and counters

__global__ void Order(int* next, int* order) {
  order[atomicAdd(next, 1)] = static_cast<int>(threadIdx.x);
  __syncthreads();
}

std::vector<int> OrderUnder(emulation::Schedule schedule, uint64_t seed) {
  emulation::Options options;
  options.schedule = schedule;
  options.seed = seed;
  const emulation::ScopedOptions scoped(options);
  std::vector<int> order(128);
  int next = 0;
  EAQ_LAUNCH(Order, 1, 128, 0, nullptr, &next, order.data());
  return order;
}

TEST(CudaEmulationTest, SchedulesDifferAndRepeat) {
  using emulation::Schedule;
  const std::vector<int> in_order = OrderUnder(Schedule::kInOrder, 1), reverse = OrderUnder(Schedule::kReverse, 1);
  for (int i = 0; i < 128; ++i) {
    EXPECT_EQ(in_order[i], i);
    EXPECT_EQ(reverse[i], 127 - i);
  }
  for (const Schedule schedule : {Schedule::kRandom, Schedule::kOneWarpAhead}) {
    EXPECT_EQ(OrderUnder(schedule, 1), OrderUnder(schedule, 1));
    EXPECT_NE(OrderUnder(schedule, 1), OrderUnder(schedule, 2));
    EXPECT_NE(OrderUnder(schedule, 3), in_order);
  }
  const std::vector<int> ahead = OrderUnder(Schedule::kOneWarpAhead, 7);
  for (int i = 0; i < 128; ++i) EXPECT_EQ(ahead[i] / 32, ahead[i / 32 * 32] / 32) << "warps stay together";
}

TEST(CudaEmulationTest, CountersCountLaunches) {
  emulation::ResetCounters();
  OfWarp(Votes);
  OfWarp(CountInBlock, 96);
  const emulation::Counters counters = emulation::ReadCounters();
  EXPECT_EQ(counters.launches, 2u);
  EXPECT_EQ(counters.blocks, 2u);
  EXPECT_EQ(counters.threads, 32u + 96u);
  EXPECT_EQ(counters.collectives, 7u);
  EXPECT_EQ(counters.barriers, 5u);
}

__global__ void Nothing() {}

__global__ void TooMuchStaticShared() {
  EAQ_SHARED(char, bytes, 48 * 1024 + 1);
  bytes[0] = 0;
}
__global__ void UsesDynamicShared() {
  EAQ_DYNAMIC_SHARED(char, bytes);
  bytes[0] = 0;
}

void LaunchShared(int architecture, size_t bytes) {
  emulation::Options options;
  options.architecture = architecture;
  const emulation::ScopedOptions scoped(options);
  EAQ_LAUNCH(UsesDynamicShared, 1, 1, bytes, nullptr);
}

TEST(CudaEmulationTest, LaunchesAreWrittenDownWhileALogLives) {
  LaunchShared(90, 100);
  std::set<emulation::LaunchShape> shapes;
  {
    const emulation::LaunchLog log;
    for (const size_t bytes : {300, 200, 300}) LaunchShared(90, bytes);
    EAQ_LAUNCH(Nothing, 2, dim3(8, 3, 2), 0, nullptr);
    shapes = log.Shapes();
  }
  LaunchShared(90, 400);
  std::set<emulation::LaunchShape> want = {{reinterpret_cast<const void*>(UsesDynamicShared), 1, 200},
                                           {reinterpret_cast<const void*>(UsesDynamicShared), 1, 300},
                                           {reinterpret_cast<const void*>(Nothing), 48, 0}};
  ASSERT_EQ(shapes.size(), want.size());
  for (const emulation::LaunchShape& shape : shapes) {
    EXPECT_EQ(want.erase(shape), 1u) << shape.threads << " threads, " << shape.dynamic_bytes << " bytes";
  }
  EXPECT_TRUE(emulation::LaunchLog().Shapes().empty());
}

TEST(CudaEmulationDeathTest, RefusesWhatNoDeviceCanRun) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(EAQ_LAUNCH(Nothing, 1, 1025, 0, nullptr), "1 to 1024 threads");
  EXPECT_DEATH(EAQ_LAUNCH(Nothing, 1, 0, 0, nullptr), "1 to 1024 threads");
  EXPECT_DEATH(EAQ_LAUNCH(Nothing, 1, dim3(1, 1, 65), 0, nullptr), "at most 64 deep");
  EXPECT_DEATH(EAQ_LAUNCH(Nothing, 0, 32, 0, nullptr), "at least one block");
  EXPECT_DEATH(EAQ_LAUNCH(Nothing, dim3(1, 65536), 32, 0, nullptr), "65535");
  EXPECT_DEATH(EAQ_LAUNCH(TooMuchStaticShared, 1, 1, 0, nullptr), "at most 48 KiB");
  LaunchShared(80, 163 << 10);
  LaunchShared(86, 99 << 10);
  LaunchShared(89, 99 << 10);
  LaunchShared(90, 227 << 10);
  EXPECT_DEATH(LaunchShared(80, (163 << 10) + 1), "sm_80");
  EXPECT_DEATH(LaunchShared(86, (99 << 10) + 1), "sm_86");
  EXPECT_DEATH(LaunchShared(90, (227 << 10) + 1), "sm_90");
  EXPECT_DEATH(LaunchShared(90, 0), "with 0 bytes");
  EXPECT_DEATH(__syncthreads(), "outside a kernel");
}

}  // namespace
}  // namespace eaq::kernels
