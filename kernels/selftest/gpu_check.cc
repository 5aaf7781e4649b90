// The self-test of a machine with a GPU; built and started by tools/gpu_check.sh. Runs every check against its twin,
// then the benchmarks. A table goes to stderr, one JSON object to stdout. Exit code: 0 all passed, 1 a check failed, 2
// no device or wrong arguments.
//
//   gpu_check [--filter=TEXT] [--label=TEXT] [--seed=N] [--no-checks] [--no-benchmarks]
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/selftest/benchmark.h"
#include "kernels/selftest/check.h"

namespace eaq::kernels::selftest {
namespace {

struct Options {
  std::string filter, label;
  uint64_t seed = 1;
  bool checks = true, benchmarks = true;
};

bool Parse(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind("--filter=", 0) == 0) {
      options->filter = argument.substr(9);
    } else if (argument.rfind("--label=", 0) == 0) {
      options->label = argument.substr(8);
    } else if (argument.rfind("--seed=", 0) == 0) {
      options->seed = std::strtoull(argv[i] + 7, nullptr, 10);
    } else if (argument == "--no-checks") {
      options->checks = false;
    } else if (argument == "--no-benchmarks") {
      options->benchmarks = false;
    } else {
      fprintf(stderr, "gpu_check: unknown argument \"%s\"\n", argv[i]);
      return false;
    }
  }
  return true;
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char ch : text) {
    if (ch == '"' || ch == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(ch) < 0x20 ? ' ' : ch;
  }
  return quoted + "\"";
}

// Runs the checks, prints as it goes; returns whether all passed. A CUDA error that outlives a check (a kernel that
// crashed) ends the program's use of the device: the rest would fail for no fault of its own.
bool Check(const Options& options) {
  bool all = true, first = true;
  printf("\"checks\": [");
  for (const CheckCase& check : AllChecks()) {
    if (std::string(check.name).find(options.filter) == std::string::npos) continue;
    Outcome outcome = RunCheck(check, options.seed);
    const cudaError_t error = cudaDeviceSynchronize();
    if (error != cudaSuccess) {
      ++outcome.failures;
      outcome.messages.push_back(std::string("device: ") + cudaGetErrorString(error));
    }
    fprintf(stderr, "%s %-40s %8lld expectations, %lld failed, %.2f s\n", outcome.passed() ? "pass" : "FAIL",
            check.name, static_cast<long long>(outcome.expectations), static_cast<long long>(outcome.failures),
            outcome.seconds);
    for (const std::string& message : outcome.messages) fprintf(stderr, "     %s\n", message.c_str());
    printf("%s\n  {\"name\": %s, \"expectations\": %lld, \"failures\": %lld, \"seconds\": %.3f, \"messages\": [",
           first ? "" : ",", Quoted(outcome.name).c_str(), static_cast<long long>(outcome.expectations),
           static_cast<long long>(outcome.failures), outcome.seconds);
    for (size_t i = 0; i < outcome.messages.size(); ++i)
      printf("%s%s", i == 0 ? "" : ", ", Quoted(outcome.messages[i]).c_str());
    printf("]}");
    first = false;
    all = all && outcome.passed();
    if (error != cudaSuccess) {
      fprintf(stderr, "gpu_check: the device is unusable after %s; stopping\n", check.name);
      break;
    }
  }
  printf("],\n");
  return all;
}

void RunBenchmarks(const Options& options) {
  const Ceilings ceilings = MeasureCeilings();
  fprintf(stderr, "ceilings: copy %.1f GB/s, cuBLAS bf16 %.1f TFLOP/s, int8 %.1f TOP/s\n", ceilings.copy_bytes * 1e-9,
          ceilings.bf16 * 1e-12, ceilings.int8 * 1e-12);
  printf("\"ceilings\": {\"copy_bytes_per_s\": %.6g, \"cublas_bf16_per_s\": %.6g, \"cublas_int8_per_s\": %.6g},\n",
         ceilings.copy_bytes, ceilings.bf16, ceilings.int8);
  printf("\"benchmarks\": [");
  bool first = true;
  for (const BenchmarkCase& benchmark : AllBenchmarks()) {
    if (std::string(benchmark.name).find(options.filter) == std::string::npos) continue;
    Benchmark b(benchmark.name, ceilings, options.label);
    benchmark.run(b);
    const cudaError_t error = cudaDeviceSynchronize();
    if (error != cudaSuccess) {
      fprintf(stderr, "gpu_check: %s: %s\n", benchmark.name, cudaGetErrorString(error));
      break;
    }
    for (const Measurement& m : b.measurements()) {
      fprintf(stderr, "%-14s %-44s %9.1f us %7.1f GB/s (%3.0f%% of copy) %7.1f T/s (%3.0f%%)\n", m.benchmark.c_str(),
              m.label.c_str(), m.seconds * 1e6, m.bytes / m.seconds * 1e-9, 100 * m.copy_share,
              m.operations / m.seconds * 1e-12, 100 * m.rate_share);
      printf(
          "%s\n  {\"benchmark\": %s, \"label\": %s, \"seconds\": %.6g, \"bytes\": %.6g, \"operations\": %.6g, "
          "\"copy_share\": %.4f, \"rate_share\": %.4f}",
          first ? "" : ",", Quoted(m.benchmark).c_str(), Quoted(m.label).c_str(), m.seconds, m.bytes, m.operations,
          m.copy_share, m.rate_share);
      first = false;
    }
  }
  printf("],\n");
}

int Main(int argc, char** argv) {
  Options options;
  if (!Parse(argc, argv, &options)) return 2;
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    fprintf(stderr, "gpu_check: no CUDA device: %s\n", cudaGetErrorString(error));
    return 2;
  }
  cudaDeviceProp device;
  int driver = 0, runtime = 0;
  cudaGetDeviceProperties(&device, 0);
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  fprintf(stderr, "device: %s, sm_%d%d, %d multiprocessors, L2 %d MiB; driver %d, runtime %d\n", device.name,
          device.major, device.minor, device.multiProcessorCount, device.l2CacheSize >> 20, driver, runtime);
  printf("{\"device\": %s, \"sm\": %d, \"multiprocessors\": %d, \"driver\": %d, \"runtime\": %d, \"seed\": %llu,\n",
         Quoted(device.name).c_str(), device.major * 10 + device.minor, device.multiProcessorCount, driver, runtime,
         static_cast<unsigned long long>(options.seed));
  const bool passed = !options.checks || Check(options);
  if (options.benchmarks) RunBenchmarks(options);
  printf("\"passed\": %s}\n", passed ? "true" : "false");
  fprintf(stderr, "%s\n", passed ? "all checks passed" : "CHECKS FAILED");
  return passed ? 0 : 1;
}

}  // namespace
}  // namespace eaq::kernels::selftest

int main(int argc, char** argv) { return eaq::kernels::selftest::Main(argc, argv); }
