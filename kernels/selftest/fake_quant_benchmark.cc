#include "kernels/cuda/fake_quant.h"
#include "kernels/selftest/benchmark.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

// The activations of 16384 tokens of a hidden size of 4096: 256 MiB, read and written once.
EAQ_BENCHMARK(FakeQuant) {
  constexpr int64_t rows = 16384, n = 4096;
  DeviceArray<float> x("x", Random(1).Normals(rows * n));
  const double seconds = b.Time([&](int) { cuda::FakeQuantPerToken(x.data(), n, rows, n, 8, 1.0f, nullptr); });
  b.Report("[16384, 4096] 8 bit", seconds, 8.0 * rows * n, 0, Rate::kNone);
}

}  // namespace
}  // namespace eaq::kernels::selftest
