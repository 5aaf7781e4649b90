#include "kernels/selftest/benchmark.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>

#include "kernels/selftest/random.h"

#if defined(EAQ_SELFTEST_CUBLAS)
#include <cublas_v2.h>
#endif

namespace eaq::kernels::selftest {

cuda::Machine MachineOfDevice() {
  cuda::Machine machine;
  int shared_bytes = 0;
  cudaDeviceGetAttribute(&machine.multiprocessors, cudaDevAttrMultiProcessorCount, 0);
  cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerMultiprocessor, 0);
  machine.shared_bytes = shared_bytes;
  return machine;
}

namespace {

std::vector<BenchmarkCase>& Registered() {
  static auto& benchmarks = *new std::vector<BenchmarkCase>;
  return benchmarks;
}

#if defined(EAQ_SELFTEST_CUBLAS)
// Operations per second of C[n, n] = A^T B, both from device memory with random contents.
double CublasRate(const void* a, const void* b, void* c, bool bf16) {
  cublasHandle_t handle;
  if (cublasCreate(&handle) != CUBLAS_STATUS_SUCCESS) return 0;
  constexpr int n = 8192;
  const float one_float = 1, zero_float = 0;
  const int32_t one_int = 1, zero_int = 0;
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  const double seconds = Benchmark("cublas", {}).Time([&](int) {
    const cublasStatus_t now =
        bf16 ? cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, n, n, n, &one_float, a, CUDA_R_16BF, n, b, CUDA_R_16BF, n,
                            &zero_float, c, CUDA_R_16BF, n, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT)
             : cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, n, n, n, &one_int, a, CUDA_R_8I, n, b, CUDA_R_8I, n,
                            &zero_int, c, CUDA_R_32I, n, CUBLAS_COMPUTE_32I, CUBLAS_GEMM_DEFAULT);
    if (now != CUBLAS_STATUS_SUCCESS) status = now;
  });
  cublasDestroy(handle);
  return status == CUBLAS_STATUS_SUCCESS ? 2.0 * n * n * n / seconds : 0;
}
#endif

}  // namespace

double Benchmark::Time(const std::function<void(int)>& run, int samples, double least) {
  cudaEvent_t start, stop;
  cudaEventCreate(&start);
  cudaEventCreate(&stop);
  int call = 0;
  const auto seconds_of = [&](int calls) {
    cudaEventRecord(start, nullptr);
    for (int i = 0; i < calls; ++i) run(call++);
    cudaEventRecord(stop, nullptr);
    cudaEventSynchronize(stop);
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, start, stop);
    return milliseconds * 1e-3;
  };
  seconds_of(3);
  const double one = std::max(seconds_of(3) / 3, 1e-7);
  const int calls = std::clamp(static_cast<int>(std::ceil(least / one)), 1, 10000);
  std::vector<double> times(samples);
  for (double& t : times) t = seconds_of(calls) / calls;
  cudaEventDestroy(start);
  cudaEventDestroy(stop);
  std::sort(times.begin(), times.end());
  return times[samples / 2];
}

double Benchmark::TimeGraph(const std::function<void(int, void*)>& run, int calls, int samples) {
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t ready;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  run(0, stream);  // loads modules, sets attributes
  cudaStreamSynchronize(stream);
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed);
  for (int i = 0; i < calls; ++i) run(i, stream);
  cudaStreamEndCapture(stream, &graph);
  cudaGraphInstantiate(&ready, graph, 0);
  cudaEvent_t start, stop;
  cudaEventCreate(&start);
  cudaEventCreate(&stop);
  std::vector<double> times;
  for (int sample = 0; sample < samples + 2; ++sample) {
    cudaEventRecord(start, stream);
    cudaGraphLaunch(ready, stream);
    cudaEventRecord(stop, stream);
    cudaEventSynchronize(stop);
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, start, stop);
    if (sample >= 2) times.push_back(milliseconds * 1e-3 / calls);
  }
  cudaEventDestroy(start);
  cudaEventDestroy(stop);
  cudaGraphExecDestroy(ready);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

void Benchmark::Report(const std::string& label, double seconds, double bytes, double operations, Rate rate) {
  if (!Wanted(label)) return;
  Measurement m{name_, label, seconds, bytes, operations, rate};
  if (ceilings_.copy_bytes > 0) m.copy_share = bytes / seconds / ceilings_.copy_bytes;
  if (ceilings_.of(rate) > 0) m.rate_share = operations / seconds / ceilings_.of(rate);
  measurements_.push_back(m);
}

bool RegisterBenchmark(const char* name, void (*run)(Benchmark&)) {
  Registered().push_back({name, run});
  return true;
}

std::vector<BenchmarkCase> AllBenchmarks() {
  std::vector<BenchmarkCase> benchmarks = Registered();
  std::sort(benchmarks.begin(), benchmarks.end(),
            [](const BenchmarkCase& a, const BenchmarkCase& b) { return std::string(a.name) < b.name; });
  return benchmarks;
}

Ceilings MeasureCeilings() {
  constexpr int64_t kHalf = int64_t{1} << 30;  // bytes
  Ceilings ceilings;
  void* block = nullptr;
  if (cudaMalloc(&block, 2 * kHalf) != cudaSuccess) return ceilings;
  char* const memory = static_cast<char*>(block);
  // Random numbers, repeated every 16 MiB: bytes for int8; for bf16 +-[1, 2), which no value of the sums overflows.
  constexpr int64_t kPiece = int64_t{1} << 24;
  Random random(7);
  std::vector<uint64_t> words(kPiece / 8);
  const auto fill = [&] {
    for (int64_t at = 0; at < 2 * kHalf; at += kPiece) cudaMemcpy(memory + at, words.data(), kPiece, cudaMemcpyDefault);
  };
  for (uint64_t& w : words) w = random.Bits();
  fill();
  const double seconds = Benchmark("copy", ceilings).Time([&](int) {
    cudaMemcpyAsync(memory + kHalf, memory, kHalf, cudaMemcpyDeviceToDevice, nullptr);
  });
  ceilings.copy_bytes = 2.0 * kHalf / seconds;
#if defined(EAQ_SELFTEST_CUBLAS)
  constexpr int64_t kMatrix = int64_t{8192} * 8192 * 2;  // bytes, bf16
  ceilings.int8 = CublasRate(memory, memory + kMatrix, memory + kHalf, /*bf16=*/false);
  for (uint64_t& w : words) w = (w & 0x807f807f807f807fu) | 0x3f803f803f803f80u;
  fill();
  ceilings.bf16 = CublasRate(memory, memory + kMatrix, memory + kHalf, /*bf16=*/true);
#endif
  cudaFree(memory);
  return ceilings;
}

}  // namespace eaq::kernels::selftest
