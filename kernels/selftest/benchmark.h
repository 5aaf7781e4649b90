// Times of kernels on a GPU, as shares of what the machine can do. Only in gpu_check:
//
//   EAQ_BENCHMARK(Axpy) {
//     DeviceArray<float> x("x", n), y("y", n);
//     const double seconds = b.Time([&](int) { Axpy(2, x.data(), y.data(), n, nullptr); });
//     b.Report("n=1e8", seconds, /*bytes=*/12.0 * n, /*operations=*/2.0 * n, Rate::kNone);
//   }
//
// The ceilings are measured, never taken from a data sheet: a device-to-device copy of 2 GiB (bytes read + written),
// and cuBLAS on 8192^3 random matrices in bf16 and int8 (Ceilings in ceilings.cc).
#ifndef KERNELS_SELFTEST_BENCHMARK_H_
#define KERNELS_SELFTEST_BENCHMARK_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/persistent_grid.h"

namespace eaq::kernels::selftest {

enum class Rate { kNone, kBf16, kInt8 };

struct Ceilings {
  double copy_bytes = 0;  // bytes/s
  double bf16 = 0;        // operations/s, a multiply-add counts two; 0: no cuBLAS here
  double int8 = 0;
  double of(Rate rate) const { return rate == Rate::kBf16 ? bf16 : rate == Rate::kInt8 ? int8 : 0; }
};

// What persistent kernels' grids are sized for.
cuda::Machine MachineOfDevice();

struct Measurement {
  std::string benchmark, label;
  double seconds = 0, bytes = 0, operations = 0;
  Rate rate = Rate::kNone;
  double copy_share = 0, rate_share = 0;  // of the ceilings
};

class Benchmark {
 public:
  // Only measurements whose label contains `only` are wanted.
  Benchmark(std::string name, const Ceilings& ceilings, std::string only = "")
      : name_(std::move(name)), ceilings_(ceilings), only_(std::move(only)) {}

  // A benchmark need not prepare what nobody wants; Report passes over it in any case.
  bool Wanted(const std::string& label) const { return label.find(only_) != std::string::npos; }

  // Median seconds of run(i) by CUDA events on the null stream, i = 0, 1, ...: 3 calls to warm up, then `samples`
  // samples of as many calls as take `least` seconds. run may use i to take turns between sets of inputs that the cache
  // must not hold.
  double Time(const std::function<void(int)>& run, int samples = 11, double least = 2e-3);

  // The same for small kernels, whose launches from the host would be what is timed: run(i, stream) of `calls` calls
  // becomes one CUDA graph, whose replays are timed. run must launch on `stream` alone and not allocate.
  double TimeGraph(const std::function<void(int, void*)>& run, int calls = 32, int samples = 11);

  // What one call had to move and to compute; rate: the unit that computes.
  void Report(const std::string& label, double seconds, double bytes, double operations, Rate rate);

  const Ceilings& ceilings() const { return ceilings_; }
  const std::vector<Measurement>& measurements() const { return measurements_; }

 private:
  std::string name_;
  Ceilings ceilings_;
  std::string only_;
  std::vector<Measurement> measurements_;
};

struct BenchmarkCase {
  const char* name;
  void (*run)(Benchmark&);
};

bool RegisterBenchmark(const char* name, void (*run)(Benchmark&));
std::vector<BenchmarkCase> AllBenchmarks();  // by name
Ceilings MeasureCeilings();

}  // namespace eaq::kernels::selftest

#define EAQ_BENCHMARK(name)                                                   \
  static void EaqBenchmark##name(::eaq::kernels::selftest::Benchmark& b);     \
  [[maybe_unused]] static const bool eaq_benchmark_registered_##name =        \
      ::eaq::kernels::selftest::RegisterBenchmark(#name, EaqBenchmark##name); \
  static void EaqBenchmark##name([[maybe_unused]] ::eaq::kernels::selftest::Benchmark& b)

#endif  // KERNELS_SELFTEST_BENCHMARK_H_
