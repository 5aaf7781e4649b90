// How fast the emulator is: threads that never wait, barriers, shuffles, tensor-core products, by the processor time of
// the calling thread.
#include <time.h>

#include <cstdio>
#include <vector>

#include "kernels/cuda/ptx.h"
#include "kernels/emulation/counters.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::emulation {
namespace {

__global__ void Axpy(float a, const float* x, float* y) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  y[i] += a * x[i];
}

__global__ void ManyBarriers(int rounds, int* out) {
  int sum = 0;
  for (int i = 0; i < rounds; ++i) {
    sum += i;
    __syncthreads();
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

__global__ void ManyShuffles(int rounds, int* out) {
  int value = static_cast<int>(threadIdx.x);
  for (int i = 0; i < rounds; ++i) value = __shfl_xor_sync(0xffffffffu, value, 1 + i % 16) + 1;
  out[blockIdx.x * blockDim.x + threadIdx.x] = value;
}

template <int kBits>
__global__ void ManyMmas(int rounds, float* out) {
  uint32_t a[4] = {threadIdx.x, 2, 3, 4}, b[2] = {5, threadIdx.x};
  int32_t d[4] = {};
  float f[4] = {};
  for (int i = 0; i < rounds; ++i) {
    if (kBits == 16) cuda::ptx::MmaBf16(f, a, b);
    if (kBits == 8) cuda::ptx::MmaS8(d, a, b);
    if (kBits == 4) cuda::ptx::MmaS4(d, a, b);
  }
  out[threadIdx.x] = f[0] + static_cast<float>(d[0]);
}

double Now() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

template <typename Launch>
void Measure(const char* what, double work, const char* unit, Launch launch) {
  launch();
  ResetCounters();
  const double start = Now();
  launch();
  const double seconds = Now() - start;
  printf("%-20s %8.3f s  %9.2f M %s/s  %8.2f M switches/s\n", what, seconds, 1e-6 * work / seconds, unit,
         1e-6 * static_cast<double>(ReadCounters().switches) / seconds);
}

void RunAll() {
  std::vector<float> x(1 << 22, 1.0f), y(1 << 22, 2.0f);
  std::vector<int> out(64 * 256);
  std::vector<float> results(128);
  Measure("axpy", 1 << 22, "threads", [&] { EAQ_LAUNCH(Axpy, 1 << 14, 256, 0, nullptr, 2.0f, x.data(), y.data()); });
  Measure("__syncthreads", 16384.0 * 200, "thread-barriers",
          [&] { EAQ_LAUNCH(ManyBarriers, 64, 256, 0, nullptr, 200, out.data()); });
  Measure("shuffles", 16384.0 * 200, "lane-shuffles",
          [&] { EAQ_LAUNCH(ManyShuffles, 64, 256, 0, nullptr, 200, out.data()); });
  Measure("mma bf16", 4.0 * 50000, "mma", [&] { EAQ_LAUNCH(ManyMmas<16>, 1, 128, 0, nullptr, 50000, results.data()); });
  Measure("mma s8", 4.0 * 50000, "mma", [&] { EAQ_LAUNCH(ManyMmas<8>, 1, 128, 0, nullptr, 50000, results.data()); });
  Measure("mma s4", 4.0 * 50000, "mma", [&] { EAQ_LAUNCH(ManyMmas<4>, 1, 128, 0, nullptr, 50000, results.data()); });
}

}  // namespace
}  // namespace eaq::kernels::emulation

int main() {
  eaq::kernels::emulation::RunAll();
  return 0;
}
