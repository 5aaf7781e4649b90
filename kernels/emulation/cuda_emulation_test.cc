#include "kernels/emulation/cuda_emulation.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

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

__global__ void Nothing() {}

TEST(CudaEmulationDeathTest, RefusesWhatNoDeviceCanRun) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(emulation::Launch(Nothing, 1, 1025, 0), "1 to 1024 threads");
  EXPECT_DEATH(emulation::Launch(Nothing, 1, 0, 0), "1 to 1024 threads");
  EXPECT_DEATH(emulation::Launch(Nothing, 0, 32, 0), "at least one block");
}

}  // namespace
}  // namespace eaq::kernels
